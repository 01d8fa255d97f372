"""What the memory held after each task: one bar per task, divided by class or by task of origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from textual.binding import Binding, BindingType

from cllab.record.events import MemoryUpdated
from cllab.record.state import RunState
from cllab.tui.theme import RGB, Palette, ink_on, mix, style
from cllab.tui.view import class_names, counts, memory_records, n_tasks, task_of_class
from cllab.tui.widgets.chart import Chart, Part, center, clip, message

MOST_GROUPS = 12
"""More classes than this are shown by task of origin."""
MOST_TASKS = 60
"""Of more tasks than this the memory is drawn as strips of shades."""


class Share(NamedTuple):
    """A part of a bar: how much, what stands in it, in which color."""

    amount: int
    label: str
    ink: RGB


def split_bar(
    shares: Sequence[Share],
    width: int,
    whole: int,
    empty: RGB,
    eighths: str,
    *,
    cut: bool = False,
) -> list[Part]:
    """A bar of `width` cells for `whole`, divided into `shares` to an eighth of a cell.

    It is as long as their sum, however many they are. Labels stand inside where they fit; with `cut`, their first
    letters where they do not.
    """
    ends = (
        np.round(np.cumsum([share.amount for share in shares]) / max(1, whole) * width * 8)
        .astype(int)
        .clip(0, width * 8)
    )
    owners = np.full(width * 8, -1)
    start = 0
    for k, end in enumerate(ends):
        owners[start:end] = k
        start = max(start, end)
    parts: list[Part] = []
    cell = 0
    while cell < width:
        here = owners[8 * cell : 8 * cell + 8]
        k = int(here[0])
        if (here != k).any():
            # the cell on an edge has two colors: its left part, and of what comes next what has most of the rest
            first = int((here == k).argmin())
            follower = int(np.bincount(here[first:] + 1).argmax()) - 1
            parts.append((eighths[first], style(shares[k].ink, shares[follower].ink if follower >= 0 else empty)))
            cell += 1
            continue
        # as many whole cells as it has
        others = np.flatnonzero(owners[8 * cell :] != k)
        n = (int(others[0]) // 8) if len(others) else width - cell
        if k < 0:
            parts.append((" " * n, style(None, empty)))
        else:
            _, label, ink = shares[k]
            if cell_len(label) > n:
                label = set_cell_size(label, n - 1) if cut and n >= 4 else ""
            parts.append((center(label, n), style(ink_on(ink), ink)))
        cell += n
    return parts


def class_inks(state: RunState, palette: Palette) -> list[RGB]:
    """A color per class: a tint of its task's, or its own where tasks share the classes."""
    owners = task_of_class(state)
    if len(set(owners)) <= 1:
        return [palette.of(i, len(owners)) for i in range(len(owners))]
    members: dict[int, list[int]] = {}
    for c, task in enumerate(owners):
        members.setdefault(task, []).append(c)
    inks = []
    for c, task in enumerate(owners):
        base = palette.of(task, max(1, n_tasks(state))) if task >= 0 else palette.muted
        group = members[task]
        share = group.index(c) / max(1, len(group) - 1) if len(group) > 1 else 0.0
        inks.append(mix(base, palette.background, 0.45 * share))
    return inks


class Composition(Chart):
    """The memory over the tasks; `g` switches between classes and tasks of origin."""

    HELP = (
        "One bar per moment (after each task), as long as the memory is full, divided by class or by task of origin "
        "(g). The number is how many samples are stored; + entered and \u2212 left since the task before."
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("g", "screen.group", "By class/task", id="composition.group")]
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
        many = len(class_names(self.state)) > MOST_GROUPS and not self.is_strip
        return "task" if self.by == "task" or many else "class"

    @property
    def is_strip(self) -> bool:
        """Whether there are too many tasks for colors: then shades say how much there is of each group."""
        return n_tasks(self.state) > MOST_TASKS

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        records = memory_records(self.state)
        if not records:
            started = self.state.started
            none = started is not None and started.capacity == 0
            return message("this run keeps no memory" if none else self.EMPTY, width, height, colors.muted)
        by_class = self.group() == "class"
        if self.is_strip:
            return self._shades(records, width, height, by_class=by_class)
        n = len(class_names(self.state)) if by_class else max(n_tasks(self.state), *(len(r.per_task) for r in records))
        n = min(n, 4000)
        names = class_names(self.state)[:n] if by_class else [f"T{i + 1}" for i in range(n)]
        inks = class_inks(self.state, colors)[:n] if by_class else [colors.of(i, n) for i in range(n)]
        if self.focus_task is not None:
            owners = task_of_class(self.state) if by_class else range(n)
            inks = [c if t == self.focus_task else colors.dim(c) for c, t in zip(inks, owners, strict=False)]
        legend = self._legend(names, inks, width) if n <= MOST_GROUPS and height >= 7 else []
        shown = records[-max(1, height - len(legend)) :]
        label = len(f"T{max(r.task for r in records) + 1}") + 1
        wide = width >= 40
        tail = 6 + (12 if wide else 0)
        room = max(4, width - label - tail)
        whole = max(max(r.capacity for r in records), max(sum(self._amounts(r, by_class, n)) for r in records), 1)
        tall = max(1, min(3, (height - len(legend)) // max(len(shown), min(n_tasks(self.state), 12))))
        rows: list[list[Part]] = []
        for record in shown:
            amounts = self._amounts(record, by_class, n)
            # first letters are a label only while they tell the classes apart
            cut = by_class and len({name[:3] for name in names}) == n
            # a few labels here and there would say less than none
            fit = (amounts * room // whole > 2).sum() * 2 >= (amounts > 0).sum()
            plain = [Share(int(amount), "", ink) for amount, ink in zip(amounts, inks, strict=True)]
            told = [share._replace(label=name) for share, name in zip(plain, names, strict=True)] if fit else plain
            bar = split_bar(told, room, whole, colors.background, self.glyphs.eighths, cut=cut)
            row: list[Part] = [(f"T{record.task + 1}".ljust(label), style(colors.muted))]
            row += bar
            row.append((f"{record.samples:>6}", style(colors.text, bold=record is records[-1])))
            if wide:
                row.append((f"{self.glyphs.up}{record.added}".rjust(6), style(colors.gained)))
                row.append((f"{self.glyphs.down}{record.evicted}".rjust(6), style(colors.lost)))
            rows.append(row)
            if tall == 3:
                below = split_bar(plain, room, whole, colors.background, self.glyphs.eighths)
                rows.append([(" " * label, style()), *below])
            if tall > 1:
                rows.append([])
        rows = rows[: height - len(legend)]
        rows += [[("", style())]] * max(0, height - len(rows) - len(legend))
        return rows + legend

    def _shades(self, records: Sequence[MemoryUpdated], width: int, height: int, *, by_class: bool) -> list[list[Part]]:
        """A row for some moments of the run, evenly over it; a cell is a few classes or tasks of origin, shaded by how
        many samples they have against the fullest cell of the row."""
        colors, glyphs = self.palette, self.glyphs
        n = len(class_names(self.state)) if by_class else n_tasks(self.state)
        label = len(f"T{n_tasks(self.state)}") + 1
        room = max(4, width - label - 6)
        group = -(-n // room)
        cells = -(-n // group)
        wide = max(1, min(3, room // cells))
        last = len(records) - 1
        rows_free = max(1, height - 1)
        chosen = (
            range(len(records))
            if last < rows_free
            else sorted({round(k * last / max(1, rows_free - 1)) for k in range(rows_free)})
        )
        rows: list[list[Part]] = []
        for i in chosen:
            record = records[i]
            amounts = np.add.reduceat(self._amounts(record, by_class, n), np.arange(0, n, group))
            row: list[Part] = [(f"T{record.task + 1}".ljust(label), style(colors.muted))]
            top = max(1, int(amounts.max()))
            for value in amounts.tolist():
                share = value / top
                back = colors.warmth(share)
                level = glyphs.levels[min(len(glyphs.levels) - 1, int(share * len(glyphs.levels)))] if value else " "
                row.append((level * wide, style(mix(back, ink_on(back), 0.3), back) if value else style(colors.grid)))
            row.append((f"{record.samples:>6}", style(colors.text, bold=i == last)))
            rows.append(row)
        what = (
            ("class" if by_class else "task of origin")
            if group == 1
            else f"{group} {'classes' if by_class else 'tasks of origin'}"
        )
        notes = (f"a column: {what}; shades: against the most of a row", f"a column: {what}")
        note = next((text for text in notes if len(text) <= width), notes[-1])
        return [*rows, [(clip(note, width, glyphs), style(colors.muted))]]

    @staticmethod
    def _amounts(record: MemoryUpdated, by_class: bool, n: int) -> NDArray[np.int64]:
        return counts(record.per_class if by_class else record.per_task, n)

    def _legend(self, names: Sequence[str], inks: Sequence[RGB], width: int) -> list[list[Part]]:
        rows: list[list[Part]] = [[]]
        used = 0
        for name, ink in zip(names, inks, strict=True):
            text = name if cell_len(name) <= 10 else clip(name, 10, self.glyphs)
            if used + cell_len(text) + 3 > width:
                if len(rows) == 2:
                    break
                rows.append([])
                used = 0
            rows[-1] += [(self.glyphs.bar + " ", style(ink)), (text + " ", style(self.palette.muted))]
            used += cell_len(text) + 3
        return rows
