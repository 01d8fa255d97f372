"""Small datasets whose every pixel is known, and shorthands of the scenario tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cllab.data.base import Dataset, Split, TensorImages
from cllab.data.info import DatasetInfo
from cllab.learner.rng import Rng
from cllab.scenarios.base import Stream
from cllab.settings.registry import component


def dataset(
    train: int | Sequence[int] = 20,
    test: int = 4,
    *,
    n_classes: int = 10,
    shape: tuple[int, int, int] = (1, 2, 2),
    name: str = "toy",
    classes: Sequence[str] | None = None,
    files: tuple[Sequence[str], Sequence[str]] | None = None,
    mixed: bool = True,
) -> Dataset:
    """`train` images of every class (a number, or one for each), random pixels, classes in a mixed order."""
    random = np.random.default_rng(0)

    def split(counts: Sequence[int]) -> Split:
        labels = np.repeat(np.arange(n_classes), counts)
        if mixed:
            random.shuffle(labels)
        pixels = torch.from_numpy(random.integers(0, 256, (len(labels), *shape), dtype=np.uint8))
        return Split(TensorImages(pixels), torch.arange(len(labels)), torch.from_numpy(labels))

    counts = [train] * n_classes if isinstance(train, int) else list(train)
    info = DatasetInfo("Toy", n_classes, shape, sum(counts), test * n_classes, (0.5,), (0.5,))
    names = tuple(classes) if classes is not None else tuple(f"class {k}" for k in range(n_classes))
    return Dataset(name, info, names, split(counts), split([test] * n_classes), files)


def stream(scenario: str, data: Dataset, seed: int = 1, **values: Any) -> Stream:
    cls = component("scenario", scenario)
    return cls(cls.Config(**values)).stream(data, Rng(seed))  # type: ignore[no-any-return]


def used(stream: Stream) -> list[int]:
    """Rows of all tasks' training images, as often as they occur, ascending."""
    return sorted(i for task in stream.tasks for i in task.train.sample_ids().tolist())


def other_share(stream: Stream, t: int) -> float:
    """Fraction of task t's training images whose class is another task's."""
    own = torch.tensor(stream.tasks[t].classes)
    return 1 - torch.isin(stream.tasks[t].train.labels, own).float().mean().item()
