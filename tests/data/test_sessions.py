"""Session streams from data that everybody has: units, what is tested, what stands aside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cllab.data._cifar_sessions import SUPERCLASSES
from cllab.data.base import Dataset, Sessions, Split, TensorImages, hold_out
from cllab.data.cifar100 import CIFAR100
from cllab.data.cifar100_nic_a import Cifar100NicA
from cllab.data.cifar100_nic_b import Cifar100NicB
from cllab.data.info import DatasetInfo
from cllab.data.mnist_nic import MnistNic
from cllab.settings import catalog, rules
from cllab.settings.config import RunConfig
from tests.conftest import toy
from tests.data.test_source_real import real
from tests.scenarios.scenario_toys import stream

COARSE = """
    4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13 14
    17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2
    15 6 0 17 8 14 13
"""
"""The coarse label of every fine one, as in the official archive."""


def made_of(n_classes: int, train: int, test: int, shape: tuple[int, int, int], names: tuple[str, ...]) -> Dataset:
    """A dataset of random images, classes in a mixed order."""
    random = np.random.default_rng(0)

    def split(each: int) -> Split:
        labels = torch.from_numpy(random.permutation(np.repeat(np.arange(n_classes), each)))
        pixels = torch.from_numpy(random.integers(0, 256, (len(labels), *shape), dtype=np.uint8))
        return Split(TensorImages(pixels), torch.arange(len(labels)), labels)

    info = DatasetInfo("Toy", n_classes, shape, n_classes * train, n_classes * test, (0.5,), (0.5,))
    return Dataset("toy", info, names, split(train), split(test))


def units(labels: torch.Tensor, sessions: torch.Tensor) -> dict[tuple[int, int], int]:
    pairs, counts = torch.unique(torch.stack([labels, sessions], 1), dim=0, return_counts=True)
    return {(c, s): n for (c, s), n in zip(pairs.tolist(), counts.tolist(), strict=True)}


def test_mnist_nic_turns_every_image_by_the_angle_of_its_session() -> None:
    whole = made_of(10, 2400, 300, (1, 9, 9), tuple("0123456789"))
    config = MnistNic.Config(first_angle=-100, last_angle=100)
    data = MnistNic.finished(whole, config)
    assert data.sessions is not None
    learned = [s for s in range(11) if s + 1 not in (3, 7, 10)]
    assert units(data.train.labels, data.sessions.train) == {(c, s): 300 for c in range(10) for s in learned}
    assert units(data.test.labels, data.sessions.test) == {(c, s): 100 for c in range(10) for s in (2, 6, 9)}
    # every image of the toy occurs once, under the angle of its session, as Pillow turns it
    plain = {}
    for split in (whole.train, whole.test):
        for x, y in zip(split.fetch(slice(None))[:, 0].numpy(), split.labels.tolist(), strict=True):
            plain[x.tobytes()] = y
    for split, sessions in ((data.train, data.sessions.train), (data.test, data.sessions.test)):
        pixels = split.fetch(slice(None))[:, 0].numpy()
        assert len({x.tobytes() for x in pixels}) > 0.99 * len(pixels), "none in two sessions"
        upright = np.flatnonzero(sessions.numpy() == 5)  # the angle in the middle is 0
        for i in upright[::97]:
            assert plain[pixels[i].tobytes()] == split.labels[i]
    turned: dict[int, set[bytes]] = {}
    for s in (0, 4, 10):
        angle = -100 + 20 * s
        turned[s] = {
            np.array(Image.fromarray(x).rotate(angle, resample=Image.Resampling.NEAREST)).tobytes()
            for x in whole.train.fetch(slice(None))[:, 0].numpy()
        }
        own = data.train.fetch((data.sessions.train == s).nonzero().flatten()[::101])[:, 0].numpy()
        assert all(x.tobytes() in turned[s] for x in own)
    # unturned, no image is in two sessions
    flat = MnistNic.finished(whole, MnistNic.Config(first_angle=0, last_angle=0))
    assert len({x.tobytes() for x in flat.train.fetch(slice(None)).numpy()}) == 24_000
    again = MnistNic.finished(whole, config)
    assert torch.equal(again.train.fetch(slice(None)), data.train.fetch(slice(None)))


def test_superclasses_are_the_official_ones() -> None:
    names = sorted(SUPERCLASSES)
    assert list(SUPERCLASSES) == ["aquatic mammals", "fish", "flowers", "food containers", *list(SUPERCLASSES)[4:]]
    coarse = {fine: k for k, own in enumerate(SUPERCLASSES.values()) for fine in own}
    assert [coarse[name] for name in CIFAR100.classes] == [int(k) for k in COARSE.split()]
    assert len(names) == 20
    assert all(len(own) == 5 and list(own) == sorted(own) for own in SUPERCLASSES.values())


def test_cifar_nic_a_has_superclasses_as_classes_and_their_classes_as_sessions() -> None:
    whole = made_of(100, 5, 2, (3, 4, 4), CIFAR100.classes)
    data = Cifar100NicA.finished(whole, Cifar100NicA.Config())
    assert data.sessions is not None
    assert data.classes == tuple(SUPERCLASSES)
    assert units(data.train.labels, data.sessions.train) == {(c, s): 5 for c in range(20) for s in range(5)}
    assert units(data.test.labels, data.sessions.test) == {(c, s): 2 for c in range(20) for s in range(5)}
    for before, after, sessions in (
        (whole.train, data.train, data.sessions.train),
        (whole.test, data.test, data.sessions.test),
    ):
        for y, c, s in zip(before.labels.tolist(), after.labels.tolist(), sessions.tolist(), strict=True):
            assert SUPERCLASSES[data.classes[c]][s] == whole.classes[y]


@pytest.mark.parametrize("half", ["first", "second"])
def test_cifar_nic_b_has_half_of_the_classes_in_eight_sessions_and_the_other_half_aside(half: str) -> None:
    whole = made_of(100, 31, 2, (3, 4, 4), CIFAR100.classes)
    data = Cifar100NicB.finished(whole, Cifar100NicB.Config(half=half))
    assert data.sessions is not None
    assert data.aside is not None
    own, others = CIFAR100.classes[:50], CIFAR100.classes[50:]
    if half == "second":
        own, others = others, own
    assert data.classes == own
    held = units(data.train.labels, data.sessions.train)
    assert set(held) == {(c, s) for c in range(50) for s in range(8)}
    assert sorted(set(held.values())) == [3, 4]
    assert [sum(n for (c, _), n in held.items() if c == k) for k in range(50)] == [31] * 50
    assert data.sessions.test.unique().tolist() == [-1]
    for split, names in ((data.train, own), (data.test, own), (data.aside, others)):
        before = whole.test if split is data.test else whole.train
        original = before.labels[split.sample_ids()]
        assert [names[y] for y in split.labels.tolist()] == [whole.classes[y] for y in original.tolist()]
    own_sessions = data.sessions.train[data.train.labels == 0]
    assert not torch.equal(own_sessions, own_sessions.sort().values), "dealt at random"
    assert (len(data.test), len(data.aside)) == (100, 50 * 31)
    assert not set(data.aside.sample_ids().tolist()) & set(data.train.sample_ids().tolist())


def test_held_out_images_keep_their_session() -> None:
    whole = made_of(3, 24, 2, (1, 2, 2), ("a", "b", "c"))
    taken = torch.arange(72) % 4
    kept = hold_out(
        Dataset(whole.name, whole.info, whole.classes, whole.train, whole.test, sessions=Sessions(
            ("1", "2", "3", "4"), taken, torch.zeros(6, dtype=torch.long)
        ))
    )  # fmt: skip
    assert kept.sessions is not None
    assert torch.equal(kept.sessions.train, taken[kept.train.sample_ids()])
    assert torch.equal(kept.sessions.test, taken[kept.test.sample_ids()])


def test_scenarios_of_sessions_want_data_with_sessions_before_anything_is_read() -> None:
    asked = toy().to_dict()
    asked["scenario"] = {"name": "nicv2"}
    config = RunConfig.from_dict(asked, checked=False)
    said = list(rules.problems(config, catalog.load()))
    assert len(said) == 1
    assert said[0].startswith(
        "scenario.name = 'nicv2' needs samples that come in sessions, which 'blobs' does not have"
    )
    assert "mnist-nic" in said[0]


# -- the real data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "tasks", "first", "least", "most", "tests"),
    [
        ("mnist-nic", 79, 600, 300, 300, [1000, 1000, 1000]),
        ("cifar100-nic-a", 97, 2000, 500, 500, [2000] * 5),
        ("cifar100-nic-b", 391, 630, 62, 63, [5000]),
    ],
)
def test_nicv2_of_the_real_data(name: str, tasks: int, first: int, least: int, most: int, tests: list[int]) -> None:
    data = real(name)
    made = stream("nicv2", data)
    sizes = [len(task.train) for task in made.tasks]
    assert len(sizes) == tasks
    assert abs(sizes[0] - first) <= 10
    assert (min(sizes[1:]), max(sizes[1:])) == (least, most)
    assert [len(test.split) for test in made.apart] == tests
    assert (data.info.n_train, data.info.n_test) == (len(data.train), len(data.test))
    assert sum(sizes) == len(data.train)
