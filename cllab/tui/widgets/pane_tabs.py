"""The panes of a screen as one line of words, for a terminal that shows one of them at a time."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message

from cllab.tui.theme import style
from cllab.tui.widgets.chart import Chart, Part


class PaneTabs(Chart, can_focus=False):
    """Names of panes, the shown one in brackets; a click chooses."""

    DEFAULT_CSS = "PaneTabs, PaneTabs:focus { border: none; height: 1; padding: 0 1; }"

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, panes: Sequence[tuple[str, str]], id: str | None = None) -> None:
        super().__init__(id=id)
        self.panes = list(panes)
        self.current = panes[0][0]
        self._spans: list[tuple[int, int, str]] = []

    def show(self, current: str, panes: Sequence[tuple[str, str]] | None = None) -> None:
        """Mark `current`."""
        if panes is not None:
            self.panes = list(panes)
        self.current = current
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        row: list[Part] = []
        self._spans = []
        used = 0
        for key, name in self.panes:
            here = key == self.current
            text = f"[{name}]" if here else f" {name} "
            if used + len(text) > width:
                break
            row.append((text, style(colors.focus if here else colors.muted, bold=here)))
            self._spans.append((used, used + len(text), key))
            used += len(text)
        hint = "tab: the next"
        if used + len(hint) + 2 <= width and len(self._spans) == len(self.panes):
            row.append((hint.rjust(width - used), style(colors.muted)))
        return [row]

    def on_click(self, event: object) -> None:
        """Choose the name that was clicked."""
        x = getattr(event, "x", 0) - 1
        for start, end, key in self._spans:
            if start <= x < end:
                self.post_message(self.Chosen(key))
