"""The contract of a scenario: how a dataset becomes a stream of tasks.

A scenario only decides which sample belongs to which task, under which label, seen through which fixed transform. It
never touches a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cllab.data.base import Dataset
from cllab.data.base import Stream as Stream
from cllab.data.base import Task as Task
from cllab.data.base import class_counts as class_counts
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
        needs_sessions: whether the samples must come in sessions.
    """

    title: str
    paper: str = ""
    has_boundaries: bool = True
    has_task_labels: bool = False
    has_class_tasks: bool = True
    needs_sessions: bool = False


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
