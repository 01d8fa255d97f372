"""Accuracy or forgetting of every task over the whole planned run."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.message import Message

from cllab.tui.theme import RGB, style
from cllab.tui.view import Curves
from cllab.tui.widgets.chart import Chart, Part, message
from cllab.tui.widgets.raster import Line, draw_lines, runs

MOST_LINES = 24
"""More lines than this say nothing; evenly chosen ones are drawn and the pane says so."""
GUTTER = 9
"""Cells for labels at the right: sign, name and value."""
FARTHEST = 3
"""Rows between the end of a line and its label."""
SIGNS = "123456789abcdefghijklmnopqrstuvwxyz"


class LineChart(Chart):
    """One line per task and a bold one for the mean, on a fixed axis with task boundaries.

    Args:
        mean: what the line over all tasks is called; empty for none.
        empty: what to say before there is a point.
    """

    HELP = (
        "One line per task; f looks at one task and dims the rest, dashed lines are task boundaries, "
        "m changes the marker."
    )

    BINDINGS: ClassVar[list[BindingType]] = [Binding("m", "screen.marker", "Marker", id="chart.marker", show=False)]

    class Focused(Message):
        """The label of a task was clicked; None for the mean."""

        def __init__(self, task: int | None) -> None:
            super().__init__()
            self.task = task

    def __init__(self, *, title: str, mean: str = "all", empty: str, id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.mean_name, self.empty = mean, empty
        self.curves: Curves | None = None
        self.focus_task: int | None = None
        self.marker = "braille"
        self._label_rows: dict[int, int] = {}

    def show(self, curves: Curves, *, focus_task: int | None = None, marker: str = "braille") -> None:
        """Draw `curves`, with `focus_task` in front of the others."""
        self.curves, self.focus_task, self.marker = curves, focus_task, marker
        drawn = len(self._drawn())
        n = curves.y.shape[1] if curves.y.ndim == 2 else 0
        self.border_subtitle = f"{drawn} of {n} tasks drawn" if drawn < n else ""
        self.invalidate()

    def _drawn(self) -> list[int]:
        """The tasks that are drawn, the one in focus last, so that it lies on top."""
        if self.curves is None or self.curves.y.ndim != 2:
            return []
        n = self.curves.y.shape[1]
        chosen = (
            range(n) if n <= MOST_LINES else sorted({round(i * (n - 1) / (MOST_LINES - 1)) for i in range(MOST_LINES)})
        )
        rest = [i for i in chosen if i != self.focus_task]
        return rest + ([self.focus_task] if self.focus_task is not None and 0 <= self.focus_task < n else [])

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        curves = self.curves
        if curves is None or not len(curves.x) or not np.isfinite(curves.y).any():
            return message(self.empty, width, height, colors.muted)
        gutter = GUTTER if width >= 34 else 0
        axis = 4 if width >= 20 else 0
        w = max(1, width - gutter - axis)
        h = max(1, height - (1 if height >= 4 else 0))
        tasks = self._drawn()
        n = curves.y.shape[1]
        lines: list[Line] = [(curves.x, curves.y[:, i]) for i in tasks]
        inks = [colors.of(i, n) for i in tasks]
        signs = [SIGNS[i % len(SIGNS)] for i in tasks]
        if self.focus_task in tasks:
            inks = [colors.dim(c) for c in inks[:-1]] + [inks[-1]]
        has_mean = bool(self.mean_name) and n > 1 and bool(np.isfinite(curves.mean).any())
        if has_mean:
            # behind the line in focus, in front of the others
            at = len(lines) - 1 if self.focus_task in tasks else len(lines)
            lines.insert(at, (curves.x, curves.mean))
            inks.insert(at, colors.dim(colors.text) if self.focus_task in tasks else colors.text)
            signs.insert(at, "*")
            tasks.insert(at, -1)
        marker = "ascii" if self.glyphs.ascii else self.marker
        raster = draw_lines(
            lines, w, h, x_range=(0.0, curves.end), y_range=(0.0, 1.0), marker=marker, signs="".join(signs)
        )
        bounds = [min(w - 1, int(b / curves.end * w)) for b in curves.bounds[1:-1]] if w >= 5 * n else []
        styles = [style(c, bold=t in (-1, self.focus_task)) for c, t in zip(inks, tasks, strict=True)]
        labels = self._labels(tasks, inks, raster.ends, h) if gutter else {}
        rows = []
        for y in range(h):
            row: list[Part] = []
            if axis:
                row.append((self._tick(y, h), style(colors.grid)))
            text, owner = raster.text[y], raster.owner[y]
            if bounds:
                text, owner = text.copy(), owner.copy()
                free = [b for b in bounds if owner[b] < 0]
                text[free] = ord(self.glyphs.dash)
                owner[free] = -2
            row += [
                (part, styles[who] if who >= 0 else style(colors.grid if who == -2 else None))
                for part, who in runs(text, owner)
            ]
            if y in labels:
                row.append(labels[y])
            rows.append(row)
        if height >= 4:
            rows.append(self._axis(curves, n, axis, w))
        return rows

    def _tick(self, y: int, h: int) -> str:
        ticks = {0: "100", h - 1: "0"}
        if h >= 7:
            ticks[(h - 1) // 2] = "50"
        return f"{ticks.get(y, ''):>3}" + (self.glyphs.tee if y in ticks else self.glyphs.vline)

    def _labels(self, tasks: list[int], inks: list[RGB], ends: np.ndarray, h: int) -> dict[int, Part]:
        """Name and newest value beside the end of each line, in the order of the lines.

        Where they crowd, the task that is looked at, the mean and the newest tasks stay.
        """
        assert self.curves is not None
        shown: dict[int, Part] = {}
        self._label_rows = {}
        order = sorted(range(len(tasks)), key=lambda k: (tasks[k] != self.focus_task, tasks[k] != -1, -tasks[k]))
        known = [k for k in order if ends[k] >= 0]
        values = {k: self._newest(tasks[k]) for k in known}
        rows = spread({k: (int(ends[k]), -values[k]) for k in known}, h)
        for k, row in rows.items():
            task = tasks[k]
            name = self.mean_name if task < 0 else f"T{task + 1}"
            shown[row] = (f" {name:<4}{100 * values[k]:4.0f}", style(inks[k], bold=task in (-1, self.focus_task)))
            self._label_rows[row] = task
        return shown

    def _newest(self, task: int) -> float:
        assert self.curves is not None
        column = self.curves.mean if task < 0 else self.curves.y[:, task]
        return float(column[np.isfinite(column)][-1])

    def _axis(self, curves: Curves, n: int, axis: int, w: int) -> list[Part]:
        """Task names under the middle of their spans, as many as fit."""
        line = [" "] * w
        if n:
            edges = (curves.bounds / curves.end * w).astype(int)
            widest = max(len(f"T{n}") + 1, 3)
            every = max(1, -(-widest * n // max(1, w)))
            for i in range(0, n, every):
                name = f"T{i + 1}"
                middle = (edges[i] + edges[min(i + every, n) if every > 1 else i + 1]) // 2
                start = min(max(0, middle - len(name) // 2), max(0, w - len(name)))
                if all(c == " " for c in line[start : start + len(name)]):
                    line[start : start + len(name)] = name
        return [(" " * axis, style()), ("".join(line)[:w], style(self.palette.muted))]

    def on_click(self, event: object) -> None:
        """A click on a label looks at that task; on the plot, at none."""
        y = getattr(event, "y", 0) - 1
        if getattr(event, "x", 0) >= self.outer_size.width - GUTTER - 2 and y in self._label_rows:
            task = self._label_rows[y]
            self.post_message(self.Focused(None if task < 0 else task))


def spread(wishes: dict[int, tuple[int, float]], h: int) -> dict[int, int]:
    """A row of its own, of `h`, for everything that wishes for one, none more than `FARTHEST` from its wish.

    Args:
        wishes: (row, what decides among those with the same row, smallest first), the important ones first; who would
            take the room of a more important one is left out.
    """
    found: dict[int, int] = {}
    for k in list(wishes)[: 2 * h]:
        rows = _stacked([*found, k], wishes, h)
        if all(0 <= row < h and abs(row - wishes[i][0]) <= FARTHEST for i, row in rows.items()):
            found = rows
    return found


def _stacked(chosen: list[int], wishes: dict[int, tuple[int, float]], h: int) -> dict[int, int]:
    """Rows in the order of the wishes: each where it wishes to be or below the one before, moved up from the bottom."""
    rows: dict[int, int] = {}
    before = -1
    for k in sorted(chosen, key=wishes.__getitem__):
        before = rows[k] = max(wishes[k][0], before + 1)
    below = h
    for k in reversed(list(rows)):
        below = rows[k] = min(rows[k], below - 1)
    return rows
