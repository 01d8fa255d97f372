"""A stream of tasks: views of a dataset, in the order in which they are learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cllab.data.base import Split


@dataclass(frozen=True)
class Task:
    """One unit of the stream.

    Attributes:
        index: 0-based position in the stream.
        name: shown to people ("task 3", "rotated 45°").
        classes: labels that are this task's own (in blurry streams: the majors).
        exposed: labels that occur in `train`.
        train: what is learned; labels are stream labels.
        test: test images of `classes`, seen as this task sees them.
        has_label: whether the task's number is given at test time.
    """

    index: int
    name: str
    classes: tuple[int, ...]
    exposed: tuple[int, ...]
    train: Split
    test: Split
    has_label: bool = False


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are learned.

    Attributes:
        tasks: the tasks.
        class_names: names in stream-label order; label i was original class `class_order[i]`.
        class_order: the permutation of the dataset's classes.
        online: True when each sample of the stream may be read once.
        counts: (E, K) long on the CPU: training samples of every class in every task.
    """

    tasks: tuple[Task, ...]
    class_names: tuple[str, ...]
    class_order: tuple[int, ...]
    online: bool
    counts: Tensor
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    def seen(self, t: int) -> tuple[int, ...]:
        """Labels that occurred in the training data of tasks 0..t, ascending."""
        return tuple(sorted({c for task in self.tasks[: t + 1] for c in task.exposed}))


def class_counts(tasks: tuple[Task, ...], n_classes: int) -> Tensor:
    """(E, K) long: training samples per task and class."""
    return torch.stack([torch.bincount(task.train.labels.cpu(), minlength=n_classes) for task in tasks])
