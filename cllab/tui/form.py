"""From declarations to inputs: one row per `FieldSpec`, one control per type, every change checked by the declaration.

A form knows nothing about runs. Its owner gives it rows, answers what a choice is called and why it cannot be chosen,
and hears `Form.Changed` with a value that the declaration accepts, or `Form.Invalid` with the sentence that says what
is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import DescendantFocus
from textual.message import Message
from textual.widgets import Input, Static

from cllab.errors import UsageError
from cllab.tui.controls import ChoiceControl, Control, Picks, Row, TextControl, control_for


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
            self.query_one(".label", Static).update(self._label(), layout=False)
        if old.note != row.note and not self.error and self.is_mounted:
            self.query_one(".note", Static).update(row.note, layout=False)

    def show_error(self, error: str) -> None:
        """Say what is wrong with the text, or with an empty string that nothing is."""
        if error != self.error:
            self.error = error
            self.set_class(bool(error), "-invalid")
            self.query_one(".note", Static).update(f"! {error}" if error else self.row.note, layout=False)


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

    def forget_errors(self) -> None:
        """Drop texts that are no values; `show_rows` then shows values again."""
        for row in self._rows.values():
            row.show_error("")

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
