"""One line instead of a wall when the terminal is too small to draw in."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static


class TooSmall(ModalScreen[None]):
    """Shown while the terminal is below the smallest size; goes away by itself."""

    CSS = "TooSmall { background: $background; align: left top; } TooSmall Static { width: 1fr; height: auto; }"

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    def on_mount(self) -> None:
        self._say()

    def on_resize(self, _event: Resize) -> None:
        self._say()

    def _say(self) -> None:
        from cllab.tui.app import SMALLEST

        width, height = self.app.size
        self.query_one(Static).update(f"needs {SMALLEST[0]}x{SMALLEST[1]}, now {width}x{height}; training goes on")
