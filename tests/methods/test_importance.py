"""Fisher information, path score and quadratic penalty against closed forms and autograd."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import TrainingError
from cllab.learner.batch import Batch
from cllab.learner.phases import Optim, Phase
from cllab.methods import _importance as imp
from cllab.methods.ewc import EWC
from cllab.methods.rwalk import RWalk
from cllab.models.base import Network
from cllab.models.mlp import MLP
from cllab.models.resnet32 import ResNet32
from tests.conftest import Record, toy
from tests.engine.sessions import begun, close, everything, walked, watch
from tests.memory.stores import Flat


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_model(n_classes: int = 2) -> Network:
    torch.manual_seed(0)
    return Network(Flat(4), n_classes).eval()


# -- Fisher


def test_fisher_of_a_two_class_linear_model_has_its_closed_form() -> None:
    model = linear_model()
    x = torch.randn(50, 1, 2, 2, generator=generator())
    p = model(x).softmax(1).detach()
    params = list(model.head_parameters())
    total = imp.zeros(params)
    for label in (0, 1):  # the expectation over labels drawn from the model, exactly
        for i in range(50):
            found = imp.fisher_of_batch(model, params, x[i : i + 1], torch.tensor([label]))
            torch._foreach_add_(total, found, alpha=float(p[i, label]) / 50)
    variance = p[:, 0] * p[:, 1]  # of a Bernoulli label
    weight = (variance.view(-1, 1) * x.flatten(1).square()).mean(0)
    assert torch.allclose(total[0], weight.expand(2, 4), rtol=1e-4)
    assert torch.allclose(total[1], variance.mean().expand(2), rtol=1e-4)


def nets() -> dict[str, tuple[Network, tuple[int, int, int]]]:
    torch.manual_seed(1)
    return {
        "mlp": (Network(MLP.build(MLP.Config(width=7, layers=2), (1, 3, 3)), 4), (1, 3, 3)),
        "mlp-norm": (Network(MLP.build(MLP.Config(width=7, layers=2, norm=True), (1, 3, 3)), 4), (1, 3, 3)),
        "resnet": (Network(ResNet32.build(ResNet32.Config(), (3, 8, 8)), 4), (3, 8, 8)),
    }


@pytest.mark.parametrize("name", ["mlp", "mlp-norm", "resnet"])
def test_fisher_is_the_mean_of_squared_gradients_sample_by_sample(name: str) -> None:
    model, shape = nets()[name]
    model.train()
    for _ in range(3):
        model(torch.randn(16, *shape, generator=generator(5)))  # statistics that are not the initial ones
    model.eval()
    params = imp.trunk(model)
    x, labels = torch.randn(6, *shape, generator=generator()), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = imp.zeros(params)
    for i in range(6):
        grads = torch.autograd.grad(model(x[i : i + 1]).log_softmax(1)[0, labels[i]], params)
        torch._foreach_addcmul_(expected, list(grads), list(grads), value=1 / 6)
    for a, b in zip(imp.fisher_of_batch(model, params, x, labels), expected, strict=True):
        assert torch.allclose(a, b, rtol=2e-3, atol=1e-7)


def test_labels_are_drawn_with_the_models_probabilities() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0]]).expand(60_000, 3)
    shares = torch.bincount(imp.draw_labels(scores, generator()), minlength=3) / 60_000
    assert shares.tolist() == pytest.approx(scores[0].softmax(0).tolist(), abs=0.008)


def test_the_published_estimate_squares_the_mean_of_a_batch() -> None:
    model = linear_model()
    params = list(model.head_parameters())
    x, y = torch.randn(8, 1, 2, 2, generator=generator()), torch.arange(8) % 2
    total = imp.zeros(params)
    imp.add_batch_fisher(total, params, F.cross_entropy(model(x), y), 0.25)
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    for t, p in zip(total, params, strict=True):
        assert p.grad is not None
        assert torch.allclose(t, 0.25 * p.grad.square())


# -- penalty


def test_penalty_and_its_gradient_equal_autograds() -> None:
    params = [
        torch.nn.Parameter(torch.randn(s, generator=generator(i))) for i, s in enumerate([(3, 4), (5,), (2, 1, 2)])
    ]
    anchors = [torch.randn(p.shape, generator=generator(9)) for p in params]
    weights = [torch.rand(p.shape, generator=generator(8)) for p in params]
    (3.5 * imp.quadratic(params, anchors, weights)).backward()
    ours = [p.grad.clone() for p in params if p.grad is not None]
    for p in params:
        p.grad = None
    plain = 3.5 * sum((w * (p - a).square()).sum() for p, a, w in zip(params, anchors, weights, strict=True))
    assert isinstance(plain, torch.Tensor)
    plain.backward()
    assert (3.5 * imp.quadratic(params, anchors, weights)).item() == pytest.approx(plain.item(), rel=1e-5)
    for mine, p in zip(ours, params, strict=True):
        assert p.grad is not None
        assert torch.allclose(mine, p.grad, rtol=1e-5)


@pytest.mark.parametrize("strength", [0.1, 10.0, 1e6])
def test_a_damped_step_is_the_proximal_step_of_the_penalty(strength: float) -> None:
    """argmin_u g u + s w (u - a)^2 + (u - theta)^2 / (2 r), by its stationary point."""
    rate, shapes = 0.05, [(3, 4), (5,)]
    theta, anchors, g = (
        [torch.randn(s, generator=generator(10 * k + i)).double() for i, s in enumerate(shapes)] for k in range(3)
    )
    weights = [torch.rand(a.shape, generator=generator(7)).double() for a in anchors]
    params = [torch.nn.Parameter(t.clone()) for t in theta]
    for p, t, a, w, own in zip(params, theta, anchors, weights, g, strict=True):
        p.grad = own + 2 * strength * w * (t - a)
    imp.Damping()(params, weights, strength, rate)
    torch.optim.SGD(params, lr=rate).step()
    for p, t, a, w, own in zip(params, theta, anchors, weights, g, strict=True):
        u = p.detach()
        assert torch.allclose(
            own + 2 * strength * w * (u - a) + (u - t) / rate, torch.zeros_like(u), atol=1e-6 * strength + 1e-9
        )
        assert torch.allclose(u, (t - rate * own + 2 * rate * strength * w * a) / (1 + 2 * rate * strength * w))


def test_the_dividers_follow_rate_strength_and_weights() -> None:
    damp, weights = imp.Damping(), [torch.tensor([2.0, 0.0])]

    def left(strength: float, rate: float, held: list[torch.Tensor]) -> list[float]:
        p = torch.nn.Parameter(torch.zeros(2))
        p.grad = torch.ones(2)
        damp([p], held, strength, rate)
        return p.grad.tolist()

    assert left(3.0, 0.5, weights) == pytest.approx([1 / 7, 1.0])
    assert left(3.0, 0.25, weights) == pytest.approx([1 / 4, 1.0])
    assert left(1.0, 0.25, weights) == pytest.approx([1 / 2, 1.0])
    assert left(1.0, 0.25, [torch.tensor([0.0, 6.0])]) == pytest.approx([1.0, 1 / 4])


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (0.99, True)])
def test_a_damped_descent_rests_where_loss_and_penalty_balance(momentum: float, nesterov: bool) -> None:
    """f(theta) = theta^2 / 2 and a penalty that a plain step at this rate would throw out of all bounds."""
    weights, anchors, strength, rate = [torch.tensor([0.0, 0.01, 1.0, 1e4])], [torch.ones(4)], 50.0, 0.1
    p = torch.nn.Parameter(torch.full((4,), -2.0))
    optimizer = torch.optim.SGD([p], lr=rate, momentum=momentum, nesterov=nesterov)
    damp = imp.Damping()
    for _ in range(4000):
        optimizer.zero_grad()
        (p.square().sum() / 2 + strength * imp.quadratic([p], anchors, weights)).backward()
        damp([p], weights, strength, rate)
        optimizer.step()
    stiff = 2 * strength * weights[0]
    assert torch.allclose(p.detach(), stiff / (1 + stiff), atol=1e-4)


@pytest.mark.parametrize("method", ["ewc", "rwalk"])
@pytest.mark.parametrize("train", [{}, {"momentum": 0.0}, {"optimizer": "adam", "lr": 0.01}])
def test_no_strength_diverges(method: str, train: dict[str, Any]) -> None:
    tables = {"train": train, "scenario": {"tasks": 2}, "model": {"norm": False}}
    session, _ = walked(method, method={"strength": 1e8}, **tables)
    assert all(bool(p.isfinite().all()) for p in session.learner.model.parameters())
    if "optimizer" not in train:  # by its gradient alone the same penalty throws the weights out of all bounds
        with pytest.raises(TrainingError, match="not finite"):
            walked(method, method={"strength": 1e8, "step": "explicit"}, **tables)


@pytest.mark.parametrize("method", ["ewc", "rwalk"])
def test_the_published_step_takes_the_penaltys_gradient_alone(method: str) -> None:
    found = {}
    for step in ("implicit", "explicit"):
        session = begun(
            method,
            method={"strength": 5.0, "step": step},
            train={"momentum": 0.0, "weight_decay": 0.0},
            model={"norm": False},
        )
        m: Any = session.method
        params = imp.trunk(session.learner.model)
        weights = [torch.full_like(p, 0.3) for p in params]
        anchors = [p.detach() - 0.1 for p in params]
        m.anchors = anchors
        setattr(m, "fisher" if method == "ewc" else "importance", weights)
        before = [p.detach().clone() for p in params]
        batch = next(iter(session.learner.batches(everything(session, 16), purpose="test")))
        own = torch.autograd.grad(F.cross_entropy(session.learner.model(batch.x), batch.y), params)
        session.learner.rate = 0.05
        session.loop._descend(*session.loop.optimizers.get(Optim()))(functools.partial(m.loss, batch), batch)
        found[step] = [p.detach() - b for p, b in zip(params, before, strict=True)]
        divider = 1 + 0.05 * 2 * 5.0 * 0.3 if step == "implicit" else 1.0
        for moved, g in zip(found[step], own, strict=True):
            assert torch.allclose(moved, -0.05 * (g + 2 * 5.0 * 0.3 * 0.1) / divider, atol=1e-6)


def test_the_head_is_free() -> None:
    model = Network(MLP.build(MLP.Config(width=7, layers=1), (1, 3, 3)), 4)
    held = {id(p) for p in imp.trunk(model)}
    assert held == {id(p) for p in model.backbone.parameters()}


def test_importances_are_scaled_over_all_weights_together() -> None:
    found = imp.normalized([torch.tensor([1.0, 2.0]), torch.tensor([8.0])])
    assert [f.tolist() for f in found] == [[0.125, 0.25], [1.0]]
    assert imp.normalized([torch.zeros(2)])[0].tolist() == [0.0, 0.0]


def test_ewc_is_anchored_where_the_newest_task_ended() -> None:
    session = begun("ewc", method={"strength": 2.0, "decay": 0.5, "samples": 50})
    method = session.method
    assert isinstance(method, EWC)
    for _ in range(2):
        close(session)
        assert method._penalty().item() == 0.0
        for p in session.learner.model.parameters():
            p.data.add_(0.05)
    params = imp.trunk(session.learner.model)
    gap = 0.05
    expected = 2.0 * gap**2 * sum(f.sum().item() for f in method.fisher)
    assert method._penalty().item() == pytest.approx(expected, rel=1e-3)
    assert all(
        torch.allclose(p - a, torch.full_like(p, gap), atol=1e-6) for p, a in zip(params, method.anchors, strict=True)
    )


@pytest.mark.parametrize(("decay", "share"), [(1.0, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_ewc_keeps_a_share_of_the_old_fisher(decay: float, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begun("ewc", method={"decay": decay})
    method = session.method
    assert isinstance(method, EWC)
    params = imp.trunk(session.learner.model)
    values = iter([3.0, 5.0])

    def constant(*_: Any) -> Any:
        value = next(values)
        return [torch.full_like(p, value) for p in params]

    monkeypatch.setattr(imp, "mean_of_squares", constant)
    for t in range(2):
        close(session, t)
    assert all(bool((f == 5 + share * 3).all()) for f in method.fisher)


def test_gems_ewc_has_a_penalty_a_task_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    session = begun("ewc", method={"estimate": "mean-gradient", "decay": 0.1})
    method, params = session.method, imp.trunk(session.learner.model)
    assert isinstance(method, EWC)
    values = iter([3.0, 5.0])

    def constant(*_: Any) -> Any:
        value = next(values)
        return [torch.full_like(p, value) for p in params]

    monkeypatch.setattr(imp, "squared_mean", constant)
    ends = []
    for t in range(2):
        with torch.no_grad():
            for p in params:
                p += 1
        ends.append([p.detach().clone() for p in params])
        close(session, t)
    assert all(bool((f == 8).all()) for f in method.fisher), "the sum, whatever the decay"
    for anchor, first, second in zip(method.anchors, *ends, strict=True):
        assert torch.allclose(anchor, (3 * first + 5 * second) / 8, atol=1e-5)


# -- RWalk


def test_rwalk_importance_is_the_recurrence_of_the_paper() -> None:
    """Fisher and path are followed by hand over two tasks, from the gradients of the task's own loss."""
    session = begun(
        "rwalk", method={"strength": 0.7, "decay": 0.8, "epsilon": 0.01}, model={"norm": False}, memory={"capacity": 0}
    )
    method, model = session.method, session.learner.model
    assert isinstance(method, RWalk)
    params = imp.trunk(model)
    fisher: list[torch.Tensor] = []
    path = imp.zeros(params)
    before: list[torch.Tensor] = []
    own: list[torch.Tensor] = []
    original = method.after_backward

    def after_backward(batch: Batch) -> None:
        before[:] = [p.detach().clone() for p in params]
        own[:] = torch.autograd.grad(F.cross_entropy(model(batch.x), batch.y), params)
        original(batch)

    def follow(_: Batch) -> None:
        nonlocal fisher
        fisher = [g**2 for g in own] if not fisher else [0.8 * f + 0.2 * g**2 for f, g in zip(fisher, own, strict=True)]
        for i, (p, b, g, f) in enumerate(zip(params, before, own, fisher, strict=True)):
            d = p.detach() - b
            path[i] += torch.relu(-g * d) / (0.5 * f * d**2 + 0.01)

    method.after_backward = after_backward  # type: ignore[method-assign]
    watch(session, follow)
    samples = everything(session, 1000)
    scores: list[torch.Tensor] = []
    for t in range(2):
        for p in path:
            p.zero_()
        session.loop.fit(Phase("stream", samples.subset(torch.arange(400 * t, 400 * t + 160))))
        for a, b in zip(method.path, path, strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)
        for a, b in zip(method.fisher, fisher, strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-9)
        close(session, t)
        scores = [p.clone() for p in path] if t == 0 else [(s + p) / 2 for s, p in zip(scores, path, strict=True)]
        top_f, top_s = max(f.max() for f in fisher), max(s.max() for s in scores)
        for found, f, s in zip(method.importance, fisher, scores, strict=True):
            assert torch.allclose(found, f / top_f + s / top_s, rtol=1e-3, atol=1e-6)
    assert method._penalty().item() == 0.0, "anchored where the task ended"
    params[0].data.add_(0.1)
    assert method._penalty().item() == pytest.approx(0.7 * 0.01 * method.importance[0].sum().item(), rel=1e-4)


def test_rwalks_published_form_has_no_path_and_the_penalty_in_its_fisher() -> None:
    session = begun("rwalk", method={"score": "published", "decay": 0.5, "strength": 3.0}, model={"norm": False})
    method = session.method
    seen: list[list[torch.Tensor]] = []
    original = method.after_backward

    def after_backward(batch: Batch) -> None:
        seen.append([g.clone() for g in imp.grads(imp.trunk(session.learner.model))])
        original(batch)

    method.after_backward = after_backward  # type: ignore[method-assign]
    assert isinstance(method, RWalk)
    for _ in range(2):
        session.loop.fit(Phase("stream", everything(session, 64)))
        method._hold()
    assert method.path == []
    expected = [g**2 for g in seen[0]]
    for gradients in seen[1:]:
        expected = [0.5 * e + 0.5 * g**2 for e, g in zip(expected, gradients, strict=True)]
    for a, b in zip(method.importance, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-9)


def test_rwalks_published_form_holds_what_it_has_after_every_phase() -> None:
    tables = {"scenario": {"tasks": 2}, "memory": {"capacity": 20}, "train": {"memory_epochs": 1}}
    session = Session(toy("rwalk", method={"score": "published"}, **tables), Record(), Control())
    method = session.method
    assert isinstance(method, RWalk)
    left: dict[str, list[torch.Tensor]] = {}
    compared = 0

    def note(batch: Batch) -> None:
        nonlocal compared
        if batch.phase == "memory":  # anchored where the stream ended, however far this phase has gone
            compared += 1
            assert all(torch.equal(a, p) for a, p in zip(method.anchors, left["stream"], strict=True))
        left[batch.phase] = [p.detach().clone() for p in imp.trunk(session.learner.model)]

    watch(session, note)
    session.start()
    session.walk()
    assert compared > 1
    assert all(torch.equal(a, p) for a, p in zip(method.anchors, left["memory"], strict=True))
