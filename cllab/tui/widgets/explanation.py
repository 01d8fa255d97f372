"""The box that says what the thing under the cursor means."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.style import Style
from rich.text import Text

from cllab.tui.controls import Row
from cllab.tui.draft import KINDS, Draft
from cllab.tui.pages import component_text, field_text
from cllab.tui.theme import style
from cllab.tui.widgets.chart import Chart, Part

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


_CONSOLE = Console(color_system="truecolor", width=200)


class Explanation(Chart, can_focus=False):
    """A question of the form, a component, a preset or a run, in a few lines.

    It draws itself rather than holding a text widget in a scrolling one: text of another height would lay out the whole
    screen at every move through the form, which costs more than all the rest of the key press.
    """

    HELP = "What the focused question means, what it may be, and where it comes from; the mouse wheel scrolls it."
    DEFAULT_CSS = "Explanation { border-title-color: $text-muted; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(title="what it means", id=id)
        self.text = Text()
        self.top = 0

    def show(self, text: Text) -> None:
        """Show `text` from its beginning."""
        if text != self.text or text.spans != self.text.spans or self.top:
            self.text, self.top = text, 0
            self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        lines = self.text.wrap(_CONSOLE, width)
        self.top = min(self.top, max(0, len(lines) - height))
        shown = lines[self.top : self.top + height]
        rows = [[(part.text, part.style or Style()) for part in line.render(_CONSOLE)] for line in shown]
        if self.top + height < len(lines):
            # what is cut is said to go on
            room = max(0, width - len(self.glyphs.ellipsis))
            last = shown[-1].copy()
            last.truncate(room)
            rows[-1] = [(part.text, part.style or Style()) for part in last.render(_CONSOLE)]
            rows[-1].append((self.glyphs.ellipsis.rjust(width - last.cell_len), style(self.palette.muted)))
        return rows

    def on_mouse_scroll_down(self) -> None:
        """The next lines."""
        self.top += 1
        self.invalidate()

    def on_mouse_scroll_up(self) -> None:
        """The lines before."""
        self.top = max(0, self.top - 1)
        self.invalidate()

    def show_key(self, draft: Draft, row: Row | None, error: str = "", note: str = "") -> None:
        """Explain a question: a component with its paper, a hyper-parameter with its range and source; then `note`."""
        lab = cast("CllabApp", self.app)
        key = row.key if row is not None else "method.name"
        table, _, name = key.rpartition(".")
        if row is None or (name == "name" and table in KINDS):
            text = component_text(draft.component(table), lab.palette, lab.glyphs)
        else:
            said = "seeds" if key == "seed" else key
            text = field_text(row.spec, said, lab.palette, lab.glyphs, error=error)
        if note:
            text.append(f"\n{note}")
        for problem in draft.problems:
            if problem.startswith(f"{key} "):
                text.append(f"\n! {problem}", "bold")
        self.show(text)

    def show_component(self, draft: Draft, table: str) -> None:
        """Explain the component that a draft has chosen."""
        lab = cast("CllabApp", self.app)
        self.show(component_text(draft.component(table), lab.palette, lab.glyphs))
