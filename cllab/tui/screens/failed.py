"""Why a run ended badly: one sentence, the end of the log, and what can be done."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Resize
from textual.widgets import Static

from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

TAIL = 12
WIDTH = 92
"""Columns of the dialog where there is room."""


class FailedScreen(Dialog[str]):
    """Dismissed with "resume", "log" or "close"; the charts behind it stay.

    Args:
        run: the run.
        state: its last state, with the reason.
    """

    CSS = """
    FailedScreen .dialog { border: round $error; border-title-color: $error; width: 92; }
    FailedScreen #reason { text-style: bold; margin-bottom: 1; }
    FailedScreen #tail { height: auto; max-height: 14; background: $background; padding: 0 1; color: $text-muted; }
    FailedScreen #keys { margin-top: 1; }
    App.-ascii FailedScreen .dialog { border: ascii $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss('close')", "Close", id="failed.close", key_display="esc"),
        Binding("l", "dismiss('log')", "Full log", id="failed.log"),
        Binding("r", "resume", "Resume", id="failed.resume"),
        Binding("c", "copy", "Copy", id="failed.copy"),
    ]

    def __init__(self, run: Run, state: RunState) -> None:
        super().__init__()
        self.run, self.state = run, state

    def compose(self) -> ComposeResult:
        sentence = self.state.reason or "the run ended without saying why"
        with Vertical(classes="dialog") as box:
            box.border_title = "The run has failed" if self.state.status == "failed" else "The training process is gone"
            yield Static(
                sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else "."), id="reason", markup=False
            )
            with VerticalScroll(id="tail"):
                yield Static("\n".join(self.run.log_tail(TAIL)) or "the log is empty", markup=False)
            yield Static(self._keys(), id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#tail", VerticalScroll).scroll_end(animate=False)

    def on_resize(self, _event: Resize) -> None:
        self.query_one("#keys", Static).update(self._keys())

    def _keys(self) -> str:
        """The run folder, its name always whole, and the keys."""
        again = "r resume from the checkpoint" if self.run.checkpoint_path.exists() else "r start again"
        keys = ["esc close", "l full log", again, "c copy"]
        room = min(WIDTH, self.app.size.width * 96 // 100) - 6
        ellipsis = cast("CllabApp", self.app).glyphs.ellipsis
        return shortened(str(self.run.folder), room, ellipsis) + "\n" + "   ".join(keys)

    def action_resume(self) -> None:
        """Go on from the checkpoint, or from the beginning when there is none."""
        self.dismiss("resume")

    def action_copy(self) -> None:
        """Copy the reason and the end of the log."""
        self.app.copy_to_clipboard("\n".join([self.state.reason, str(self.run.folder), *self.run.log_tail(200)]))
        self.notify("the reason and the log were sent to the clipboard")


def shortened(path: str, width: int, ellipsis: str) -> str:
    """`path` in `width` characters if it can be: its beginning, an ellipsis, and its last part whole."""
    if len(path) <= width:
        return path
    end = path[-len(PurePath(path).name) - 1 :]
    return path[: max(0, width - len(end) - len(ellipsis))] + ellipsis + end
