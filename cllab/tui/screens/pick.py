"""Choosing one or several of a list, with what each means and why some cannot be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from cllab.tui.widgets.marks import Marks

SEARCH_FROM = 9
"""Choices from which on a list can be searched."""


@dataclass(frozen=True)
class Pick:
    """A choice.

    Attributes:
        title: what a person calls it.
        about: one or two sentences.
        reason: why it cannot be chosen; empty when it can.
    """

    name: Any
    title: str = ""
    about: str = ""
    reason: str = ""


class PickScreen(ModalScreen[Any]):
    """One of several; dismissed with its name, or None.

    Args:
        title: what is being chosen.
        picks: what there is.
        current: what is chosen now.
    """

    CSS = """
    PickScreen OptionList { height: auto; background: $surface; border: none; padding: 0; }
    PickScreen #about { color: $text-muted; height: auto; max-height: 4; margin-top: 1; }
    PickScreen Input { margin-bottom: 1; }
    PickScreen .dialog { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="pick.back"),
        Binding("down", "move(1)", "Next", show=False),
        Binding("up", "move(-1)", "Previous", show=False),
    ]

    def __init__(self, title: str, picks: Sequence[Pick], current: object) -> None:
        super().__init__()
        self.heading, self.picks, self.current = title, list(picks), current
        self._shown: list[Pick] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            if len(self.picks) >= SEARCH_FROM:
                yield Input(placeholder="type to search", compact=True)
            yield OptionList(markup=False)
            yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        self._fill("")
        if len(self.picks) < SEARCH_FROM:
            self.query_one(OptionList).focus()

    def on_resize(self, _event: Resize) -> None:
        """The list leaves room for the words under it."""
        self.query_one(OptionList).styles.max_height = max(4, min(24, self.size.height - 11))

    def _fill(self, needle: str) -> None:
        words = needle.casefold().split()
        found = [p for p in self.picks if all(w in f"{p.name} {p.title} {p.about}".casefold() for w in words)]
        self._shown = sorted(found, key=lambda p: not all(w in f"{p.name} {p.title}".casefold() for w in words))
        options = self.query_one(OptionList)
        options.clear_options()
        width = max((len(str(p.name)) for p in self._shown), default=0) + 2
        options.add_options(
            [Option(self._prompt(p, width), id=str(i), disabled=bool(p.reason)) for i, p in enumerate(self._shown)]
        )
        free = [i for i, p in enumerate(self._shown) if not p.reason]
        here = next((i for i in free if self._shown[i].name == self.current), free[0] if free else None)
        options.highlighted = here
        if not self._shown:
            self.query_one("#about", Static).update("nothing is called so")

    def _prompt(self, pick: Pick, width: int) -> Text:
        mark = "* " if pick.name == self.current else "  "
        title = pick.title if pick.title != str(pick.name) else ""
        text = Text.assemble((f"{mark}{pick.name!s:<{width}}", "bold"), title)
        if pick.reason:
            text.append(f"\n    {pick.reason}")
        return text

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one("#about", Static).update(self._shown[int(event.option.id or 0)].about)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[int(event.option.id or 0)].name)

    @on(Input.Changed)
    def _searched(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.query_one(OptionList).action_select()

    def action_move(self, by: int) -> None:
        """Move in the list while the search has the focus."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()


class PickManyScreen(ModalScreen[tuple[str, ...]]):
    """Several of several; dismissed with their names, or None.

    Args:
        title: what is being chosen.
        picks: what there is.
        current: what is chosen now.
    """

    CSS = """
    PickManyScreen #hint { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="pick.back"),
        Binding("enter", "take", "Take them", id="pick.take", priority=True),
    ]

    def __init__(self, title: str, picks: Sequence[Pick], current: tuple[str, ...]) -> None:
        super().__init__()
        self.heading, self.picks, self.current = title, picks, current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            lines = ((str(p.name), str(p.title or p.name)) for p in self.picks)
            yield Marks(lines, self.current)
            yield Static("space marks, enter takes them, esc leaves things as they are", id="hint")

    def action_take(self) -> None:
        """Take what is marked, in the order of the list."""
        self.dismiss(self.query_one(Marks).marked)
