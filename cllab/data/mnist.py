"""MNIST: 70,000 handwritten digits, 28x28 gray.

LeCun, Cortes and Burges; the split of LeCun et al., "Gradient-based learning applied to document recognition", 1998.
"""

from __future__ import annotations

from cllab.data._mnist_like import MnistLike
from cllab.data.info import DatasetInfo


class MNIST(MnistLike):
    """Ten digits, labels as drawn."""

    info = DatasetInfo(
        title="MNIST",
        n_classes=10,
        shape=(1, 28, 28),
        n_train=60_000,
        n_test=10_000,
        mean=(0.1307,),
        std=(0.3081,),
        download_bytes=11_594_722,
        paper="LeCun et al., Proc. IEEE 86(11), 1998",
        home="http://yann.lecun.com/exdb/mnist/",
    )
    classes = tuple("0123456789")
    torchvision_name = "MNIST"
