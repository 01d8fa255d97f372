"""What the memory held after each task: one bar per task, divided by class or by task of origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cllab.events import MemoryUpdated
from cllab.state import RunState
from cllab.tui.theme import RGB, ink_on, style
from cllab.tui.view import class_names, counts, memory_records, n_tasks
from cllab.tui.widgets.chart import Chart, Part, clip, message

MOST_GROUPS = 12
"""More classes than this are shown by task of origin."""


def split_bar(
    amounts: NDArray[np.int64], labels: Sequence[str], inks: Sequence[RGB], width: int, whole: int, empty: RGB, eighths: str
) -> list[Part]:
    """A bar of `width` cells for `whole`, divided by `amounts` to an eighth of a cell, labels inside where they fit."""
    ends = np.round(np.cumsum(amounts) / max(1, whole) * width * 8).astype(int).clip(0, width * 8)
    parts: list[Part] = []
    cell, start = 0, 0
    for k, end in enumerate(ends):
        whole_cells = end // 8 - cell
        if end <= start:
            continue
        if whole_cells > 0:
            label = labels[k] if len(labels[k]) <= whole_cells - 1 or len(labels[k]) == whole_cells == 1 else ""
            parts.append((label.center(whole_cells), style(ink_on(inks[k]), inks[k])))
            cell += whole_cells
        if end % 8 and cell < width:
            # the cell on the edge has two colors: its left part and what comes next
            follower = next((inks[m] for m in range(k + 1, len(ends)) if ends[m] > end), empty)
            parts.append((eighths[end % 8], style(inks[k], follower)))
            cell += 1
        start = end
    if cell < width:
        parts.append((" " * (width - cell), style(None, empty)))
    return parts


class Composition(Chart):
    """The memory over the tasks; `g` switches between classes and tasks of origin."""

    HELP = (
        "One bar per moment (after each task), as long as the memory is full, divided by class or by task of origin (`g`). "
        "The number is how many samples are stored; + entered and \u2212 left since the task before."
    )
    EMPTY = "the memory is reported when a task ends"

    def __init__(self, *, title: str = "memory", id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.state = RunState()
        self.by = "class"
        self.focus_task: int | None = None

    def show(self, state: RunState, *, by: str = "class", focus_task: int | None = None) -> None:
        """Draw the records of `state` by "class" or by "task"."""
        same = state.memory == self.state.memory if len(state.memory) == len(self.state.memory) else False
        if same and (by, focus_task) == (self.by, self.focus_task) and state.started is self.state.started:
            return
        self.state, self.by, self.focus_task = state, by, focus_task
        self.border_title = f"{self.title} by {self.group()}"
        self.invalidate()

    def group(self) -> str:
        """What bars are divided by: many classes are shown by task."""
        many = len(class_names(self.state)) > MOST_GROUPS
        return "task" if self.by == "task" or many else "class"

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        records = memory_records(self.state)
        if not records:
            started = self.state.started
            none = started is not None and started.capacity == 0
            return message("this run keeps no memory" if none else self.EMPTY, width, height, colors.muted)
        by_class = self.group() == "class"
        n = len(class_names(self.state)) if by_class else max(n_tasks(self.state), *(len(r.per_task) for r in records))
        n = min(n, 4000)
        names = class_names(self.state)[:n] if by_class else [f"T{i + 1}" for i in range(n)]
        inks = [colors.of(i, n) for i in range(n)]
        if not by_class and self.focus_task is not None:
            inks = [c if i == self.focus_task else colors.dim(c) for i, c in enumerate(inks)]
        legend = self._legend(names, inks, width) if n <= MOST_GROUPS and height >= 5 else []
        shown = records[-max(1, height - len(legend)) :]
        label = len(f"T{max(r.task for r in records) + 1}") + 1
        wide = width >= 40
        tail = 6 + (12 if wide else 0)
        room = max(4, width - label - tail)
        whole = max(max(r.capacity for r in records), max(sum(self._amounts(r, by_class, n)) for r in records), 1)
        rows: list[list[Part]] = []
        for record in shown:
            amounts = self._amounts(record, by_class, n)
            row: list[Part] = [(f"T{record.task + 1}".ljust(label), style(colors.muted))]
            row += split_bar(amounts, names, inks, room, whole, colors.background, self.glyphs.eighths)
            row.append((f"{record.samples:>6}", style(colors.text, bold=record is records[-1])))
            if wide:
                row.append((f"{self.glyphs.up}{record.added}".rjust(6), style(colors.gained)))
                row.append((f"{self.glyphs.down}{record.evicted}".rjust(6), style(colors.lost)))
            rows.append(row)
        rows += [[("", style())]] * max(0, height - len(rows) - len(legend))
        return rows + legend

    @staticmethod
    def _amounts(record: MemoryUpdated, by_class: bool, n: int) -> NDArray[np.int64]:
        return counts(record.per_class if by_class else record.per_task, n)

    def _legend(self, names: Sequence[str], inks: Sequence[RGB], width: int) -> list[list[Part]]:
        row: list[Part] = []
        used = 0
        for name, ink in zip(names, inks, strict=True):
            text = name if len(name) <= 10 else clip(name, 10, self.glyphs)
            if used + len(text) + 3 > width:
                break
            row += [(self.glyphs.bar + " ", style(ink)), (text + " ", style(self.palette.muted))]
            used += len(text) + 3
        return [row]
