"""The New-run form: the questions every run answers, and a group for each table of its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from cllab.tui.controls import ChoiceControl, TextControl
from cllab.tui.draft import Draft
from cllab.tui.form import Form
from cllab.tui.rows import GROUPS, first_rows, group_rows, group_title, picks
from cllab.tui.screens.pick import Pick
from cllab.tui.widgets.group import Group, GroupTitle

Stop = TextControl | ChoiceControl | GroupTitle


class RunForm(VerticalScroll, can_focus=False):
    """Shows a draft; up and down go from one question to the next.

    Args:
        draft: asks for the newest draft, whose choices are offered.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Next", show=False),
        Binding("up", "move(-1)", "Previous", show=False),
    ]

    def __init__(self, draft: Callable[[], Draft], id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "New run"
        self._draft = draft

    def compose(self) -> ComposeResult:
        yield Form(first_rows(self._draft()), self._picks, id="first")
        for table in GROUPS:
            yield Group("", lambda t=table: self._group_form(t), id=f"group-{table or 'top'}")  # type: ignore[misc]

    def _group_form(self, table: str) -> Form:
        return Form(group_rows(self._draft(), table), self._picks, id=f"form-{table or 'top'}")

    def _picks(self, key: str) -> list[Pick]:
        return picks(self._draft(), key)

    @property
    def forms(self) -> list[Form]:
        """The forms that have been built."""
        return [form for form in self.query(Form) if form.is_attached]

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with what is typed, by key."""
        return {key: error for form in self.forms for key, error in form.errors.items()}

    def show(self, draft: Draft, *, fresh: bool = False) -> None:
        """Show `draft`; `fresh` drops what is typed and was no value."""
        if fresh:
            for form in self.forms:
                form.forget_errors()
        self.query_one("#first", Form).show_rows(first_rows(draft))
        for table in GROUPS:
            group = self.group(table)
            rows = group_rows(draft, table)
            group.display = bool(rows)
            group.show_title(*group_title(draft, table))
            if isinstance(group.body, Form):
                group.body.show_rows(rows)

    def group(self, table: str) -> Group:
        """The group of a table."""
        return self.query_one(f"#group-{table or 'top'}", Group)

    def table_of(self, title: GroupTitle) -> str:
        """The table whose heading this is."""
        group = title.parent
        return (group.id or "").removeprefix("group-").replace("top", "") if isinstance(group, Group) else ""

    def go_to(self, key: str) -> None:
        """Focus the control of a key, opening its group."""
        if not any(key in form.keys for form in self.forms):
            self.group(key.rpartition(".")[0]).toggle(True)
            self.call_after_refresh(self._focus, key)
        else:
            self._focus(key)

    def _focus(self, key: str) -> None:
        for form in self.forms:
            if key in form.keys:
                form.row(key).control.focus()

    @property
    def stops(self) -> list[Stop]:
        """Everything that up and down go through."""
        found: list[Any] = list(self.query("TextControl, ChoiceControl, GroupTitle"))
        return [
            w for w in found if isinstance(w, Stop) and all(getattr(a, "display", True) for a in w.ancestors_with_self)
        ]

    def action_move(self, by: int) -> None:
        """The next question, or the one before."""
        stops = self.stops
        focused = self.screen.focused
        here = stops.index(focused) if isinstance(focused, Stop) and focused in stops else -1
        if 0 <= here + by < len(stops):
            stops[here + by].focus()
