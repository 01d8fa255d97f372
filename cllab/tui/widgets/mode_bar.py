"""Where one is and where one can go: the modes of the app in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from cllab import __version__
from cllab.tui.theme import style
from cllab.tui.widgets.chart import Chart, Part

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class ModeBar(Chart, can_focus=False):
    """The digits and names of the screens; a click goes there.

    Args:
        current: the mode that this screen belongs to.
    """

    DEFAULT_CSS = "ModeBar, ModeBar:focus { border: none; height: 1; padding: 0 1; background: $panel; }"
    MODES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("setup", "Set up"),
        ("live", "Live"),
        ("memory", "Memory"),
        ("runs", "Runs"),
        ("explain", "Explain"),
        ("lessons", "Lessons"),
    )

    def __init__(self, current: str) -> None:
        super().__init__()
        self.current = current
        self._spans: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        row: list[Part] = [("cllab  ", style(colors.focus, bold=True))]
        used = 7
        self._spans = []
        for i, (mode, name) in enumerate(self.MODES, 1):
            here = mode == self.current
            text = f"[{i} {name}]" if here else f" {i} {name} "
            if used + len(text) > width:
                break
            row.append((text, style(colors.focus if here else colors.muted, bold=here)))
            self._spans.append((used, used + len(text), mode))
            used += len(text)
        right = f"{__version__}  : commands"
        if used + len(right) + 2 <= width:
            row.append((right.rjust(width - used), style(colors.muted)))
        return [row]

    def on_click(self, event: object) -> None:
        """Go to the screen that was clicked."""
        x = getattr(event, "x", 0) - 1
        for start, end, mode in self._spans:
            if start <= x < end:
                cast("CllabApp", self.app).switch_mode(mode)
