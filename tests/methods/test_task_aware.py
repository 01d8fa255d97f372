"""The baselines of Bilevel Continual Learning: replay of earlier tasks, GEM's EWC, LwF, offline; the narrow ResNet."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cllab.errors import UsageError
from cllab.learner.phases import Offer, Phase, Work
from cllab.memory.ring import Ring
from cllab.methods import _distill as distill
from cllab.methods import _importance as imp
from cllab.models.base import Network
from cllab.models.slim_resnet18 import SlimResNet18
from tests.conftest import toy
from tests.engine.sessions import begin, begun, close, pieces, rehearse, walked
from tests.methods.oracle import at_task, learn, spied

PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "memory_epochs": 0}
NAMED = {"name": "task-incremental", "tasks": 5}


def second_task(session: Any) -> None:
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    last = pieces(session)[-1]
    if isinstance(last, Work):
        last.do()
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)


def test_replay_of_the_past_needs_a_ring() -> None:
    with pytest.raises(UsageError, match=r"use memory.name = 'ring'"):
        begun("er", method={"candidates": "past"})


def test_replay_takes_as_many_steps_as_asked() -> None:
    session, _ = walked(
        "er", train=PLAIN, memory={"name": "ring", "capacity": 60}, method={"steps": 4, "candidates": "past"}
    )
    assert session.learner.updates == 4 * session.learner.step
    assert session.result("done")["gradient_steps"] == 4 * session.result("done")["steps"]


@pytest.mark.parametrize("policy", ["reservoir", "random"])
def test_rehearsing_the_control_draws_nothing_and_offers_nothing(policy: str) -> None:
    session = at_task("er", 1, memory={"name": policy, "capacity": 40}, method={"steps": 2}, train={"memory_epochs": 2})
    learn(session)
    memory = session.learner.memory
    held = memory.columns["ids"].tolist()
    drawn, offered = spied(memory, "retrieve"), spied(memory, "update")
    rehearse(session)
    assert (drawn, offered) == ([], [])
    assert memory.columns["ids"].tolist() == held
    learn(session, 16)
    assert len(drawn) == 2
    assert len(offered) == (1 if policy == "reservoir" else 0), "a policy for whole tasks is offered them at their end"
    task = session.stream.tasks[1]
    offers = [piece.split for piece in session.method.learn(task) if isinstance(piece, Offer)]
    assert offers == [None if policy == "reservoir" else task.train]


def test_halves_are_two_means() -> None:
    session = begun(
        "er",
        train=PLAIN,
        model={"norm": False},
        memory={"name": "ring", "capacity": 60},
        method={"candidates": "past", "weighting": "halves", "replay_size": 5},
    )
    second_task(session)
    learner, memory = session.learner, session.learner.memory
    assert isinstance(memory, Ring)
    drawn: list[Any] = []
    take = memory.take
    memory.take = lambda rows: (drawn.append(take(rows)), take(rows))[1]  # type: ignore
    batch = next(iter(session.learner.batches(session.stream.tasks[1].train, purpose="test")))
    batch.phase = "stream"
    terms = session.method.loss(batch)
    raw, y = drawn[0]
    assert len(y) == 5
    assert set(y.tolist()) <= set(session.stream.tasks[0].classes)
    model = learner.model
    assert terms["cross-entropy"].item() == pytest.approx(batch.cross_entropy(model(batch.x)).item(), rel=1e-5)
    replay = torch.nn.functional.cross_entropy(model(learner.normalize(raw)), y)
    assert terms["replay"].item() == pytest.approx(replay.item(), rel=1e-5)


def test_gems_fisher_is_the_square_of_the_mean_gradient() -> None:
    session = begun(
        "ewc",
        train=PLAIN,
        model={"norm": False},
        scenario=NAMED,
        method={"estimate": "mean-gradient", "weights": "all", "samples": 20, "strength": 3.0},
    )
    task = session.stream.tasks[0]
    session.loop.fit(Phase("stream", task.train))
    learner, method = session.learner, session.method
    first = torch.arange(20)
    x, y = learner.normalize(task.train.fetch(first)), task.train.labels[first]
    assert learner.heads is not None
    loss = learner.heads.cross_entropy(learner.model.eval()(x), y)
    expected = [g.square() for g in torch.autograd.grad(loss, list(learner.model.parameters()))]
    close(session)
    for a, b in zip(method.fisher, expected, strict=True):  # type: ignore[attr-defined]
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-12)


def test_penalties_of_several_tasks_merge_into_one() -> None:
    params = list(begun("ewc", model={"norm": False}).learner.model.parameters())
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (
            [torch.rand(p.shape, generator=generator) for p in params],
            [torch.randn(p.shape, generator=generator) for p in params],
        )
        for _ in range(3)
    ]
    held: tuple[imp.Tensors, imp.Tensors] = ([], [])
    for fisher, center in pairs:
        held = imp.merged(held, ([f.clone() for f in fisher], [c.clone() for c in center]))

    def apart(values: list[torch.Tensor]) -> float:
        return sum(
            float((f * (v - c).square()).sum())
            for fisher, center in pairs
            for f, v, c in zip(fisher, values, center, strict=True)
        )

    def merged(values: list[torch.Tensor]) -> float:
        return sum(float((f * (v - a).square()).sum()) for f, v, a in zip(held[0], values, held[1], strict=True))

    one, two = ([torch.randn(p.shape, generator=generator) for p in params] for _ in range(2))
    # equal up to a constant: so are differences
    assert merged(one) - merged(two) == pytest.approx(apart(one) - apart(two), rel=1e-3)


@pytest.mark.parametrize("estimate", ["per-sample", "mean-gradient"])
def test_the_penalty_is_there_after_the_first_task_and_grows_with_the_head(estimate: str) -> None:
    session = begun(
        "ewc",
        train=PLAIN,
        model={"norm": False},
        scenario=NAMED,
        method={"estimate": estimate, "weights": "all", "strength": 5.0},
    )
    second_task(session)
    session.loop.fit(Phase("stream", session.stream.tasks[1].train.subset(torch.arange(64))))
    assert session.method._penalty().item() > 0  # type: ignore[attr-defined]
    shapes = [p.shape for p in session.learner.model.parameters()]
    assert [f.shape for f in session.method.fisher] == shapes  # type: ignore[attr-defined]


def test_lwf_distils_every_old_head() -> None:
    session = begun(
        "lwf", train=PLAIN, model={"norm": False}, scenario=NAMED, method={"strength": 2.0, "temperature": 3.0}
    )
    second_task(session)
    session.loop.fit(Phase("stream", session.stream.tasks[1].train))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[2]))
    begin(session)
    learner = session.learner
    with torch.no_grad():
        for p in learner.model.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    batch = next(iter(session.learner.batches(session.stream.tasks[2].train, purpose="test")))
    found = session.method.loss(batch)["distillation"]
    teacher: Any = session.method.teacher  # type: ignore[attr-defined]
    scores, before = learner.model(batch.x), teacher(batch.x)
    by_hand = sum(
        distill.soft_cross_entropy(scores[:, list(t.classes)], before[:, list(t.classes)], 3.0)
        for t in session.stream.tasks[:2]
    )
    assert found.item() == pytest.approx(2.0 * float(by_hand), rel=1e-5)


def test_lwf_keeps_more_of_named_tasks_than_fine_tuning() -> None:
    tables: dict[str, Any] = {"scenario": {**NAMED, "stream": "offline"}, "train": {"epochs": 5, "memory_epochs": 0}}
    lwf, _ = walked("lwf", method={"strength": 1.0}, **tables)
    single, _ = walked("single", **tables)
    assert lwf.metrics()["task_accuracy"] > single.metrics()["task_accuracy"]
    assert lwf.metrics()["forgetting"] < single.metrics()["forgetting"]


def test_offline_learns_everything_at_the_end() -> None:
    session, _ = walked("offline", method={"epochs": 8}, scenario=NAMED)
    rows = session.scores.rows
    assert max(v for row in rows[:-1] for v in row if v is not None) < 0.9
    assert session.metrics()["task_accuracy"] > 0.85
    n = sum(len(t.train) for t in session.stream.tasks)
    assert session.learner.step == 8 * (n // 16)


def test_other_methods_learn_in_slices_too() -> None:
    for method in ("ewc", "icarl", "joint"):
        named, _ = walked(method, scenario=NAMED)
        assert named.metrics()["task_accuracy"] >= named.metrics()["class_incremental_accuracy"]
        assert named.metrics()["task_accuracy"] > 0.55, method


def test_narrow_resnet_has_the_published_size() -> None:
    sizes = {}
    for pool in (False, True):
        backbone = SlimResNet18.build(SlimResNet18.Config(pool=pool), (3, 32, 32))
        sizes[pool] = [sum(p.numel() for p in Network(backbone, n).parameters()) for n in (100, 85)]
    assert sizes[False] == sizes[True] == [1_109_240, 1_106_825]


def test_glorot_weights_and_zero_biases() -> None:
    from cllab.models.mlp import MLP

    network = Network(MLP.build(MLP.Config(width=128, layers=3, init="xavier"), (1, 28, 28)), 10)
    assert sum(p.numel() for p in network.parameters()) == 134_794
    for name, p in network.named_parameters():
        if p.dim() == 1:
            assert (p == 0).all(), name
        else:
            bound = (6 / sum(p.shape)) ** 0.5
            assert p.abs().max() <= bound
            assert float(p.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.1)


def test_reference_quirks_apply_where_the_policy_has_them() -> None:
    assert toy("er", fidelity="reference").memory.values == {"rule": "published"}
    assert toy("er", fidelity="reference", memory={"name": "ring"}).memory.values["start"] == "continue"
    assert toy("bcl-dual", fidelity="reference").memory.values == {"start": "first", "unfilled": "first-sample"}
    assert toy("bcl-dual").memory.values == {"start": "first", "unfilled": "empty"}
