"""Class orders as published."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scenario_toys import dataset, stream

from cllab.data.cifar10 import CIFAR10
from cllab.data.cifar100 import CIFAR100
from cllab.scenarios._order import base_order, class_order

PUBLISHED = {
    ("mnist", 1): "2 9 6 4 0 3 1 7 8 5",
    ("mnist", 2): "4 1 5 0 7 2 3 6 9 8",
    ("mnist", 3): "5 4 1 2 9 6 7 0 3 8",
    ("cifar10", 1): "9 1 6 0 3 2 5 7 4 8",
    ("cifar10", 2): "0 5 8 3 7 9 2 6 1 4",
    ("cifar10", 3): "8 0 5 9 1 6 7 3 2 4",
}


@pytest.mark.parametrize(("name", "seed"), PUBLISHED)
def test_rainbow_memory(name: str, seed: int) -> None:
    order = class_order("rainbow-memory", name, 10, seed)
    assert order.tolist() == [int(c) for c in PUBLISHED[name, seed].split()]


def test_cifar10_base_is_by_name() -> None:
    names = [CIFAR10.classes[c] for c in base_order("cifar10", 10)]
    assert " ".join(names) == "cat dog truck bird airplane ship frog horse deer automobile"


def test_cifar100_base() -> None:
    base = base_order("cifar100", 100).tolist()
    assert sorted(base) == list(range(100))
    assert base[:5] + base[-5:] == [83, 66, 86, 22, 30, 20, 97, 44, 1, 65]
    assert sorted(CIFAR100.classes) == list(CIFAR100.classes)  # labels are alphabetical ranks
    random = np.random.RandomState(3)
    expected = list(base)
    random.shuffle(expected)
    assert class_order("rainbow-memory", "cifar100", 100, 3).tolist() == expected


@pytest.mark.parametrize(
    ("n_classes", "md5"), [(100, "32de23bb0f063e34fa616d59f955b028"), (1000, "c6fbcdaef4412ac47b3fffc2f416ebac")]
)
def test_seed_1993(n_classes: int, md5: str) -> None:
    for seed in (0, 7):
        order = class_order("seed-1993", "cifar100", n_classes, seed).tolist()
        assert hashlib.md5(",".join(map(str, order)).encode()).hexdigest() == md5


def test_bilevel_gives_original_class_its_new_label() -> None:
    order = class_order("bilevel", "cifar100", 100, 5).tolist()
    assert [order.index(c) for c in range(12)] == [44, 19, 93, 90, 71, 69, 37, 95, 53, 91, 81, 42]


@pytest.mark.parametrize("n_classes", [1, 2, 5, 10, 100, 257, 1000])
def test_bilevel_is_drawn_as_torch_draws(n_classes: int) -> None:
    label_of = torch.randperm(n_classes, generator=torch.Generator().manual_seed(0))
    assert class_order("bilevel", "x", n_classes, 1).tolist() == torch.argsort(label_of).tolist()


def test_natural_and_random() -> None:
    assert class_order("natural", "cifar10", 10, 1).tolist() == list(range(10))
    one, again, other = (class_order("random", "toy", 50, seed).tolist() for seed in (1, 1, 2))
    assert one == again != other
    assert sorted(one) == list(range(50))


def test_stream_labels_follow_the_order() -> None:
    data = dataset(name="mnist", classes=list("0123456789"))
    made = stream("disjoint", data, seed=3)
    assert made.class_order == (5, 4, 1, 2, 9, 6, 7, 0, 3, 8)
    assert made.class_names == tuple("5412967038")
    for task in made.tasks:
        for split, whole in ((task.train, data.train), (task.test, data.test)):
            original = whole.labels[split.index]
            assert [made.class_order[k] for k in split.labels.tolist()] == original.tolist()
            assert (split.labels // 2 == task.index).all()
