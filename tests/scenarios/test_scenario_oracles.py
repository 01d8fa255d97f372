"""What tasks are made of, followed image by image from the definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scenario_toys import dataset, stream

from cllab.scenarios._pixels import PixelMap


def order_kept(rows: list[int]) -> bool:
    return rows == sorted(rows)


@pytest.mark.parametrize("construction", ["clean", "official", "notebook"])
def test_majors_and_minors_are_drawn_at_random_and_mixed(construction: str) -> None:
    """Each task's file: the majors shuffled, then the minors of all tasks shuffled together."""
    data = dataset(train=100, mixed=False)
    made = stream("blurry", data, percent=40, construction=construction, class_order="natural")
    for t, task in enumerate(made.tasks):
        rows = task.train.index.tolist()
        # tasks of 200; 40 % are mixed: the notebook takes a quarter of 80 leftovers from each of four tasks
        majors, minors = rows[:120], rows[120:]
        assert len(minors) == 80
        assert {r // 200 for r in majors} == {t}
        assert not order_kept(majors)
        assert max(majors) - min(majors) > 150, "not the first of the pool"
        source = [r // 200 for r in minors]
        assert set(source) >= set(range(5)) - {t}
        assert (t in source) == (construction == "official"), "only there some of the own leftovers come back"
        changes = sum(a != b for a, b in itertools.pairwise(source))
        assert changes > 20, "not one task after another"
        assert len(set(rows)) == len(rows)
    own_minors = [r for t, task in enumerate(made.tasks) for r in task.train.index.tolist()[120:]]
    assert (len(set(own_minors)) == 400) == (construction != "notebook"), "there images repeat"


def test_a_blur_of_nothing_exposes_own_classes_only() -> None:
    made = stream("blurry", dataset(), percent=0)
    assert [task.exposed for task in made.tasks] == [task.classes for task in made.tasks]
    assert made.seen(1) == (0, 1, 2, 3)


def test_a_share_of_every_class_is_kept_at_random() -> None:
    counts = [10, 30, 50, 20, 40, 10, 10, 10, 10, 10]
    data = dataset(train=counts, mixed=False)
    made = stream("disjoint", data, tasks=5, train_share=0.3, class_order="natural")
    rows = np.concatenate([task.train.index.numpy() for task in made.tasks])
    starts = np.cumsum([0, *counts])
    kept = [np.sort(rows[(rows >= a) & (rows < b)] - a) for a, b in itertools.pairwise(starts)]
    assert [len(k) for k in kept] == [3, 9, 15, 6, 12, 3, 3, 3, 3, 3]
    assert any(k.tolist() != list(range(len(k))) for k in kept[1:5])


@pytest.mark.parametrize("name", ["permuted", "rotated"])
def test_samples_are_random_rows_drawn_anew_or_once(name: str) -> None:
    data = dataset(shape=(1, 4, 4), test=20)
    for same in (False, True):
        made = stream(name, data, tasks=4, samples=50, same_samples=same, test_samples=60)
        rows = [task.train.index.tolist() for task in made.tasks]
        assert all(len(set(r)) == 50 and max(r) > 100 for r in rows)
        assert len({tuple(sorted(r)) for r in rows}) == (1 if same else 4)
        tests = [task.test.index.tolist() for task in made.tasks]
        assert all(len(set(r)) == 60 and max(r) > 100 for r in tests)
        assert len({tuple(sorted(r)) for r in tests}) == 4


def test_pixels_follow_the_seed() -> None:
    data = dataset(shape=(1, 6, 6))
    sources = []
    for seed in (1, 2):
        transform = stream("permuted", data, seed=seed, tasks=2).tasks[1].train.transform
        assert isinstance(transform, PixelMap)
        sources.append(transform.source)
    assert not torch.equal(*sources)
