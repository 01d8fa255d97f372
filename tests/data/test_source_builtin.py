"""The datasets that need no files: digits and blobs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from cllab.data.base import Split
from cllab.data.blobs import Blobs
from cllab.data.digits import Digits


def test_digits_are_scikit_learns() -> None:
    bunch = load_digits()
    data = Digits.open()
    assert data.shape == (1, 8, 8)
    assert (len(data.train), len(data.test)) == (1_442, 355)
    pixels = torch.cat([data.train.fetch(slice(None)), data.test.fetch(slice(None))])[:, 0].numpy()
    labels = torch.cat([data.train.labels, data.test.labels]).numpy()

    def rows(images: np.ndarray, targets: np.ndarray) -> list[tuple[int, ...]]:
        return sorted((int(t), *image.ravel().astype(int)) for image, t in zip(images, targets, strict=True))

    # 16 gray levels spread evenly; every sample once, in one split or the other
    assert rows(np.rint(pixels / 255 * 16), labels) == rows(bunch.images, bunch.target)
    assert pixels.max() == 255
    assert pixels.min() == 0


def test_digits_are_split_evenly_and_always_alike() -> None:
    one, two = Digits.open(), Digits.open()
    assert torch.equal(one.test.fetch(slice(None)), two.test.fetch(slice(None)))
    train, test = (torch.bincount(s.labels, minlength=10) for s in (one.train, one.test))
    share = test / (train + test)
    assert float(share.min()) > 0.19
    assert float(share.max()) < 0.201


@pytest.mark.parametrize("source", [Digits, Blobs])
def test_statistics_are_those_of_the_training_data(source: type[Digits] | type[Blobs]) -> None:
    data = source.open()
    x = data.train.fetch(slice(None)).double() / 255
    assert float(x.mean()) == pytest.approx(data.info.mean[0], abs=5e-4)
    assert float(x.std()) == pytest.approx(data.info.std[0], abs=5e-4)
    assert data.info == source.info


def test_blobs_follow_their_config() -> None:
    data = Blobs.open(Blobs.Config(n_classes=4, per_class=30, noise=0.0))
    assert data.shape == (1, 6, 6)
    assert torch.bincount(data.train.labels).tolist() == [30] * 4
    assert torch.bincount(data.test.labels).tolist() == [15] * 4
    assert data.n_classes == data.info.n_classes == 4
    # without noise every sample is its class's picture
    x = data.train.fetch(slice(None))
    for k in range(4):
        assert (x[data.train.labels == k] == x[data.train.labels == k][0]).all()
    assert torch.equal(Blobs.open().train.fetch(slice(None)), Blobs.open().train.fetch(slice(None)))


def train_on(net: nn.Module, split: Split, epochs: int) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for part in torch.randperm(len(split), generator=generator).split(32):
            loss = nn.functional.cross_entropy(net(inputs(split, part)), split.labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def inputs(split: Split, positions: Tensor | slice) -> Tensor:
    return (split.fetch(positions).float() / 255 - Blobs.info.mean[0]) / Blobs.info.std[0]


def accuracy(net: nn.Module, split: Split) -> float:
    with torch.no_grad():
        return float((net(inputs(split, slice(None))).argmax(1) == split.labels).float().mean())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 10))


def test_blobs_are_learned_jointly_and_forgotten_in_sequence() -> None:
    data = Blobs.open()
    together = network()
    train_on(together, data.train, 5)
    assert 0.85 < accuracy(together, data.test) < 0.99
    in_turn = network()
    for t in range(5):
        train_on(in_turn, data.train.subset((data.train.labels // 2 == t).nonzero()[:, 0]), 5)
    assert accuracy(in_turn, data.test) < 0.45
    last = data.test.subset((data.test.labels >= 8).nonzero()[:, 0])
    assert accuracy(in_turn, last) > 0.85
