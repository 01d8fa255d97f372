"""The bilevel methods: how far a batch moves the weights, what the two memories hold, targets, controls, adaptation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.learner.phases import Phase
from cllab.memory.ring import Ring
from cllab.methods import _bilevel as bi
from cllab.methods import _tell as tell
from cllab.record import events as ev
from tests.engine.sessions import begin, begun, walked
from tests.methods.oracle import spied

PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "memory_epochs": 0, "batch_size": 16, "lr": 0.05}
NET = {"norm": False}


def made(method: str, /, **tables: Any) -> Session:
    return begun(method, train=PLAIN, model=NET, **tables)


def one_batch(session: Session) -> None:
    task = session.stream.tasks[0]
    session.loop.fit(Phase("stream", task.train.subset(torch.arange(16))))


def weights(session: Session) -> list[torch.Tensor]:
    return [p.detach().clone() for p in session.learner.model.parameters()]


@pytest.mark.parametrize("fidelity", ["reference", "correct"])
@pytest.mark.parametrize("meta", [1, 2])
@pytest.mark.parametrize("inner", [1, 2, 3])
def test_displacement_of_a_batch_is_the_closed_form(inner: int, meta: int, fidelity: str) -> None:
    session = made(
        "bcl-dual", fidelity=fidelity, method={"inner_steps": inner, "meta_steps": meta, "beta": 0.3, "validation": 0.5}
    )
    params = list(session.learner.model.parameters())
    generator = torch.Generator().manual_seed(0)
    fixed = [[torch.randn(p.shape, generator=generator) for p in params] for _ in range(inner + 1)]
    calls = {"n": 0}

    def linear(which: int) -> dict[str, torch.Tensor]:
        return {"linear": torch.stack([(p * g).sum() for p, g in zip(params, fixed[which], strict=True)]).sum()}

    def inner_loss(*_: Any) -> dict[str, torch.Tensor]:
        calls["n"] += 1
        return linear((calls["n"] - 1) % inner)

    session.method._inner = inner_loss  # type: ignore[attr-defined]
    session.method._outer = lambda *_: {"outer": linear(inner)["linear"]}  # type: ignore[attr-defined]
    session.method._validates = lambda: True  # type: ignore[attr-defined]
    before = weights(session)
    one_batch(session)
    beta, rate = 0.3, 0.05
    for i, (old, new) in enumerate(zip(before, weights(session), strict=True)):
        if fidelity == "reference":  # inner gradient k is still there in every later step and in the outer one
            total = sum((inner - k + 2) * fixed[k - 1][i] for k in range(1, inner + 1)) + fixed[inner][i]
        else:
            total = sum(fixed[k][i] for k in range(inner + 1))
        assert torch.allclose(new - old, -beta * rate * meta * total, atol=1e-5)
    assert session.learner.updates == meta * (inner + 1)
    assert session.learner.step == 1


@pytest.mark.parametrize("method", ["bcl-dual", "bcl-single", "ftml"])
def test_with_beta_zero_the_weights_never_move(method: str) -> None:
    session = made(method, method={"beta": 0.0})
    before = weights(session)
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(session), strict=True))


def test_bcl_single_without_its_parts_is_replay() -> None:
    memory = {"name": "ring", "capacity": 60}
    ours, _ = walked(
        "bcl-single",
        train=PLAIN,
        memory=memory,
        method={"inner_steps": 1, "beta": 1.0, "strength": 0.0, "replay_size": 8},
    )
    er, _ = walked(
        "er", train=PLAIN, memory=memory, method={"candidates": "past", "weighting": "halves", "replay_size": 8}
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(er), strict=True))
    assert ours.scores.rows == er.scores.rows


def test_one_level_takes_as_many_steps() -> None:
    runs = [walked("bcl-dual", train=PLAIN, method={"levels": levels})[0] for levels in ("one", "two")]
    # the toy network is batch-normalized: the first batch has one held-out sample, too few for a pass of its own
    assert abs(runs[0].learner.updates - runs[1].learner.updates) <= 2
    assert runs[0].learner.updates > 3.5 * runs[0].learner.step


@pytest.mark.parametrize(("levels", "moves"), [("one", True), ("two", False)])
def test_one_level_goes_all_the_way_on_the_inner_objective(levels: str, moves: bool) -> None:
    session = made("bcl-dual", method={"levels": levels, "beta": 0.0, "validation": 0.5})
    outer = spied(session.method, "_outer")
    before = weights(session)
    one_batch(session)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(session), strict=True)) is not moves
    assert len(outer) == (0 if moves else 2)


def test_replay_and_validation_memory_hold_what_they_should() -> None:
    session = made("bcl-dual", memory={"capacity": 300}, method={"validation": 0.2})
    memory = session.learner.memory
    assert isinstance(memory, Ring)
    seen: list[list[int]] = []
    step = session.method.step

    def noting(batch: Any, descend: Any) -> Any:
        seen.append(batch.ids.tolist())
        return step(batch, descend)

    session.method.step = noting  # type: ignore[method-assign]
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    n_batches = len(seen)
    assert n_batches == 12
    held = memory.buffers["ids"][memory.rows(0, "held")].tolist()
    assert held == [ids[0] for ids in seen]  # 12 slots, 12 batches: the first sample of each
    replayed = set(memory.buffers["ids"][memory.rows(0)].tolist())
    assert replayed.isdisjoint(held)
    # 48 slots: three batches of 15 and 3 samples of the fourth, four batches a round, three rounds
    assert replayed == {i for ids in seen[8:11] for i in ids[1:]} | set(seen[11][1:4])


def test_what_leaves_the_validation_memory_is_trained_on() -> None:
    session = made("bcl-dual", memory={"capacity": 100}, method={"validation": 0.2})  # 16 replayed and 4 held a task
    trained: list[set[int]] = []
    heads: list[int] = []
    inner, step = session.method._inner, session.method.step  # type: ignore[attr-defined]
    session.method._inner = lambda b: (trained.append(set(b.ids.tolist())), inner(b))[1]  # type: ignore
    session.method.step = lambda b, d: (heads.append(int(b.ids[0])), step(b, d))[1]  # type: ignore
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    trained = trained[::2]  # two iterations a batch
    for k, batch in enumerate(trained):
        assert heads[k] not in batch
        assert (heads[k - 4] in batch) == (k >= 4)


def test_divergence_by_elements_is_the_published_mean() -> None:
    scores, other = torch.randn(7, 5), torch.randn(7, 5)
    targets = (other / 3).softmax(dim=1)
    batch = bi.divergence(scores, targets, 3.0, "batch")
    element = bi.divergence(scores, targets, 3.0, "element")
    assert element.item() == pytest.approx(batch.item() / 5, rel=1e-6)
    by_hand = (targets * (targets.log() - (scores / 3).log_softmax(1))).mean()
    assert element.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert bi.divergence(other, targets, 3.0, "batch").item() == pytest.approx(0, abs=1e-6)


def test_targets_stay_what_they_were() -> None:
    session, _ = walked("bcl-single", train=PLAIN, scenario={"name": "task-incremental", "tasks": 5})
    memory = session.learner.memory
    assert isinstance(memory, Ring)
    targets = memory.buffers["targets"]
    assert targets.shape[1] == 2  # the classes of one task
    past = memory.earlier()
    assert torch.allclose(targets[past].sum(dim=1), torch.ones(len(past)))
    raw, y = memory.take(past)
    learner = session.learner
    with learner.bulk(), torch.no_grad():
        assert learner.heads is not None
        now = (learner.heads.scores(learner.model(learner.normalize(raw)), y) / 5).softmax(dim=1)
    gap = (now - targets[past]).abs()
    assert gap.max() > 1e-3  # the network moved on, the targets did not


def test_published_draws_leave_out_the_numbers_of_the_validation_draw() -> None:
    session = made("bcl-dual", fidelity="reference", memory={"capacity": 60}, method={"replay_size": 100})
    learner, memory = session.learner, session.learner.memory
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)
    assert isinstance(memory, Ring)
    drawn: list[int] = []
    draw = memory.draw

    def noting(*args: Any, **kwargs: Any) -> Any:
        rows, chosen = draw(*args, **kwargs)
        if kwargs.get("part", "replay") == "replay":
            drawn.extend(chosen.tolist())
        return rows, chosen

    memory.draw = noting  # type: ignore[method-assign]
    session.loop.fit(Phase("stream", session.stream.tasks[1].train))
    # 2 held slots a task: at the second task numbers 0 to 3 are drawn every time, so replay lacks its first 4 samples
    assert set(drawn[20:]) == set(range(4, 10))
    assert learner.updates > 0


@pytest.mark.parametrize("method", ["bcl-dual", "bcl-single", "ftml"])
def test_adaptation_follows_gradient_descent_and_leaves_the_model(method: str) -> None:
    tables: dict[str, Any] = {"scenario": {"name": "task-incremental", "tasks": 5}, "train": PLAIN, "model": NET}
    session, _ = walked(method, method={"adapt": True, "adapt_lr": 0.2, "inner_steps": 1}, **tables)
    learner, memory = session.learner, session.learner.memory
    assert isinstance(memory, Ring)
    before = weights(session)
    x = learner.normalize(session.stream.tasks[1].test.fetch(torch.arange(5)))
    with learner.bulk(), torch.inference_mode():
        session.method.prepare_evaluation()
        found = session.method.predict(x, 1)
        plain = session.method.predict(x, None)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(session), strict=True))
    raw, y = memory.take(memory.rows(1))
    model = learner.model.eval()
    assert learner.heads is not None
    loss = learner.heads.cross_entropy(model(learner.normalize(raw)), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    moved = {n: p - 0.2 * g for (n, p), g in zip(model.named_parameters(), gradients, strict=True)}
    assert torch.allclose(found, torch.func.functional_call(model, moved, (x,)), atol=1e-5)
    assert torch.equal(plain, model(x))
    assert session.method.heeds_label


@pytest.mark.parametrize("gradients", ["cleared", "accumulated"])
def test_the_cosine_is_that_of_the_outer_update_and_a_gradient_of_plain_replay(gradients: str) -> None:
    # all of the past is replayed and all of the held samples validate, so that nothing is left to chance
    asked = {"replay_size": 100, "inner_steps": 1, "meta_steps": 1, "gradients": gradients}
    session = made("bcl-dual", memory={"capacity": 60}, method=asked)
    learner, memory = session.learner, session.learner.memory
    session.loop.fit(Phase("stream", session.stream.tasks[0].train))
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)
    assert isinstance(memory, Ring)
    expected: list[float] = []
    outer = session.method._outer  # type: ignore[attr-defined]

    def noting() -> Any:
        both, inner = [], [p.grad for p in learner.model.parameters()]
        assert all((g is None) == (gradients == "cleared") for g in inner)
        for rows in (torch.cat([memory.earlier("held"), memory.rows(-1, "held")]), memory.earlier()):
            raw, y = memory.take(rows)
            learner.model.zero_grad()
            torch.nn.functional.cross_entropy(learner.model(learner.normalize(raw)), y).backward()
            both.append(torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None]))
        learner.model.zero_grad()
        if gradients == "accumulated":  # the outer step goes along the inner gradients too
            both[0] += torch.cat([g.flatten() for g in inner if g is not None])
        for p, g in zip(learner.model.parameters(), inner, strict=True):
            p.grad = g
        expected.append(float(both[0] @ both[1] / both[0].norm() / both[1].norm()))
        return outer()

    session.method._outer = noting  # type: ignore[attr-defined]
    session.control.trace_steps = 10**6
    session.loop.fit(Phase("stream", session.stream.tasks[1].train))
    record: Any = session.emit
    name = "cosine of outer and replay gradient"
    found = [e.scalars[name] for e in record.of(ev.Traced)]
    assert len(found) == len(expected) > 5
    assert found == pytest.approx(expected, abs=1e-5)


def test_interpolation_is_exact_and_in_place() -> None:
    start = [torch.randn(4, 3), torch.randn(5)]
    values = [s + torch.randn_like(s) for s in start]
    expected = [s + 0.3 * (v - s) for s, v in zip(start, values, strict=True)]
    same = list(values)
    bi.interpolate(values, start, 0.3)
    assert all(a is b for a, b in zip(same, values, strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(values, expected, strict=True))
    assert float(tell.distance(values, start)) == pytest.approx(
        float(torch.cat([(v - s).flatten() for v, s in zip(values, start, strict=True)]).norm()), rel=1e-5
    )


# -- mixed images


def test_a_held_out_sample_takes_its_own_second_label_with_it() -> None:
    """CutMix of the stream: what is left of the batch keeps its second labels and the share; a stored one is whole."""
    session = made("bcl-dual", method={"validation": 0.5}, memory={"capacity": 20})
    method, learner, memory = session.method, session.learner, session.learner.memory
    assert isinstance(memory, Ring)
    generator = torch.Generator().manual_seed(3)
    task = session.stream.tasks[0].train
    block = memory.blocks["held"][-1]
    for round_ in range(block.size + 2):
        full = block.filled == block.size
        stored = memory.buffers["labels"][block.start + block.pointer].clone()
        rows = torch.arange(8 * round_, 8 * round_ + 8)
        raw = task.fetch(rows)
        batch = Batch(
            learner.normalize(raw),
            task.labels[rows],
            raw,
            task.sample_ids()[rows],
            8,
            y_mix=task.labels[rows].roll(3),
            share=torch.tensor(0.3),
            task_label=4,
            phase="stream",
        )
        rest = method._exchange(batch)  # type: ignore[attr-defined]
        assert rest.n_stream == 7
        assert (rest.task_label, rest.phase) == (4, "stream")
        assert rest.y_mix is not None
        assert rest.share is batch.share
        assert batch.y_mix is not None
        assert torch.equal(rest.y_mix[:7], batch.y_mix[1:])
        assert torch.equal(rest.y[:7], batch.y[1:])
        assert len(rest.y) == len(rest.y_mix) == len(rest.x) == len(rest.raw) == len(rest.ids) == 7 + full
        if full:
            assert rest.y[7] == rest.y_mix[7] == stored
        logits = torch.randn(len(rest.y), 10, generator=generator)
        each = torch.nn.functional.cross_entropy(logits, rest.y, reduction="none")
        other = torch.nn.functional.cross_entropy(logits, rest.y_mix, reduction="none")
        assert rest.cross_entropy(logits).item() == pytest.approx((0.3 * each + 0.7 * other).mean().item(), rel=1e-5)


def test_bcl_dual_learns_mixed_images_on_both_labels() -> None:
    session = begun("bcl-dual", train={**PLAIN, "augment": ["cutmix"]}, model=NET, method={"validation": 0.5})
    seen: list[Batch] = []
    loss = session.method.loss

    def noting(batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(batch)
        return loss(batch)

    session.method.loss = noting  # type: ignore[method-assign]
    session.loop.fit(Phase("stream", session.stream.tasks[0].train.subset(torch.arange(160))))
    assert all(b.y_mix is not None and b.share is not None for b in seen)
    assert sum(float(b.share) < 1 for b in seen if b.share is not None) > 4
