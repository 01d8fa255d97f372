"""The box that says what the thing under the cursor means."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from cllab.tui.controls import Row
from cllab.tui.draft import KINDS, Draft
from cllab.tui.pages import component_text, field_text

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class Explanation(VerticalScroll, can_focus=False):
    """A question of the form, a component, a preset or a run, in a few lines."""

    HELP = "What the focused question means, what it may be, and where it comes from."

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "what it means"

    def compose(self) -> ComposeResult:
        yield Static("", id="explanation")

    def show(self, text: Text) -> None:
        """Show `text` from its beginning."""
        self.query_one(Static).update(text)
        self.scroll_home(animate=False)

    def show_key(self, draft: Draft, row: Row | None, error: str = "") -> None:
        """Explain a question: a component with its paper, a hyper-parameter with its range and source."""
        lab = cast("CllabApp", self.app)
        key = row.key if row is not None else "method.name"
        table, _, name = key.rpartition(".")
        if row is None or (name == "name" and table in KINDS):
            text = component_text(draft.component(table), lab.palette, lab.glyphs)
        else:
            said = "seeds" if key == "seed" else key
            text = field_text(row.spec, said, lab.palette, lab.glyphs, error=error)
        for problem in draft.problems:
            if problem.startswith(f"{key} "):
                text.append(f"\n! {problem}", "bold")
        self.show(text)

    def show_component(self, draft: Draft, table: str) -> None:
        """Explain the component that a draft has chosen."""
        lab = cast("CllabApp", self.app)
        self.show(component_text(draft.component(table), lab.palette, lab.glyphs))
