"""One control per type of declaration: text, one of several, yes or no, several of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget
from textual.widgets import Input

from cllab.errors import UsageError
from cllab.settings.spec import FieldSpec
from cllab.tui.screens.pick import Pick, PickManyScreen, PickScreen
from cllab.tui.widgets.field import Field
from cllab.tui.words import show

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

Picks = Callable[[str], list[Pick]]
"""The choices of a key: what they are called, and why one cannot be chosen."""


@dataclass(frozen=True)
class Row:
    """One line of a form.

    Attributes:
        key: what `Changed` calls it.
        spec: its declaration.
        value: its value now.
        label: what stands before it.
        note: what stands behind it.
        parse: reads the text of a key whose value is not what its declaration parses (seeds).
    """

    key: str
    spec: FieldSpec
    value: Any
    label: str
    note: str = ""
    changed: bool = False
    parse: Callable[[str], Any] | None = field(default=None, compare=False)
    write: Callable[[Any], str] | None = field(default=None, compare=False)

    def text(self, value: Any) -> str:
        """`value` as it stands in a text control."""
        if self.write is not None:
            return self.write(value)
        if value is None:
            return ""
        if isinstance(value, (list, tuple)):
            return ", ".join(map(str, value))
        if isinstance(value, float):
            return repr(value).removesuffix(".0") if abs(value) < 1e15 else repr(value)
        return str(value)

    def read(self, raw: object) -> Any:
        """`raw` as a value.

        Raises:
            UsageError: saying what is allowed.
        """
        if self.parse is not None:
            return self.parse(str(raw))
        if isinstance(raw, str) and self.spec.type in ("int", "float") and not raw.strip() and not self.spec.optional:
            raise UsageError(f"must be {self.spec.allowed()}, not empty")
        return self.spec.parse(raw)


class Control(Message):
    """What a control says: its key has `raw` now."""

    def __init__(self, key: str, raw: object) -> None:
        super().__init__()
        self.key, self.raw = key, raw


class Left(Message):
    """Escape in a text."""


class TextControl(Field):
    """Numbers, text, and lists of free text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Done"),
        Binding("escape", "leave", "Leave the form"),
    ]

    def __init__(self, row: Row) -> None:
        placeholder = "none" if row.spec.optional or row.spec.type in ("str", "list") else row.spec.allowed()
        super().__init__(row.text(row.value), placeholder=placeholder, compact=True, select_on_focus=True)
        self.row = row
        self._told = self.value

    def set_value(self, value: Any) -> None:
        """Show `value`, unless what is written means the same, or is newer and has yet to be told."""
        if self.value != self._told:
            return
        try:
            same = self.row.read(self.value) == value
        except UsageError:
            same = False
        if not same:
            with self.prevent(Input.Changed):
                self.value = self._told = self.row.text(value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the form; of quick letters, what stands there after the last."""
        event.stop()
        if self.value != self._told:
            self._told = self.value
            self.post_message(Control(self.row.key, self.value))

    def action_leave(self) -> None:
        """Go where letters are keys again."""
        self.post_message(Left())


class ChoiceControl(Widget, can_focus=True):
    """One of several: left and right go through those that can be chosen, Enter shows them all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Previous", show=False),
        Binding("right", "step(1)", "Next", show=False),
        Binding("enter,space", "open", "Choose"),
    ]
    DEFAULT_CSS = """
    ChoiceControl { height: 1; width: 1fr; background: $surface; }
    ChoiceControl:focus { background: $primary 30%; text-style: bold; }
    """
    value: var[Any] = var(None, init=False)

    def __init__(self, row: Row, picks: Picks) -> None:
        super().__init__()
        self.row, self.picks = row, picks
        self.set_reactive(ChoiceControl.value, row.value)

    def render(self) -> RenderResult:
        glyphs = cast("CllabApp", self.app).glyphs
        text = show(self.value)
        width = self.size.width
        room = max(1, width - 4)
        if len(text) > room:
            text = text[: room - 1] + glyphs.ellipsis
        return Text.assemble((glyphs.left, "dim"), " ", text.ljust(room), " ", (glyphs.right, "dim"))

    def set_value(self, value: Any) -> None:
        """Show `value`."""
        self.value = value
        self.refresh()

    def action_step(self, by: int) -> None:
        """The next one that can be chosen."""
        picks = self.picks(self.row.key)
        names = [p.name for p in picks]
        here = names.index(self.value) if self.value in names else 0
        for n in range(1, len(picks)):
            pick = picks[(here + by * n) % len(picks)]
            if not pick.reason:
                # at once: a held key goes on from here before the form has answered
                self.set_value(pick.name)
                self.post_message(Control(self.row.key, pick.name))
                return
        self.notify(f"{self.row.label}: nothing else can be chosen with the rest as it is", timeout=4, markup=False)

    def action_open(self) -> None:
        """All of them, with what they mean, and why some cannot be chosen."""

        def chosen(name: str | None) -> None:
            if name is not None and name != self.value:
                self.post_message(Control(self.row.key, name))

        self.app.push_screen(PickScreen(self.row.label, self.picks(self.row.key), self.value), chosen)

    def on_click(self, event: Click) -> None:
        """The ends step, the middle opens."""
        if event.x < 2:
            self.action_step(-1)
        elif event.x >= self.size.width - 2:
            self.action_step(1)
        else:
            self.action_open()


class SwitchControl(ChoiceControl):
    """Yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space,left,right", "flip", "Switch")]

    def render(self) -> RenderResult:
        return Text.assemble(f"[{'x' if self.value else ' '}] ", "yes" if self.value else "no")

    def action_flip(self) -> None:
        """The other one."""
        self.set_value(not self.value)
        self.post_message(Control(self.row.key, self.value))

    def on_click(self, event: Click) -> None:
        """A click switches."""
        self.action_flip()


class ManyControl(ChoiceControl):
    """Several of several."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space,left,right", "open", "Choose")]

    def action_open(self) -> None:
        """All of them, each with a mark."""

        def chosen(names: tuple[str, ...] | None) -> None:
            if names is not None and names != tuple(self.value):
                self.post_message(Control(self.row.key, names))

        self.app.push_screen(PickManyScreen(self.row.label, self.picks(self.row.key), tuple(self.value)), chosen)

    def on_click(self, event: Click) -> None:
        """A click shows them."""
        self.action_open()


AnyControl = TextControl | ChoiceControl


def control_for(row: Row, picks: Picks) -> AnyControl:
    """The control that fits a declaration."""
    spec = row.spec
    if row.parse is not None:
        return TextControl(row)
    if spec.type == "bool":
        return SwitchControl(row, picks)
    if spec.type == "list" and spec.choices:
        return ManyControl(row, picks)
    if spec.type == "str" and spec.choices:
        return ChoiceControl(row, picks)
    return TextControl(row)
