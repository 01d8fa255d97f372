"""Half of CIFAR-100's classes in eight sessions of some 62 images: as many units as CORe50 has, so 391 batches.

A session stream from data that everybody has: 50 classes, the images of each dealt at random, and the same for every
seed, into eight sessions of 62 or 63. All test images of the 50 classes are tested on, in no session. The other 50
classes stand aside, for a front to be made with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from cllab.data._derived import DerivedSource
from cllab.data.cifar100 import CIFAR100
from cllab.settings.spec import param

if TYPE_CHECKING:
    from cllab.data.base import Dataset

SESSIONS = 8


class Cifar100NicB(DerivedSource):
    """Units of 62 or 63 images of a class."""

    origin = CIFAR100
    info = replace(
        CIFAR100.info, title="CIFAR-100, half of it in sessions", n_classes=50, n_train=25_000, n_test=5_000,
        base_augment=(), sessions=SESSIONS, has_sessions=True, aside=True,
    )  # fmt: skip

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which half."""

        half: Literal["first", "second"] = param("first", "Which half of the classes, in alphabetical order")

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """50 classes and their sessions; the other 50 aside."""
        import numpy as np
        import torch

        from cllab.data.base import Sessions

        own = torch.arange(50) + (50 if config.half == "second" else 0)
        mapping = torch.full((100,), -1)
        mapping[own] = torch.arange(50)
        aside = torch.where(mapping < 0, torch.arange(100) % 50, -1)
        labels, test = dataset.train.labels.cpu(), dataset.test.labels.cpu()
        rows, test_rows, others = (
            m.nonzero().flatten() for m in (mapping[labels] >= 0, mapping[test] >= 0, aside[labels] >= 0)
        )
        session = torch.empty(len(rows), dtype=torch.long)
        draw = np.random.RandomState(0)
        for c in own.tolist():
            mine = torch.from_numpy(draw.permutation((labels[rows] == c).nonzero().flatten().numpy()))
            session[mine] = torch.arange(len(mine)) * SESSIONS // len(mine)
        names = tuple(f"session {s + 1}" for s in range(SESSIONS))
        device = dataset.train.device
        return replace(
            dataset,
            classes=tuple(dataset.classes[c] for c in own.tolist()),
            train=dataset.train.subset(rows.to(device)).relabel(mapping),
            test=dataset.test.subset(test_rows.to(device)).relabel(mapping),
            files=None,
            sessions=Sessions(names, session, torch.full((len(test_rows),), -1)),
            aside=dataset.train.subset(others.to(device)).relabel(aside),
        )
