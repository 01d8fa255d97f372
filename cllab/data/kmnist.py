"""Kuzushiji-MNIST: 70,000 cursive Japanese characters in MNIST's format, 28x28 gray.

Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
"""

from __future__ import annotations

from cllab.data._mnist_like import MnistLike
from cllab.data.info import DatasetInfo


class KMNIST(MnistLike):
    """Ten hiragana, one of each row of the syllabary, in the official order."""

    info = DatasetInfo(
        title="Kuzushiji-MNIST",
        n_classes=10,
        shape=(1, 28, 28),
        n_train=60_000,
        n_test=10_000,
        mean=(0.1918,),
        std=(0.3483,),
        download_bytes=21_240_888,
        paper="arXiv:1812.01718",
        home="http://codh.rois.ac.jp/kmnist/",
    )
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    torchvision_name = "KMNIST"
