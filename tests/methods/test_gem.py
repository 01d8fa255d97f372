"""GEM's program against SciPy and worked cases; A-GEM's projection; what a step does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls

from cllab.errors import TrainingError
from cllab.learner.phases import Phase
from cllab.methods import agem
from cllab.methods._gradients import stacked_gradients
from cllab.methods._qp import dual, nonnegative
from cllab.methods.gem import GEM
from tests.engine.sessions import begin, begun, walked


def problem(n: int, p: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, p)) * np.exp(rng.normal(size=(n, 1)))
    return rows @ rows.T + 1e-3 * np.eye(n), rng.normal(size=n) * 3


@pytest.mark.parametrize("n", [1, 2, 5, 19])
@pytest.mark.parametrize("seed", range(20))
def test_active_set_is_scipys_nnls(n: int, seed: int) -> None:
    # fewer dimensions than rows: the Gram matrix is singular but for the ridge
    p, c = problem(n, max(1, n // 2) if seed % 2 else 3 * n, seed)
    lower = np.linalg.cholesky(p)
    expected, _ = nnls(lower.T, -np.linalg.solve(lower, c))
    found = nonnegative(p, c)
    assert (found >= 0).all()
    objective = lambda u: u @ p @ u / 2 + c @ u  # noqa: E731
    assert objective(found) == pytest.approx(objective(expected), rel=1e-8, abs=1e-9)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("margin", "expected"), [(0.0, (-0.001, 2.0)), (0.5, (-0.001, 2.5))])
def test_worked_case(margin: float, expected: tuple[float, float]) -> None:
    past, g = np.eye(2), np.array([-1.0, 2.0])
    z = g + past.T @ dual(past @ past.T, past @ g, margin, 1e-3)
    np.testing.assert_allclose(z, expected, atol=1.1e-6 if margin == 0 else 1e-3)


def test_projection_is_the_nearest_gradient_that_hurts_no_task() -> None:
    rng = np.random.default_rng(3)
    past, g = rng.normal(size=(4, 12)), rng.normal(size=12)
    z = g + past.T @ dual(past @ past.T, past @ g, 0.0, 1e-12)
    assert (past @ z > -1e-8).all()
    constraints = {"type": "ineq", "fun": lambda v: past @ v}
    nearest = minimize(lambda v: ((v - g) ** 2).sum() / 2, g, constraints=constraints, tol=1e-14)
    np.testing.assert_allclose(z, nearest.x, atol=1e-5)


def after_two_tasks(method: str, /, **tables: Any) -> Any:
    session = begun(method, memory={"capacity": 60}, model={"norm": False}, train={"memory_epochs": 0}, **tables)
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)
    return session


def gradients(session: Any) -> list[torch.Tensor]:
    return [p.grad.clone() for p in session.learner.model.parameters()]


def stream_batch(session: Any, *, against: bool) -> Any:
    """A batch of the second task whose gradient points against (or along) that of the first one's memory."""
    learner, memory = session.learner, session.learner.memory
    task = session.stream.tasks[0 if not against else 1]
    batch = next(iter(session.learner.batches(task.train, purpose="test", batch_size=16)))
    batch.phase = "stream"
    learner.model.zero_grad()
    raw, y = memory.take(memory.rows(0))
    if against:  # climbing on the memory's loss hurts it for certain
        loss = -torch.nn.functional.cross_entropy(learner.model(learner.normalize(raw)), y)
    else:
        loss = torch.nn.functional.cross_entropy(learner.model(learner.normalize(raw)), y)
    loss.backward()
    return batch


def test_gem_leaves_a_harmless_gradient_alone_and_projects_a_harmful_one() -> None:
    session = after_two_tasks("gem", method={"margin": 0.0})
    batch = stream_batch(session, against=False)
    before = gradients(session)
    session.method.after_backward(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, gradients(session), strict=True))
    batch = stream_batch(session, against=True)
    past = session.method._past_gradients(list(session.learner.model.parameters()))[0]
    session.method.after_backward(batch)
    flat = torch.cat([g.flatten() for g in gradients(session)])
    # what is left of -g is the ridge's share, eps / (|g|^2 + eps)
    assert (flat @ past).abs() <= 1.1e-3
    session.learner.model.zero_grad()


def test_the_memory_is_written_once_a_batch_and_trained_on_only_through_constraints() -> None:
    session = after_two_tasks("gem")
    learner = session.learner
    learner.tracing = True
    batch = stream_batch(session, against=True)
    filled = len(learner.memory)
    session.method.after_backward(batch)
    assert len(learner.memory) == filled
    assert learner.traces["violated constraints"] == 1
    session.method.after_step(batch)
    assert len(learner.memory) == filled + min(16, 12)


def test_vectorized_gradients_are_those_one_by_one() -> None:
    session = after_two_tasks("gem", scenario={"name": "task-incremental", "tasks": 5})
    session.loop.fit(Phase("stream", session.stream.tasks[1].train))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[2]))
    begin(session)
    method = session.method
    assert isinstance(method, GEM)
    params = [p for n, p in session.learner.model.named_parameters()]
    one_by_one = method._past_gradients(params)
    assert one_by_one.shape[0] == 2
    assert torch.allclose(one_by_one, stacked_gradients(session.learner, params, method.past), atol=1e-6)


def test_agem_projection() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        g = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
        r = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
        before = [v.clone() for v in g]
        product = sum((a * b).sum() for a, b in zip(g, r, strict=True))
        agem.project(g, r)
        after = sum((a * b).sum() for a, b in zip(g, r, strict=True))
        if product >= 0:
            assert all(torch.equal(a, b) for a, b in zip(g, before, strict=True))
        else:
            assert abs(float(after)) < 1e-5


def test_agem_takes_away_what_points_against_the_memory() -> None:
    session = after_two_tasks("agem", method={"reference_size": 100})
    batch = stream_batch(session, against=True)
    session.method.after_backward(batch)
    # the whole memory is the reference, and the gradient was its exact opposite
    assert torch.cat([g.flatten() for g in gradients(session)]).abs().max() < 1e-5


def test_a_gradient_of_the_memory_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    first = GEM._past_gradients
    monkeypatch.setattr(GEM, "_past_gradients", lambda self, params: first(self, params) * float("inf"))
    with pytest.raises(TrainingError, match=r"gradient on the memory is not finite at task 2, step \d+; a smaller"):
        walked("gem", memory={"name": "ring", "capacity": 50})
