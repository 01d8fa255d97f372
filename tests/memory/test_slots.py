"""Slots: what is held follows the policy's order, what stays is not moved, what was handed out stays what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cllab.data.base import Split, join
from cllab.memory._slots import Slots
from tests.memory.stores import agrees, make_learner, make_memory, split_of

ONCE = ["random", "class-balanced", "uncertainty", "prototype"]


def empty(*more: int) -> Slots:
    nothing = torch.empty(0, dtype=torch.long)
    return Slots({"images": torch.empty(0, *more, dtype=torch.uint8), "labels": nothing, "scores": torch.empty(0)})


def rows_of(ids: Tensor, **more: Tensor) -> dict[str, Tensor]:
    return {"images": (ids % 251).byte(), "labels": ids, "scores": ids.float(), **more}


@pytest.mark.parametrize("seed", range(6))
def test_another_choice_in_another_order_is_what_a_list_would_hold(seed: int) -> None:
    """Against Python lists: choices that grow, shrink, turn round, keep all, keep nothing."""
    generator = torch.Generator().manual_seed(seed)
    slots, held, fresh, capacity = empty(), [], 0, 12
    for _ in range(40):
        n = int(torch.randint(0, 15, (), generator=generator))
        candidates = [*held, *range(fresh, fresh + n)]
        fresh += n
        m = int(torch.randint(0, min(capacity, len(candidates)) + 1, (), generator=generator))
        positions = torch.randperm(len(candidates), generator=generator)[:m]
        new = positions >= len(held)
        slots.keep(positions, new, rows_of(torch.tensor(candidates, dtype=torch.long)[positions[new]]), capacity)
        held = [candidates[i] for i in positions.tolist()]
        slots.assign("scores", 2.0 * torch.tensor(held))
        columns = slots.columns()
        assert columns["labels"].tolist() == held
        assert columns["scores"].tolist() == [2 * i for i in held]
        assert columns["images"].tolist() == [i % 251 for i in held]
        assert sorted(slots.views()["labels"].tolist()) == sorted(held), "the first slots are those that are filled"
        where = torch.randperm(m, generator=generator)
        assert slots.rows("labels", where).tolist() == [held[i] for i in where.tolist()]
        store, index = slots.images()
        assert store.fetch(index[where]).tolist() == [held[i] % 251 for i in where.tolist()]


def test_what_stays_lies_where_it_lay() -> None:
    slots = empty(3, 3)
    ids = torch.arange(10)
    pixels = ids.byte().view(-1, 1, 1).repeat(1, 3, 3)
    slots.keep(ids, ids >= 0, {**rows_of(ids), "images": pixels}, 10)
    place, before = slots.views()["images"].data_ptr(), slots.views()["labels"].tolist()
    positions = torch.tensor([9, 10, 3, 11, 7, 5, 12, 0])  # two fewer, and three of them new
    new = positions >= 10
    slots.keep(positions, new, {**rows_of(positions[new]), "images": pixels[:3]}, 10)
    assert slots.columns()["labels"].tolist() == positions.tolist()
    after = slots.views()["labels"].tolist()
    assert slots.views()["images"].data_ptr() == place
    assert all(after[slot] == i for slot, i in enumerate(before[:8]) if i in positions.tolist())


def test_a_column_that_comes_later_or_grows_wider() -> None:
    slots = empty()
    first, second, third = torch.arange(4), torch.arange(4, 6), torch.arange(6, 8)
    slots.write(first, rows_of(first), 4, 8)
    slots.write(second, rows_of(second, logits=torch.ones(2, 3)), 6, 8)
    slots.write(third, rows_of(third, logits=torch.ones(2, 5)), 8, 8)
    logits = slots.columns()["logits"]
    assert torch.isnan(logits[:4, :3]).all()
    assert (logits[:4, 3:] == 0).all()
    assert logits[4].tolist() == [1, 1, 1, 0, 0]
    assert logits[6].tolist() == [1] * 5
    slots.write(torch.tensor([6]), rows_of(torch.tensor([9])), 8, 8)
    assert torch.isnan(slots.columns()["logits"][6]).all(), "not those of the sample before"
    assert slots.columns()["logits"][7].tolist() == [1] * 5


def test_a_lent_store_is_left_alone_as_long_as_somebody_has_it() -> None:
    slots = empty()
    ids = torch.arange(6)
    slots.write(ids, rows_of(ids), 6, 6)
    place = slots.views()["images"].data_ptr()
    store, index = slots.lend()
    assert slots.lend()[0] is store
    slots.write(torch.tensor([0]), rows_of(torch.tensor([77])), 6, 6)
    assert store.fetch(index).tolist() == ids.tolist()
    elsewhere = slots.views()["images"].data_ptr()
    assert elsewhere != place
    store, index = slots.lend()
    del store
    slots.write(torch.tensor([1]), rows_of(torch.tensor([78])), 6, 6)
    assert slots.views()["images"].data_ptr() == elsewhere, "nobody has it any more"


def offered(task: int, n: int = 60) -> Split:
    split = split_of(torch.arange(n) % 2 + 2 * task, first=n * task)
    return replace(split, columns={"codes": split.sample_ids().view(-1, 1).repeat(1, 3)})


def tasks(policy: str, n: int) -> Any:
    memory = make_memory(policy, 40)
    learner = make_learner(memory)
    for t in range(n):
        learner.task, learner.step = t, 10 * t
        yield memory, learner, offered(t)


@pytest.mark.parametrize("policy", ONCE)
def test_a_policy_that_chooses_once_a_task_writes_what_comes_and_moves_nothing(policy: str) -> None:
    places = set()
    for memory, learner, new in tasks(policy, 5):
        before = memory.slots.views()["ids"].tolist()
        memory.update(new, learner)
        after = memory.slots.views()
        places.add(after["images"].data_ptr())
        came = int((after["tasks"] == learner.task).sum())
        stayed = len(set(before) & set(after["ids"].tolist()))
        assert came > 0
        assert came + stayed == len(memory) <= 40
        assert sum(a == b for a, b in zip(before, after["ids"].tolist(), strict=False)) == stayed, "where they lay"
    assert stayed > 0
    assert len(places) == 1
    columns = memory.columns
    assert agrees(memory)
    assert torch.equal(columns["codes"], columns["ids"].view(-1, 1).repeat(1, 3))
    assert torch.equal(columns["entered"], 10 * columns["tasks"])


@pytest.mark.parametrize("policy", [*ONCE, "reservoir"])
def test_what_a_task_was_trained_on_stays_when_the_memory_goes_on(policy: str) -> None:
    kept = []
    for memory, learner, new in tasks(policy, 4):
        whole = join(memory.split(), new)
        kept.append((whole, whole.fetch(torch.arange(len(whole))).clone(), whole.sample_ids().clone()))
        memory.update(new, learner)
    for whole, pixels, ids in kept:
        assert torch.equal(whole.fetch(torch.arange(len(whole))), pixels)
        assert torch.equal(whole.sample_ids(), ids)
    assert agrees(memory)


@pytest.mark.parametrize("policy", ONCE)
def test_the_order_of_a_restored_memory_is_that_of_the_saved_one(policy: str) -> None:
    for memory, learner, new in tasks(policy, 3):
        memory.update(new, learner)
    again = make_memory(policy, 40)
    again.load_state_dict(memory.state_dict())
    assert all(torch.allclose(a, again.columns[k], equal_nan=True) for k, a in memory.columns.items())
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    drawn, other = memory.retrieve(9, generators[0]), again.retrieve(9, generators[1])
    assert all(torch.equal(a, b) for a, b in zip(drawn, other, strict=True))
    assert torch.equal(memory.payload("codes", drawn[2])[:, 0], memory.columns["ids"][drawn[2]])
