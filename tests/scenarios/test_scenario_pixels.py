"""permuted and rotated: what a task sees, against Pillow and against plain indexing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scenario_toys import dataset, stream

from cllab.scenarios._pixels import PixelMap, rotation

ANGLES = [0, 0.4, 13, 30, 45, 89.9, 90, 90.1, 135, 180, 217.3, 270, 300, 359, 360, -1, -77.7, -90]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 20, 31)])
def test_rotation_is_pillows(angle: float, shape: tuple[int, int, int]) -> None:
    x = torch.randint(1, 256, (3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    turned = rotation(*shape[1:], angle)(x)
    for image, result in zip(x, turned, strict=True):
        array = image.permute(1, 2, 0).numpy().squeeze()
        expected = np.array(Image.fromarray(array).rotate(angle, resample=Image.Resampling.NEAREST))
        assert np.array_equal(result.permute(1, 2, 0).numpy().squeeze(), expected)


def test_rotation_is_counter_clockwise() -> None:
    x = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    assert rotation(2, 2, 90)(x).flatten().tolist() == [2, 4, 1, 3]


def test_angles_lie_in_their_parts() -> None:
    data = dataset(shape=(1, 8, 8))
    made = stream("rotated", data, tasks=20, min_angle=10.0, max_angle=110.0)
    angles = made.notes["angles"]
    assert [int((angle - 10) // 5) for angle in angles] == list(range(20))
    assert made.tasks[3].name == f"rotated {angles[3]:.0f}°"
    assert (
        stream("rotated", data, seed=2, tasks=20).notes["angles"] != stream("rotated", data, tasks=20).notes["angles"]
    )
    within = [(angle - 10) % 5 for angle in angles]
    assert max(within) - min(within) > 2  # drawn, not the middle of each


def test_rotated_tasks_see_their_angle() -> None:
    data = dataset(shape=(1, 9, 9))
    made = stream("rotated", data, tasks=3)
    for task, angle in zip(made.tasks, made.notes["angles"], strict=True):
        for split, whole in ((task.train, data.train), (task.test, data.test)):
            seen, raw = split.fetch(torch.tensor([5])), whole.fetch(split.index[5:6])
            expected = Image.fromarray(raw[0, 0].numpy()).rotate(angle)
            assert np.array_equal(seen[0, 0].numpy(), np.array(expected))


@pytest.mark.parametrize("shape", [(1, 6, 7), (3, 5, 5)])
def test_permutation(shape: tuple[int, int, int]) -> None:
    data = dataset(shape=shape)
    made = stream("permuted", data, tasks=4)
    n = shape[1] * shape[2]
    orders = []
    for task in made.tasks:
        assert isinstance(task.train.transform, PixelMap)
        order = task.train.transform.source
        orders.append(order.tolist())
        assert sorted(orders[-1]) == list(range(n))
        for split, whole in ((task.train, data.train), (task.test, data.test)):
            part = torch.arange(0, len(split), 7)
            expected = whole.images.fetch(split.index[part]).flatten(2)[:, :, order].view(-1, *shape)
            assert torch.equal(split.fetch(part), expected)
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(n)) not in orders


def test_more_tasks_leave_the_first_ones() -> None:
    data = dataset(shape=(1, 6, 6))
    few, many = (stream("permuted", data, tasks=n, samples=30) for n in (2, 5))
    for t in range(2):
        everything = torch.arange(30)
        assert torch.equal(few.tasks[t].train.fetch(everything), many.tasks[t].train.fetch(everything))


def test_first_identity() -> None:
    data = dataset(shape=(1, 6, 6))
    plain, marked = stream("permuted", data, tasks=3), stream("permuted", data, tasks=3, first_identity=True)
    part = torch.arange(10)
    assert torch.equal(marked.tasks[0].train.fetch(part), data.train.fetch(part))
    assert torch.equal(marked.tasks[1].train.fetch(part), plain.tasks[1].train.fetch(part))


@pytest.mark.parametrize("name", ["permuted", "rotated"])
def test_samples(name: str) -> None:
    made = stream(name, dataset(shape=(1, 4, 4)), tasks=6, samples=50, task_labels=True, stream="online")
    chosen = [frozenset(task.train.index.tolist()) for task in made.tasks]
    assert [len(rows) for rows in chosen] == [50] * 6
    assert len(set(chosen)) == 6
    assert made.online
    for task in made.tasks:
        assert task.has_label
        assert task.classes == task.exposed == tuple(range(10))
        assert len(task.test) == 40
    everything = stream(name, dataset(shape=(1, 4, 4)), tasks=2)
    assert [len(task.train) for task in everything.tasks] == [200, 200]
    assert not everything.tasks[0].has_label


def test_a_map_refuses_images_of_another_size() -> None:
    with pytest.raises(ValueError, match="made for images of 16 pixels, not 5x5"):
        rotation(4, 4, 10)(torch.zeros(1, 1, 5, 5, dtype=torch.uint8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_map_works_where_the_images_are() -> None:
    x = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    turned = rotation(32, 32, 33.0)
    assert torch.equal(turned(x.cuda()).cpu(), turned(x))
