"""A value per class: a bar each while they fit, one cell each for the hundreds that no list can show at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.events import Resize

from cllab.tui.theme import ink_on, mix, style
from cllab.tui.widgets.bars import Bar, bar_rows
from cllab.tui.widgets.chart import Chart, Part, clip, message


class HeatStrip(Chart):
    """A value per class: as a bar, or as height and color of a cell, and then the cursor names the class."""

    HELP = (
        "One bar per class, in the color of its task; hollow means none. When they do not fit, one cell per class in "
        "the order of the stream, full where there is the most (the border says how many that are): the arrow keys "
        "move the cursor, the line below names its class."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1, 0)", "Class before", id="strip.left", show=False),
        Binding("right", "move(1, 0)", "Next class", id="strip.right", show=False),
        Binding("up", "move(0, -1)", "Up", id="strip.up", show=False),
        Binding("down", "move(0, 1)", "Down", id="strip.down", show=False),
    ]

    def __init__(self, *, title: str, empty: str, id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.empty = empty
        self.names: Sequence[str] = ()
        self.values: Sequence[float] = ()
        self.owners: Sequence[int] = ()
        self.top = 1.0
        self.percent = False
        self.cursor = 0
        self._across = 1

    def show(
        self,
        names: Sequence[str],
        values: Sequence[float],
        *,
        owners: Sequence[int] = (),
        top: float | None = None,
        percent: bool = False,
    ) -> None:
        """Draw `values`, one per name; `owners` is the task of each class, told under the cursor."""
        self.names, self.values, self.owners, self.percent = list(names), list(values), list(owners), percent
        finite = [v for v in values if np.isfinite(v)]
        self.top = top or max([*finite, 1e-9])
        self.cursor = min(self.cursor, max(0, len(names) - 1))
        self._entitle()
        self.invalidate()

    def action_move(self, right: int, down: int) -> None:
        """Move the cursor over the cells."""
        if self.names:
            self.cursor = min(max(0, self.cursor + right + down * self._across), len(self.names) - 1)
            self._entitle()
            self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, glyphs, n = self.palette, self.glyphs, len(self.names)
        if not n:
            return message(self.empty, width, height, colors.muted)
        if n <= height:
            owners = list(self.owners) if len(self.owners) == n else list(range(n))
            return bar_rows(
                [Bar(*told) for told in zip(self.names, self.values, owners, strict=False)],
                width,
                top=self.top,
                percent=self.percent,
                tall=min(2, height // n),
                palette=colors,
                glyphs=glyphs,
            )
        cell, across, room, first = self._plan(width, height)
        self._across = across
        rows: list[list[Part]] = []
        for y in range(first, min(first + room, -(-n // across))):
            row: list[Part] = []
            for i in range(y * across, min(n, (y + 1) * across)):
                value = float(self.values[i]) if i < len(self.values) else float("nan")
                row.append(self._cell(value, cell, marked=i == self.cursor))
            rows.append(row)
        return [*rows, [(clip(self.sentence(), width, glyphs), style(colors.text))]]

    def _plan(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Width of a cell, cells in a row, rows, and the first row: as large as fits, in whole groups of ten."""
        room = max(1, height - 1)
        for cell in (4, 3, 2, 1):
            across = max(1, width // cell)
            across = across // 10 * 10 if across > 10 else across
            if across >= 10 and len(self.names) <= across * room:
                break
        return cell, across, room, max(0, self.cursor // across - room + 1)

    def _entitle(self) -> None:
        """What stands on the border; not while it is drawn, which is then over."""
        width, height = self.size
        if not width or len(self.names) <= height:
            self.border_subtitle = ""
            return
        _, across, room, first = self._plan(width, height)
        hidden = len(self.names) - (first + room) * across
        notes = [f"{hidden} more below"] if hidden > 0 else []
        if not self.percent:
            notes.append(f"{self.glyphs.levels[-1]} {self._full():.0f} samples")
        self.border_subtitle = self.fitting(self.glyphs.sep.join(notes), *notes[-1:])

    def on_resize(self, event: Resize) -> None:
        """What stands on the border is that of this size."""
        super().on_resize(event)
        self._entitle()

    def _full(self) -> float:
        """What a full cell stands for. Eight levels cannot show one scale of all moments: where ten classes had two
        hundred each, a hundred would all be at the lowest level."""
        return self.top if self.percent else max([1.0, *(v for v in self.values if np.isfinite(v))])

    def sentence(self) -> str:
        """The class under the cursor in words."""
        if not self.names:
            return ""
        i = self.cursor
        value = float(self.values[i]) if i < len(self.values) else float("nan")
        said = (
            "not measured"
            if not np.isfinite(value)
            else f"{100 * value:.1f} %"
            if self.percent
            else f"{value:.0f} samples"
        )
        owner = f", task {self.owners[i] + 1}" if i < len(self.owners) and self.owners[i] >= 0 else ""
        return f"{i} {self.names[i]}{owner}: {said}"

    def _cell(self, value: float, cell: int, *, marked: bool) -> Part:
        colors, glyphs = self.palette, self.glyphs
        if not np.isfinite(value):
            return (glyphs.knob if marked else glyphs.dot).ljust(cell), style(colors.text if marked else colors.grid)
        share = min(1.0, max(0.0, value / self._full()))
        back = colors.warmth(share)
        if marked:
            return glyphs.knob.ljust(cell), style(ink_on(back), back, bold=True)
        if value == 0:
            return glyphs.empty.ljust(cell), style(colors.lost)
        level = glyphs.levels[min(len(glyphs.levels) - 1, int(share * len(glyphs.levels)))]
        return level * cell, style(mix(back, ink_on(back), 0.3), back)
