"""Dialogs that ask before something ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.screens.dialog import Dialog
from cllab.tui.view import clock, n_tasks, seconds_left

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class QuitScreen(Dialog[str]):
    """A run is training: detach (the default), stop, or stay. Dismissed with "detach", "stop" or "stay".

    Args:
        run: the run that trains.
        state: where it stands.
    """

    CSS = """
    QuitScreen OptionList { height: auto; background: $surface; border: none; padding: 0; }
    QuitScreen Static { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "choose('detach')", "Detach", id="quit.detach"),
        Binding("s", "choose('stop')", "Stop", id="quit.stop"),
        Binding("escape,q", "choose('stay')", "Stay", id="quit.stay"),
    ]

    def __init__(self, run: Run, state: RunState) -> None:
        super().__init__()
        self.run, self.state = run, state

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "A run is still training"
            yield Static(self._where(), markup=False)
            yield OptionList(
                Option(f"d    detach: it goes on; cllab attach {self.run.id}", id="detach"),
                Option("s    stop it after this batch, and quit", id="stop"),
                Option("esc  stay", id="stay"),
                markup=False,
            )

    def _where(self) -> str:
        sep = cast("CllabApp", self.app).glyphs.sep
        state = self.state
        parts = [state.started.name if state.started else self.run.id]
        if n_tasks(state):
            parts.append(f"task {min(n_tasks(state), max(0, state.task) + 1)}/{n_tasks(state)}")
        left = seconds_left(state)
        if left is not None:
            parts.append(f"{clock(left)} left")
        return sep.join(parts)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id or "stay")

    def action_choose(self, choice: str) -> None:
        """Take a choice by its letter."""
        self.dismiss(choice)


class ConfirmScreen(Dialog[bool]):
    """A question with a consequence; dismissed with whether to go ahead.

    Args:
        question: the title.
        text: what will happen.
        verb: what going ahead is called.
    """

    CSS = """
    ConfirmScreen OptionList { height: auto; background: $surface; border: none; padding: 0; }
    ConfirmScreen Static { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("escape,n,q", "answer(False)", "No", id="confirm.no"),
    ]

    def __init__(self, question: str, text: str, verb: str) -> None:
        super().__init__()
        self.question, self.text, self.verb = question, text, verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.question
            yield Static(self.text, markup=False)
            yield OptionList(Option(f"y    {self.verb}", id="yes"), Option("esc  leave it", id="no"), markup=False)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Take an answer by its letter."""
        self.dismiss(yes)
