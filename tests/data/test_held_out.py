"""Training images in place of test images: which ones, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from cllab.data.base import Dataset, Split, TensorImages, hold_out
from cllab.data.info import DatasetInfo
from cllab.errors import UsageError
from cllab.settings.rules import HELD_OUT
from tests.conftest import toy

COUNTS = (60, 36, 7, 1, 2)


def uneven() -> Dataset:
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    n = len(labels)
    train = Split(TensorImages(torch.zeros(n, 1, 2, 2, dtype=torch.uint8)), torch.arange(n), labels)
    info = DatasetInfo("uneven", len(COUNTS), (1, 2, 2), n, 1, (0.5,), (0.5,))
    return Dataset("uneven", info, tuple("abcde"), train, train.subset(torch.tensor([0])), ((), ()))


def test_one_in_six_of_every_class_and_never_a_class_whole() -> None:
    assert HELD_OUT == 6
    whole = uneven()
    made = hold_out(whole)
    assert Counter(made.test.labels.tolist()) == {0: 10, 1: 6, 2: 1, 4: 1}
    assert Counter(made.train.labels.tolist()) == {0: 50, 1: 30, 2: 6, 3: 1, 4: 1}
    together = torch.cat([made.train.sample_ids(), made.test.sample_ids()])
    assert together.sort().values.tolist() == whole.train.sample_ids().tolist()
    assert made.files is None, "lists of files name the real test images"


def test_the_same_images_every_time_and_not_the_first_ones() -> None:
    first, again = hold_out(uneven()), hold_out(uneven())
    assert first.test.sample_ids().tolist() == again.test.sample_ids().tolist()
    assert first.test.sample_ids()[:10].tolist() != list(range(10))


def test_what_held_out_images_leave_no_room_for_is_refused() -> None:
    fits = {"dataset": {"name": "mnist"}, "memory": {"capacity": 55_000}}
    assert toy("er", **fits).evaluate.on == "test"
    with pytest.raises(UsageError, match="has 50000 training samples"):
        toy("er", **fits, evaluate={"on": "held-out"})
    with pytest.raises(UsageError, match="does not work with scenario 'benchmark-file'"):
        toy("single", scenario={"name": "benchmark-file"}, evaluate={"on": "held-out"})
