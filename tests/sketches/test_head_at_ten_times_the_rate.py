"""AR1* in a few lines: the head learns at ten times the rate of the rest, by one optimizer over the whole stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from cllab.engine import checkpoint, saved
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.phases import Lives
from cllab.methods.base import Batch, Group, Method, MethodInfo, Optim, Phase, Piece, Task
from tests.conftest import Record, toy
from tests.engine.sessions import watch

RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-2


class Sketch(Method):
    """Cross-entropy on the stream."""

    info = MethodInfo(title="Sketch", memory="random", uses_memory=False, replay="none", inert={})

    def learn(self, task: Task) -> Iterator[Piece]:
        model = self.learner.model
        trunk = Group(lambda: (p for n, p in model.named_parameters() if not n.startswith("head")), decay=DECAY)
        head = Group(lambda: model.head.parameters(), factor=10.0, decay=0.0)
        yield Phase("stream", task.train, optim=Optim(groups=(trunk, head), lives="run"))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}


def made() -> Session:
    train = {"lr": RATE, "momentum": MOMENTUM, "nesterov": False, "batch_size": 20, "memory_epochs": 0}
    session = Session(toy("single", train=train, model={"norm": False}), Record(), Control())
    session.method = session.loop.method = Sketch(None, session.learner)
    session.start()
    return session


def by_hand(session: Session, n_tasks: int) -> None:
    """Follow every step in plain arithmetic: v <- m v + g + d w, w <- w - r v, with new rows of the head at rest."""
    learner = session.learner
    velocity: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    steps = 0

    def follow(batch: Batch) -> None:
        nonlocal steps
        for name, p in learner.model.named_parameters():
            is_head = name.startswith("head")
            g = slopes[name] + (0.0 if is_head else DECAY) * weights[name]
            v = velocity.get(name, torch.zeros_like(g))
            if v.shape != g.shape:
                v = torch.cat([v, torch.zeros(len(g) - len(v), *g.shape[1:])])
            velocity[name] = MOMENTUM * v + g
            expected = weights[name] - RATE * (10.0 if is_head else 1.0) * velocity[name]
            assert torch.allclose(p, expected, rtol=1e-4, atol=1e-6), (steps, name)
        steps += 1

    slopes: dict[str, Tensor] = {}

    def note(batch: Batch) -> None:
        for name, p in learner.model.named_parameters():
            assert p.grad is not None
            slopes[name], weights[name] = p.grad.clone(), p.detach().clone()

    session.method.after_backward = note  # type: ignore[method-assign]
    watch(session, follow)
    for task in session.stream.tasks[:n_tasks]:
        session._task(task)
    assert steps > 3 * n_tasks


def test_one_optimizer_goes_through_the_stream_and_follows_a_head_that_grows() -> None:
    by_hand(made(), 3)


def test_what_it_has_gathered_is_in_the_checkpoint() -> None:
    """The same weights, whether the process was another one from the third task on or not."""
    whole, torn = made(), made()
    for session in (whole, torn):
        for task in session.stream.tasks[:2]:
            session._task(task)
            session.position = task.index + 1
            session.loop.begin()
    again = made()
    state = saved.collect(torn)
    state["method"] = checkpoint.encode(torn.method.state())
    saved.restore(again, state)
    for session in (whole, again):
        session._task(session.stream.tasks[2])
    now, then = (list(s.learner.model.parameters()) for s in (whole, again))
    assert all(torch.equal(a, b) for a, b in zip(now, then, strict=True))


def test_an_optimizer_of_a_task_forgets_where_one_of_the_run_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    lives: Lives
    for lives in ("task", "run"):
        session = made()
        monkeypatch.setattr(
            Sketch,
            "learn",
            lambda self, task, lives=lives: iter([Phase("stream", task.train, optim=Optim(lives=lives))]),
        )
        for task in session.stream.tasks[:2]:
            session._task(task)
        found.append(torch.cat([p.flatten() for p in session.learner.model.backbone.parameters()]))
    assert not torch.allclose(found[0], found[1], atol=1e-4)


def test_only_what_a_phase_trains_gets_gradients() -> None:
    session = made()
    model = session.learner.model
    trunk = list(model.backbone.parameters())
    session.method.after_backward = lambda batch: None  # type: ignore[method-assign]
    session._begin_task(session.stream.tasks[0])
    head = Optim(groups=(Group(lambda: session.learner.model.head.parameters()),), lives="phase")
    before = [p.detach().clone() for p in trunk]
    rows = session.learner.model.head.weight.detach().clone()
    session.loop.fit(Phase("stream", session.stream.tasks[0].train, optim=head))
    assert all(p.grad is None for p in trunk)
    assert all(torch.equal(a, b) for a, b in zip(before, trunk, strict=True))
    assert not torch.equal(session.learner.model.head.weight, rows)
