"""Which task's memory is shown, under which policy, how full, how large."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.events import Click
from textual.message import Message

from cllab.record.events import MemoryUpdated
from cllab.record.state import RunState
from cllab.tui.theme import style
from cllab.tui.view import n_tasks, size
from cllab.tui.widgets.chart import Chart, Part, clip


class MemoryBar(Chart, can_focus=False):
    """Two lines: the tasks with the shown one in brackets; policy, samples of capacity, bytes, what came and went.

    A click on a task shows its memory, one on a sign beside them that of the task before or after.
    """

    DEFAULT_CSS = "MemoryBar, MemoryBar:focus { border: none; height: 2; padding: 0 1; background: $panel; }"

    class Chosen(Message):
        """The memory after another task was asked for, by its place: those that are there, or the one after them."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spans: list[tuple[int, int, int]] = []
        self.tasks: Sequence[int] = ()
        self.index = -1
        self.record: MemoryUpdated | None = None
        self.state = RunState()

    def show(self, tasks: Sequence[int], index: int, record: MemoryUpdated | None, state: RunState) -> None:
        """Draw `record`, the `index`-th of those after `tasks`."""
        self.tasks, self.index, self.record, self.state = tasks, index, record, state
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, glyphs, record = self.palette, self.glyphs, self.record
        head = "memory after "
        self._spans = []
        if record is None:
            return [[(head + "the first task: not reported yet", style(colors.muted))]]
        row: list[Part] = [(head, style(colors.muted)), (glyphs.left + " ", style(colors.muted))]
        # as many tasks around the shown one as fit
        names = [f"T{t + 1}" for t in self.tasks]
        room = width - len(head) - 6
        fit = max(1, room // (max(len(n) for n in names) + 2))
        first = min(max(0, self.index - fit // 2), max(0, len(names) - fit))
        used = len(head) + 2
        self._spans.append((len(head), used, self.index - 1))
        for i in range(first, min(len(names), first + fit)):
            here = i == self.index
            self._spans.append((used, used + len(names[i]) + 2, i))
            used += len(names[i]) + 2
            row.append(
                (f"[{names[i]}]" if here else f" {names[i]} ", style(colors.focus if here else colors.muted, bold=here))
            )
        row.append((f" {glyphs.right}", style(colors.muted)))
        self._spans.append((used, used + 2, self.index + 1))
        rest = n_tasks(self.state) - len(names)
        if rest > 0 and fit > len(names) + 3:
            row.append((f"  {rest} to come", style(colors.muted)))
        whole = f" of {record.capacity}" if record.capacity else ""
        moved = f"{glyphs.up}{record.added} entered  {glyphs.down}{record.evicted} left"
        parts = [record.policy, f"{record.samples}{whole} samples", size(sum(record.bytes.values()))]
        what = glyphs.sep.join(p for p in parts if p)
        # the kinds of bytes, all or none: they stand in a pane of their own too
        kinds = " (" + ", ".join(f"{k} {size(n)}" for k, n in record.bytes.items()) + ")"
        if len(record.bytes) > 1 and cell_len(what + kinds) < width - len(moved):
            what += kinds
        return [
            row,
            [
                (clip(what, max(0, width - len(moved) - 1), glyphs) + " ", style(colors.text)),
                (moved, style(colors.muted)),
            ],
        ]

    def on_click(self, event: Click) -> None:
        """Choose the task that was clicked."""
        for start, end, index in self._spans:
            if event.y == 0 and start <= event.x - 1 < end and 0 <= index <= len(self.tasks):
                self.post_message(self.Chosen(index))
