"""From declarations to inputs: one row per `FieldSpec`, one control per type, every change checked by the declaration.

A form knows nothing about runs. Its owner gives it rows, answers what a choice is called and why it cannot be chosen,
and hears `Form.Changed` with a value that the declaration accepts, or `Form.Invalid` with the sentence that says what
is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Click, DescendantFocus
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget
from textual.widgets import Input, Static

from cllab.errors import UsageError
from cllab.spec import FieldSpec
from cllab.tui.draft import show
from cllab.tui.screens.pick import Pick, PickManyScreen, PickScreen

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


class TextControl(Input):
    """Numbers, text, and lists of free text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Done"),
        Binding("escape", "leave", "Leave the form"),
    ]

    def __init__(self, row: Row) -> None:
        placeholder = "none" if row.spec.optional or row.spec.type in ("str", "list") else row.spec.allowed()
        super().__init__(row.text(row.value), placeholder=placeholder, compact=True, select_on_focus=True)
        self.row = row

    def set_value(self, value: Any) -> None:
        """Show `value`, unless what is written means the same."""
        try:
            same = self.row.read(self.value) == value
        except UsageError:
            same = False
        if not same:
            with self.prevent(Input.Changed):
                self.value = self.row.text(value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the form."""
        event.stop()
        self.post_message(Control(self.row.key, event.value))

    def action_leave(self) -> None:
        """Go where letters are keys again."""
        self.post_message(Form.Left())


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
        self.post_message(Control(self.row.key, not self.value))

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


class FormRow(Horizontal):
    """Label, control, note."""

    DEFAULT_CSS = """
    FormRow { height: 1; width: 1fr; }
    FormRow > .label { width: 15; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    FormRow > .note { width: 1fr; padding-left: 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    FormRow.-changed > .label { color: $accent; text-style: bold; }
    FormRow.-invalid > .note { color: $error; text-style: bold; }
    FormRow.-here > .label { color: $primary; text-style: bold; }
    FormRow > Input, FormRow > ChoiceControl { width: 22; }
    FormRow > Input.-textual-compact { background: $surface; padding: 0 2; }
    FormRow > Input.-textual-compact:focus { background: $primary 30%; }
    """

    def __init__(self, row: Row, picks: Picks) -> None:
        super().__init__(classes="-changed" if row.changed else None)
        self.row = row
        self.control = control_for(row, picks)
        self.error = ""

    def on_descendant_focus(self) -> None:
        """Light up; not `:focus-within`, for which every move of the focus styles the whole screen anew."""
        self.add_class("-here")

    def on_descendant_blur(self) -> None:
        """Step back."""
        self.remove_class("-here")

    def compose(self) -> ComposeResult:
        yield Static(self._label(), classes="label", markup=False)
        yield self.control
        yield Static(self.row.note, classes="note", markup=False)

    def _label(self) -> str:
        return f"{'*' if self.row.changed else ' '}{self.row.label}"

    def show_row(self, row: Row) -> None:
        """Show `row`, which has this row's key and declaration."""
        old, self.row = self.row, row
        self.control.row = row
        if not self.error:
            self.control.set_value(row.value)
        if old.changed != row.changed and self.is_mounted:
            self.set_class(row.changed, "-changed")
            self.query_one(".label", Static).update(self._label())
        if old.note != row.note and not self.error and self.is_mounted:
            self.query_one(".note", Static).update(row.note)

    def show_error(self, error: str) -> None:
        """Say what is wrong with the text, or with an empty string that nothing is."""
        if error != self.error:
            self.error = error
            self.set_class(bool(error), "-invalid")
            self.query_one(".note", Static).update(f"! {error}" if error else self.row.note)


class Form(Vertical):
    """Rows under each other; up and down go through them.

    Args:
        rows: what to show.
        picks: the choices of a key.
    """

    DEFAULT_CSS = "Form { height: auto; }"

    class Changed(Message):
        """A value that its declaration accepts."""

        def __init__(self, form: Form, key: str, value: Any) -> None:
            super().__init__()
            self.form, self.key, self.value = form, key, value

    class Invalid(Message):
        """Text that is no value; `reason` is empty when it is mended."""

        def __init__(self, form: Form, key: str, reason: str) -> None:
            super().__init__()
            self.form, self.key, self.reason = form, key, reason

    class Focused(Message):
        """A row is being looked at."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Submitted(Message):
        """Enter in a text."""

    class Left(Message):
        """Escape in a text."""

    def __init__(self, rows: Iterable[Row], picks: Picks, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows = {row.key: FormRow(row, picks) for row in rows}
        self._picks = picks

    def compose(self) -> ComposeResult:
        yield from self._rows.values()

    @property
    def errors(self) -> Mapping[str, str]:
        """What is wrong, by key."""
        return {key: row.error for key, row in self._rows.items() if row.error}

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its rows."""
        return tuple(self._rows)

    def row(self, key: str) -> FormRow:
        """The row of a key."""
        return self._rows[key]

    def show_rows(self, rows: Iterable[Row]) -> None:
        """Show `rows`; only those are made anew whose declaration is another."""
        wanted = list(rows)
        kept: dict[str, FormRow] = {}
        new: list[tuple[FormRow, FormRow | None]] = []
        before: FormRow | None = None
        for row in wanted:
            widget = self._rows.get(row.key)
            if widget is not None and widget.row.spec == row.spec:
                widget.show_row(row)
            else:
                widget = FormRow(row, self._picks)
                new.append((widget, before))
            kept[row.key] = before = widget
        gone = [w for w in self._rows.values() if w not in kept.values()]
        in_order = [w for w in self._rows.values() if w not in gone] == [
            w for w in kept.values() if w in self._rows.values()
        ]
        self._rows, old = kept, self._rows
        if not self.is_mounted:
            return
        if not in_order:
            gone, new = list(old.values()), []
            self._rows = {row.key: FormRow(row, self._picks) for row in wanted}
            self.mount_all(self._rows.values())
        for widget in gone:
            widget.remove()
        for widget, after in new:
            if after is None:
                self.mount(widget, before=0)
            else:
                self.mount(widget, after=after)

    @on(Control)
    def _control(self, message: Control) -> None:
        message.stop()
        form_row = self._rows.get(message.key)
        if form_row is None:
            return
        try:
            value = form_row.row.read(message.raw)
        except UsageError as error:
            form_row.show_error(str(error))
            self.post_message(self.Invalid(self, message.key, str(error)))
            return
        if form_row.error:
            form_row.show_error("")
            self.post_message(self.Invalid(self, message.key, ""))
        self.post_message(self.Changed(self, message.key, value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())

    @on(DescendantFocus)
    def _looked_at(self, event: DescendantFocus) -> None:
        if isinstance(event.widget, TextControl | ChoiceControl):
            self.post_message(self.Focused(event.widget.row))
