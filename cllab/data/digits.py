"""Digits: 1,797 handwritten digits, 8x8 gray, that come with scikit-learn: real data without a download.

The test part of the UCI data of Alpaydin and Kaynak, "Optical recognition of handwritten digits", 1998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cllab.data._cache import Content, Half, Progress
from cllab.data.info import DatasetInfo
from cllab.data.source import DatasetSource, Place

if TYPE_CHECKING:
    from pathlib import Path

_EVERY = 5


class Digits(DatasetSource):
    """Ten digits, labels as drawn. Of every class, each fifth image is a test image."""

    info = DatasetInfo(
        title="Digits",
        n_classes=10,
        shape=(1, 8, 8),
        n_train=1_442,
        n_test=355,
        mean=(0.3052,),
        std=(0.3760,),
        paper="Alpaydin and Kaynak, UCI Machine Learning Repository, 1998",
        home="https://archive.ics.uci.edu/dataset/80",
        model="mlp",
    )

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """Nowhere: the data are part of scikit-learn."""
        return [Place("built-in", root, "")]

    @classmethod
    def content(cls, place: Place, config: Any, progress: Progress) -> Content:
        """Decoded in 20 ms, so not cached."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        # 0 to 16, exactly representable; 16 is white
        pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = np.asarray(bunch.target, np.int64)
        is_test = np.zeros(len(labels), np.bool_)
        for k in range(10):
            is_test[np.flatnonzero(labels == k)[_EVERY - 1 :: _EVERY]] = True
        halves = [Half(np.ascontiguousarray(pixels[part]), labels[part]) for part in (~is_test, is_test)]
        return Content(tuple("0123456789"), halves[0], halves[1])
