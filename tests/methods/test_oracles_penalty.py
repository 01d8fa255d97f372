"""EWC and RWalk from the papers: whose labels, on which samples, in which mode, and what a step becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.learner.phases import Optim, Phase, Work
from cllab.methods import _importance as imp
from tests.engine.sessions import close, everything, pieces
from tests.methods.oracle import NAMED, at_task, flat, learn, next_batch, softmax, weights


def squared_gradients(model: Any, params: list[Any], x: Tensor, labels: list[int]) -> list[Tensor]:
    """Of every sample, (g d log p(label) / d theta)^2 as flat tensors."""
    found = []
    for image, label in zip(x, labels, strict=True):
        log_p = model(image[None]).log_softmax(1)[0, label]
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(log_p, params)]).square())
    return found


def fisher_by(session: Any, kind: str, n: int = 200) -> np.ndarray[Any, Any]:
    """The diagonal over the backbone's weights, with labels of the model's whole distribution, of the data, or the
    most likely ones; in evaluation mode, over the first task's samples."""
    learner = session.learner
    model, params = learner.model.eval(), imp.trunk(learner.model)
    train = session.stream.tasks[0].train
    x, y = learner.normalize(train.fetch(torch.arange(n))), train.labels[:n].tolist()
    with torch.no_grad():
        p = model(x).softmax(1)
    if kind == "model":
        total = torch.zeros(sum(q.numel() for q in params))
        for c in range(p.shape[1]):
            rows = squared_gradients(model, params, x, [c] * n)
            total += sum(share * row for share, row in zip(p[:, c], rows, strict=True)) / n
        return total.double().numpy()
    labels = y if kind == "data" else p.argmax(1).tolist()
    return torch.stack(squared_gradients(model, params, x, labels)).mean(0).double().numpy()


def test_ewcs_fisher_is_that_of_labels_drawn_from_the_model() -> None:
    """F = E_x E_{y ~ p(y|x)} (d log p / d theta)^2: not the data's labels, and not the most likely ones."""
    session = at_task("ewc", 0, model={"norm": True, "width": 8}, memory={"capacity": 0}, method={"samples": 200})
    learner = session.learner
    learn(session)
    with torch.no_grad():  # sure of itself, and often wrong: so the three estimates are far from each other
        learner.model.head.weight *= 3.0
        learner.model.head.bias.copy_(torch.tensor([1.0, -1.0]))
    learner.model.train()
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    close(session)
    found = flat(session.method.fisher)  # type: ignore[attr-defined]
    assert all(torch.equal(v, before[k]) for k, v in learner.model.state_dict().items())
    by = {kind: fisher_by(session, kind) for kind in ("model", "data", "likely")}
    for kind in ("data", "likely"):
        assert abs(by[kind].sum() / by["model"].sum() - 1) > 0.5, kind
    assert found.sum() == pytest.approx(by["model"].sum(), rel=0.25)
    assert np.corrcoef(found, by["model"])[0, 1] > 0.8


def test_where_tasks_are_named_the_labels_are_drawn_from_the_tasks_own_classes() -> None:
    session = at_task("ewc", 1, scenario=NAMED, memory={"capacity": 0}, method={"samples": 100, "decay": 0.0})
    learn(session)
    learner, task = session.learner, session.stream.tasks[1]
    close(session)
    found = flat(session.method.fisher)  # type: ignore[attr-defined]
    model, params = learner.model.eval(), imp.trunk(learner.model)
    x, own = learner.normalize(task.train.fetch(torch.arange(100))), list(task.classes)
    total = np.zeros(len(found))
    for image in x:
        p = model(image[None])[:, own].softmax(1)[0].detach()
        for k in range(2):
            log_p = model(image[None])[:, own].log_softmax(1)[0, k]
            total += float(p[k]) * flat(torch.autograd.grad(log_p, params)) ** 2 / 100
    assert found.sum() == pytest.approx(total.sum(), rel=0.35)
    assert np.corrcoef(found, total)[0, 1] > 0.8


def test_the_estimate_reads_as_many_samples_as_asked_and_divides_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    session = at_task("ewc", 0, memory={"capacity": 0}, method={"samples": 40})
    sizes: list[int] = []

    def ones(model: Any, params: Any, x: Tensor, labels: Tensor, own: Any = None) -> Any:
        sizes.append(len(x))
        return [torch.ones_like(p) for p in params]

    monkeypatch.setattr(imp, "fisher_of_batch", ones)
    close(session)
    assert sum(sizes) == 40
    assert all(bool((f == 1).all()) for f in session.method.fisher)  # type: ignore[attr-defined]


def test_gems_estimate_is_of_the_first_samples_and_the_datas_labels() -> None:
    session = at_task(
        "ewc", 0, model={"norm": True}, memory={"capacity": 0}, method={"estimate": "mean-gradient", "samples": 30}
    )
    learn(session)
    with torch.no_grad():  # wrong about most samples: what it holds for likely is not what the data says
        session.learner.model.head.weight.neg_()
    learner, train = session.learner, session.stream.tasks[0].train
    close(session)
    x, y = learner.normalize(train.fetch(torch.arange(30))), train.labels[:30]
    loss = F.cross_entropy(learner.model.eval()(x), y)
    expected = flat(torch.autograd.grad(loss, imp.trunk(learner.model))) ** 2
    np.testing.assert_allclose(flat(session.method.fisher), expected, rtol=1e-3, atol=1e-12)  # type: ignore[attr-defined]


def published(session: Any, samples: Any, penalty: bool) -> np.ndarray[Any, Any]:
    """sum_b |b| / N g_b^2 with one batch: g of the mean cross-entropy against the model's own most likely labels, and
    of the penalty."""
    learner, method = session.learner, session.method
    model, params = learner.model.eval(), imp.trunk(learner.model)
    scores = model(learner.normalize(samples.fetch(torch.arange(len(samples)))))
    loss = F.cross_entropy(scores, scores.argmax(1))
    if penalty:
        pairs = zip(params, method.anchors, method.fisher, strict=True)
        loss = loss + method.config.strength * sum((f * (p - a).square()).sum() for p, a, f in pairs)
    found = flat(torch.autograd.grad(loss, params)) ** 2
    model.train()
    return found


def test_the_published_fisher_is_overwritten_and_has_the_penalty_in_it() -> None:
    """Rainbow Memory's code: after every phase, over what was trained on (the stream with the memory, or the memory
    alone), against the model's own labels, with the gradient of the penalty that there was."""
    session = at_task(
        "ewc",
        1,
        model={"norm": True},
        memory={"capacity": 40},
        train={"memory_epochs": 1, "batch_size": 400},
        method={"estimate": "published", "strength": 500.0, "step": "explicit"},
    )
    learner, method = session.learner, session.method
    stream, memory = session.stream.tasks[1].train, learner.memory
    assert len(memory) == 40
    assert method.fisher  # type: ignore[attr-defined]
    with torch.no_grad():  # away from the anchors, so that the penalty has a gradient
        for p in learner.model.parameters():
            p += 0.4
    whole = memory.candidates(stream, learner)
    estimates = [p for p in pieces(session) if isinstance(p, Work) and p.name == "fisher"]
    for looked, estimate in zip((whole, memory.split()), estimates, strict=True):
        expected = published(session, looked, penalty=True)
        without = published(session, looked, penalty=False)
        assert abs(without.sum() / expected.sum() - 1) > 0.1, "the penalty matters"
        estimate.do()
        np.testing.assert_allclose(flat(method.fisher), expected, rtol=2e-2, atol=1e-6 * expected.max())  # type: ignore[attr-defined]
        assert np.array_equal(flat(method.anchors), flat(imp.trunk(learner.model)))  # type: ignore[attr-defined]
        with torch.no_grad():
            for p in learner.model.parameters():
                p -= 0.5


def test_published_batches_count_by_their_size() -> None:
    session = at_task(
        "ewc", 0, memory={"capacity": 0}, train={"batch_size": 150}, method={"estimate": "published", "strength": 1.0}
    )
    method, task = session.method, session.stream.tasks[0]
    split = task.train.subset(torch.arange(200))
    batches = list(session.learner.batches(split, purpose="fisher", augment=True))
    # looking twice gives another order: go back to where the first look began
    session = at_task(
        "ewc", 0, memory={"capacity": 0}, train={"batch_size": 150}, method={"estimate": "published", "strength": 1.0}
    )
    method = session.method
    params = imp.trunk(session.learner.model)
    total = np.zeros(sum(p.numel() for p in params))
    for batch in batches:
        scores = session.learner.model.eval()(batch.x)
        loss = F.cross_entropy(scores, scores.argmax(1))
        total += len(batch.y) / 200 * flat(torch.autograd.grad(loss, params)) ** 2
    method._overwrite(split)  # type: ignore[attr-defined]
    assert [len(b.y) for b in batches] == [150, 50]
    np.testing.assert_allclose(flat(method.fisher), total, rtol=1e-3, atol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("step", ["implicit", "explicit"])
@pytest.mark.parametrize("method", ["ewc", "rwalk"])
def test_a_step_with_the_penalty(method: str, step: str) -> None:
    """Explicit: theta - r (g + 2 s F (theta - a)). Implicit: the penalty's gradient is taken where the step arrives,
    so the way is divided by 1 + 2 r s F."""
    # in the third task the weights that hold are other ones than in the second
    session = at_task(method, 2, memory={"capacity": 0}, method={"step": step, "strength": 20.0})
    learner, own = session.learner, session.method
    learn(session, 32)
    params = imp.trunk(learner.model)
    found_weights = own.fisher if method == "ewc" else own.importance  # type: ignore[attr-defined]
    held, anchors = [f.clone() for f in found_weights], [a.clone() for a in own.anchors]  # type: ignore[attr-defined]
    start = weights(session)
    batches: list[Any] = []
    loss = own.loss
    own.loss = lambda b: (batches.append(b), loss(b))[1]  # type: ignore
    learn(session, 16)
    found = weights(session)
    with torch.no_grad():
        for p, v in zip(learner.model.parameters(), start, strict=True):
            p.copy_(v)
    gradients = torch.autograd.grad(
        F.cross_entropy(learner.model(batches[0].x), batches[0].y), list(learner.model.parameters())
    )
    rate, strength = 0.05, 20.0
    n = len(params)
    assert max(float((2 * rate * strength * f).max()) for f in held) > 0.05, "the penalty matters"
    for i, (new, old, g) in enumerate(zip(found, start, gradients, strict=True)):
        if i < n:
            whole = g + 2 * strength * held[i] * (old - anchors[i])
            divider = 1 + 2 * rate * strength * held[i] if step == "implicit" else 1.0
            expected = old - rate * whole / divider
        else:
            expected = old - rate * g
        assert torch.allclose(new, expected, atol=2e-6), i


def test_the_penalty_is_a_term_of_its_own_on_the_same_batch() -> None:
    session = at_task("ewc", 1, memory={"capacity": 0}, method={"strength": 3.0})
    learn(session, 32)
    learner, method = session.learner, session.method
    batch = next_batch(session)
    terms = method.loss(batch)
    p = softmax(learner.model(batch.x).detach().double().numpy())
    assert terms["cross-entropy"].item() == pytest.approx(-np.log(p[np.arange(16), batch.y]).mean(), rel=1e-4)
    pairs = zip(imp.trunk(learner.model), method.anchors, method.fisher, strict=True)  # type: ignore[attr-defined]
    expected = 3.0 * sum(float((f * (q.detach() - a).square()).sum()) for q, a, f in pairs)
    assert expected > 0
    assert terms["penalty"].item() == pytest.approx(expected, rel=1e-4)


def test_a_new_head_row_is_free() -> None:
    session = at_task("ewc", 1, memory={"capacity": 0}, method={"weights": "all", "strength": 5.0})
    method, model = session.method, session.learner.model
    assert model.n_classes == 4
    fisher = dict(zip([n for n, _ in model.named_parameters()], method.fisher, strict=True))  # type: ignore[attr-defined]
    assert (fisher["head.weight"][2:] == 0).all()
    assert (fisher["head.weight"][:2] > 0).any()


def test_rwalk_looks_at_the_gradient_before_and_the_way_after_a_step() -> None:
    """With momentum the way is not along the gradient: a step that went uphill earns nothing (Eq. 8)."""
    session = at_task(
        "rwalk",
        0,
        memory={"capacity": 0},
        train={"momentum": 0.9},
        method={"strength": 0.5, "epsilon": 0.05, "decay": 0.6},
    )
    method: Any = session.method
    params = imp.trunk(session.learner.model)
    gradients: list[list[Tensor]] = []
    places: list[list[Tensor]] = []
    backward, after = method.after_backward, method.after_step
    method.after_backward = lambda b: (
        gradients.append([p.grad.clone() for p in params]),
        places.append([p.detach().clone() for p in params]),
        backward(b),
    )
    method.after_step = after
    split = everything(session, 64)
    session.loop.fit(Phase("stream", split))
    places.append([p.detach().clone() for p in params])
    fisher = [np.zeros(0)] * len(params)
    path = [np.zeros(tuple(p.shape)) for p in params]
    for k, found in enumerate(gradients):
        for i, g in enumerate(v.double().numpy() for v in found):
            fisher[i] = g**2 if k == 0 else 0.6 * fisher[i] + 0.4 * g**2
            d = (places[k + 1][i] - places[k][i]).double().numpy()
            path[i] += np.maximum(-g * d, 0) / (0.5 * fisher[i] * d**2 + 0.05)
    for mine, hand in zip(method.path, path, strict=True):
        np.testing.assert_allclose(mine.numpy(), hand, rtol=2e-3, atol=1e-8)
    for mine, hand in zip(method.fisher, fisher, strict=True):
        np.testing.assert_allclose(mine.numpy(), hand, rtol=2e-3, atol=1e-10)


@pytest.mark.parametrize("method", ["finetune", "ewc", "er"])
def test_no_optimizer_outlives_its_task(method: str) -> None:
    """Momentum begins at nothing in every task: the first step is (1 + m) times the gradient step of Nesterov."""
    session = at_task(method, 1, memory={"capacity": 0}, train={"momentum": 0.9, "nesterov": True}, method={})
    learner = session.learner
    optimizer, _ = session.loop.optimizers.get(Optim())
    assert not optimizer.state
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in learner.model.parameters()}
    if method == "ewc":
        return
    start = weights(session)
    batches: list[Any] = []
    loss = session.method.loss
    session.method.loss = lambda b: (batches.append(b), loss(b))[1]  # type: ignore
    learn(session, 16)
    found = weights(session)
    with torch.no_grad():
        for p, v in zip(learner.model.parameters(), start, strict=True):
            p.copy_(v)
    g = torch.autograd.grad(
        F.cross_entropy(learner.model(batches[0].x), batches[0].y), list(learner.model.parameters())
    )
    for new, old, slope in zip(found, start, g, strict=True):
        assert torch.allclose(new, old - 0.05 * 1.9 * slope, atol=2e-6)


def test_rwalks_scores_are_averaged_from_task_to_task() -> None:
    """Chaudhry et al. 2018, Sec. 4: after every task the score is the mean of the new one and the one so far."""
    session = at_task("rwalk", 0, memory={"capacity": 0})
    method: Any = session.method
    params = imp.trunk(session.learner.model)
    generator = torch.Generator().manual_seed(0)
    method.fisher = [torch.rand(p.shape, generator=generator) for p in params]
    score: list[Tensor] = []
    for t in range(3):
        new = [torch.rand(p.shape, generator=generator) for p in params]
        method.path = [p.clone() for p in new]
        close(session, t)
        score = [(a + b) / 2 for a, b in zip(score, new, strict=True)] if score else new
    top_f, top_s = (max(float(v.max()) for v in values) for values in (method.fisher, score))
    for found, f, s in zip(method.importance, method.fisher, score, strict=True):
        assert torch.allclose(found, f / top_f + s / top_s, atol=1e-5)
