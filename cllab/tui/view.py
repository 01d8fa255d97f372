"""From a `RunState` to the arrays that charts draw: pure functions, which bear any state.

Also that of a log which was torn or edited by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cllab.record import events as ev
from cllab.record.state import RunState, Series
from cllab.tui.units import size as size

Floats = NDArray[np.float64]
MOST_TASKS = 2000
"""More tasks than any stream has: a guard against a hand-edited log, not a limit of the lab."""

LEAST_LOST = 0.0005
"""What is forgotten less is written 0.0 points."""


def n_tasks(state: RunState) -> int:
    """Tasks of the stream; before it is known, those that were seen."""
    known = state.n_tasks or max(len(state.rows), state.task + 1, 0)
    return min(known, MOST_TASKS)


def task_names(state: RunState) -> list[str]:
    """A name per task: the stream's own, else "T1", "T2", ..."""
    tasks = state.started.tasks if state.started else ()
    return [str(tasks[i].get("name") or f"T{i + 1}") if i < len(tasks) else f"T{i + 1}" for i in range(n_tasks(state))]


def n_tests(state: RunState) -> int:
    """Columns of the accuracy matrix: test sets that stand apart, else the tasks."""
    return min(state.n_tests, MOST_TASKS) if state.is_apart else n_tasks(state)


def test_names(state: RunState) -> list[str]:
    """A name per column of the accuracy matrix."""
    if state.started is None or not state.started.tests:
        return task_names(state)
    return [str(test.get("name") or f"set {j + 1}") for j, test in enumerate(state.started.tests[: n_tests(state)])]


def task_classes(state: RunState, task: int) -> list[str]:
    """Names of the classes that belong to `task`."""
    if state.started is None or not 0 <= task < len(state.started.tasks):
        return []
    classes = state.started.tasks[task].get("classes", ())
    names = state.started.class_names
    if not isinstance(classes, (tuple, list)):
        return []
    return [names[c] if isinstance(c, int) and 0 <= c < len(names) else str(c) for c in classes]


def class_names(state: RunState) -> list[str]:
    """A name per stream label; numbers where the log has none."""
    n = len(state.memory[-1].per_class) if len(state.memory) else 0
    names = list(state.started.class_names) if state.started else []
    n = max(n, len(names), len(state.per_class))
    return [names[i] if i < len(names) else str(i) for i in range(n)]


def task_of_class(state: RunState) -> list[int]:
    """The first task that owns each class, -1 for none."""
    owner = [-1] * len(class_names(state))
    if state.started:
        for i, task in enumerate(state.started.tasks):
            classes = task.get("classes", ())
            for c in classes if isinstance(classes, (tuple, list)) else ():
                if isinstance(c, int) and 0 <= c < len(owner) and owner[c] < 0:
                    owner[c] = i
    return owner


@dataclass(frozen=True)
class Curves:
    """Lines over the steps of a run.

    Attributes:
        x: (n,) steps.
        y: (n, L) a column per line, NaN where there is none: a task each, unless they have names.
        mean: (n,) the value over all.
        end: planned last step; the axis never moves.
        bounds: (E + 1,) step at which each task begins, and the end.
        whole: (n,) bool: measured on all test images; None when all are.
        after: (n,) the task at whose end it was measured, -1 within one; None: one point per task, in their order.
        glance: test images that the newest point was measured on, where those are not all; else 0.
        names: of the lines, where they are no tasks but test sets that stand apart, or classes.
    """

    x: Floats
    y: Floats
    mean: Floats
    end: float
    bounds: Floats
    whole: NDArray[np.bool_] | None = None
    after: NDArray[np.int64] | None = None
    glance: int = 0
    names: tuple[str, ...] = ()

    def name(self, line: int) -> str:
        """What a line is called beside it."""
        return self.names[line] if line < len(self.names) else f"T{line + 1}"


def number(value: object) -> float:
    """A float, NaN for what is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _row(values: Sequence[float | None], n: int) -> Floats:
    row = np.full(n, np.nan)
    k = min(n, len(values))
    row[:k] = [math.nan if v is None else v for v in values[:k]]
    return row


_ROWS: dict[tuple[int, str, int], tuple[object, list[tuple[ev.Evaluated, Floats]]]] = {}
"""Rows of values that were made into arrays before, by the evaluations that they are of: a run of hundreds of tasks and
classes is drawn ten times a second."""


def _made_rows(evaluations: Series[ev.Evaluated], points: Sequence[ev.Evaluated], by: str, n: int) -> Floats:
    """(P, n) values of the points, per task and test set or per class."""
    store = evaluations.storage
    key = (id(store), by, n)
    if key not in _ROWS and len(_ROWS) > 8:
        _ROWS.pop(next(iter(_ROWS)))
    kept = _ROWS.setdefault(key, (store, []))[1]
    rows = []
    for i, point in enumerate(points):
        if i >= len(kept) or kept[i][0] is not point:
            del kept[i:]
            kept.append((point, _row(point.per_class if by == "class" else point.tasks, n)))
        rows.append(kept[i][1])
    return np.array(rows).reshape(len(rows), n)


def accuracy_curves(state: RunState, by: str = "test") -> Curves:
    """Accuracy of every task, or on every test set that stands apart, at every evaluation; or "class" by class."""
    n, lines = n_tasks(state), len(class_names(state)) if by == "class" else n_tests(state)
    bounds = _bounds(state, n)
    points = [e for e in state.evaluations if 0 <= e.task < n and (by != "class" or e.per_class)]
    x = np.array([float(e.step) for e in points])
    y = _made_rows(state.evaluations, points, by, lines)
    mean = np.array([number(e.seen) for e in points])
    if len(x):
        x = np.maximum.accumulate(x)
        if x[-1] <= 0:
            # a method without steps: tasks are the unit
            bounds = np.arange(n + 1.0)
            x = np.array([e.task + 1.0 for e in points])
    end = max(float(bounds[-1]), float(x[-1]) if len(x) else 0.0, 1.0)
    whole = np.array([e.moment != "glance" for e in points], bool)
    after = np.array([e.task if e.moment == "task" else -1 for e in points], np.int64)
    glance = points[-1].images if points and not whole[-1] else 0
    names = tuple(class_names(state) if by == "class" else test_names(state) if state.is_apart else ())
    return Curves(x, y, mean, end, bounds, whole, after, glance, names)


def _bounds(state: RunState, n: int) -> Floats:
    steps = state.started.steps if state.started else ()
    planned = np.array([max(0.0, number(s)) for s in steps[:n]], float)
    planned = np.nan_to_num(planned)
    if len(planned) < n or not planned.sum():
        return np.arange(n + 1.0) if n else np.array([0.0, 1.0])
    return np.concatenate([[0.0], np.cumsum(planned)])


def forgetting_curves(curves: Curves) -> Curves:
    """How far each task is below the best it was at the end of a task before, from the end of its own on.

    At the ends of tasks these are the metric's numbers, the mean among them (`metrics.forgetting`): what a task reached
    within a task, as glances and evaluations of epochs see it, is in no row of the accuracy matrix. Negative where a
    task is better than ever. Glances at a part of the test images are left out; the mean is over the tasks that
    something came after. Of test sets that stand apart from the tasks, every row counts.
    """
    if not len(curves.x):
        return curves
    n = curves.y.shape[1]
    after = np.arange(len(curves.x)) if curves.after is None else curves.after
    x, y = curves.x, curves.y
    if curves.whole is not None:
        x, y, after = x[curves.whole], y[curves.whole], after[curves.whole]
    known = np.isfinite(y)
    # rows of the matrix in which a task has been learned, and the best of those before each point
    learned = known & (after[:, None] >= (0 if curves.names else np.arange(n)[None, :]))
    best = np.maximum.accumulate(np.where(learned, y, -np.inf), axis=0)
    best = np.concatenate([np.full((1, n), -np.inf), best[:-1]])
    had = np.isfinite(best)
    lost = np.where(had & known, best - np.where(known, y, 0.0), np.nan)
    counted = np.isfinite(lost).sum(axis=1)
    mean = np.where(counted > 0, np.nansum(lost, axis=1) / np.maximum(counted, 1), np.nan)
    # a line begins where its task was learned
    lost[learned & ~had] = 0.0
    return Curves(x, lost, mean, curves.end, curves.bounds, None, after, names=curves.names)


def most_forgotten(lost: Curves) -> tuple[int, float] | None:
    """The task that is farthest below its best now, and by how much; None while nothing is forgotten."""
    worst: tuple[int, float] | None = None
    for task, now in enumerate(lost.y[-1].tolist() if lost.y.ndim == 2 and len(lost.y) else ()):
        if now >= LEAST_LOST and (worst is None or now > worst[1]):
            worst = task, now
    return worst


def accuracy_matrix(state: RunState) -> tuple[Floats, Floats]:
    """(E, T) accuracy on task or test set j after task i, NaN where unknown, and (E,) over all seen classes."""
    n, columns = n_tasks(state), n_tests(state)
    r = np.full((n, columns), np.nan)
    for i, row in enumerate(state.rows[:n]):
        r[i] = _row(row, columns)
    return r, _row(state.seen, n)


def matrix_sentence(state: RunState, after: int, task: int, *, classes: bool = True) -> str:
    """What one cell of the matrix says, to be read aloud; `classes` names those of the task."""
    r, _ = accuracy_matrix(state)
    if not (0 <= after < len(r) and 0 <= task < r.shape[1]):
        return ""
    if state.is_apart:
        return _test_sentence(r[: after + 1, task], test_names(state)[task], task_names(state)[after], after)
    names = task_names(state)
    what = names[task]
    names = task_classes(state, task)
    if classes and names and ", ".join(names) != what:
        what += f" ({', '.join(names[:3])}{', and more' if len(names) > 3 else ''})"
    now = r[after, task]
    if not np.isfinite(now):
        return f"{what}: not measured after task {after + 1}" if after < task else f"{what}: not measured yet"
    text = f"{what}: {100 * now:.1f} % after task {after + 1}"
    learned = r[task, task]
    if after < task:
        return text + ", before it was learned"
    if after == task:
        return text + ", when it was just learned"
    # from when it was learned on, as forgetting is defined
    earlier = r[task : after + 1, task]
    best = int(np.nanargmax(earlier))
    lost = 100 * (earlier[best] - now)
    if np.isfinite(learned) and best:
        text += f", learned at {100 * learned:.1f}, best {100 * earlier[best]:.1f}"
    else:
        text += f", learned at {100 * earlier[best]:.1f}"
    return text + (f": forgot {lost:.1f} points" if lost >= 0.05 else ": nothing forgotten")


def _test_sentence(column: Floats, what: str, name: str, after: int) -> str:
    """One cell of a test set that stands apart: its accuracies up to that task, the newest last."""
    when = f"after task {after + 1}" + (f" ({name})" if name not in (f"T{after + 1}", f"task {after + 1}") else "")
    now = column[-1]
    if not np.isfinite(now):
        return f"{what}: not measured yet"
    best = int(np.nanargmax(column))
    lost = 100 * (column[best] - now)
    text = f"{what}: {100 * now:.1f} % {when}"
    return text + (f", {lost:.1f} points below its best, after task {best + 1}" if lost >= 0.05 else "")


def memory_records(state: RunState) -> list[ev.MemoryUpdated]:
    """The last record of the memory in each task, in order."""
    last: dict[int, ev.MemoryUpdated] = {}
    for record in state.memory:
        last[record.task] = record
    return [last[t] for t in sorted(last)]


def counts(values: Sequence[float | None], n: int) -> NDArray[np.int64]:
    """(n,) counts, never negative."""
    return np.maximum(0, np.nan_to_num(_row(values, n), posinf=0)).astype(np.int64)


def most(groups: Iterable[Sequence[float | None]]) -> float:
    """The largest count in any of them, at least 1: one scale for bars of several moments."""
    return max((float(v) for values in groups for v in values if v is not None and v > 0), default=1.0)


def losses(state: RunState, last: int = 600) -> dict[str, list[float]]:
    """Each loss term over the last records, NaN where it was missing."""
    records = state.steps[-last:] if len(state.steps) else []
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record.losses))
    return {name: [number(r.losses.get(name)) for r in records] for name in names}


def rates(state: RunState, last: int = 600) -> tuple[list[float], list[float]]:
    """Images per second and device bytes over the last records."""
    records = state.steps[-last:] if len(state.steps) else []
    return [number(r.images_per_second) for r in records], [number(r.device_bytes) for r in records]


def seconds_left(state: RunState) -> float | None:
    """Seconds until the end at the pace so far, pauses left out; None while it cannot be known."""
    return state.seconds_left


def clock(seconds: float | None) -> str:
    """A duration as 0:07, 12:34 or 1:02:03."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    total = int(seconds + 0.5)
    hours, rest = divmod(total, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def short(value: float) -> str:
    """A number in at most five characters."""
    if not math.isfinite(value):
        return "nan"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if suffix == "k" else limit)
            return f"{scaled:.3g}{suffix}" if scaled < 1000 else f"{scaled:.0f}{suffix}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
