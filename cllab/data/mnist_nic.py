"""MNIST in eleven sessions, each seen under an angle of its own: a session stream from data that everybody has.

Ten digits in eleven sessions as CORe50's fifty objects in eleven (Lomonaco & Maltoni, arXiv:1705.03550): in a session
all images are turned by the same angle, the angles lie at equal distances, and sessions 3, 7 and 10 are only tested on.
A class has 300 images of a session to learn and 100 to test, none in two sessions; which ones is the same for every
seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cllab.data._derived import DerivedSource
from cllab.data.info import DatasetInfo
from cllab.data.mnist import MNIST
from cllab.settings.spec import param

if TYPE_CHECKING:
    import torch

    from cllab.data.base import Dataset, Split

SESSIONS, TESTED = 11, (3, 7, 10)
TRAIN_EACH, TEST_EACH = 300, 100


class MnistNic(DerivedSource):
    """Units of 300 images of a digit under an angle."""

    origin = MNIST
    info = DatasetInfo(
        title="MNIST in sessions",
        n_classes=10,
        shape=(1, 28, 28),
        n_train=10 * (SESSIONS - len(TESTED)) * TRAIN_EACH,
        n_test=10 * len(TESTED) * TEST_EACH,
        mean=MNIST.info.mean,
        std=MNIST.info.std,
        download_bytes=MNIST.info.download_bytes,
        paper="arXiv:1705.03550",
        home=MNIST.info.home,
        sessions=SESSIONS - len(TESTED),
        has_sessions=True,
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The angles of the first and the last session; those between lie at equal distances."""

        first_angle: float = param(-75.0, "Angle of session 1 in degrees, counter-clockwise", low=-360, high=360)
        last_angle: float = param(75.0, "Angle of session 11 in degrees", low=-360, high=360)

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """300 images of every class and session to learn, turned, and 100 of the sessions 3, 7 and 10 to test."""
        from dataclasses import replace

        from cllab.data.base import Sessions

        step = (config.last_angle - config.first_angle) / (SESSIONS - 1)
        angles = [config.first_angle + step * s for s in range(SESSIONS)]
        learned = [s for s in range(SESSIONS) if s + 1 not in TESTED]
        train, of_train = _turned(dataset.train, learned, angles, TRAIN_EACH)
        test, of_test = _turned(dataset.test, [s - 1 for s in TESTED], angles, TEST_EACH)
        names = tuple(f"session {s + 1}" for s in range(SESSIONS))
        return replace(dataset, train=train, test=test, files=None, sessions=Sessions(names, of_train, of_test))


def _turned(split: Split, sessions: list[int], angles: list[float], each: int) -> tuple[Split, torch.Tensor]:
    """`each` images of every class for each of `sessions`, none twice, turned; and the session of each."""
    import numpy as np
    import torch

    from cllab.data._pixelmap import rotation
    from cllab.data.base import Split, TensorImages

    labels = split.labels.cpu()
    draw = np.random.RandomState(0)
    pools = [draw.permutation((labels == c).nonzero().flatten().numpy()) for c in range(10)]
    _, height, width = split.shape
    pixels, rows = [], []
    for place, s in enumerate(sessions):
        part = torch.from_numpy(np.concatenate([pool[place * each : (place + 1) * each] for pool in pools]))
        rows.append(part)
        pixels.append(rotation(height, width, angles[s])(split.fetch(part.to(split.device))))
    index = torch.arange(len(sessions) * 10 * each, device=split.device)
    turned = Split(TensorImages(torch.cat(pixels)), index, split.labels[torch.cat(rows).to(split.device)])
    return turned, torch.tensor(sessions).repeat_interleave(10 * each)
