"""Dialogs that ask before something ends."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.screens.dialog import Answer, Question
from cllab.tui.view import clock, n_tasks, seconds_left


class QuitScreen(Question[str]):
    """A run is training: detach (the default), stop, or stay. Dismissed with "detach", "stop" or "stay".

    Args:
        run: the run that trains.
        state: where it stands.
        sep: what parts of a line are separated by.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "choose('d')", "Detach", id="quit.detach"),
        Binding("s", "choose('s')", "Stop", id="quit.stop"),
        Binding("escape,q", "choose('esc')", "Stay", id="quit.stay"),
    ]

    def __init__(self, run: Run, state: RunState, sep: str = ", ") -> None:
        parts = [state.started.name if state.started else run.id]
        if n_tasks(state):
            parts.append(f"task {min(n_tasks(state), max(0, state.task) + 1)}/{n_tasks(state)}")
        left = seconds_left(state)
        if left is not None:
            parts.append(f"{clock(left)} left")
        answers = [
            Answer("d", "detach: it goes on", "detach"),
            Answer("s", "stop it after this batch, and quit", "stop"),
            Answer("esc", "stay", "stay"),
        ]
        super().__init__(
            "A run is still training", [sep.join(parts), f"back to it: cllab attach {run.id}"], answers, lit="d"
        )


class ConfirmScreen(Question[bool]):
    """A question with a consequence; dismissed with whether to go ahead.

    Args:
        question: the title.
        text: what will happen.
        verb: what going ahead is called.
        lit: what Enter does: "y", or "esc" where what is asked for cannot be undone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "choose('y')", "Yes", id="confirm.yes"),
        Binding("escape,n,q", "choose('esc')", "No", id="confirm.no"),
    ]

    def __init__(self, question: str, text: str, verb: str, *, lit: str = "y") -> None:
        super().__init__(question, [text], [Answer("y", verb, True), Answer("esc", "leave it", False)], lit=lit)
