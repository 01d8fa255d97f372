"""From rows of a dataset to tasks and a stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cllab.data.base import Dataset, Split, TestSet, Transform
from cllab.errors import UsageError
from cllab.learner.rng import Rng
from cllab.scenarios.base import Scenario, Stream, Task, class_counts

Rows = NDArray[np.int64]


def refuse_impossible(scenario: Scenario, dataset: Dataset) -> None:
    """What `check` could not say while the data was not known.

    Raises:
        UsageError: with the scenario's own reason.
    """
    reason = scenario.check(dataclasses.asdict(scenario.config), dataset.n_classes, len(dataset.train))
    if reason:
        raise UsageError(f"scenario '{scenario_name(scenario)}': {reason}")


def scenario_name(scenario: Scenario) -> str:
    """What users type: the file's name."""
    return type(scenario).__module__.rpartition(".")[2].replace("_", "-")


class Relabeled:
    """A dataset under stream labels.

    Attributes:
        order: (K,) original class behind every stream label; may leave out classes of the dataset.
        train: (N,) stream label of every training row, -1 for classes left out.
        test: likewise of the test rows.
    """

    def __init__(self, dataset: Dataset, order: NDArray[np.int64]) -> None:
        self.dataset = dataset
        self.order = order
        mapping = np.full(dataset.n_classes, -1, np.int64)
        mapping[order] = np.arange(len(order))
        self._mapping = torch.from_numpy(mapping)
        self.train: Rows = mapping[dataset.train.labels.cpu().numpy()]
        self.test: Rows = mapping[dataset.test.labels.cpu().numpy()]

    @property
    def n_classes(self) -> int:
        return len(self.order)

    def kept(self, share: float, rng: Rng) -> Rows:
        """Training rows of which `share` of every class is kept, ascending.

        The choice depends on the seed alone, so every scenario and class order of a seed leaves out the same images.
        """
        rows = np.arange(len(self.train))
        if share >= 1:
            return rows[self.train >= 0]
        generator = rng.numpy("scenario.kept")
        original = self.dataset.train.labels.cpu().numpy()
        keep = np.zeros(len(rows), bool)
        for c in range(self.dataset.n_classes):
            own = np.flatnonzero(original == c)
            keep[generator.permutation(own)[: max(1, round(share * len(own)))]] = True
        return rows[keep & (self.train >= 0)]

    def pools(self, rows: Rows, parts: Sequence[range]) -> list[Rows]:
        """Of training `rows`, those of each part's labels."""
        labels = self.train[rows]
        return [rows[(labels >= part.start) & (labels < part.stop)] for part in parts]

    def task(
        self,
        index: int,
        classes: Sequence[int],
        train: Rows,
        *,
        test: Rows | None = None,
        name: str = "",
        transform: Transform | None = None,
        has_label: bool = False,
    ) -> Task:
        """A task of training rows `train`, which are of `classes`; its test rows are all of those unless given."""
        if test is None:
            test = np.flatnonzero(np.isin(self.test, np.asarray(classes)))
        return Task(
            index=index,
            name=name or f"task {index + 1}",
            classes=tuple(classes),
            exposed=tuple(classes),
            train=self._split(self.dataset.train, train, transform),
            test=self._split(self.dataset.test, test, transform),
            has_label=has_label,
        )

    def test_set(self, name: str, rows: Rows) -> TestSet:
        """A test set that stands apart from the tasks, of test `rows`."""
        split = self._split(self.dataset.test, rows, None)
        return TestSet(name, split, tuple(np.unique(self.test[rows]).tolist()))

    def stream(self, tasks: Sequence[Task], kind: str, apart: Sequence[TestSet] = (), **notes: Any) -> Stream:
        """The stream of `tasks`, with test sets `apart` or each task's own; `kind` is "online" or "offline"."""
        tasks = tuple(tasks)
        return Stream(
            tasks=tasks,
            class_names=tuple(self.dataset.classes[c] for c in self.order),
            class_order=tuple(int(c) for c in self.order),
            online=kind == "online",
            counts=class_counts(tasks, self.n_classes),
            notes=notes,
            apart=tuple(apart),
        )

    def _split(self, split: Split, rows: Rows, transform: Transform | None) -> Split:
        part = split.subset(torch.from_numpy(np.ascontiguousarray(rows)).to(split.device)).relabel(self._mapping)
        return part if transform is None else dataclasses.replace(part, transform=transform)
