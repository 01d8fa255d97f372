"""CIFAR-100's twenty superclasses, the five classes of each as its sessions: what a thing looks like changes.

A session stream from data that everybody has: the things to be told apart are the superclasses, and session s shows of
each the s-th of its classes in alphabetical order. All images are used; every session is also tested on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cllab.data._cifar_sessions import SUPERCLASSES
from cllab.data._derived import DerivedSource
from cllab.data.cifar100 import CIFAR100

if TYPE_CHECKING:
    from cllab.data.base import Dataset


class Cifar100NicA(DerivedSource):
    """Units of 500 images of a class inside of its superclass."""

    origin = CIFAR100
    info = replace(
        CIFAR100.info, title="CIFAR-100, superclasses in sessions", n_classes=20, base_augment=(), sessions=5,
        has_sessions=True,
    )  # fmt: skip

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """Superclasses as labels, and the place of a class in its superclass as session."""
        import torch

        from cllab.data.base import Sessions

        place = {name: (k, s) for k, names in enumerate(SUPERCLASSES.values()) for s, name in enumerate(names)}
        coarse = torch.tensor([place[name][0] for name in dataset.classes])
        session = torch.tensor([place[name][1] for name in dataset.classes])
        names = tuple(f"session {s + 1}" for s in range(5))
        sessions = Sessions(names, session[dataset.train.labels.cpu()], session[dataset.test.labels.cpu()])
        return replace(
            dataset,
            classes=tuple(SUPERCLASSES),
            train=dataset.train.relabel(coarse),
            test=dataset.test.relabel(coarse),
            sessions=sessions,
        )
