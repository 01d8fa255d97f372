"""The real data, where CLLAB_DATA has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cllab.data.base import Dataset
from cllab.data.where import dataset_status, source

pytestmark = pytest.mark.data


def real(name: str) -> Dataset:
    if not os.environ.get("CLLAB_DATA"):
        pytest.skip("CLLAB_DATA is not set")
    status = dataset_status(name, scan=False)
    if not status.found:
        pytest.skip(f"CLLAB_DATA has no {name}: {status.problem}")
    return source(name).open()


def statistics(data: Dataset, channel: int) -> tuple[float, float]:
    """Mean and deviation of a channel in [0, 1], from its histogram."""
    counts = torch.bincount(data.train.fetch(slice(None))[:, channel].flatten(), minlength=256).double()
    levels = torch.arange(256).double() / 255
    mean = (counts * levels).sum() / counts.sum()
    return float(mean), float(((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt())


def test_mnist() -> None:
    data = real("mnist")
    assert torch.bincount(data.train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # the first images of the IDX files: a five, a zero, a four; a seven, a two, a one
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.fetch(slice(0, 1)).sum().item() == 27_525
    assert statistics(data, 0) == pytest.approx((data.info.mean[0], data.info.std[0]), abs=5e-5)


def test_cifar100() -> None:
    data = real("cifar100")
    assert torch.bincount(data.train.labels).tolist() == [500] * 100
    assert torch.bincount(data.test.labels).tolist() == [100] * 100
    assert (data.classes[0], data.classes[66], data.classes[99]) == ("apple", "raccoon", "worm")
    # the table's numbers are widely used, and off by up to 3 in the last digit
    for c, expected in enumerate(zip(data.info.mean, data.info.std, strict=True)):
        assert statistics(data, c) == pytest.approx(expected, abs=4e-4)


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_pixels_are_pillows(name: str) -> None:
    data = real(name)
    folder = source(name).locate()
    assert folder is not None
    if data.files is None:
        pytest.skip(f"{name} is here without image files")

    for split, files in ((data.train, data.files[0]), (data.test, data.files[1])):
        for i in range(0, len(files), len(files) // 50):
            with Image.open(Path(folder) / files[i]) as image:
                expected = np.asarray(image).reshape(*data.shape[1:], data.shape[0]).transpose(2, 0, 1)
            np.testing.assert_array_equal(split.fetch(torch.tensor([i]))[0].numpy(), expected)
            assert data.classes[int(split.labels[i])] == files[i].split("/")[1]
