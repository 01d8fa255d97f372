"""The panes that draw a run, by name: made and filled in one place for every screen that shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.snapshots import load
from cllab.tui.view import (
    Curves,
    accuracy_curves,
    class_names,
    forgetting_curves,
    most_forgotten,
    number,
    task_of_class,
    test_names,
)
from cllab.tui.widgets.chart import Chart
from cllab.tui.widgets.composition import Composition, class_inks
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.matrix import AccuracyMatrix
from cllab.tui.widgets.raster import DOTS
from cllab.tui.widgets.rates import Rates
from cllab.tui.widgets.stream_chart import StreamChart
from cllab.tui.widgets.thumbs import Item, RecentThumbs, Section, ThumbGrid
from cllab.tui.widgets.trace_view import TraceView


@dataclass(frozen=True)
class Look:
    """How a run is looked at.

    Attributes:
        focus_task: the task (0-based) in color, None for all.
        marker: what lines are drawn with.
        fitted: whether axes of accuracies and forgetting show the range of the data, not 0 to 100.
        by: what the memory is divided by, "class" or "task".
        lines: what has a line of its own: "test", a task or test set, or "class".
        large: for the last row of a hall: strong lines, and the number that matters in large digits.
        at: names of a traced step's numbers and pictures that are talked about.
    """

    focus_task: int | None = None
    marker: str = "braille"
    by: str = "class"
    at: tuple[str, ...] = ()
    fitted: bool = False
    large: bool = False
    lines: str = "test"


class ForgettingChart(LineChart):
    """How far every task is below its best."""

    HELP = (
        "One line per task: its best accuracy at the end of a task before, minus that now; below 0 it is better than "
        "it ever was. At the ends of tasks the mean is the metric. Keys as for the accuracies; no glance is in it."
    )


def accuracy(id: str) -> LineChart:
    """Accuracy of every task over the run."""
    return LineChart(
        title="accuracy per task %", empty="the first points appear when the first task is evaluated", id=id
    )


def forgetting(id: str) -> LineChart:
    """How far every task is below its best."""
    empty = "nothing can be forgotten before the first task is learned"
    return ForgettingChart(title="forgetting per task, points", mean="mean", empty=empty, id=id)


def classes(id: str) -> HeatStrip:
    """Accuracy of every class."""
    return HeatStrip(title="accuracy per class %", empty="classes are measured when the first task is learned", id=id)


class MemoryPictures(ThumbGrid):
    """The pictures that the memory holds, by class or task, as in its newest snapshot."""

    HELP = "The samples that the memory holds, as pictures."
    always_selected = False

    def __init__(self, *, title: str = "in memory", id: str | None = None) -> None:
        super().__init__(title=title, empty="the memory is reported when a task ends", id=id)
        self._shown: tuple[object, ...] | None = None

    def show_run(self, run: Run, state: RunState, *, by: str = "class") -> None:
        """Draw the newest snapshot of `run`, read once."""
        named = [m.snapshot for m in state.memory if m.snapshot]
        key = (str(run.folder), named[-1] if named else "", by, self.app.theme)
        if key == self._shown:
            return
        self._shown = key
        now = load(run.memory_folder / named[-1]) if named else None
        if now is None:
            self.show((), keep=False)
            return
        names, inks = class_names(state), class_inks(state, self.palette)
        groups = now.labels if by == "class" else now.tasks
        sections = []
        for group in np.unique(groups).tolist():
            items = []
            for i in np.flatnonzero(groups == group):
                label = int(now.labels[i])
                known = 0 <= label < len(names)
                picture = now.thumbs[now.pictures[i]] if now.pictures[i] >= 0 else None
                ink = inks[label] if known else self.palette.muted
                items.append(Item(int(now.ids[i]), picture, names[label] if known else str(label), "", ink))
            title = names[group] if by == "class" and 0 <= group < len(names) else f"T{group + 1}"
            sections.append(Section(f"{title}: {len(items)}", items))
        self.pixels = 8
        self.show(sections, keep=False)


MAKE: dict[str, Callable[[str], Chart]] = {
    "accuracy": accuracy,
    "forgetting": forgetting,
    "matrix": lambda id: AccuracyMatrix(id=id),
    "memory": lambda id: Composition(id=id),
    "rates": lambda id: Rates(id=id),
    "trace": lambda id: TraceView(id=id),
    "classes": classes,
    "samples": lambda id: RecentThumbs(id=id),
    "pictures": lambda id: MemoryPictures(id=id),
    "stream": lambda id: StreamChart(id=id),
}
"""A widget per name."""


_CURVES: dict[str, tuple[tuple[object, ...], Curves, Curves, tuple[int, float] | None]] = {}
"""What was computed last of accuracies, by kind of line: two charts draw it, ten times a second."""


def _curves(state: RunState, lines: str) -> tuple[Curves, Curves, tuple[int, float] | None]:
    """Accuracies, how far they are below their best, and who is farthest."""
    # the objects themselves, so that none of them is gone and another in its place
    key = (state.evaluations.storage, len(state.evaluations), state.started, len(state.memory), state.task, state.rows)
    kept = _CURVES.get(lines)
    if kept is None or any(a is not b and a != b for a, b in zip(kept[0], key, strict=True)):
        curves = accuracy_curves(state, lines)
        lost = forgetting_curves(curves)
        kept = _CURVES[lines] = (key, curves, lost, most_forgotten(lost))
    return kept[1:]


def _heading(pane: LineChart, state: RunState, look: Look) -> str:
    """What a chart is called; empty for one of tasks, which is called by who is looked at."""
    by_class = look.lines == "class"
    if not (by_class or state.is_apart):
        return ""
    what = "class" if by_class else "test set"
    if pane.mean_name == "mean":
        return f"below its best per {what}, points"
    names, i = class_names(state) if by_class else test_names(state), look.focus_task
    return f"accuracy % - {names[i]}" if i is not None and i < len(names) else f"accuracy per {what} %"


def fill(pane: object, run: Run, state: RunState, look: Look) -> None:
    """Draw `state` of `run` in `pane`."""
    marker = look.marker if look.marker in DOTS else "braille"
    if isinstance(pane, LineChart):
        curves, lost, worst = _curves(state, look.lines)
        shown = lost if pane.mean_name == "mean" else curves
        pane.show(
            shown,
            worst=worst,
            focus_task=look.focus_task,
            marker=marker,
            fitted=look.fitted,
            large=look.large,
            heading=_heading(pane, state, look),
        )
    elif isinstance(pane, AccuracyMatrix):
        pane.show(state, focus_task=look.focus_task)
    elif isinstance(pane, Composition):
        pane.show(state, by=look.by, focus_task=look.focus_task)
    elif isinstance(pane, Rates | StreamChart):
        pane.show(state)
    elif isinstance(pane, HeatStrip):
        values = [number(v) for v in state.per_class]
        pane.show(class_names(state)[: len(values)], values, owners=task_of_class(state), top=1.0, percent=True)
    elif isinstance(pane, TraceView):
        pane.show(run.folder, state.traces, class_names(state), look=look.at)
    elif isinstance(pane, MemoryPictures):
        pane.show_run(run, state, by=look.by)
    elif isinstance(pane, RecentThumbs):
        pane.show_run(run, state)
