"""The accuracies of a run so far: what its metrics are computed from, what its result and its checkpoints hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cllab import metrics
from cllab.record import events as ev

Row = tuple[float | None, ...]


@dataclass
class Scores:
    """Accuracies, as fractions.

    Attributes:
        rows: after every task, the accuracy on every test set (None: not evaluated).
        unnamed: the same without the task's name; empty where it is not told anyway.
        seen: after every task, the accuracy on the test samples of all classes seen, as the run reports it.
        best: the same of the best epoch of the deciding phase.
        left: the same of the model that was left after the latest task.
        per_class: after the latest task.
        baseline: of the untrained model, where forward transfer was asked for.
        curve: (samples seen, accuracy on what was seen) over the stream.
        epoch_best: best epoch of the current task so far.
        evaluated_until: evaluations over the stream so far.
        task_step, glances: step at which the current task began, and glances in it so far.
    """

    rows: list[Row] = field(default_factory=list)
    unnamed: list[Row] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    left: float | None = None
    per_class: Row = ()
    baseline: Row | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    epoch_best: float | None = None
    evaluated_until: int = 0
    task_step: int = 0
    glances: int = 0

    def add(self, tests: Row, unnamed: Row, per_class: Row, seen: float | None, *, report_best: bool) -> None:
        """Note the evaluation at the end of a task."""
        last = seen if seen is not None else float("nan")
        best = max(self.epoch_best, last) if self.epoch_best is not None else last
        self.rows.append(tests)
        if unnamed:
            self.unnamed.append(unnamed)
        self.seen.append(best if report_best else last)
        self.best.append(best)
        self.left = last
        self.per_class = per_class

    def metrics(self, n_tasks: int, tests: Sequence[int] | None, *, with_best: bool) -> dict[str, float]:
        """Every metric that the accuracies so far determine; `tests` as in `metrics.summary`."""
        values = metrics.summary(
            self.rows, self.seen, n_tasks=n_tasks, tests=tests, baseline=self.baseline, stream=self.curve
        )
        if self.unnamed:
            values["class_incremental_accuracy"] = metrics.task_accuracy(
                metrics.matrix(self.unnamed, n_tasks)[: len(self.unnamed)]
            )
        if self.best and with_best:
            values["best_accuracy"] = self.best[-1]
            if self.left is not None:
                values["left_accuracy"] = self.left
        return values

    def result(self, n_tasks: int, n_tests: int) -> dict[str, Any]:
        """Their part of `result.json`."""
        rows = [list(row) for row in self.rows] + [[None] * n_tests for _ in range(n_tasks - len(self.rows))]
        found: dict[str, Any] = {"accuracy_matrix": ev.plain(rows)}
        if self.baseline is not None:
            found["baseline"] = ev.plain(list(self.baseline))
        if self.unnamed:
            found["class_incremental_matrix"] = ev.plain([list(row) for row in self.unnamed])
        found["seen_accuracy"] = ev.plain(self.seen)
        return found

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: lists and numbers."""
        return {
            "rows": [list(r) for r in self.rows],
            "unnamed": [list(r) for r in self.unnamed],
            "seen": self.seen,
            "best": self.best,
            "left": self.left,
            "per_class": list(self.per_class),
            "baseline": None if self.baseline is None else list(self.baseline),
            "curve": [list(p) for p in self.curve],
            "epoch_best": self.epoch_best,
            "evaluated_until": self.evaluated_until,
            "task_step": self.task_step,
            "glances": self.glances,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Scores:
        """From what `state` returned."""
        return cls(
            rows=[tuple(r) for r in state["rows"]],
            unnamed=[tuple(r) for r in state["unnamed"]],
            seen=list(state["seen"]),
            best=list(state["best"]),
            left=state.get("left"),
            per_class=tuple(state["per_class"]),
            baseline=None if state["baseline"] is None else tuple(state["baseline"]),
            curve=[(int(n), float(a)) for n, a in state["curve"]],
            epoch_best=state["epoch_best"],
            evaluated_until=int(state["evaluated_until"]),
            task_step=int(state.get("task_step", 0)),
            glances=int(state.get("glances", 0)),
        )
