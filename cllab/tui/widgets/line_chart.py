"""Accuracy or forgetting of every task over the whole planned run."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message

from cllab.tui.theme import RGB, are_told_apart, mix, style
from cllab.tui.view import Curves, Floats
from cllab.tui.widgets.big import large
from cllab.tui.widgets.chart import Chart, Part, clip, message
from cllab.tui.widgets.raster import Line, Pen, draw_lines, runs

MOST_LINES = 24
"""More lines than this say nothing; evenly chosen ones are drawn and the pane says so."""
GUTTER = 11
"""Cells for labels at the right: what it is, sign, name and value."""
LONGEST = 12
"""Cells that the name of a line takes at most."""
LARGEST = 18
"""Blocks across that "100.0" takes in large digits."""
SIGNS = "123456789abcdefghijklmnopqrstuvwxyz"
STEPS = (1, 2, 5, 10, 20, 25, 50)
"""Points between two ticks of a fitted axis."""
GAINED = 0.01
"""A line that much below 0 would be seen to be there."""
LOWEST = -95
"""Where a fitted axis begins at the lowest."""
HARDLY = 0.05
"""Points below 0 that are written as 0.0."""
NARROWEST = 2
"""Points that a fitted axis shows at least: less would blow up noise."""


@dataclass(frozen=True)
class Axis:
    """The range that is shown, in points, and where its ticks are."""

    low: int = 0
    high: int = 100
    step: int = 50

    def rows(self, h: int) -> dict[int, str]:
        """The text of each row of `h` that has a tick: of both ends, and of those between that have room."""
        ticks = {0: f"{self.high}", h - 1: f"{self.low}"}
        for value in range(self.low + self.step, self.high, self.step):
            row = int((self.high - value) / (self.high - self.low) * (h - 1))
            if all(abs(row - other) >= 2 for other in ticks) and h >= 7:
                ticks[row] = f"{value}"
        return ticks


def fitted_axis(values: Floats) -> Axis:
    """The narrowest axis with round ends that holds all `values` (fractions; NaN is passed over).

    Within 0 to 100; below 0 where values are, as of tasks that are better than they ever were.
    """
    known = 100 * values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 100.0)
    step = next((s for s in STEPS if max(high - low, NARROWEST) / s <= 7), STEPS[-1])
    # a hair, for 0.7 * 100 is more than 70
    bottom = max(0 if low > -HARDLY else LOWEST, math.floor(low / step + 1e-6) * step)
    top = min(100, math.ceil(high / step - 1e-6) * step)
    while top - bottom < max(step, NARROWEST):
        bottom, top = (bottom, top + step) if top + step <= 100 else (bottom - step, top)
    return Axis(bottom, top, step)


class LineChart(Chart):
    """One line per task and a bold one for the mean behind them, with task boundaries.

    The axis goes from 0 to 100 and never moves, or is fitted to the data, and then the title says so.

    Args:
        mean: what the line over all tasks is called; empty for none.
        empty: what to say before there is a point.
    """

    HELP = (
        "One line per task; f looks at one task and dims the rest, dashed lines are task boundaries. y fits the axis "
        "to what the learned tasks reach, and the title then says its range. The sign \u25be is at the most forgotten "
        "task; a value with ~ is a glance at a part of the test images. Where colors cannot tell the lines apart, they "
        "carry the numbers of their tasks. m changes the marker."
    )

    BINDINGS: ClassVar[list[BindingType]] = [Binding("m", "screen.marker", "Marker", id="chart.marker", show=False)]

    class Focused(Message):
        """The label of a task was clicked; None for the mean."""

        def __init__(self, task: int | None) -> None:
            super().__init__()
            self.task = task

    def __init__(self, *, title: str, mean: str = "all", empty: str, id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.heading = title
        self.mean_name, self.empty = mean, empty
        self.curves: Curves | None = None
        self.focus_task: int | None = None
        self.worst: tuple[int, float] | None = None
        self.marker = "braille"
        self.fitted = False
        self.large = False
        self._gutter = GUTTER
        self._label_rows: dict[int, int] = {}

    def show(
        self,
        curves: Curves,
        *,
        worst: tuple[int, float] | None = None,
        focus_task: int | None = None,
        marker: str = "braille",
        fitted: bool = False,
        large: bool = False,
        heading: str = "",
    ) -> None:
        """Draw `curves`, with `focus_task` in front of the others.

        Args:
            curves: a line per task.
            worst: the most forgotten task and how far (a fraction) it is below its best; it always has its label.
            focus_task: who is in color, while the others step back.
            marker: see `raster.draw_lines`.
            fitted: whether the axis shows the range of the data.
            heading: what the chart is called from now on; empty: as before.
            large: with strong lines, and the number of the task that is looked at (else the mean) in large digits.
        """
        self.curves, self.focus_task, self.marker = curves, focus_task, marker
        self._gutter = GUTTER + min(LONGEST, max([4, *map(len, curves.names)])) - 4
        self.worst, self.fitted, self.large = worst, fitted, large
        self.heading = heading or self.heading
        self._entitle()
        self.invalidate()

    def on_resize(self, event: Resize) -> None:
        """What stands on the border fits it again."""
        super().on_resize(event)
        self._entitle()

    def entitle(self, heading: str) -> None:
        """What the chart is called from now on; a fitted axis is told before it."""
        self.heading = heading
        self._entitle()

    def _entitle(self) -> None:
        axis = self._axis()
        # first, for a title that is too long is cut at its end
        said = f"axis {axis.low} to {axis.high}: " if self.fitted and self._has_points() else ""
        short = re.sub(" per (task|test set|class)", "", self.heading)
        self.border_title = self.fitting(said + self.heading, said + short)
        self.border_subtitle = self.fitting(*self._notes())

    def _notes(self) -> list[str]:
        """What stands below the chart, the longest way of saying it first."""
        if self.curves is None:
            return [""]
        drawn = len(self._drawn())
        n = self.curves.y.shape[1] if self.curves.y.ndim == 2 else 0
        notes = [f"{drawn} of {n} {'lines' if self.curves.names else 'tasks'} drawn"] if drawn < n else []
        if self.curves.glance:
            # first: without it the numbers would be taken for those of all test images
            notes.insert(0, f"~ on {self.curves.glance} test images")
        if self._is_cut():
            notes.append("what lies outside is cut off")
        elif not self.fitted and self._has_points() and np.nanmin(self._all()) < -GAINED:
            notes.append("what is below 0 is drawn at 0")
        if self.worst is None:
            return [self.glyphs.sep.join(notes)]
        worst = f"{self.curves.name(self.worst[0])}, {100 * self.worst[1]:.1f} points"
        sign = self.glyphs.worst
        glance = notes[:1] if self.curves.glance else []
        return [
            self.glyphs.sep.join([f"{sign} most forgotten: {worst}", *notes]),
            self.glyphs.sep.join([f"{sign} most forgotten: {worst}", *glance]),
            self.glyphs.sep.join([f"{sign} {worst}", *glance]),
            f"{sign} {worst}",
        ]

    def _is_cut(self) -> bool:
        """Whether something lies outside the axis."""
        if not self.fitted or not self._has_points():
            return False
        axis, values = self._axis(), self._all()
        known = 100 * values[np.isfinite(values)]
        return bool(((known < axis.low - 1e-6) | (known > axis.high + 1e-6)).any())

    def _has_points(self) -> bool:
        return self.curves is not None and bool(len(self.curves.x)) and bool(np.isfinite(self.curves.y).any())

    def _axis(self) -> Axis:
        if not self.fitted or self.curves is None or not self._has_points():
            return Axis()
        values = self._learned()
        values = values if np.isfinite(values).any() else self._all()
        newest = np.concatenate([self.curves.y[-1, self._drawn()], self.curves.mean[-1:]])
        # what was gained for a moment does not press together what was lost; what is gained now is shown
        floor = min(-np.nanmax(values, initial=NARROWEST / 100) / 2, np.nanmin(newest, initial=0.0))
        return fitted_axis(np.maximum(values, floor))

    def _all(self) -> Floats:
        assert self.curves is not None
        return np.concatenate([self.curves.y[:, self._drawn()].ravel(), self.curves.mean])

    def _learned(self) -> Floats:
        """What is drawn of every task since it was learned: what comes before begins near nothing."""
        assert self.curves is not None
        curves, tasks = self.curves, self._drawn()
        # a hair, for steps may be counted otherwise than they were planned
        since = np.array([curves.bounds[min(t + 1, len(curves.bounds) - 1)] for t in tasks]) - 1e-6 * curves.end
        rows = curves.x[:, None] >= (np.zeros_like(since) if curves.names else since)[None, :]
        first = curves.x >= curves.bounds[min(1, len(curves.bounds) - 1)] - 1e-6 * curves.end
        return np.concatenate([curves.y[:, tasks][rows], curves.mean[first]])

    def _drawn(self) -> list[int]:
        """The tasks that are drawn, the most forgotten and the one in focus last, so that they lie on top."""
        if self.curves is None or self.curves.y.ndim != 2:
            return []
        n = self.curves.y.shape[1]
        chosen = (
            range(n) if n <= MOST_LINES else sorted({round(i * (n - 1) / (MOST_LINES - 1)) for i in range(MOST_LINES)})
        )
        front = [i for i in (self.worst[0] if self.worst else None, self.focus_task) if i is not None and 0 <= i < n]
        front = [i for k, i in enumerate(front) if i not in front[k + 1 :]]
        return [i for i in chosen if i not in front] + front

    def _inks(self, tasks: Sequence[int], n: int) -> list[RGB]:
        """A color per drawn task: its own, or where there are too many for that, one by its place among the drawn."""
        places = {task: task if n <= MOST_LINES else k for k, task in enumerate(sorted(tasks))}
        inks = [self.palette.of(places[i], n if n <= MOST_LINES else len(tasks)) for i in tasks]
        # without colors a dark hue is a gray that can hardly be seen
        return [mix(c, self.palette.text, 0.5) for c in inks] if self.color_system is None else inks

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        curves = self.curves
        if curves is None or not self._has_points():
            return message(self.empty, width, height, colors.muted)
        scale = self._scale(width, height)
        gutter = (2 + LARGEST * scale if scale else self._gutter) if width >= 34 else 0
        left = 4 if width >= 20 else 0
        w = max(1, width - gutter - left)
        h = max(1, height - (1 if height >= 4 else 0))
        tasks = self._drawn()
        n = curves.y.shape[1]
        looked_at = self.focus_task in tasks
        lines: list[Line] = [(curves.x, curves.y[:, i]) for i in tasks]
        inks = self._inks(tasks, n)
        marker = "ascii" if self.glyphs.ascii else self.marker
        # the hues of 24 lines differ, but who could name them all; a number can be read
        numbered = marker != "ascii" and (
            len(tasks) > len(colors.series) or not are_told_apart(inks, self.color_system)
        )
        if looked_at:
            inks = [colors.dim(c) for c in inks[:-1]] + [inks[-1]]
        if bool(self.mean_name) and n > 1 and bool(np.isfinite(curves.mean).any()):
            # behind the tasks, for it is the widest known; behind the one in focus, in front of those that step back
            at = len(lines) - 1 if looked_at else 0
            lines.insert(at, (curves.x, curves.mean))
            inks.insert(at, colors.dim(colors.text) if looked_at else colors.text)
            tasks.insert(at, -1)
        signs = "".join(_sign(t) for t in tasks)
        axis = self._axis()
        raster = draw_lines(
            lines,
            w,
            h,
            x_range=(0.0, curves.end),
            y_range=(axis.low / 100, axis.high / 100),
            pen=Pen(marker, signs, thick=2 if scale == 2 and marker == "quadrant" else 1),
            cut=self.fitted,
        )
        text, owner = raster.text, raster.owner
        if numbered:
            text = with_numbers(text, owner, [str(t + 1) if t >= 0 else "" for t in tasks])
        many = len(curves.bounds) - 1
        bounds = [min(w - 1, int(b / curves.end * w)) for b in curves.bounds[1:-1]] if w >= 5 * many else []
        bold = {-1, self.focus_task, self.worst[0] if self.worst else -1}
        styles = [style(c, bold=t in bold) for c, t in zip(inks, tasks, strict=True)]
        labels = self._labels(tasks, inks, raster.ends, h, bold, scale) if gutter else {}
        ticks = axis.rows(h)
        rows = []
        for y in range(h):
            row: list[Part] = []
            if left:
                row.append((self._tick(ticks, y), style(colors.muted if self.fitted else colors.grid)))
            line, who = text[y], owner[y]
            if bounds:
                line, who = line.copy(), who.copy()
                free = [b for b in bounds if who[b] < 0]
                line[free] = ord(self.glyphs.dash)
                who[free] = -2
            row += [
                (part, styles[k] if k >= 0 else style(colors.grid if k == -2 else None)) for part, k in runs(line, who)
            ]
            if y in labels:
                row.append(labels[y])
            rows.append(row)
        if height >= 4:
            rows.append(self._names(curves, many, left, w))
        return rows

    def _tick(self, ticks: dict[int, str], y: int) -> str:
        """The axis in row `y`; that of a fitted one is broken."""
        rest = self.glyphs.dash if self.fitted else self.glyphs.vline
        return f"{ticks.get(y, ''):>3}" + (self.glyphs.tee if y in ticks else rest)

    def _labels(
        self, tasks: list[int], inks: list[RGB], ends: np.ndarray, h: int, bold: set[int | None], scale: int
    ) -> dict[int, Part]:
        """Name and newest value beside the end of each line, in the order of the lines.

        Where there are more than rows, the task that is looked at, the most forgotten, the mean and the newest stay.
        """
        assert self.curves is not None
        shown: dict[int, Part] = {}
        self._label_rows = {}
        worst = self.worst[0] if self.worst else None

        def importance(k: int) -> tuple[bool, bool, bool, int]:
            return (tasks[k] != self.focus_task, tasks[k] != worst, tasks[k] != -1, -tasks[k])

        known = [k for k in sorted(range(len(tasks)), key=importance) if ends[k] >= 0]
        values = {k: self._newest(tasks[k]) for k in known}
        wishes = {k: (int(ends[k]), -values[k]) for k in known}
        digits: list[str] = []
        if scale and known:
            told = next((k for k in known if tasks[k] in (self.focus_task, -1)), known[0])
            digits = large(_points(values[told]), scale, self.glyphs)
            at = wishes[told][0]
            wishes = {k: (row if row <= at else max(at, row - len(digits)), v) for k, (row, v) in wishes.items()}
        # its digits stand below its label, and the labels of the others make room
        placed = spread(wishes, h - len(digits))
        after = placed.get(told, h) if digits else h
        for k, row in placed.items():
            task = tasks[k]
            name = self.mean_name if task < 0 else clip(self.curves.name(task), self._gutter - 7, self.glyphs)
            what = self.glyphs.worst if task == worst else " "
            # in ASCII the tenth line is drawn with an "a", which only its label explains
            sign = _sign(task) if self.glyphs.ascii and task >= 9 else " "
            # who steps back can still be read
            back = self.focus_task is not None and self.focus_task in tasks and task != self.focus_task
            ink = style(self.palette.muted if back else inks[k], bold=task in bold)
            y = row + (len(digits) if row > after else 0)
            said = _points(values[k])
            if self._is_glance(task):
                said = f"~{said}" if len(said) < 5 else "~100"
            shown[y] = (f"{what}{sign}{name:<{self._gutter - 7}}{said:>5}", ink)
            self._label_rows[y] = task
            if row == after:
                for below, line in enumerate(digits):
                    shown[y + 1 + below] = (f"  {line}", ink)
        return shown

    def _scale(self, width: int, height: int) -> int:
        """How large the digits are that this pane has room for; 0 for none."""
        if not self.large or height < 12:
            return 0
        return 2 if width >= 150 and height >= 24 else 1 if width >= 90 and not self.glyphs.ascii else 0

    def _is_glance(self, task: int) -> bool:
        """Whether the newest value of `task` is of a part of the test images."""
        assert self.curves is not None
        column = self.curves.mean if task < 0 else self.curves.y[:, task]
        return bool(self.curves.glance) and bool(np.isfinite(column[-1]))

    def _newest(self, task: int) -> float:
        assert self.curves is not None
        column = self.curves.mean if task < 0 else self.curves.y[:, task]
        return float(column[np.isfinite(column)][-1])

    def _names(self, curves: Curves, n: int, left: int, w: int) -> list[Part]:
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
        return [(" " * left, style()), ("".join(line)[:w], style(self.palette.muted))]

    def on_click(self, event: object) -> None:
        """A click on a label looks at that task; on the plot, at none."""
        y = getattr(event, "y", 0) - 1
        if getattr(event, "x", 0) >= self.outer_size.width - self._gutter - 2 and y in self._label_rows:
            task = self._label_rows[y]
            self.post_message(self.Focused(None if task < 0 else task))


def _points(value: float) -> str:
    """A fraction times 100, with a decimal; what is hardly below 0 is 0."""
    said = f"{100 * value:.1f}"
    return "0.0" if said == "-0.0" else said


def _sign(task: int) -> str:
    """What a line is drawn with in ASCII; -1 for the mean."""
    return "*" if task < 0 else SIGNS[task % len(SIGNS)]


def with_numbers(text: NDArray[np.uint32], owner: NDArray[np.int32], names: Sequence[str]) -> NDArray[np.uint32]:
    """The cells with the name of every line written on it, here and there, beside those of the other lines.

    Args:
        text, owner: (h, w) as in a `Raster`.
        names: per line; an empty one is not written.
    """
    out = text.copy()
    w = owner.shape[1]
    named = [s for s, name in enumerate(names) if name]
    apart = max(16, 4 * len(named))
    for k, s in enumerate(named):
        name = np.array([ord(c) for c in names[s]], np.uint32)
        mine = owner == s
        # cells in a row of one line, as many as the name is long
        room = mine[:, : w - len(name) + 1].copy()
        for more in range(1, len(name)):
            room &= mine[:, more : more + room.shape[1]]
        columns = np.flatnonzero(room.any(axis=0))
        wish = int(columns[0]) + 1 + k * apart // len(named) % apart if len(columns) else w
        while len(columns):
            later = columns[columns >= wish]
            if not len(later):
                if wish <= int(columns[0]) + apart:
                    # a short line has its name at its end
                    later = columns[-1:]
                else:
                    break
            column = int(later[0])
            out[int(room[:, column].argmax()), column : column + len(name)] = name
            wish = max(wish, column) + apart
    return out


def spread(wishes: dict[int, tuple[int, float]], h: int) -> dict[int, int]:
    """A row of its own, of `h`, for everything that wishes for one, in their order and together as near as can be.

    Args:
        wishes: (row, what decides among those with the same row, smallest first), the important ones first; of more
            than `h` those are left out that come later.
    """
    chosen = sorted(list(wishes)[:h], key=wishes.__getitem__)
    # rows that rise by one at least are numbers that do not fall plus 0, 1, 2, ...: neighbors that would fall are
    # given their mean until none does, which is the nearest such sequence in squares (pool adjacent violators)
    pools: list[tuple[float, int]] = []
    for place, k in enumerate(chosen):
        total, n = float(wishes[k][0] - place), 1
        while pools and pools[-1][0] / pools[-1][1] > total / n:
            before = pools.pop()
            total, n = total + before[0], n + before[1]
        pools.append((total, n))
    level = [min(max(0, round(total / n)), h - len(chosen)) for total, n in pools for _ in range(n)]
    return {k: row + place for place, (k, row) in enumerate(zip(chosen, level, strict=True))}
