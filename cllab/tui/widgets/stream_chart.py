"""Which task brings how much of which class: the stream of a run as a table with shades."""

from __future__ import annotations

import numpy as np

from cllab.record.state import RunState
from cllab.tui.theme import ink_on, style
from cllab.tui.view import class_names, n_tasks
from cllab.tui.widgets.chart import Chart, Part, clip, message

MOST_ROWS = 60
"""More tasks than this share rows."""


class StreamChart(Chart):
    """A row per task that has begun, a column per class; a cell holds how many images of it the task brings."""

    HELP = "Each row is a task, each column a class; the number is how many images of the class the task brings."

    def __init__(self, *, title: str = "the stream: images per task and class", id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.state = RunState()

    def show(self, state: RunState) -> None:
        """Draw the stream of `state`; tasks that have not begun stay open."""
        if state.started is not self.state.started or state.task != self.state.task:
            self.state = state
            self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, started = self.palette, self.state.started
        counts = np.array(started.counts, float) if started is not None and started.counts else np.zeros((0, 0))
        if started is None or counts.ndim != 2 or not counts.size:
            return message("the stream is known when the run begins", width, height, colors.muted)
        names, n = class_names(self.state)[: counts.shape[1]], min(n_tasks(self.state), len(counts))
        each = max(1, -(-n // max(1, height - 1))) if n > MOST_ROWS else 1
        label = len(f"T{n}") + 1 if each == 1 else 2 * len(f"T{n}") + 1
        cell = max(1, min(9, (width - label) // max(1, len(names))))
        shown = names[: max(1, (width - label) // cell)]
        counts = np.add.reduceat(counts[:n], np.arange(0, n, each), axis=0)
        top = max(1.0, float(counts.max()))
        firsts = range(0, n, each)
        n = len(firsts)
        tall = max(1, min(3, (height - 1) // max(1, n)))
        head: list[Part] = [(" " * label, style())]
        head += [
            (clip(name, cell - 1, self.glyphs).rstrip().rjust(cell) if cell > 2 else " " * cell, style(colors.muted))
            for name in shown
        ]
        rows = [head]
        for task in range(n):
            begun = firsts[task] <= self.state.task
            name = (
                f"T{task + 1}" if each == 1 else f"T{firsts[task] + 1}-{min(firsts[task] + each, len(started.counts))}"
            )
            row: list[Part] = [(name.ljust(label), style(colors.text if begun else colors.muted))]
            blank: list[Part] = [(" " * label, style())]
            for value in counts[task, : len(shown)]:
                back = colors.warmth(value / top) if value and begun else None
                ink = ink_on(back) if back is not None else colors.grid
                number = f"{value:.0f}" if value and cell >= 4 else "" if value else self.glyphs.dot
                text = number if begun else "?" if cell >= 4 else self.glyphs.dot
                row.append((text.rjust(cell - 1).ljust(cell) if cell > 1 else text[:1] or " ", style(ink, back)))
                blank.append((" " * cell, style(None, back)))
            rows += [row if k == (tall - 1) // 2 else blank for k in range(tall)]
        return rows[:height]
