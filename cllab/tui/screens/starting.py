"""Asks before a run starts that was trained already or may take long."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from cllab.tui.doubts import Doubt
from cllab.tui.screens.dialog import Answer, Question


class StartScreen(Question[str]):
    """Dismissed with "open", "start" or "back"; what costs nothing is lit: a key pressed once too often starts nothing.

    Args:
        doubt: what there is to know.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "choose('o')", "Open it", id="starting.open"),
        Binding("r", "choose('r')", "Start", id="starting.start"),
        Binding("escape,q", "choose('esc')", "Back", id="starting.back"),
    ]

    def __init__(self, doubt: Doubt) -> None:
        twin, back = doubt.twin, Answer("esc", "back to the form", "back")
        if twin is None:
            super().__init__(doubt.title, doubt.lines, [Answer("r", "start it", "start"), back], lit="esc")
        else:
            look = Answer("o", "open that run" if twin.is_over else "watch it", "open")
            super().__init__(doubt.title, doubt.lines, [look, Answer("r", "train it again", "start"), back], lit="o")
