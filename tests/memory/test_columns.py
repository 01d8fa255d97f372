"""What a memory stores beside images: any column that it is offered stays with its sample."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cllab.data.base import Split, join, nothing, widened
from cllab.memory.base import OWN
from tests.memory.stores import make_learner, make_memory, split_of

POLICIES = ["random", "reservoir", "class-balanced", "ring"]


def marked(first: int, n: int, width: int) -> Split:
    """Samples whose column "logits" (n, width) is their identity in every place, and "at" (n,) its negative."""
    split = split_of(torch.arange(n) % 3, first=first)
    ids = split.sample_ids()
    return replace(split, columns={"logits": ids.float().repeat(width, 1).T.contiguous(), "at": -ids})


def aligned(ids: torch.Tensor, logits: torch.Tensor, before: int, width: int) -> bool:
    """Whether every row is its identity, as wide as it was when it was stored: `width` from identity `before` on."""
    expected = ids.float().repeat(5, 1).T.clone()
    expected[:, width:] = 0
    expected[ids >= before] = ids[ids >= before].float().repeat(5, 1).T
    return torch.equal(logits, expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_column_stays_with_its_sample_and_grows_with_the_classes(policy: str) -> None:
    memory = make_memory(policy, 20)
    learner = make_learner(memory, seed=3)
    learner.n_tasks = 2
    for start in (0, 30):
        memory.update(marked(start, 30, 3), learner)
    learner.task = 1
    given = memory.columns  # what is given away stays what it is
    before = {name: column.clone() for name, column in given.items()}
    memory.update(marked(60, 30, 5), learner)
    assert all(torch.allclose(column, before[name], equal_nan=True) for name, column in given.items())
    columns = memory.columns
    assert len(columns["ids"]) == len(columns["logits"]) == len(memory) > 0
    assert len({bool(i >= 60) for i in columns["ids"].tolist()}) == 2, "of both widths"
    assert aligned(columns["ids"], columns["logits"], 60, 3)
    assert torch.equal(columns["at"], -columns["ids"])
    assert columns["at"].dtype == torch.long
    raw, _, where = memory.retrieve(7, torch.Generator().manual_seed(1))
    ids = raw.view(7, -1)[:, 0].long()
    assert aligned(ids, memory.payload("logits", where), 60, 3)
    assert torch.equal(memory.payload("at", where), -ids)
    assert memory.bytes()["logits"] >= 4 * 5 * len(memory)
    with pytest.raises(KeyError):
        memory.payload("latents", where)
    again = make_memory(policy, 20)
    again.load_state_dict(memory.state_dict())
    assert torch.equal(again.columns["logits"], columns["logits"])
    assert set(memory.split().columns) == set(columns) - set(OWN) == {"logits", "at"}


@pytest.mark.parametrize("policy", POLICIES)
def test_samples_that_were_offered_without_it_have_nothing_there(policy: str) -> None:
    memory = make_memory(policy, 40)
    learner = make_learner(memory)
    learner.n_tasks = 1
    plain = split_of(torch.arange(10) % 3)
    for split in (plain, marked(10, 10, 2), split_of(torch.arange(10) % 3, first=20)):
        memory.update(split, learner)
    columns = memory.columns
    given = (columns["ids"] >= 10) & (columns["ids"] < 20)
    assert given.sum() == 10
    assert torch.equal(columns["logits"][given][:, 1], columns["ids"][given].float())
    assert torch.isnan(columns["logits"][~given]).all()
    assert (columns["at"][~given] == 0).all()


def test_a_view_and_a_join_take_the_columns_along() -> None:
    first, second, plain = marked(0, 4, 2), marked(4, 3, 3), split_of(torch.arange(2), first=7)
    whole = join(join(first, second), plain).subset(torch.tensor([8, 6, 1]))
    assert whole.sample_ids().tolist() == [8, 6, 1]
    assert torch.isnan(whole.columns["logits"][0]).all()
    assert whole.columns["logits"][1:].tolist() == [[6, 6, 6], [1, 1, 0]]
    assert whole.columns["at"].tolist() == [0, -6, -1]


def test_what_is_nothing_and_what_is_wide() -> None:
    assert torch.isnan(nothing(2, torch.zeros(5, 3))).all()
    assert nothing(2, torch.zeros(5, 3)).shape == (2, 3)
    assert nothing(2, torch.ones(5, dtype=torch.long)).tolist() == [0, 0]
    assert widened(torch.ones(1, 2), 3).tolist() == [[1, 1, 0]]
    assert widened(torch.ones(2), 3).tolist() == [1, 1], "one number a sample has no width"
