"""The order in which a dataset's classes come: stream label i is original class `order[i]`.

NumPy only: forms and listings show the classes of a run before it trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cllab.learner.seeds import derive

ClassOrder = Literal["rainbow-memory", "seed-1993", "bilevel", "natural", "random"]
"""rainbow-memory: Rainbow Memory's order for the run's seed; seed-1993: the one order that iCaRL, LUCIR and Mnemonics
Training share; bilevel: the order of Bilevel Continual Learning; natural: the dataset's; random: of the run's seed."""

ORDER_HELP = (
    "Order of the classes: Rainbow Memory's for the run's seed, NumPy's shuffle under seed 1993 (iCaRL, LUCIR, "
    "Mnemonics), Bilevel Continual Learning's, the dataset's own, or drawn from the run's seed"
)

Order = NDArray[np.int64]

# Rainbow Memory shuffles the classes in the order in which it happened to list them
_CIFAR10_BASE = (3, 5, 9, 2, 0, 8, 6, 7, 4, 1)  # cat dog truck bird airplane ship frog horse deer automobile
_CIFAR100_BASE = """
    83 66 86 22 30 5 95 79 74 72 63 64 99 32 26 41 37 52 91 84 33 62 9 43 12 87 0 17 81 70 90 19 38 10 31 3 53 36 28 73
    58 78 16 94 69 45 18 80 56 7 77 8 14 85 49 75 13 15 27 88 47 46 96 39 40 57 82 71 55 54 29 23 59 25 50 98 76 61 6 93
    34 4 68 67 24 2 92 35 48 42 51 21 60 11 89 20 97 44 1 65
"""


def base_order(name: str, n_classes: int) -> Order:
    """The order that Rainbow Memory shuffles, (K,): its own for CIFAR, else the dataset's."""
    if name == "cifar10" and n_classes == 10:
        return np.array(_CIFAR10_BASE, np.int64)
    if name == "cifar100" and n_classes == 100:
        return np.array(_CIFAR100_BASE.split(), np.int64)
    return np.arange(n_classes, dtype=np.int64)


def shuffled(base: Sequence[int] | NDArray[Any], seed: int) -> Order:
    """`base` shuffled by NumPy's legacy generator, the one whose stream never changes."""
    order = np.array(base, np.int64)
    np.random.RandomState(seed % 2**32).shuffle(order)
    return order


def class_order(kind: str, name: str, n_classes: int, seed: int) -> Order:
    """(K,) the original class behind every stream label, for dataset `name` and the run's `seed`."""
    if kind == "rainbow-memory":
        return shuffled(base_order(name, n_classes), seed)
    if kind == "seed-1993":
        return shuffled(range(n_classes), 1993)
    if kind == "bilevel":
        # there, the permutation gives every original class its new label
        return np.argsort(_torch_permutation(n_classes)).astype(np.int64)
    if kind == "random":
        return np.random.default_rng(derive(seed, "scenario.classes")).permutation(n_classes).astype(np.int64)
    return np.arange(n_classes, dtype=np.int64)


def _torch_permutation(n: int) -> Order:
    """What `torch.randperm(n)` draws under seed 0: both libraries seed the same twister with a number alike."""
    draws = np.random.RandomState(0).randint(0, 2**32, size=n, dtype=np.uint32)
    order = np.arange(n, dtype=np.int64)
    for i in range(n - 1):
        j = i + int(draws[i]) % (n - i)
        order[[i, j]] = order[[j, i]]
    return order
