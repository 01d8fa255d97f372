"""The charts that commands print, drawn by plotext: the one place that knows its interfaces (5.3 and 6).

A line is told apart by the character at its points as well as by its color, so that charts read the same in a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cllab.io.output import Paper, visible

COLORS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
    (148, 103, 189),
    (140, 140, 60),
    (127, 127, 127),
)
"""Okabe and Ito's palette and three more: told apart by color-blind eyes, visible on light and dark."""
SEEN_COLOR = (128, 128, 128)
_ASCII = {ord(a): b for a, b in zip("┌┐└┘─│┤├┬┴┼█•", "++++-|||+++#*", strict=True)}
_BRAILLE = range(0x2800, 0x2900)


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: what it shows.
        mark: the character at its points.
        x, y: its points; NaN leaves a gap.
    """

    label: str
    mark: str
    x: Sequence[float]
    y: Sequence[float]
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Axis:
    """Ticks of an axis, each with its text, and the range that is shown."""

    ticks: Sequence[float]
    texts: Sequence[str]
    low: float
    high: float


class _Drawer(Protocol):
    def lines(self, lines: Sequence[Line], x: Axis, y: Axis, size: tuple[int, int], marker: str) -> str: ...
    def bars(self, heights: Sequence[float], x: Axis, y: Axis, size: tuple[int, int], color: Any) -> str: ...


def accuracy_chart(
    matrix: Sequence[Sequence[float | None]],
    seen: Sequence[float | None],
    paper: Paper,
    *,
    tests: Sequence[str] = (),
    height: int = 15,
) -> str:
    """Accuracy on each task over the tasks learned, and over all classes seen.

    Args:
        matrix: (i, T) accuracy rows.
        seen: (i,) accuracy over the classes seen so far.
        tests: names of the test sets, where they stand apart from the tasks.
    """
    n = len(matrix)
    if n < 2:
        return ""
    worst = None if tests else most_forgotten(matrix)
    shown = told_tasks(len(matrix[0]), worst)
    lines = []
    for place, column in enumerate(t for t in shown if t < n or tests):
        x = [float(i + 1) for i in points_of(matrix, column, apart=bool(tests))]
        y = [100 * float(matrix[int(i) - 1][column] or 0.0) for i in x]
        if x:
            mark = str(column + 1) if len(matrix[0]) <= 9 else "abcdefghi"[place]
            name = tests[column] if tests else f"task {column + 1}{' (most forgotten)' if column == worst else ''}"
            what = f"{mark} {name}"
            lines.append(Line(what, mark, x, y, COLORS[place % len(COLORS)]))
    known = [(i + 1.0, 100 * v) for i, v in enumerate(seen) if v is not None]
    if known:
        mark = "•" if paper.unicode else "*"
        # first, so that the tasks are drawn over it
        lines.insert(0, Line(f"{mark} all seen", mark, [i for i, _ in known], [v for _, v in known], SEEN_COLOR))
    lowest = min((v for line in lines for v in line.y), default=0.0)
    low = max(b for b in (0, 25, 50, 75) if b == 0 or b <= lowest - 2)
    ticks = [t + 1 for t in spread(n, 12)]
    x_axis = Axis(ticks, [str(t) for t in ticks], 1, n)
    marks = list(range(low, 101, {0: 25, 25: 25, 50: 10, 75: 5}[low]))
    y_axis = Axis(marks, [f"{m:g}" for m in marks], low, 100)
    drawn = _drawer().lines(lines, x_axis, y_axis, (paper.width, height), "braille" if paper.unicode else ".")
    # an axis that does not begin at zero is not taken for one that does
    title = f"accuracy (%) on each {'test set' if tests else 'task'}, over the tasks learned" + (
        f"; axis from {low} to 100" if low else ""
    )
    keys = [_tint(line.label, line.color, paper) for line in lines]
    return "\n".join([paper.bold(title), _finish(drawn, paper), *_legend(keys, paper)])


def forgetting_chart(forgetting: Sequence[float], paper: Paper, *, height: int = 11) -> str:
    """How many points each old task fell below its best; NaN where it is not known.

    forgetting: (E-1,) fractions.
    """
    if not any(math.isfinite(v) for v in forgetting):
        return ""
    heights = [100 * v if math.isfinite(v) else 0.0 for v in forgetting]
    low, high = min(0.0, *heights), max(1.0, *heights)
    step = _step(high - low)
    low = math.floor(low / step) * step
    high = math.ceil(high / step) * step
    ticks = [round(low + step * k, 6) for k in range(round((high - low) / step) + 1)]
    n = len(heights)
    places = [t + 1 for t in spread(n, 12)]
    told = [f"{100 * v:.1f}" if math.isfinite(v) else "-" for v in forgetting]
    texts = [f"{p}: {told[p - 1]}" if n <= 7 else str(p) for p in places]
    x_axis = Axis(places, texts, 0.4, n + 0.6)
    y_axis = Axis(ticks, [f"{t:g}" for t in ticks], low, high)
    drawn = _drawer().bars(heights, x_axis, y_axis, (paper.width, height), COLORS[4])
    title = "forgetting (points) of each task: its best earlier accuracy minus the last"
    return f"{paper.bold(title)}\n{_finish(drawn, paper)}"


def most_forgotten(matrix: Sequence[Sequence[float | None]]) -> int | None:
    """The old task that fell farthest below its best earlier accuracy; None where none fell. matrix: (i, E)."""
    worst, most = None, 0.0005
    for task in range(min(len(matrix) - 1, len(matrix[0]) if len(matrix) else 0)):
        earlier = [row[task] for row in matrix[task:-1] if row[task] is not None]
        now = matrix[-1][task]
        if earlier and now is not None and (fell := max(v for v in earlier if v is not None) - now) >= most:
            worst, most = task, fell + 1e-12
    return worst


def points_of(matrix: Sequence[Sequence[float | None]], column: int, *, apart: bool) -> list[int]:
    """The rows in which a column is drawn: where it was measured and, if it is a task's own, from its task on."""
    since = 0 if apart or column >= len(matrix) or matrix[column][column] is None else column
    return [i for i in range(since, len(matrix)) if matrix[i][column] is not None]


def told_tasks(n_tasks: int, worst: int | None) -> list[int]:
    """The tasks that a chart draws: all, or of many six and the most forgotten."""
    if n_tasks <= len(COLORS):
        return list(range(n_tasks))
    return sorted({*spread(n_tasks, 6), *([worst] if worst is not None else [])})


def spread(n: int, most: int) -> list[int]:
    """At most `most` of 0..n-1, evenly, the first and the last among them."""
    if n <= most:
        return list(range(n))
    return sorted({round(k * (n - 1) / (most - 1)) for k in range(most)})


def _step(span: float) -> float:
    """A tick distance that reads easily and gives about four ticks."""
    raw = max(span, 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)


def _tint(text: str, color: tuple[int, int, int], paper: Paper) -> str:
    red, green, blue = color
    return paper.style(text, f"38;2;{red};{green};{blue}")


def _legend(keys: Sequence[str], paper: Paper) -> list[str]:
    """The keys, several to a line."""
    lines, current = [], ""
    for key in keys:
        longer = f"{current}   {key}" if current else f"     {key}"
        if current and len(visible(longer)) > paper.width:
            lines.append(current)
            longer = f"     {key}"
        current = longer
    return [*lines, current] if current else lines


def _finish(drawn: str, paper: Paper) -> str:
    """What plotext drew, without colors or beyond ASCII where the paper cannot show them."""
    text = drawn if paper.color else visible(drawn)
    if not paper.unicode:
        text = "".join("." if ord(c) in _BRAILLE else c for c in text).translate(_ASCII)
    return "\n".join(re.sub(r"\s+((?:\x1b\[0m)?)$", r"\1", line) for line in text.rstrip("\n").splitlines())


def _drawer() -> _Drawer:
    import plotext

    major = str(getattr(plotext, "__version__", "5")).partition(".")[0]
    return _Plotext6(plotext.figure, plotext.terminal) if int(major) >= 6 else _Plotext5(plotext)


class _Plotext6:
    """Plotext from 6.0 on: a figure that signals are drawn on."""

    def __init__(self, figure: Any, terminal: Any) -> None:
        self.figure = figure
        # a chart in a pipe is not as wide as the terminal behind it
        terminal.limit(False, False)
        figure.clear()

    def lines(self, lines: Sequence[Line], x: Axis, y: Axis, size: tuple[int, int], marker: str) -> str:
        self._frame(x, y, size)
        for line in lines:
            self.figure.draw(self.figure.signal(line.x, line.y, marker=self._marker(marker, line.color)).lines())
        for line in lines:
            self.figure.draw(self.figure.signal(line.x, line.y, marker=self._marker(line.mark, line.color)))
        return str(self.figure.build().string())

    def bars(self, heights: Sequence[float], x: Axis, y: Axis, size: tuple[int, int], color: Any) -> str:
        self._frame(x, y, size)
        places = [float(i + 1) for i in range(len(heights))]
        self.figure.draw(self.figure.bar(places, list(heights), marker=self._marker("full", color), width=0.6))
        # bars bring ticks of their own
        self._rulers(x, y)
        return str(self.figure.build().string())

    def _frame(self, x: Axis, y: Axis, size: tuple[int, int]) -> None:
        self.figure.plot_size(*size)
        self.figure.theme("colorless")
        self._rulers(x, y)

    def _rulers(self, x: Axis, y: Axis) -> None:
        for name, axis in (("x", x), ("y", y)):
            self.figure.ruler(name).ticks(list(axis.ticks), list(axis.texts)).lim(axis.low, axis.high)

    @staticmethod
    def _marker(name: str, color: tuple[int, int, int]) -> Any:
        import plotext

        return plotext.marker(name, plotext.pixel(color))


class _Plotext5:
    """Plotext up to 5.3: a module with one current figure."""

    def __init__(self, module: Any) -> None:
        self.module = module
        module.clear_figure()
        module.limit_size(False, False)

    def lines(self, lines: Sequence[Line], x: Axis, y: Axis, size: tuple[int, int], marker: str) -> str:
        self._frame(x, y, size)
        for line in lines:
            self.module.plot(list(line.x), list(line.y), marker=marker, color=line.color)
        for line in lines:
            self.module.scatter(list(line.x), list(line.y), marker=line.mark, color=line.color)
        return str(self.module.build())

    def bars(self, heights: Sequence[float], x: Axis, y: Axis, size: tuple[int, int], color: Any) -> str:
        self._frame(x, y, size)
        places = [float(i + 1) for i in range(len(heights))]
        self.module.bar(places, list(heights), width=0.6, color=color)
        self._rulers(x, y)
        return str(self.module.build())

    def _frame(self, x: Axis, y: Axis, size: tuple[int, int]) -> None:
        self.module.plot_size(*size)
        self.module.theme("clear")
        self._rulers(x, y)

    def _rulers(self, x: Axis, y: Axis) -> None:
        self.module.xticks(list(x.ticks), list(x.texts))
        self.module.xlim(x.low, x.high)
        self.module.yticks(list(y.ticks), list(y.texts))
        self.module.ylim(y.low, y.high)
