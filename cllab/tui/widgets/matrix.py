"""The accuracy matrix R[i, j] with its numbers, and a sentence on the cell under the cursor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType

from cllab.record.state import RunState
from cllab.tui.theme import ink_on, mix, style
from cllab.tui.view import Floats, accuracy_matrix, matrix_sentence, test_names
from cllab.tui.widgets.chart import Chart, Part, clip, message, wrap


class AccuracyMatrix(Chart):
    """Rows: after learning task i. Columns: accuracy on task j, the last one over all classes seen so far."""

    HELP = (
        "Each row is a moment (after learning task i), each column a task: read down a column to see a task "
        "being forgotten. The arrow keys move the cursor; the sentence below says what its cell means."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Read a cell", id="matrix.up", key_display="arrows"),
        Binding("down,j", "move(1, 0)", "Later", id="matrix.down", show=False),
        Binding("left,h", "move(0, -1)", "Task before", id="matrix.left", show=False),
        Binding("right", "move(0, 1)", "Next task", id="matrix.right", show=False),
    ]

    def __init__(self, *, title: str = "accuracy matrix %", id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.state = RunState()
        self.cursor: tuple[int, int] | None = None
        self.focus_task: int | None = None
        self._r: Floats = np.zeros((0, 0))
        self._seen: Floats = np.zeros(0)
        self._mean = ""
        # label width, cell width, columns a cell, first row, rows shown, lines a row, tasks a cell
        self._geometry = (0, 1, 1, 0, 0, 1, 1)

    def show(self, state: RunState, *, focus_task: int | None = None) -> None:
        """Draw the matrix of `state`."""
        changed = (state.rows, state.seen, focus_task) != (self.state.rows, self.state.seen, self.focus_task)
        names = state.started is not self.state.started
        self.state, self.focus_task = state, focus_task
        if changed or names or not len(self._r):
            self._r, self._seen = accuracy_matrix(state)
            self.invalidate()

    @property
    def _done(self) -> int:
        rows = np.flatnonzero(np.isfinite(self._r).any(axis=1))
        return int(rows[-1]) + 1 if len(rows) else 0

    def _where(self) -> tuple[int, int]:
        """The cursor; until it is moved, the newest value of the task in focus, or of the first."""
        done = max(1, self._done)
        if self.cursor is None:
            return done - 1, self.focus_task if self.focus_task is not None else 0
        return min(self.cursor[0], done - 1), min(self.cursor[1], max(0, self._r.shape[1] - 1))

    def look_at(self, task: int) -> None:
        """Put the cursor on the row of `task`."""
        if self._r.size:
            self.cursor = (min(max(0, task), max(0, self._done - 1)), self._where()[1])
            self.invalidate()

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by cells as they are drawn."""
        if not self._r.size:
            return
        i, j = self._where()
        tall, wide = self._geometry[6], self._geometry[2]
        self.cursor = (
            min(max(0, i + down * tall), max(0, self._done - 1)),
            min(max(0, j + right * wide), self._r.shape[1] - 1),
        )
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, (tasks, n), done = self.palette, self._r.shape, self._done
        if not done:
            return message("the first row appears when the first task is learned", width, height, colors.muted)
        i, j = self._where()
        most = 0 if height < 5 else 1 if height < 7 else 2 if height < 10 else 4
        # hundreds of tasks against a few test sets: as many to a row as make them all fit
        each = max(1, -(-tasks // max(1, height - most - 1))) if self.state.is_apart else 1
        self._mean = f"; a row is the mean of {each} tasks" if each > 1 else ""
        sentence = self._sentence(i, j, width, most)
        room = height - len(sentence) - 1
        label = len(f"T{tasks}") + 1
        cell, bins = 1, 1
        for cell in (11, 9, 7, 6, 5, 4, 3, 2, 1):
            if label + n * cell + max(cell + 1, 4) <= width:
                break
        else:
            bins = -(-n // max(1, width - label - 4))
        numbers = cell >= 3
        if not numbers:
            cell = cell if bins == 1 else 1
        down = max(each, bins) if not self.state.is_apart else each
        shown = max(1, min(room, -(-done // down)))
        first = min(max(0, i // down - shown + 1), max(0, -(-done // down) - shown))
        if self.cursor is None:
            first = max(0, -(-done // down) - shown)
        # the height is planned for all tasks, so that rows do not shrink while the run goes on
        tall = max(1, min(3 if cell >= 5 else 1, (room - 1) // max(1, -(-tasks // down))))
        self._geometry = (label, cell, bins, first, shown, tall, down)
        rows: list[list[Part]] = [self._head(n, label, cell, bins, numbers, width)]
        for y in range(first, first + shown):
            row = self._matrix_row(y, label, cell, bins, numbers, (i, j), down)
            blank: list[Part] = [(" " * len(text), ink) for text, ink in row]
            rows += [row if k == (tall - 1) // 2 else blank for k in range(tall)]
        rows += [[("", style())]] * (1 if room - shown * tall >= 1 and sentence else 0)
        return rows + [[(line, style(colors.text))] for line in sentence]

    def _sentence(self, i: int, j: int, width: int, most: int) -> list[str]:
        """The cell in words, without the class names where they do not fit."""
        lines: list[str] = []
        for classes in (True, False):
            lines = wrap(matrix_sentence(self.state, i, j, classes=classes) + self._mean, width) if most else []
            if len(lines) <= most:
                break
        return (
            [*lines[: most - 1], clip(" ".join(lines[most - 1 :]), width, self.glyphs)] if len(lines) > most else lines
        )

    def _head(self, n: int, label: int, cell: int, bins: int, numbers: bool, width: int) -> list[Part]:
        muted = style(self.palette.muted)
        if numbers and cell >= label:
            return [
                (" " * label, muted),
                *((self._column(t, cell).rjust(cell), muted) for t in range(n)),
                ("all".rjust(cell + 1), muted),
            ]
        letter, what = ("S", "test sets") if self.state.is_apart else ("T", "tasks")
        note = f"{letter}1{self.glyphs.arrow}{letter}{n}" + (f", {bins} {what} a cell" if bins > 1 else "")
        return [(clip(" " * label + note, width, self.glyphs), muted)]

    def _column(self, j: int, cell: int) -> str:
        """What stands over column `j`: its task, or its test set's name where that fits, else its number."""
        if not self.state.is_apart:
            return f"T{j + 1}"
        name = test_names(self.state)[j]
        return name if len(name) < cell else f"S{j + 1}"

    def _matrix_row(
        self, y: int, label: int, cell: int, bins: int, numbers: bool, cursor: tuple[int, int], down: int
    ) -> list[Part]:
        colors, n = self.palette, self._r.shape[1]
        last = min((y + 1) * down, self._done) - 1
        here = cursor[0] // down == y
        row: list[Part] = [(f"T{last + 1}".ljust(label), style(colors.text if here else colors.muted, bold=here))]
        for x in range(-(-n // bins)):
            part = self._r[y * down : last + 1, x * bins : (x + 1) * bins]
            known = np.isfinite(part)
            value = float(part[known].mean()) if known.any() else float("nan")
            row.append(self._cell(value, cell, numbers, marked=here and cursor[1] // bins == x, column=x * bins))
        value = self._seen[last] if last < len(self._seen) else float("nan")
        if self._mean:
            among = self._seen[y * down : last + 1]
            value = float(among[np.isfinite(among)].mean()) if np.isfinite(among).any() else float("nan")
        tail = f"{100 * value:.0f}" if cell < 5 else f"{100 * value:.1f}"
        row.append(
            ((tail if np.isfinite(value) else "").rjust(cell + 1 if cell > 2 else 4), style(colors.text, bold=True))
        )
        return row

    def _cell(self, value: float, cell: int, numbers: bool, *, marked: bool, column: int) -> Part:
        colors = self.palette
        if not np.isfinite(value):
            sign = self.glyphs.knob if marked else self.glyphs.dot if cell >= 3 else " "
            # blank cells keep their plain background
            return sign.rjust(cell - (1 if cell > 1 else 0)).ljust(cell), style(colors.text if marked else colors.grid)
        back = colors.warmth(value)
        if self.focus_task is not None and column != self.focus_task:
            back = mix(colors.dim(back), back, 0.35)
        ink = ink_on(back)
        if not numbers:
            # without room for a number the level is a sign, so that the matrix reads without color
            level = self.glyphs.levels[min(7, int(value * 8))]
            return (self.glyphs.knob if marked else level).ljust(cell, level), style(
                ink if marked else mix(back, ink, 0.35), back
            )
        text = (
            f"{100 * value:.1f}" if cell >= 5 else f"{min(99, round(100 * value)) if cell == 3 else round(100 * value)}"
        )
        if len(text) >= cell and value >= 0.9995:
            text = "100"
        if marked:
            text = f"[{text}]" if cell >= len(text) + 2 else text
        return text.rjust(cell), style(ink, back, bold=marked)

    def on_click(self, event: object) -> None:
        """Move the cursor to the cell that was clicked."""
        label, cell, bins, first, shown, tall, down = self._geometry
        x, y = getattr(event, "x", 0) - 2 - label, getattr(event, "y", 0) - 2
        if x >= 0 and 0 <= y < shown * tall and x // cell * bins < self._r.shape[1]:
            self.cursor = ((first + y // tall) * down, x // cell * bins)
            self.invalidate()
