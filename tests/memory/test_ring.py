"""The ring: pointers, what is dropped, what counts as filled, the quirks, and checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cllab.errors import UsageError
from cllab.learner.learner import Learner
from cllab.memory.ring import Ring
from tests.memory.stores import SHAPE, agrees, make_learner, make_memory, split_of


def ring(capacity: int, tasks: int, **config: Any) -> tuple[Ring, Learner]:
    memory = make_memory("ring", capacity, **config)
    assert isinstance(memory, Ring)
    learner = make_learner(memory)
    learner.n_tasks = tasks
    return memory, learner


def offer(memory: Ring, learner: Learner, first: int, n: int) -> None:
    memory.update(split_of(torch.arange(first, first + n) % 10, first=first), learner)


def test_pointer_goes_as_published_and_the_rest_is_dropped() -> None:
    memory, learner = ring(52, 1)
    pointers = []
    first = 0
    for size in (9, 10, 10, 10, 10, 10, 10):
        offer(memory, learner, first, size)
        first += size
        pointers.append(memory.blocks["replay"][-1].pointer)
    assert pointers == [9, 19, 29, 39, 49, 0, 10]
    # of the sixth batch (ids 49..58) only 49, 50 and 51 fit; the seventh (59..68) overwrote the first ten slots
    assert sorted(memory.columns["ids"].tolist()) == [*range(10, 52), *range(59, 69)]
    assert agrees(memory)


def test_only_written_slots_count() -> None:
    memory, learner = ring(40, 4)
    offer(memory, learner, 0, 3)
    assert len(memory) == 3
    assert memory.columns["ids"].tolist() == [0, 1, 2]
    learner.task = 1
    offer(memory, learner, 100, 4)
    assert memory.counts("tasks", 4).tolist() == [3, 4, 0, 0]
    assert memory.columns["ids"][memory.columns["tasks"] == 1].tolist() == [100, 101, 102, 103]
    raw, labels, _ = memory.retrieve(50, torch.Generator().manual_seed(0))
    assert raw.shape == (7, *SHAPE)
    assert sorted(labels.tolist()) == sorted([0, 1, 2, 0, 1, 2, 3])


def test_a_larger_offer_leaves_the_latest() -> None:
    memory, learner = ring(20, 2)
    offer(memory, learner, 0, 35)
    assert sorted(memory.columns["ids"].tolist()) == list(range(25, 35))


def test_earlier_tasks_alone_are_drawn() -> None:
    memory, learner = ring(30, 3)
    for task in range(3):
        learner.task = task
        offer(memory, learner, 100 * task, 12)
    rows, chosen = memory.draw(100, torch.Generator().manual_seed(0))
    assert len(rows) == 20
    assert len(set(rows.tolist())) == 20
    assert set(memory.buffers["tasks"][rows].tolist()) == {0, 1}
    assert sorted(chosen.tolist()) == list(range(20))
    rows, _ = memory.draw(100, torch.Generator().manual_seed(0), left_out=torch.tensor([0, 3]))
    assert len(rows) == 18
    assert 0 not in rows.tolist()
    rows, _ = memory.draw(100, torch.Generator().manual_seed(0), current=True)
    assert len(rows) == 30


def test_draws_are_uniform() -> None:
    memory, learner = ring(20, 2)
    offer(memory, learner, 0, 10)
    learner.task = 1
    memory.open(learner)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(2000):
        rows, _ = memory.draw(3, generator)
        counts[rows] += 1
    assert counts[10:].sum() == 0
    # 600 expected, deviation about 20
    assert (counts[:10] - 600).abs().max() < 90


def test_first_sample_fills_the_ring_as_published() -> None:
    memory, learner = ring(20, 2, unfilled="first-sample")
    offer(memory, learner, 5, 3)
    assert len(memory) == 10
    assert sorted(memory.columns["ids"].tolist()) == [5] * 8 + [6, 7]


def test_the_pointer_may_go_on_as_published() -> None:
    memory, learner = ring(20, 2, start="continue")
    offer(memory, learner, 0, 6)
    learner.task = 1
    offer(memory, learner, 100, 3)
    block = memory.blocks["replay"][1]
    assert block.pointer == 9
    assert memory.rows(1).tolist() == [16, 17, 18]
    offer(memory, learner, 103, 5)  # one fits before the end
    offer(memory, learner, 108, 4)
    assert memory.rows(1).tolist() == [10, 11, 12, 13, 16, 17, 18, 19]
    assert sorted(memory.columns["ids"][6:].tolist()) == [100, 101, 102, 103, 108, 109, 110, 111]
    offer(memory, learner, 112, 4)
    assert len(memory) == 16
    assert agrees(memory)


def test_a_share_can_be_held_out() -> None:
    memory, learner = ring(512, 2)
    memory.open(learner, held=0.2)
    assert (memory.blocks["replay"][0].size, memory.blocks["held"][0].size) == (205, 51)
    one = split_of(torch.tensor([3]), first=7)
    memory.write(one.fetch(torch.tensor([0])), one.labels, one.sample_ids(), learner, part="held")
    assert memory.rows(0, "held").tolist() == [205]
    assert memory.columns["ids"].tolist() == [7]


def test_resumes_where_it_was() -> None:
    memory, learner = ring(30, 3)
    offer(memory, learner, 0, 14)
    learner.task = 1
    offer(memory, learner, 100, 4)
    memory.attach("targets", 5)[:2] = 0.5
    other, _ = ring(30, 3)
    other.load_state_dict(memory.state_dict())
    for store in (memory, other):
        offer(store, learner, 200, 8)
    assert memory.columns.keys() == other.columns.keys()
    for name, column in memory.columns.items():
        assert torch.equal(column.nan_to_num(), other.columns[name].nan_to_num()), name
    assert torch.equal(memory.earlier(), other.earlier())
    assert memory.bytes() == other.bytes()


def test_refuses_less_than_a_sample_a_task() -> None:
    memory, learner = ring(3, 5)
    with pytest.raises(UsageError, match=r"memory.capacity = 3 is less than one sample for each of 5 tasks"):
        offer(memory, learner, 0, 2)


def test_a_new_task_is_written_from_its_first_slot_on() -> None:
    memory, learner = ring(20, 2)
    offer(memory, learner, 0, 6)
    learner.task = 1
    offer(memory, learner, 100, 3)
    assert memory.blocks["replay"][1].pointer == 3
    assert memory.rows(1).tolist() == [10, 11, 12]


def test_each_part_is_drawn_by_itself() -> None:
    memory, learner = ring(40, 2)
    for task in range(2):
        learner.task = task
        memory.open(learner, held=0.3)
        for part, first, n in (("replay", 0, 14), ("held", 50, 6)):
            one = split_of(torch.arange(n) % 10, first=100 * task + first)
            memory.write(one.fetch(torch.arange(n)), one.labels, one.sample_ids(), learner, part=part)
    generator = torch.Generator().manual_seed(0)
    for part, own in (("replay", range(14)), ("held", range(50, 56))):
        for current in (False, True):
            rows, _ = memory.draw(100, generator, part=part, current=current)
            expected = [100 * task + i for task in range(1 + current) for i in own]
            assert sorted(memory.buffers["ids"][rows].tolist()) == expected
            raw, labels = memory.take(rows)
            assert torch.equal(labels, memory.buffers["labels"][rows])
            assert torch.equal(raw, memory.buffers["images"][rows])


def test_a_payload_grows_and_keeps_what_it_held() -> None:
    memory, learner = ring(6, 1)
    offer(memory, learner, 0, 6)
    memory.attach("targets", 2)[:] = torch.arange(12.0).view(6, 2)
    wide = memory.attach("targets", 5)
    assert wide.shape == (6, 5)
    assert torch.equal(wide[:, :2], torch.arange(12.0).view(6, 2))
    assert (wide[:, 2:] == 0).all()
    assert memory.attach("targets", 3) is wide
