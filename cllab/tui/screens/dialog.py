"""What every dialog has in common: it closes once, and only itself."""

from __future__ import annotations

from typing import Any, TypeVar

from textual import on
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.events import ScreenResume
from textual.screen import ModalScreen

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


class Palette(CommandPalette):
    """The framework's command palette, which a second click on its surroundings closes once."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close with `result`, once."""
        stack = self.app.screen_stack
        return super().dismiss(result) if stack and stack[-1] is self else AwaitComplete()
