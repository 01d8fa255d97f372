"""What every dialog has in common: it closes once, and only itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.containers import Vertical
from textual.events import ScreenResume
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.option_list import Option

from cllab.tui.widgets.choices import Choices
from cllab.tui.widgets.key_bar import KeyBar

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """A modal screen that bears being dismissed twice, or while something lies above it.

    Two presses of Enter, or two clicks, may both have been on their way before the first was answered; the second would
    close the screen beneath. What is dismissed under another screen closes when that one has gone.
    """

    _answer: tuple[T | None] | None = None

    def on_mount(self) -> None:
        """The keys that act here, at the bottom: they are said in one place, and can be clicked."""
        self.mount(KeyBar())

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Close with `result`, once."""
        stack = self.app.screen_stack
        if stack and stack[-1] is self:
            return super().dismiss(result)
        if self in stack and self._answer is None:
            self._answer = (result,)
        return AwaitComplete()

    @on(ScreenResume)
    def _close_at_last(self) -> None:
        if self._answer is not None:
            (result,) = self._answer
            self.dismiss(result)


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One line of a question.

    Attributes:
        key: the letter that takes it, or "esc".
        text: what it does.
        value: what the question is dismissed with.
    """

    key: str
    text: str
    value: T


class Question(Dialog[T]):
    """A title, a few lines, and answers in a list, each with its letter; one of them is lit.

    A subclass says its answers and binds their letters to `choose(KEY)`.

    Args:
        title: what is asked.
        lines: what there is to know.
        answers: what can be answered, from top to bottom.
        lit: the key of the answer that Enter takes.
    """

    # the framework reads this within the subclass's own name
    CSS = """
    OptionList { height: auto; background: $surface; border: none; padding: 0; }
    Static { margin-bottom: 1; }
    """

    def __init__(self, title: str, lines: Sequence[str], answers: Sequence[Answer[T]], *, lit: str) -> None:
        super().__init__()
        self.heading, self.lines, self.lit = title, tuple(lines), lit
        self.answers = {answer.key: answer for answer in answers}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            for line in self.lines:
                yield Static(line, markup=False)
            yield Choices(*(Option(f"{a.key:<5}{a.text}", id=a.key) for a in self.answers.values()), markup=False)

    def on_mount(self) -> None:
        """Light what Enter takes."""
        options = self.query_one(Choices)
        options.highlighted = list(self.answers).index(self.lit)
        options.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is offered can be answered."""
        if action == "choose":
            return parameters[0] in self.answers
        return super().check_action(action, parameters)

    @on(Choices.OptionSelected)
    def _selected(self, event: Choices.OptionSelected) -> None:
        if event.option_id is not None:
            self.action_choose(event.option_id)

    def action_choose(self, key: str) -> None:
        """Take an answer by its letter."""
        self.dismiss(self.answers[key].value)


class Palette(CommandPalette):
    """The framework's command palette, which a second click on its surroundings closes once."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close with `result`, once."""
        stack = self.app.screen_stack
        return super().dismiss(result) if stack and stack[-1] is self else AwaitComplete()

    def _action_command_list(self, action: str) -> None:
        """Hand a key on to the list, but no page of one that has no room yet: the framework would look up its lines."""
        if not action.startswith("page") or self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)
