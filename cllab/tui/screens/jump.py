"""Which task to go to, by its number: with hundreds of them nobody walks there."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from cllab.tui.screens.dialog import Dialog
from cllab.tui.widgets.field import Field


class JumpScreen(Dialog[int]):
    """Asks for a number; dismissed with the task (0-based), or None.

    Args:
        most: the largest number that can be asked for.
    """

    CSS = """
    JumpScreen Input { background: $panel; padding: 0 1; }
    JumpScreen #said { color: $text-muted; height: auto; }
    JumpScreen #said.-problem { color: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back", id="jump.back")]

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "Go to task"
            yield Field("", compact=True, id="number", type="integer")
            yield Static(f"1 to {self.most}; enter goes there, esc goes back", id="said", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#number", Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text.isdecimal() and 1 <= int(text) <= self.most:
            self.dismiss(int(text) - 1)
            return
        said = self.query_one("#said", Static)
        said.update(f"! a number from 1 to {self.most}")
        said.add_class("-problem")
