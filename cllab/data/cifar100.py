"""CIFAR-100: 60,000 small photographs of a hundred things, 32x32 color, fine labels.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from cllab.data._cifar import Cifar
from cllab.data.info import DatasetInfo

_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class CIFAR100(Cifar):
    """A hundred classes; the official labels are the ranks of their names."""

    info = DatasetInfo(
        title="CIFAR-100",
        n_classes=100,
        shape=(3, 32, 32),
        n_train=50_000,
        n_test=10_000,
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        base_augment=("crop", "flip"),
        download_bytes=169_001_437,
        paper="Krizhevsky, technical report, University of Toronto, 2009",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        model="resnet32",
    )
    classes = tuple(_CLASSES.split())
    archive = "cifar-100-python"
    batches = (("train",), ("test",))
    label_key = "fine_labels"
    torchvision_name = "CIFAR100"
