"""Replay, bilevel and meta methods, a batch at a time by hand: which samples, which loss, which steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cllab.learner.batch import Batch
from cllab.learner.phases import Optim
from cllab.methods import _tell as tell
from tests.engine.sessions import begin, rehearse, watch
from tests.methods.oracle import (
    NAMED,
    at_task,
    cross_entropy,
    flat,
    gradient,
    learn,
    log_softmax,
    loss_of,
    move,
    next_batch,
    parts_of,
    put,
    ring,
    scores_of,
    softmax,
    spied,
    weights,
)

DISJOINT = {"name": "disjoint", "tasks": 5}
RATE = 0.05


def same(session: Any, expected: list[Tensor]) -> None:
    for found, wanted in zip(weights(session), expected, strict=True):
        assert torch.allclose(found, wanted, atol=2e-6), float((found - wanted).abs().max())


def one_batch(session: Any, n: int = 16) -> Batch:
    """Learn the first batch of the current task; returns it."""
    batches: list[Batch] = []
    step = session.method.step
    session.method.step = lambda b, d: (batches.append(b), step(b, d))[1]
    learn(session, n)
    assert len(batches) == 1
    return batches[0]


# -- experience replay


def test_er_is_the_mean_over_stream_and_replay_together() -> None:
    """Chaudhry et al. 2019, Algorithm 1: one mean over B_n and B_M, drawn from all that is stored."""
    session = at_task("er", 1, memory={"capacity": 60}, method={"replay_size": 9})
    learner = session.learner
    learn(session, 64)
    drawn = spied(learner.memory, "retrieve")
    batch = next_batch(session)
    terms = session.method.loss(batch)
    raw, y, _ = drawn[0]
    assert len(drawn) == 1
    assert len(y) == 9
    x = torch.cat([batch.x, learner.normalize(raw)])
    assert list(terms) == ["cross-entropy"]
    assert terms["cross-entropy"].item() == pytest.approx(
        cross_entropy(scores_of(learner.model, x), torch.cat([batch.y, y])), rel=1e-5
    )


def test_er_with_mixed_images_mixes_the_streams_labels_alone() -> None:
    session = at_task("er", 1, memory={"capacity": 60}, method={"replay_size": 9})
    learner = session.learner
    drawn = spied(learner.memory, "retrieve")
    batch = next_batch(session)
    batch.y_mix, batch.share = batch.y.roll(1), torch.tensor(0.3)
    found = session.method.loss(batch)["cross-entropy"].item()
    raw, y, _ = drawn[0]
    scores = scores_of(learner.model, torch.cat([batch.x, learner.normalize(raw)]))
    expected = 0.3 * cross_entropy(scores, torch.cat([batch.y, y])) + 0.7 * cross_entropy(
        scores, torch.cat([batch.y_mix, y])
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_rehearsing_er_draws_nothing_and_offers_its_memory_nothing() -> None:
    session = at_task("er", 1, memory={"capacity": 40}, train={"memory_epochs": 2})
    learner, memory = session.learner, session.learner.memory
    learn(session)
    held, seen = memory.columns["ids"].tolist(), memory.own_state()
    drawn, offered = spied(memory, "retrieve"), spied(memory, "update")
    sizes: list[int] = []
    watch(session, lambda batch: sizes.append(len(batch.y)))
    rehearse(session)
    assert sizes == [16] * 4
    assert drawn == []
    assert offered == []
    assert memory.columns["ids"].tolist() == held
    assert memory.own_state() == seen
    # and afterwards the stream goes on as before
    learn(session, 16)
    assert len(drawn) == len(offered) == 1
    assert learner.step == 12 + 4 + 12 + 4 + 1


@pytest.mark.parametrize("scenario", [DISJOINT, NAMED])
def test_halves_are_a_mean_each_with_statistics_of_their_own(scenario: dict[str, Any]) -> None:
    session = at_task(
        "er",
        1,
        scenario=scenario,
        model={"norm": True},
        memory={"name": "ring", "capacity": 60},
        method={"candidates": "past", "weighting": "halves", "replay_size": 7, "steps": 2},
    )
    learner, memory = session.learner, ring(session)
    learn(session, 48)
    assert len(memory.rows(1)) == 12
    taken = spied(memory, "take")
    batch = next_batch(session)
    terms = session.method.loss(batch)
    raw, y = taken[0]
    assert len(y) == 7
    assert set(y.tolist()) <= set(session.stream.tasks[0].classes), "of earlier tasks only"
    mine, old = scores_of(learner.model, batch.x), scores_of(learner.model, learner.normalize(raw))
    assert list(terms) == ["cross-entropy", "replay"]
    assert terms["cross-entropy"].item() == pytest.approx(cross_entropy(mine, batch.y, parts_of(session)), rel=1e-4)
    assert terms["replay"].item() == pytest.approx(cross_entropy(old, y, parts_of(session)), rel=1e-4)
    taken.clear()
    learn(session, 16)
    assert len(taken) == 2, "every step draws anew"
    assert taken[0][1].tolist() != taken[1][1].tolist()


@pytest.mark.parametrize(
    ("asked", "variant"),
    [
        ({}, "ER"),
        ({"replay_size": 7}, "ER"),
        ({"steps": 2}, "ERControl"),
        ({"candidates": "past"}, "ERControl"),
        ({"weighting": "halves"}, "ERControl"),
    ],
)
def test_modes_of_a_comparison_come_one_by_one(asked: dict[str, Any], variant: str) -> None:
    """What a mode does not change is experience replay: one mean over both, drawn from all that is stored."""
    memory = {"name": "ring", "capacity": 60}
    session = at_task("er", 1, memory=memory, model={"norm": True}, method={"replay_size": 9, **asked})
    learner, size = session.learner, asked.get("replay_size", 9)
    assert type(session.method).__name__ == variant
    learn(session, 48)
    drawn = spied(ring(session), "take")
    batch = next_batch(session)
    terms = session.method.loss(batch)
    raw, y = drawn[0]
    assert len(y) == size
    assert (set(y.tolist()) <= set(session.stream.tasks[0].classes)) is ("candidates" in asked)
    fresh, old = batch.x, learner.normalize(raw)
    if "weighting" in asked:
        wanted = {
            "cross-entropy": cross_entropy(scores_of(learner.model, fresh), batch.y),
            "replay": cross_entropy(scores_of(learner.model, old), y),
        }
    else:
        both = scores_of(learner.model, torch.cat([fresh, old]))
        wanted = {"cross-entropy": cross_entropy(both, torch.cat([batch.y, y]))}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-4)
    drawn.clear()
    learn(session, 16)
    assert len(drawn) == asked.get("steps", 1)


# -- bilevel methods


@pytest.mark.parametrize(
    ("method", "scenario", "mean", "norm"),
    [
        ("bcl-single", DISJOINT, "batch", True),
        ("bcl-single", NAMED, "element", False),
        ("bcl-dual", DISJOINT, "element", False),
        ("bcl-dual", NAMED, "batch", True),
    ],
)
def test_the_inner_loss_term_by_term(method: str, scenario: dict[str, Any], mean: str, norm: bool) -> None:
    """Pham et al. 2020: cross-entropy of stream and of replay, and KL of the stored targets to softmax(z / tau); where
    the network is batch-normalized, in passes of their own."""
    settings = {"temperature": 3.0, "strength": 7.0, "mean": mean, "replay_size": 11}
    session = at_task(method, 2, scenario=scenario, model={"norm": norm}, memory={"capacity": 100}, method=settings)
    learner, memory = session.learner, ring(session)
    learn(session, 64)
    drawn = spied(memory, "draw")
    batch = next_batch(session)
    terms = session.method._inner(batch)  # type: ignore[attr-defined]
    rows = drawn[0][0]
    assert len(rows) == 11
    raw, y = memory.take(rows)
    old = {c for task in session.stream.tasks[:2] for c in task.classes}
    assert set(y.tolist()) <= old
    mine, past = (scores_of(learner.model, x) for x in (batch.x, learner.normalize(raw)))
    classes = parts_of(session)
    assert list(terms) == ["cross-entropy", "replay", "distillation"]
    assert terms["cross-entropy"].item() == pytest.approx(cross_entropy(mine, batch.y, classes), rel=1e-4)
    assert terms["replay"].item() == pytest.approx(cross_entropy(past, y, classes), rel=1e-4)
    q = memory.buffers["targets"][rows].double().numpy()
    if classes is None:  # the targets are of the outputs that there were
        z = past[:, : q.shape[1]]
    else:
        own = [next(list(part) for part in classes if c in part) for c in y.tolist()]
        z = np.stack([row[part] for row, part in zip(past, own, strict=True)])
    kl = np.where(q > 0, q * (np.log(np.maximum(q, 1e-300)) - log_softmax(z / 3.0)), 0).sum(1).mean()
    kl = kl if mean == "batch" else kl / z.shape[1]
    assert terms["distillation"].item() == pytest.approx(7.0 * kl, rel=1e-3)


@pytest.mark.parametrize(
    ("method", "scenario", "norm"),
    [("bcl-single", DISJOINT, True), ("bcl-single", NAMED, False), ("bcl-dual", NAMED, True)],
)
def test_targets_are_what_the_network_said_when_the_task_was_over(
    method: str, scenario: dict[str, Any], norm: bool
) -> None:
    """softmax(z / tau) of the stored samples of the task that ended, over the outputs that it could know, with the
    statistics that the network runs with."""
    session = at_task(method, 1, scenario=scenario, model={"norm": norm}, method={"temperature": 3.0, "strength": 1.0})
    learn(session)
    learner, memory = session.learner, ring(session)
    learner.model.eval()
    raw, _ = memory.take(memory.rows(1))
    z = scores_of(learner.model, learner.normalize(raw))
    learner.model.train()
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    first = memory.buffers["targets"][memory.rows(0)].clone()
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[2]))
    begin(session)
    own = list(session.stream.tasks[1].classes) if learner.heads is not None else [0, 1, 2, 3]
    found = memory.buffers["targets"][memory.rows(1)]
    np.testing.assert_allclose(found[:, : len(own)].numpy(), softmax(z[:, own] / 3.0), rtol=1e-4, atol=1e-6)
    assert (found[:, len(own) :] == 0).all()
    again = memory.buffers["targets"][memory.rows(0)][:, : first.shape[1]]
    assert torch.equal(again, first), "of earlier tasks they stay for ever"
    for name, value in learner.model.state_dict().items():
        if "running" in name:
            assert torch.equal(value, before[name]), "a look moves no statistics"
    assert learner.model.training


def test_the_published_targets_are_of_a_pass_in_training_mode() -> None:
    session = at_task("bcl-dual", 1, fidelity="reference", scenario=NAMED, model={"norm": True})
    learn(session)
    learner, memory = session.learner, ring(session)
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    raw, _ = memory.take(memory.rows(1))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[2]))
    begin(session)
    after = {k: v.clone() for k, v in learner.model.state_dict().items()}
    assert any(not torch.equal(after[k], before[k]) for k in before if "running" in k), "it moves the statistics"
    own = list(session.stream.tasks[1].classes)
    z = scores_of(learner.model.train(), learner.normalize(raw))[:, own]
    found = memory.buffers["targets"][memory.rows(1)].numpy()
    np.testing.assert_allclose(found, softmax(z / 5.0), rtol=1e-3, atol=1e-5)


def test_bcl_single_goes_a_share_of_the_way_of_its_inner_steps() -> None:
    session = at_task(
        "bcl-single", 1, memory={"capacity": 100}, method={"inner_steps": 3, "beta": 0.4, "replay_size": 6}
    )
    learner, memory = session.learner, ring(session)
    start, drawn = weights(session), spied(memory, "draw")
    batch = one_batch(session)
    found = weights(session)
    assert len(drawn) == 3, "drawn anew for every inner step"
    put(session, start)
    for rows, _ in drawn:
        raw, y = memory.take(rows)
        q = memory.buffers["targets"][rows]

        def loss(raw: Tensor = raw, y: Tensor = y, q: Tensor = q) -> Tensor:
            old = learner.model(learner.normalize(raw))
            log_p = (old[:, : q.shape[1]] / 5.0).log_softmax(1)
            kl = (q * (q.clamp(min=1e-30).log() - log_p)).sum(1).mean()
            return loss_of(session, learner.model(batch.x), batch.y) + loss_of(session, old, y) + 10.0 * kl

        move(session, loss, RATE)
    inner = weights(session)
    put(session, found)
    same(session, [s + 0.4 * (i - s) for s, i in zip(start, inner, strict=True)])
    assert memory.buffers["ids"][memory.rows(1)].tolist() == batch.ids.tolist(), "and the batch is stored"


@pytest.mark.parametrize(("statistics", "share"), [("follow", 1.0), ("interpolate", 0.25)])
def test_statistics_follow_or_are_interpolated(statistics: str, share: float) -> None:
    def gone(**method: Any) -> list[Tensor]:
        session = at_task("bcl-single", 0, model={"norm": True}, method={"inner_steps": 1, **method})
        buffers = [b for b in session.learner.model.buffers() if b.is_floating_point()]
        before = [b.clone() for b in buffers]
        one_batch(session)
        return [b - a for a, b in zip(before, buffers, strict=True)]

    whole, kept = gone(beta=1.0), gone(beta=0.25, statistics=statistics)
    assert len(whole) == 2
    for a, b in zip(whole, kept, strict=True):
        assert a.abs().max() > 1e-3
        assert torch.allclose(b, share * a, atol=1e-6)


@pytest.mark.parametrize(("outer", "scenario"), [(0.0, DISJOINT), (0.3, NAMED)])
def test_bcl_dual_steps_on_held_samples_at_a_rate_of_its_own(outer: float, scenario: dict[str, Any]) -> None:
    """K inner steps on what is left of the batch, one step on V, the current task's among it, then the share beta."""
    session = at_task(
        "bcl-dual",
        1,
        scenario=scenario,
        memory={"capacity": 100},
        method={
            "inner_steps": 1,
            "meta_steps": 2,
            "beta": 0.5,
            "outer_lr": outer,
            "replay": False,
            "validation": 0.4,
            "replay_size": 6,
        },
    )
    learner, memory = session.learner, ring(session)
    learn(session, 48)  # three of the eight held slots are filled
    assert (memory.blocks["held"][1].size, memory.blocks["replay"][1].size) == (8, 12)
    start, drawn = weights(session), spied(memory, "draw")
    batch = one_batch(session)
    found = weights(session)
    assert len(drawn) == 2
    every = set(memory.earlier("held").tolist()) | set(memory.rows(1, "held").tolist())
    assert all(len(rows) == 6 and set(rows.tolist()) <= every for rows, _ in drawn)
    assert memory.buffers["ids"][memory.rows(1, "held")].tolist()[-1] == batch.ids.tolist()[0]
    rest = slice(1, None)
    put(session, start)
    for rows, _ in drawn:
        raw, y = memory.take(rows)
        began = weights(session)
        move(session, lambda: loss_of(session, learner.model(batch.x[rest]), batch.y[rest]), RATE)
        move(session, lambda raw=raw, y=y: loss_of(session, learner.model(learner.normalize(raw)), y), outer or RATE)
        put(session, [b + 0.5 * (w - b) for b, w in zip(began, weights(session), strict=True)])
    expected = weights(session)
    put(session, found)
    same(session, expected)
    assert session.loop.optimizers.get(Optim())[0].param_groups[0]["lr"] == RATE, "the inner rate is back"


def test_validation_draws_reach_all_tasks_and_the_current_one() -> None:
    session = at_task("bcl-dual", 2, memory={"capacity": 100}, method={"validation": 0.2, "replay_size": 5})
    memory = ring(session)
    drawn: list[set[int]] = []
    draw = memory.draw

    def noting(*args: Any, **kwargs: Any) -> Any:
        rows, chosen = draw(*args, **kwargs)
        if kwargs.get("part") == "held":
            drawn.append(set(memory.buffers["tasks"][rows].tolist()))
        else:
            assert set(memory.buffers["tasks"][rows].tolist()) <= {0, 1}
        return rows, chosen

    memory.draw = noting  # type: ignore[method-assign]
    learn(session)
    assert set().union(*drawn) == {0, 1, 2}


def test_all_earlier_samples_are_candidates_whatever_validates() -> None:
    session = at_task("bcl-dual", 1, memory={"capacity": 60}, method={"replay_size": 100, "validation": 0.2})
    memory = ring(session)
    drawn: list[list[int]] = []
    draw = memory.draw

    def noting(*args: Any, **kwargs: Any) -> Any:
        rows, chosen = draw(*args, **kwargs)
        if kwargs.get("part", "replay") == "replay":
            drawn.append(sorted(rows.tolist()))
        return rows, chosen

    memory.draw = noting  # type: ignore[method-assign]
    learn(session, 64)
    assert len(drawn) == 4 * 2  # two iterations a batch
    assert all(rows == memory.rows(0).tolist() and len(rows) == 10 for rows in drawn)


def test_a_held_sample_keeps_the_labels_of_the_batch_together() -> None:
    """The batch loses its first sample, and gets the one whose place that takes; mixed labels stay with theirs."""
    session = at_task("bcl-dual", 0, memory={"capacity": 50}, method={"validation": 0.2})  # two held slots
    memory, method = ring(session), session.method
    learn(session, 32)
    batch = next_batch(session)
    batch.y_mix, batch.share = batch.y.roll(1), torch.tensor(0.3)
    block = memory.blocks["held"][0]
    row = block.start + block.pointer
    leaving = {k: memory.buffers[k][row].clone() for k in ("images", "labels", "ids")}
    rest = method._exchange(batch)  # type: ignore[attr-defined]
    assert rest.ids.tolist() == [*batch.ids[1:].tolist(), int(leaving["ids"])]
    assert rest.y.tolist() == [*batch.y[1:].tolist(), int(leaving["labels"])]
    assert torch.equal(rest.raw[-1], leaving["images"])
    assert torch.allclose(rest.x[-1:], session.learner.normalize(leaving["images"][None]))
    assert rest.y_mix is not None
    assert rest.y_mix.tolist() == [*batch.y_mix[1:].tolist(), int(leaving["labels"])]
    assert rest.share is batch.share
    assert int(memory.buffers["ids"][row]) == int(batch.ids[0])
    assert rest.n_stream == batch.n_stream - 1


# -- FTML


def test_ftml_goes_on_the_batch_and_then_on_the_whole_memory_of_a_drawn_task() -> None:
    session = at_task(
        "ftml", 2, scenario=NAMED, memory={"capacity": 100}, method={"inner_steps": 2, "meta_steps": 3, "beta": 0.4}
    )
    learner, memory = session.learner, ring(session)
    start, taken = weights(session), spied(memory, "take")
    batch = one_batch(session)
    found = weights(session)
    assert len(taken) == 3
    whole = [memory.buffers["ids"][memory.rows(k)].tolist() for k in range(3)]
    assert whole[2] == batch.ids.tolist()
    put(session, start)
    for x, y in [(batch.x, batch.y), *((learner.normalize(raw), y) for raw, y in taken)]:
        began = weights(session)
        for _ in range(2):
            move(session, lambda x=x, y=y: loss_of(session, learner.model(x), y), RATE)
        put(session, [b + 0.4 * (w - b) for b, w in zip(began, weights(session), strict=True)])
    expected = weights(session)
    put(session, found)
    same(session, expected)


def test_ftml_draws_every_task_so_far_and_the_current_one_alike() -> None:
    session = at_task("ftml", 2, memory={"capacity": 100}, method={"meta_steps": 10})
    memory = ring(session)
    counts = np.zeros(3)
    take = memory.take

    def noting(rows: Tensor) -> Any:
        (task,) = set(memory.buffers["tasks"][rows].tolist())
        assert rows.tolist() == memory.rows(task).tolist(), "a task's whole memory"
        counts[task] += 1
        return take(rows)

    memory.take = noting  # type: ignore[method-assign]
    learn(session)
    assert counts.sum() == 120
    assert (np.abs(counts - 40) < 20).all()  # deviation 5.2


# -- test-time adaptation


@pytest.mark.parametrize("head", ["task", "all"])
def test_adaptation_takes_full_batch_steps_on_a_tasks_memory(head: str) -> None:
    settings = {"adapt": True, "adapt_lr": 0.2, "inner_steps": 2, "adapt_head": head}
    session = at_task("bcl-single", 2, scenario=NAMED, model={"norm": True}, method=settings)
    learn(session)
    learner, memory = session.learner, ring(session)
    x = learner.normalize(session.stream.tasks[0].test.fetch(torch.arange(6)))
    kept = {k: v.clone() for k, v in learner.model.state_dict().items()}
    with learner.bulk(), torch.inference_mode():
        session.method.prepare_evaluation()
        found = session.method.predict(x, 0)
        later = session.method.predict(x, 4)
        plain = session.method.predict(x, None)
    assert all(torch.equal(v, kept[k]) for k, v in learner.model.state_dict().items())
    raw, y = memory.take(memory.rows(0))
    learner.model.eval()
    assert torch.equal(later, plain), "a task that was not learned has the plain network"
    for _ in range(2):
        scores = learner.model(learner.normalize(raw))
        loss = loss_of(session, scores, y) if head == "task" else torch.nn.functional.cross_entropy(scores, y)
        found_gradient = gradient(session, loss)
        with torch.no_grad():
            for p, g in zip(learner.model.parameters(), found_gradient, strict=True):
                p -= 0.2 * g
    np.testing.assert_allclose(found.numpy(), scores_of(learner.model, x), rtol=1e-3, atol=1e-4)


def test_the_length_of_a_way_is_that_of_all_weights_together() -> None:
    start = [torch.zeros(3), torch.zeros(2, 2)]
    values = [torch.tensor([1.0, 2.0, 2.0]), torch.full((2, 2), 2.0)]
    assert float(tell.distance(values, start)) == pytest.approx(5.0)
    a, b = [torch.tensor([3.0]), torch.tensor([[4.0]])], [torch.tensor([4.0]), torch.tensor([[3.0]])]
    assert float(tell.cosine(a, b)) == pytest.approx(24 / 25)
    assert flat(a).tolist() == [3.0, 4.0]
