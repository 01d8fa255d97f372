"""The contract of a scenario: how a dataset becomes a stream of tasks.

A scenario only decides which sample belongs to which task, under which label, seen through which fixed transform. It
never touches a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from cllab.data.base import Dataset, Split
from cllab.learner.rng import Rng


@dataclass(frozen=True)
class ScenarioInfo:
    """A scenario in a listing.

    Attributes:
        title: what a person calls it.
        paper: where it was defined.
        has_boundaries: whether the learner is told when a task ends.
        has_task_labels: whether the learner is given the task's number at test time.
        has_class_tasks: whether a task owns classes (False for permuted and rotated: all tasks share all classes).
    """

    title: str
    paper: str = ""
    has_boundaries: bool = True
    has_task_labels: bool = False
    has_class_tasks: bool = True


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


class Scenario:
    """Base of every scenario; a concrete one is final and lives alone in its file."""

    info: ClassVar[ScenarioInfo]

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Replaced by every scenario; fields are declared with `param`."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        """Why this combination cannot work, in one clause, or None. Pure; called before any data is read."""
        return None

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        """The stream of `dataset`; randomness only from `rng`."""
        raise NotImplementedError


def class_counts(tasks: tuple[Task, ...], n_classes: int) -> Tensor:
    """(E, K) long: training samples per task and class."""
    return torch.stack([torch.bincount(task.train.labels.cpu(), minlength=n_classes) for task in tasks])
