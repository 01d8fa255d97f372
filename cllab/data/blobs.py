"""Blobs: Gaussian classes as tiny gray images, made on the spot from a fixed seed.

Made for tests: the classes overlap so much that a network that moves on forgets them, and so little that a small one
that sees all of them at once gets most of them right, in a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cllab.data._cache import Content, Half, Progress
from cllab.data.info import DatasetInfo
from cllab.data.source import DatasetSource, Place
from cllab.settings.spec import param

if TYPE_CHECKING:
    from pathlib import Path

_SEED = 20_210_325
_SHAPE = (1, 6, 6)
_SPREAD = 24.0
"""Standard deviation of the class means, in gray levels."""


class Blobs(DatasetSource):
    """Class k is a random picture of its own plus noise; the test split has half as many samples."""

    info = DatasetInfo(
        title="Blobs",
        n_classes=10,
        shape=_SHAPE,
        n_train=1_000,
        n_test=500,
        mean=(0.505,),
        std=(0.183,),
        model="mlp",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many classes and samples, and how close the classes are."""

        n_classes: int = param(10, "Number of classes", low=2, high=1000)
        per_class: int = param(100, "Training samples of every class", low=2, high=100_000)
        noise: float = param(
            40.0, "Standard deviation of the pixels around their class's picture, in gray levels", low=0, high=255
        )

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """Nowhere: the data are made here."""
        return [Place("built-in", root, "")]

    @classmethod
    def content(cls, place: Place, config: Any, progress: Progress) -> Content:
        """The samples; `RandomState` because its stream is the same in every NumPy version."""
        random = np.random.RandomState(_SEED)
        means = 127.5 + _SPREAD * random.standard_normal((config.n_classes, 1, *_SHAPE))

        def half(per_class: int) -> Half:
            drawn = means + config.noise * random.standard_normal((config.n_classes, per_class, *_SHAPE))
            pixels = np.rint(drawn.clip(0, 255)).astype(np.uint8).reshape(-1, *_SHAPE)
            return Half(pixels, np.repeat(np.arange(config.n_classes, dtype=np.int64), per_class))

        train, test = half(config.per_class), half(config.per_class // 2)
        return Content(tuple(f"blob {k}" for k in range(config.n_classes)), train, test)
