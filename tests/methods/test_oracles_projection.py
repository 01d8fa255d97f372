"""A-GEM and GEM step by step against NumPy and SciPy: what the constraints are made of and what a step becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tests.methods.oracle import NAMED, at_task, flat, gradient, learn, loss_of, next_batch, ring, spied

DISJOINT = {"name": "disjoint", "tasks": 5}


def followed(session: Any, expected: Any) -> tuple[int, int]:
    """Learn the current task; every gradient is compared with `expected(own)`. Returns how many were left alone, and
    how many were changed."""
    method, model = session.method, session.learner.model
    original, counts = method.after_backward, [0, 0]

    def after_backward(batch: Any) -> None:
        own = flat([p.grad for p in model.parameters()])
        kept = [p.grad.clone() for p in model.parameters()]
        original(batch)
        found = flat([p.grad for p in model.parameters()])
        after = [p.grad.clone() for p in model.parameters()]
        for p, g in zip(model.parameters(), kept, strict=True):
            p.grad = g
        wanted = expected(own)
        for p, g in zip(model.parameters(), after, strict=True):
            p.grad = g
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
        counts[int(not np.allclose(found, own, rtol=1e-6))] += 1

    method.after_backward = after_backward
    learn(session)
    return counts[0], counts[1]


@pytest.mark.parametrize("scenario", [DISJOINT, NAMED])
def test_agem_projects_on_a_batch_of_the_earlier_tasks_alone(scenario: dict[str, Any]) -> None:
    """Chaudhry et al. 2019, Eq. 11: g - (g.r / r.r) r where g.r < 0, r on samples drawn from M_1..M_{t-1}."""
    session = at_task("agem", 2, scenario=scenario, memory={"capacity": 100}, method={"reference_size": 15})
    learner, memory = session.learner, ring(session)
    taken = spied(memory, "take")
    old = {c for task in session.stream.tasks[:2] for c in task.classes}

    def expected(own: Any) -> Any:
        raw, y = taken[-1]
        r = flat(gradient(session, loss_of(session, learner.model(learner.normalize(raw)), y)))
        product = own @ r
        return own if product >= 0 else own - product / (r @ r) * r

    same, changed = followed(session, expected)
    assert len(taken) == same + changed == learner.step - 2 * 12
    assert changed >= 2
    assert all(len(y) == 15 and set(y.tolist()) <= old for _, y in taken), "never the task that is being learned"
    assert {c for _, y in taken for c in y.tolist()} == old
    assert len({tuple(y.tolist()) for _, y in taken}) > 1, "drawn anew for every step"
    if scenario is DISJOINT:
        assert same + changed > 10


def test_agem_leaves_a_gradient_alone_that_agrees_with_the_past() -> None:
    session = at_task("agem", 1, memory={"capacity": 100}, method={"reference_size": 200})
    learner, memory = session.learner, ring(session)
    batch = next_batch(session)
    raw, y = memory.take(memory.earlier())
    learner.model.zero_grad()
    loss_of(session, learner.model(learner.normalize(raw)), y).backward()
    before = flat([p.grad for p in learner.model.parameters() if p.grad is not None])
    session.method.after_backward(batch)
    assert np.array_equal(flat([p.grad for p in learner.model.parameters() if p.grad is not None]), before)


@pytest.mark.parametrize(("scenario", "margin"), [(DISJOINT, 0.5), (NAMED, 0.5), (NAMED, 0.0)])
def test_gem_solves_its_program_over_the_whole_memory_of_every_earlier_task(
    scenario: dict[str, Any], margin: float
) -> None:
    """Lopez-Paz & Ranzato 2017, Eqs. 8-11: one constraint a task; the dual with v >= margin, by SciPy."""
    ridge = 1e-3
    session = at_task("gem", 3, scenario=scenario, memory={"capacity": 100}, method={"margin": margin, "ridge": ridge})
    learner, memory = session.learner, ring(session)

    def expected(own: Any) -> Any:
        rows = []
        for k in range(3):
            raw, y = memory.take(memory.rows(k))
            assert len(y) == 20
            rows.append(flat(gradient(session, loss_of(session, learner.model(learner.normalize(raw)), y))))
        past = np.stack(rows)
        if (past @ own >= 0).all():
            return own
        p, c = past @ past.T + ridge * np.eye(3), past @ own
        v = minimize(
            lambda v: v @ p @ v / 2 + c @ v,
            np.full(3, margin + 0.1),
            jac=lambda v: p @ v + c,
            bounds=[(margin, None)] * 3,
            options={"ftol": 1e-15, "gtol": 1e-12},
        ).x
        return own + past.T @ v

    _, changed = followed(session, expected)
    assert changed > 3


@pytest.mark.parametrize("method", ["gem", "agem"])
def test_a_batch_is_stored_once_it_was_learned_and_only_then(method: str) -> None:
    session = at_task(method, 1, memory={"capacity": 100})
    memory = ring(session)
    batch = next_batch(session, 8)
    filled = len(memory)
    batch.phase = "memory"
    session.method.after_step(batch)
    assert len(memory) == filled
    batch.phase = "stream"
    session.method.after_step(batch)
    assert memory.buffers["ids"][memory.rows(1)].tolist() == batch.ids.tolist()
    assert torch.equal(memory.buffers["images"][memory.rows(1)], batch.raw)
    assert torch.equal(memory.buffers["labels"][memory.rows(1)], batch.y)


@pytest.mark.parametrize("method", ["gem", "agem"])
def test_other_phases_are_not_projected(method: str) -> None:
    session = at_task(method, 1, memory={"capacity": 100})
    learner, memory = session.learner, ring(session)
    batch = next_batch(session)
    batch.phase = "memory"
    raw, y = memory.take(memory.rows(0))
    learner.model.zero_grad()
    (-loss_of(session, learner.model(learner.normalize(raw)), y)).backward()
    before = flat([p.grad for p in learner.model.parameters() if p.grad is not None])
    session.method.after_backward(batch)
    assert np.array_equal(flat([p.grad for p in learner.model.parameters() if p.grad is not None]), before)


def test_in_the_middle_of_a_task_only_earlier_ones_constrain() -> None:
    """A run that is resumed there gathers the memories anew, when the current task has samples of its own."""
    session = at_task("gem", 2, memory={"capacity": 100})
    learn(session, 48)
    method: Any = session.method
    assert len(ring(session).rows(2)) == 20
    kept = method._past_gradients(list(session.learner.model.parameters()))
    method.past = []
    again = method._past_gradients(list(session.learner.model.parameters()))
    assert torch.equal(kept, again)
    assert len(again) == 2
