"""CIFAR-10: 60,000 small photographs of animals and vehicles, 32x32 color.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from cllab.data._cifar import Cifar
from cllab.data.info import DatasetInfo


class CIFAR10(Cifar):
    """Ten classes, in the official order."""

    info = DatasetInfo(
        title="CIFAR-10",
        n_classes=10,
        shape=(3, 32, 32),
        n_train=50_000,
        n_test=10_000,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        base_augment=("crop", "flip"),
        download_bytes=170_498_071,
        paper="Krizhevsky, technical report, University of Toronto, 2009",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        model="resnet18",
    )
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    archive = "cifar-10-batches-py"
    batches = (tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",))
    label_key = "labels"
    torchvision_name = "CIFAR10"
