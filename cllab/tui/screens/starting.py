"""Asks before a run starts that was trained already or may take long."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from cllab.tui.doubts import Doubt
from cllab.tui.screens.dialog import Dialog
from cllab.tui.widgets.choices import Choices


class StartScreen(Dialog[str]):
    """Dismissed with "open", "start" or "back"; what costs nothing is chosen at first.

    Args:
        doubt: what there is to know.
    """

    CSS = """
    StartScreen OptionList { height: auto; background: $surface; border: none; padding: 0; }
    StartScreen Static { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "choose('open')", "Open it", id="starting.open"),
        Binding("r", "choose('start')", "Start", id="starting.start"),
        Binding("escape,q", "choose('back')", "Back", id="starting.back"),
    ]

    def __init__(self, doubt: Doubt) -> None:
        super().__init__()
        self.doubt = doubt

    def compose(self) -> ComposeResult:
        twin = self.doubt.twin
        with Vertical(classes="dialog") as box:
            box.border_title = self.doubt.title
            for line in self.doubt.lines:
                yield Static(line, markup=False)
            options = [Option("r    start it", id="start"), Option("esc  back to the form", id="back")]
            if twin is not None:
                look = "open that run" if twin.is_over else "watch it"
                options = [Option(f"o    {look}", id="open"), Option("r    train it again", id="start"), options[1]]
            yield Choices(*options, markup=False)

    def on_mount(self) -> None:
        # a key that was pressed once too often starts nothing
        options = self.query_one(OptionList)
        options.highlighted = 0 if self.doubt.twin is not None else 1
        options.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a run that is there can be opened."""
        if action == "choose" and parameters == ("open",):
            return self.doubt.twin is not None
        return super().check_action(action, parameters)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_choose(self, choice: str) -> None:
        """Take a choice by its letter."""
        self.dismiss(choice)
