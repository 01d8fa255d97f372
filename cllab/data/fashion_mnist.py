"""Fashion-MNIST: 70,000 pictures of clothes in MNIST's format, 28x28 gray.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

from __future__ import annotations

from cllab.data._mnist_like import MnistLike
from cllab.data.info import DatasetInfo


class FashionMNIST(MnistLike):
    """Ten kinds of clothes, in the official order."""

    info = DatasetInfo(
        title="Fashion-MNIST",
        n_classes=10,
        shape=(1, 28, 28),
        n_train=60_000,
        n_test=10_000,
        mean=(0.2860,),
        std=(0.3530,),
        download_bytes=30_878_645,
        paper="arXiv:1708.07747",
        home="https://github.com/zalandoresearch/fashion-mnist",
    )
    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    torchvision_name = "FashionMNIST"
