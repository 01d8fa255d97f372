"""GDumb, joint, ER and RM: what they train on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.record import events as ev
from tests.conftest import Record, toy
from tests.engine.sessions import walked, watch


def followed(method: str, /, **tables: Any) -> tuple[Session, list[tuple[int, Batch]], Record]:
    """A walked session and every batch it learned, with the task."""
    record = Record()
    session = Session(toy(method, **tables), record, Control())
    batches: list[tuple[int, Batch]] = []
    watch(session, lambda batch: batches.append((session.learner.task, batch)))
    session.start()
    session.walk()
    return session, batches, record


@pytest.mark.parametrize("stream", ["online", "offline"])
def test_gdumb_trains_on_its_memory_alone(stream: str) -> None:
    session = Session(
        toy("gdumb", scenario={"tasks": 3, "stream": stream}, memory={"capacity": 40}, train={"memory_epochs": 3}),
        Record(),
        Control(),
    )
    foreign: list[int] = []

    def note(batch: Batch) -> None:
        foreign.extend(set(batch.ids.tolist()) - set(session.learner.memory.columns["ids"].tolist()))

    watch(session, note)
    session.start()
    session.walk()
    assert session.learner.step == 3 * 3 * (40 // 16)
    assert foreign == []
    assert session.learner.memory.counts("labels", 10).tolist() == [4] * 10


def test_gdumb_draws_a_fresh_network_at_every_task() -> None:
    session = Session(toy("gdumb", scenario={"tasks": 2}, train={"memory_epochs": 1}), Record(), Control())
    session.start()
    session._task(session.stream.tasks[0])
    first = session.learner.model
    session._task(session.stream.tasks[1])
    assert session.learner.model is not first


def test_joint_learns_all_tasks_so_far_and_bounds_fine_tuning() -> None:
    session, batches, _ = followed("joint", scenario={"tasks": 5, "stream": "offline"}, train={"epochs": 4})
    for t in range(5):
        read = {i for task, b in batches if task == t for i in b.ids.tolist()}
        so_far = {i for task in session.stream.tasks[: t + 1] for i in task.train.sample_ids().tolist()}
        assert read <= so_far
        assert len(read) > 0.95 * len(so_far)
    offline: dict[str, Any] = {
        "scenario": {"tasks": 5, "stream": "offline"},
        "train": {"epochs": 4, "memory_epochs": 0},
    }
    plain, _ = walked("finetune", **offline)
    replayed, _ = walked("er", **offline, memory={"capacity": 50})
    joint, er, bound = (s.metrics()["last_accuracy"] for s in (session, replayed, plain))
    assert joint > er > bound, "the toy stream forgets, and a memory helps"
    assert joint > bound + 0.3


def test_joint_can_wait_for_the_last_task() -> None:
    session, batches, _ = followed("joint", method={"when": "last"}, scenario={"tasks": 3, "stream": "offline"})
    assert {task for task, _ in batches} == {2}
    assert session.learner.step == 1000 // 16


def test_er_replays_as_many_as_the_batch_holds_and_stores_what_it_has_learned() -> None:
    session = Session(toy("er", memory={"capacity": 50}, train={"memory_epochs": 0}), Record(), Control())
    sizes: list[int] = []
    forward = session.learner.model.forward

    def counting(x: torch.Tensor) -> torch.Tensor:
        if session.learner.model.training:
            sizes.append(len(x))
        return forward(x)

    session.learner.model.forward = counting  # type: ignore[method-assign]
    session.start()
    session._task(session.stream.tasks[0])
    # nothing is stored before the first step, then 16, then 32, then enough
    assert sizes[:4] == [16, 32, 32, 32]
    assert session.learner.memory.own_state()["seen"] == 12 * 16, "every streamed sample was offered once"


def test_er_remembers_samples_as_they_were_and_not_as_they_were_augmented() -> None:
    session, _ = walked("er", memory={"capacity": 50}, train={"augment": ["crop", "cutmix"], "memory_epochs": 0})
    train = session.dataset.train
    stored = session.learner.memory.columns
    assert torch.equal(stored["images"], train.fetch(stored["ids"]))
    order = torch.tensor(session.stream.class_order)
    assert torch.equal(order[stored["labels"]], train.labels[stored["ids"]])
    tasks = torch.tensor([next(t.index for t in session.stream.tasks if int(y) in t.classes) for y in stored["labels"]])
    assert torch.equal(stored["tasks"], tasks)


def test_augmenting_replay_is_resumed_inside_a_chunk_to_the_same_numbers(store: Any) -> None:
    from cllab.worker import train

    config = toy(
        "er", memory={"capacity": 50}, train={"augment": ["crop", "flip"], "memory_epochs": 0}, scenario={"tasks": 2}
    )
    whole, torn = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    old = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        old(session, phase)
        if session.learner.step == 11:
            session.save()
            raise KeyboardInterrupt

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        train(torn, signals=False)
    finally:
        Session.on_step = old  # type: ignore[method-assign]
    assert train(torn, resume=True, signals=False) == 0
    assert whole.result()["accuracy_matrix"] == torn.result()["accuracy_matrix"]
    losses = [[e.losses for e in run.events() if isinstance(e, ev.StepEnded)] for run in (whole, torn)]
    assert losses[0] == losses[1]


def test_rm_is_half_memory_from_the_second_task_on() -> None:
    session, batches, _ = followed("rm", memory={"capacity": 40}, train={"memory_epochs": 1}, scenario={"tasks": 3})
    own = [set(t.train.sample_ids().tolist()) for t in session.stream.tasks]
    shares: dict[int, set[tuple[int, int]]] = {}
    for task, batch in batches:
        if batch.phase == "stream":
            shares.setdefault(task, set()).add((batch.n_stream, len(batch.y)))
            assert set(batch.stream.ids.tolist()) <= own[task]
            assert not set(batch.parts(batch.ids)[1].tolist()) & own[task]
    assert shares == {0: {(16, 16)}, 1: {(8, 16)}, 2: {(8, 16)}}


def test_rehearsal_learns_what_the_memory_holds_after_the_task() -> None:
    session = Session(
        toy("finetune", memory={"capacity": 40}, train={"memory_epochs": 2}, scenario={"tasks": 3}), Record(), Control()
    )
    strangers: set[int] = set()

    def note(batch: Batch) -> None:
        if batch.phase == "memory":
            strangers.update(set(batch.ids.tolist()) - set(session.learner.memory.columns["ids"].tolist()))

    watch(session, note)
    session.start()
    session.walk()
    assert not strangers


# -- what is drawn for the stream does not hang on replay


def stream_parts(method: str, /, **tables: Any) -> list[tuple[list[int], torch.Tensor]]:
    """Identities and pixels of the stream's samples, batch by batch."""
    train = {"augment": ["crop", "flip"], "memory_epochs": 1, **tables.pop("train", {})}
    _, batches, _ = followed(method, **{"scenario": {"tasks": 3}, "train": train, **tables})
    return [(b.stream.ids.tolist(), b.stream.x) for _, b in batches if b.phase == "stream"]


def assert_same(first: list[tuple[list[int], torch.Tensor]], second: list[tuple[list[int], torch.Tensor]]) -> None:
    assert [ids for ids, _ in first] == [ids for ids, _ in second]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))


def test_replay_size_leaves_the_streams_pixels_where_they_were() -> None:
    four, thirty = (stream_parts("er", method={"replay_size": n}) for n in (4, 30))
    assert_same(four, thirty)
    assert len(four) > 20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"memory": {"capacity": 20}}, {"memory": {"capacity": 70}}),
        ({"memory": {"name": "random"}}, {"memory": {"name": "class-balanced"}}),
        ({"train": {"memory_epochs": 1}}, {"train": {"memory_epochs": 4}}),
    ],
)
def test_the_memory_leaves_the_stream_where_it_was_in_batches_of_halves(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert_same(stream_parts("rm", **one), stream_parts("rm", **other))


def test_the_memorys_size_leaves_the_order_of_later_epochs_where_it_was() -> None:
    tables = {"scenario": {"tasks": 3, "stream": "offline"}, "train": {"epochs": 3, "memory_epochs": 0}}
    assert_same(*(stream_parts("rm", memory={"capacity": n}, **tables) for n in (20, 70)))


def test_the_memorys_content_leaves_the_stream_where_it_was_in_shuffled_sets() -> None:
    both = [stream_parts("finetune", memory={"name": name, "capacity": 60}) for name in ("random", "class-balanced")]
    assert_same(*both)


def test_the_memorys_size_leaves_the_order_of_the_stream_in_shuffled_sets() -> None:
    orders = []
    for capacity in (0, 30, 90):
        parts = stream_parts("finetune", memory={"name": "random", "capacity": capacity})
        orders.append([i for ids, _ in parts for i in ids])
    own = orders[0]
    # a last batch that is not full is left out, with memory or without: what is common is in the same order
    for order in orders[1:]:
        common = set(own) & set(order)
        assert len(common) > 0.9 * len(own)
        assert [i for i in own if i in common] == [i for i in order if i in common]


def test_er_offers_a_policy_that_looks_at_whole_tasks_every_task_once() -> None:
    session, _, record = followed("er", memory={"name": "random", "capacity": 30}, scenario={"tasks": 3})
    updates = record.of(ev.MemoryUpdated)
    assert [(e.added - e.evicted, e.samples) for e in updates] == [(30, 30), (0, 30), (0, 30)]
    assert all(e.per_task[e.task] > 0 for e in updates), "some of every task, when it is over"
    assert len(session.learner.memory) == 30


def test_augmented_rows_stay_in_their_places() -> None:
    tables = {"memory": {"capacity": 60}, "train": {"augment": ["flip"], "memory_epochs": 0}, "scenario": {"tasks": 3}}
    session, batches, _ = followed("finetune", **tables)
    flipped = {True: 0, False: 0}
    for _, batch in batches:
        plain = session.learner.normalize(batch.raw)
        for i, (seen, stored) in enumerate(zip(batch.x, plain, strict=True)):
            assert torch.equal(seen, stored) or torch.equal(seen, stored.flip(-1))
            flipped[i < batch.n_stream] += torch.equal(seen, stored.flip(-1))
    assert min(flipped.values()) > 20, "both parts are augmented"
