"""What the training process printed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import RichLog

from cllab.record.runs import Run
from cllab.tui.screens.dialog import Dialog

LINES = 2000


class LogScreen(Dialog[None]):
    """The end of `worker.log`, which grows while it is looked at."""

    CSS = """
    LogScreen .dialog { width: 96%; height: 90%; padding: 0 1; }
    LogScreen RichLog { height: 1fr; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l,q", "dismiss(None)", "Close", id="log.close", key_display="esc"),
        Binding("c", "copy", "Copy", id="log.copy"),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self._shown: list[str] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "log"
            box.border_subtitle = str(self.run.log_path)
            yield RichLog(max_lines=LINES, wrap=True, markup=False, highlight=False)

    def on_mount(self) -> None:
        self._read()
        self.set_interval(1.0, self._read)

    def _read(self) -> None:
        lines = self.run.log_tail(LINES)
        if lines == self._shown:
            return
        log = self.query_one(RichLog)
        if self._shown and lines[: len(self._shown)] == self._shown:
            fresh = lines[len(self._shown) :]
        else:
            log.clear()
            fresh = lines
        for line in fresh:
            log.write(line)
        self._shown = lines
        if not lines:
            log.write("the training process has printed nothing")

    def action_copy(self) -> None:
        """Copy the end of the log."""
        lines = (self._shown or [])[-200:]
        self.app.copy_to_clipboard("\n".join(lines))
        self.notify(
            f"the last {len(lines)} lines were sent to the clipboard; the file is {self.run.log_path}",
            markup=False,
        )
