"""Choosing one or several of a list, with what each means and why some cannot be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from cllab.tui.screens.dialog import Dialog
from cllab.tui.search import ranked
from cllab.tui.widgets.choices import Choices
from cllab.tui.widgets.field import Field
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


class Line(Option):
    """A choice in the list. It carries its choice: a message about a line may come when the list is another."""

    def __init__(self, pick: Pick, prompt: Text) -> None:
        super().__init__(prompt, disabled=bool(pick.reason))
        self.pick = pick


class PickScreen(Dialog[Any]):
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

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            if len(self.picks) >= SEARCH_FROM:
                yield Field(placeholder="type to search", compact=True)
            yield Choices(markup=False)
            yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        self._fill("")
        if len(self.picks) < SEARCH_FROM:
            self.query_one(OptionList).focus()

    def on_resize(self, _event: Resize) -> None:
        """The list leaves room for the words under it."""
        self.query_one(OptionList).styles.max_height = max(4, min(24, self.size.height - 11))

    def _fill(self, needle: str) -> None:
        found = ranked(needle, self.picks, lambda p: (str(p.name), p.title, p.about))
        options = self.query_one(OptionList)
        options.clear_options()
        width = max((cell_len(str(p.name)) for p in found), default=0) + 2
        options.add_options([Line(p, self._prompt(p, width)) for p in found])
        free = [i for i, p in enumerate(found) if not p.reason]
        here = None if needle.strip() else next((i for i in free if found[i].name == self.current), None)
        options.highlighted = here if here is not None else free[0] if free else None
        if not found:
            self.query_one("#about", Static).update("nothing is called so")
        elif not free:
            self.query_one("#about", Static).update("none of these can be chosen with the rest as it is")

    def _prompt(self, pick: Pick, width: int) -> Text:
        mark = "* " if pick.name == self.current else "  "
        title = pick.title if pick.title != str(pick.name) else ""
        text = Text.assemble((mark + set_cell_size(str(pick.name), width), "bold"), title)
        if pick.reason:
            text.append(f"\n    {pick.reason}")
        return text

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        # the line that is lit now: the message may be about one of a list that is gone
        line = self.query_one(OptionList).highlighted_option
        if isinstance(line, Line):
            self.query_one("#about", Static).update(line.pick.about)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        if isinstance(event.option, Line):
            self.dismiss(event.option.pick.name)

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


class PickManyScreen(Dialog[tuple[str, ...]]):
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
