"""The three blurry constructions, held to their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenario_toys import dataset, other_share, stream, used

from cllab.errors import UsageError
from cllab.scenarios._mix import exchange
from cllab.scenarios.picture import shares

MNIST_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)


@pytest.mark.parametrize("percent", [0, 10, 30, 50, 80, 100])
def test_clean_share_is_exact(percent: int) -> None:
    made = stream("blurry", dataset(train=200), percent=percent)
    assert used(made) == list(range(2000))
    assert [len(task.train) for task in made.tasks] == [400] * 5
    for t in range(5):
        assert other_share(made, t) == pytest.approx(percent / 100, abs=1e-6)
        per_task = made.counts[t].view(5, 2).sum(1)
        others = per_task[[i for i in range(5) if i != t]]
        assert (others == percent).all()  # 400 * percent / 100 from four tasks


def test_clean_with_unequal_pools() -> None:
    made = stream("blurry", dataset(train=[60, 67, 59, 61, 58, 54, 59, 63, 58, 59]), percent=10, class_order="natural")
    assert used(made) == list(range(598))
    for t, own in enumerate((127, 120, 112, 122, 117)):
        assert len(made.tasks[t].train) == own
        assert int(made.counts[t].sum() - made.counts[t, 2 * t : 2 * t + 2].sum()) == round(own * 0.1)
        others = made.counts[t].view(5, 2).sum(1)
        others = others[[i for i in range(5) if i != t]]
        assert others.max() - others.min() <= 2  # larger pools give a little more


@pytest.mark.parametrize(("percent", "share"), [(10, 0.08), (30, 0.24)])
def test_official_share(percent: int, share: float) -> None:
    # CIFAR-10's numbers: 9,750 a task, 8,775 or 6,825 majors
    made = stream("blurry", dataset(train=4875, test=1), percent=percent, construction="official")
    assert used(made) == list(range(48_750))
    assert [len(task.train) for task in made.tasks] == [9750] * 5
    minors = 97.5 * percent / 10
    for t in range(5):
        assert other_share(made, t) == pytest.approx(share, abs=0.01)
        foreign = made.counts[t][[k for k in range(10) if k // 2 != t]].float()
        assert foreign.mean().item() == pytest.approx(minors, rel=0.05)
        assert foreign.min() > 0.6 * minors
        assert foreign.max() < 1.4 * minors
    # some of a task's own leftovers come back among its minors: a fifth of them
    last = round(9750 * percent / 100)
    back = [(task.train.labels[-last:] // 2 == t).float().mean().item() for t, task in enumerate(made.tasks)]
    assert np.mean(back) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("seed", "total", "least", "most"),
    [(1, 60_000, 11_345, 12_906), (2, 59_996, 11_409, 12_525), (3, 60_000, 11_337, 12_630)],
)
def test_official_has_the_published_number_of_images(seed: int, total: int, least: int, most: int) -> None:
    made = stream("blurry", dataset(MNIST_COUNTS, test=1, name="mnist"), seed=seed, construction="official")
    sizes = [len(task.train) for task in made.tasks]
    assert sum(sizes) == total
    assert (min(sizes), max(sizes)) == (least, most)
    assert made.notes["left_out"] == 60_000 - total
    assert len(set(used(made))) == total


def test_notebook() -> None:
    made = stream("blurry", dataset(train=1000, test=1), percent=10, construction="notebook")
    for t, task in enumerate(made.tasks):
        assert len(task.train) == 1800 + 4 * 50
        assert len(set(task.train.index.tolist())) == len(task.train)
        assert other_share(made, t) == pytest.approx(0.1, abs=1e-6)
        assert int(made.counts[t, 2 * t : 2 * t + 2].sum()) == 1800
    # a leftover is missed by four independent draws of a quarter with probability (3/4)^4
    assert made.notes["left_out"] / 1000 == pytest.approx(0.75**4, abs=0.06)
    ids = used(made)
    assert len(set(ids)) < len(ids)


@pytest.mark.parametrize("construction", ["clean", "official", "notebook"])
def test_every_class_is_exposed_and_tests_are_own(construction: str) -> None:
    made = stream("blurry", dataset(), construction=construction)
    assert made.online
    for t, task in enumerate(made.tasks):
        assert task.exposed == tuple(range(10))
        assert task.classes == (2 * t, 2 * t + 1)
        assert sorted(task.test.labels.tolist()) == [2 * t] * 4 + [2 * t + 1] * 4


@pytest.mark.parametrize("construction", ["clean", "official", "notebook"])
def test_the_seed_draws(construction: str) -> None:
    data = dataset(train=100)
    one, other = (
        stream("blurry", data, seed=s, construction=construction, class_order="natural", percent=30) for s in (1, 2)
    )
    assert not torch.equal(one.tasks[0].train.index.sort().values, other.tasks[0].train.index.sort().values)


@pytest.mark.parametrize("construction", ["clean", "official", "notebook"])
def test_the_picture_is_the_expectation(construction: str) -> None:
    made = stream("blurry", dataset(train=2000, test=1), percent=30, construction=construction)
    config = {"tasks": 5, "percent": 30.0, "construction": construction}
    measured = (made.counts / 2000).numpy()
    assert np.abs(measured - shares("blurry", config, 10)).max() < 0.02


def test_two_tasks_of_different_size() -> None:
    made = stream("blurry", dataset(train=[300, 100], n_classes=2), tasks=2, percent=10, class_order="natural")
    # 325 and 75 are the only sizes for which both have a tenth from the other: 0.9 s + 0.1 (400 - s) = 300
    sizes = [len(task.train) for task in made.tasks]
    assert abs(sizes[0] - 325) <= 1
    assert used(made) == list(range(400))
    for t in range(2):
        assert abs(other_share(made, t) * sizes[t] - 0.1 * sizes[t]) <= 1


def test_an_impossible_share_is_refused() -> None:
    data = dataset(train=[900, 100], n_classes=2)
    with pytest.raises(UsageError, match="percent = 60 from other tasks is not possible, one task owns 90 %"):
        stream("blurry", data, tasks=2, percent=60, class_order="natural")
    stream("blurry", data, tasks=2, percent=60, construction="official")


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 20])
def test_exchange_keeps_its_sums(n: int) -> None:
    random = np.random.default_rng(n)
    possible = 0
    for _ in range(60):
        pools = random.integers(0, 400, n) if random.random() < 0.7 else random.integers(0, 8, n) ** 2
        share = float(random.random())
        try:
            flow = exchange(pools, share)
        except ValueError:
            assert 2 * pools.max() > pools.sum() - 2 * n  # only about a half or more in one task is impossible
            continue
        possible += 1
        assert flow.min() >= 0
        assert flow.sum(1).tolist() == pools.tolist()
        sizes = flow.sum(0)
        received = sizes - np.diag(flow)
        assert np.abs(received - share * sizes).max() <= n / 2
        if 2 * pools.max() < pools.sum() - 2 * n:
            assert sizes.tolist() == pools.tolist()
            assert received.tolist() == np.rint(share * pools).astype(int).tolist()
    assert possible > 10
