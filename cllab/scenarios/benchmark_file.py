"""Tasks as a benchmark file holds them: GEM's and Bilevel Continual Learning's `.pt` files (dataset `benchmark-file`).

Lopez-Paz & Ranzato, arXiv:1706.08840; Pham et al., arXiv:2007.15553. Which classes a task owns is read from its labels,
not computed from its position as there, so files of fewer tasks or uneven ones keep their heads. Tasks share all labels
(permuted and rotated images) or none (split datasets); the latter are named at test time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.errors import DataError, UsageError
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, Rows
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class BenchmarkFile(Scenario):
    """The file's tasks, in its order."""

    info = ScenarioInfo(title="Benchmark file", paper="arXiv:1706.08840", has_class_tasks=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which of the file's tasks and samples are used, and how."""

        tasks: int = param(0, "The first tasks of the file; 0 for all", source="n_tasks", low=0)
        stream: Literal["online", "offline"] = param("online", "Whether the stream is read once or in epochs")
        samples: int = param(0, "Training images of a task, drawn at random; 0 for all", source="use", low=0)
        task_labels: bool = param(True, "Name the task at test time")

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        config, notes = self.config, dataset.notes.get("benchmark")
        if notes is None:
            raise UsageError("scenario 'benchmark-file' reads the tasks of dataset.name = 'benchmark-file'")
        n = config.tasks or len(notes["names"])
        if n > len(notes["names"]):
            raise UsageError(f"scenario.tasks = {n}, but {notes['path']} has {len(notes['names'])} tasks")
        labels = dataset.train.labels.cpu().numpy()
        spans = [np.arange(*span) for span in notes["train"][:n]]
        owned = [tuple(int(c) for c in np.unique(labels[rows])) for rows in spans]
        order = _order(owned, notes["path"])
        place = {c: i for i, c in enumerate(order)}
        data = Relabeled(dataset, np.array(order, np.int64))
        draw = rng.numpy("scenario.samples")
        tasks = [
            data.task(
                t,
                [place[c] for c in owned[t]],
                _some(spans[t], config.samples, draw),
                test=np.arange(*notes["test"][t]),
                name=notes["names"][t],
                has_label=config.task_labels,
            )
            for t in range(n)
        ]
        return data.stream(tasks, config.stream, rounded=dataset.notes.get("rounded", False))


def _order(owned: list[tuple[int, ...]], path: str) -> list[int]:
    """(K,) the file's label behind every stream label: task by task, or as they are where tasks share them."""
    if all(part == owned[0] for part in owned):
        return list(owned[0])
    first: dict[int, int] = {}
    for t, part in enumerate(owned):
        for c in part:
            if c in first:
                raise DataError(
                    f"{path}: tasks {first[c] + 1} and {t + 1} share label {c} but not all labels; "
                    "tasks must have the same labels, or none in common"
                )
            first[c] = t
    return [c for part in owned for c in part]


def _some(rows: Rows, samples: int, draw: np.random.Generator) -> Rows:
    return rows if samples == 0 or samples >= len(rows) else rows[draw.permutation(len(rows))[:samples]]
