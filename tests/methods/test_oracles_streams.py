"""What a method is trained on: how stream and memory make batches, what a fresh network is, what a task begins with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cllab.engine import batches as make
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from tests.conftest import Record, toy
from tests.engine.sessions import rehearse, watch
from tests.methods.oracle import NAMED, at_task, cross_entropy, learn, next_batch, scores_of, weights

CPU = torch.device("cpu")


def planned(n: int, n_memory: int, replay: Any, size: int, *, drop_last: bool = True, seed: int = 0) -> list[Any]:
    """The batches of an epoch, each (of the stream, of the memory), as numbers in their own split."""
    order, other = (torch.Generator().manual_seed(seed + k) for k in (0, 100))
    found = make.plan(n, n_memory, replay, size, drop_last, (order, other), CPU)
    batches, start = [], 0
    for cut, n_stream in zip(found.cuts, found.from_stream, strict=True):
        part = found.flat[start:cut].tolist()
        batches.append(([i - n_memory for i in part[:n_stream]], part[n_stream:]))
        start = cut
    return batches


def test_half_of_every_batch_is_the_memorys() -> None:
    """Bang et al. 2021: B // 2 of the memory beside B - B // 2 of the stream, drawn round after round."""
    found = planned(50, 12, "half", 9)
    assert len(found) == 50 // 5
    assert all(len(new) == 5 and len(old) == 4 for new, old in found)
    streamed = [i for new, _ in found for i in new]
    assert sorted(streamed) == list(range(50))
    assert streamed != sorted(streamed)
    drawn = [i for _, old in found for i in old]
    rounds = [drawn[k : k + 12] for k in range(0, 36, 12)]
    assert all(sorted(r) == list(range(12)) for r in rounds), "every stored sample once a round"
    assert len({tuple(r) for r in rounds}) == 3, "each round in an order of its own"
    assert len(planned(3, 12, "half", 9)) == 1


def test_stream_and_memory_are_shuffled_as_one_set() -> None:
    counts = np.zeros(8)
    for seed in range(30):
        found = planned(40, 24, "concat", 8, seed=seed)
        assert len(found) == 8
        assert sorted(i for new, _ in found for i in new) == list(range(40))
        assert sorted(i for _, old in found for i in old) == list(range(24))
        counts += [len(old) for _, old in found]
    assert (np.abs(counts - 90) < 35).all(), "as many in early batches as in late ones"  # deviation 6.8


def test_a_last_batch_is_left_out_where_that_is_asked() -> None:
    assert [len(new) for new, _ in planned(20, 0, "none", 8)] == [8, 8]
    assert [len(new) for new, _ in planned(20, 0, "none", 8, drop_last=False)] == [8, 8, 4]
    assert [len(new) for new, _ in planned(17, 0, "none", 8, drop_last=False)] == [8, 8], "one cannot be normalized"
    assert [len(new) for new, _ in planned(5, 0, "none", 8)] == [5], "the only one"
    found = [i for new, _ in planned(40, 0, "none", 8) for i in new]
    assert found != sorted(found)


def test_mixed_images_have_the_labels_of_what_was_pasted() -> None:
    n = 48
    y = torch.arange(n)
    seen = y.view(-1, 1, 1, 1).expand(n, 1, 12, 12).to(torch.uint8).contiguous()
    images, other, shares = make.mixed(seen, y, [16, 32, 48], torch.Generator().manual_seed(3))
    assert (shares < 1).any()
    for i in range(n):
        values = images[i].unique().tolist()
        own = float((images[i] == i).float().mean())
        assert set(values) <= {i, int(other[i])}
        if int(other[i]) != i:
            assert own == pytest.approx(float(shares[i // 16]), abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_stream_and_replay_are_augmented_each_by_draws_of_its_own(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make.CHUNK_FLOATS, "cpu", chunk)  # a batch at a time, or all at once
    session = at_task("rm", 1, memory={"capacity": 20}, train={"augment": ["crop", "flip"]})
    learner = session.learner
    drawing = [torch.Generator() for _ in range(2)]
    for generator, name in zip(drawing, ("augment", "augment-replay"), strict=True):
        generator.set_state(learner.rng.cpu(name).get_state())
    found: list[Batch] = []
    watch(session, found.append)
    learn(session)
    at_once = [found] if chunk > 1 else [[batch] for batch in found]
    assert len(found) > 10
    for batches in at_once:
        for part, generator in ((slice(None, 8), drawing[0]), (slice(8, None), drawing[1])):
            raw = torch.cat([b.raw[part] for b in batches])
            seen = learner.pipeline(raw, generator)
            assert not torch.equal(seen, raw)
            assert torch.equal(torch.cat([b.x[part] for b in batches]), learner.normalize(seen))


def test_images_are_normalized_with_the_datasets_numbers() -> None:
    session = at_task("finetune", 0)
    batches: list[Batch] = []
    watch(session, batches.append)
    learn(session)
    info = session.dataset.info
    for batch in batches:
        assert torch.allclose(batch.x, (batch.raw.float() / 255 - info.mean[0]) / info.std[0], atol=1e-5)
        train = session.dataset.train
        assert torch.equal(batch.raw, train.fetch(batch.ids))


def test_a_mixed_batch_weighs_both_labels_by_their_share() -> None:
    for scenario in ({"name": "disjoint", "tasks": 5}, NAMED):
        session = at_task("finetune", 1, scenario=scenario)
        batch = next_batch(session)
        batch.y_mix, batch.share = batch.y.flip(0), torch.tensor(0.2)
        z = scores_of(session.learner.model, batch.x)
        classes = [t.classes for t in session.stream.tasks] if session.learner.heads is not None else None
        expected = 0.2 * cross_entropy(z, batch.y, classes) + 0.8 * cross_entropy(z, batch.y_mix, classes)
        assert session.method.loss(batch)["cross-entropy"].item() == pytest.approx(expected, rel=1e-5)


# -- what a task begins with


@pytest.mark.parametrize("scenario", ["disjoint", "blurry"])
def test_what_the_learner_knows_of_its_classes(scenario: str) -> None:
    session = at_task("finetune", 1, scenario={"name": scenario, "tasks": 5})
    learner = session.learner
    everything = tuple(range(10))
    assert learner.own == (2, 3)
    assert learner.old == ((0, 1) if scenario == "disjoint" else everything)
    assert learner.seen == ((0, 1, 2, 3) if scenario == "disjoint" else everything)


@pytest.mark.parametrize("head", ["keep", "reset"])
def test_the_output_layer_is_kept_or_drawn_anew(head: str) -> None:
    session = at_task("finetune", 0, train={"head": head})
    learn(session)
    learner = session.learner
    before, trunk = learner.model.head.weight.detach().clone(), learner.model.backbone.state_dict()
    trunk = {k: v.clone() for k, v in trunk.items()}
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    assert learner.model.n_classes == 4
    assert torch.equal(learner.model.head.weight[:2], before) == (head == "keep")
    assert all(torch.equal(v, trunk[k]) for k, v in learner.model.backbone.state_dict().items())


def test_a_frozen_copy_stays_what_it_was() -> None:
    session = at_task("finetune", 0, model={"norm": True})
    learner = session.learner
    learner.model.train()
    teacher = learner.frozen_copy()
    before = weights(session)
    assert not teacher.training
    assert learner.model.training
    learn(session)
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), before, strict=True))
    assert not any(p.requires_grad for p in teacher.parameters())


def test_features_are_of_normalized_images_in_eval_mode() -> None:
    session = at_task("finetune", 0, model={"norm": True})
    learn(session)
    learner = session.learner
    learner.model.train()
    split = session.stream.tasks[0].test
    found, scores = learner.features(split), learner.scores(split)
    assert learner.model.training
    model = learner.model.eval()
    with torch.no_grad():
        x = learner.normalize(split.fetch(torch.arange(len(split))))
        assert torch.allclose(found, model.features(x), atol=1e-5)
        assert torch.allclose(scores, model(x), atol=1e-5)


# -- methods that choose what they train on


def phases(method: str, /, **tables: Any) -> list[tuple[int, Batch]]:
    session = Session(toy(method, **tables), Record(), Control())
    found: list[tuple[int, Batch]] = []
    watch(session, lambda batch: found.append((session.learner.task, batch)))
    session.start()
    session.walk()
    return found


@pytest.mark.parametrize(("memory_batch", "sizes"), [("full", [16, 16, 8]), ("half", [8, 8, 8, 8, 8])])
def test_rms_memory_phase_has_its_own_batch_size_and_keeps_the_last(memory_batch: str, sizes: list[int]) -> None:
    found = phases(
        "rm",
        memory={"capacity": 40},
        train={"memory_epochs": 1},
        scenario={"tasks": 2},
        method={"memory_batch": memory_batch},
    )
    for task in (0, 1):
        assert [len(b.y) for t, b in found if t == task and b.phase == "memory"] == sizes


@pytest.mark.parametrize("stream", ["online", "offline"])
def test_gdumb_begins_every_task_with_a_network_that_knows_nothing(stream: str) -> None:
    session = Session(
        toy("gdumb", scenario={"tasks": 2, "stream": stream}, memory={"capacity": 40}, train={"memory_epochs": 1}),
        Record(),
        Control(),
    )
    session.start()
    losses: list[float] = []
    watch(session, lambda batch: None)
    loss = session.method.loss

    def noting(batch: Batch) -> Any:
        terms = loss(batch)
        losses.append(float(terms["cross-entropy"].detach()))
        return terms

    session.method.loss = noting  # type: ignore[method-assign]
    offered: list[int] = []
    update = session.learner.memory.update
    session.learner.memory.update = lambda new, learner: (offered.append(len(new)), update(new, learner))[1]  # type: ignore
    session.walk()
    sizes = [len(task.train) for task in session.stream.tasks]
    assert [n for n in offered if n] == sizes, "every task is offered once"
    steps = 40 // 16
    # uniform guessing costs log 5, then log 10: a network that goes on would know the first five classes
    assert losses[steps] > np.log(10) - 0.4
    assert len(losses) == 2 * steps


def test_joint_and_offline_read_everything_when_they_should() -> None:
    tables: dict[str, Any] = {"scenario": {"tasks": 3, "stream": "offline"}, "train": {"epochs": 1, "memory_epochs": 0}}
    read = {
        name: [sum(len(b.y) for t, b in phases(method, **tables, method=settings) if t == task) for task in range(3)]
        for name, method, settings in (
            ("joint", "joint", {"when": "each-task"}),
            ("last", "joint", {"when": "last"}),
            ("offline", "offline", {"epochs": 3}),
        )
    }
    session = Session(toy("joint", **tables), Record(), Control())
    sizes = np.cumsum([len(task.train) for task in session.stream.tasks])
    assert read["joint"] == [n // 16 * 16 for n in sizes]
    assert read["last"] == [0, 0, 1000 // 16 * 16]
    assert read["offline"] == [0, 0, 3 * (1000 // 16 * 16)]


def test_joint_begins_anew_at_every_task() -> None:
    session = at_task("joint", 0, scenario={"tasks": 2, "stream": "offline"}, train={"epochs": 1})
    session._task(session.stream.tasks[0])
    before = session.learner.model
    task = session.stream.tasks[1]
    first: list[float] = []
    loss = session.method.loss
    session.method.loss = lambda b: (first.append(F.cross_entropy(session.learner.model(b.x), b.y).item()), loss(b))[1]  # type: ignore
    session._task(task)
    assert session.learner.model is not before
    assert first[0] > np.log(10) - 0.5


def test_rehearsal_is_of_the_memory() -> None:
    session = at_task("finetune", 1, memory={"capacity": 40}, train={"memory_epochs": 1})
    found: list[Batch] = []
    watch(session, found.append)
    rehearse(session)
    held = set(session.learner.memory.columns["ids"].tolist())
    assert len(found) == 2
    assert all(set(b.ids.tolist()) <= held and b.phase == "memory" for b in found)
