"""A list in which several lines can be marked; the mark is a sign, not a color."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class Marks(OptionList):
    """Lines with a box before them.

    Args:
        lines: name and text of each.
        marked: the names that are marked at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "mark", "Mark")]
    DEFAULT_CSS = """
    Marks, Marks:focus { height: auto; background: $surface; border: none; padding: 0; }
    """

    def __init__(self, lines: Iterable[tuple[str, str]], marked: Iterable[str] = ()) -> None:
        self._texts = dict(lines)
        self._marked = set(marked)
        super().__init__(*(Option(self._prompt(name), id=name) for name in self._texts), markup=False)

    @property
    def marked(self) -> tuple[str, ...]:
        """The names that are marked, in the order of the list."""
        return tuple(name for name in self._texts if name in self._marked)

    def _prompt(self, name: str) -> Text:
        return Text(f"[{'x' if name in self._marked else ' '}] {self._texts[name]}")

    def action_mark(self) -> None:
        """Mark the line under the cursor, or take its mark away."""
        option = self.highlighted_option
        if option is not None and option.id is not None:
            self._marked ^= {option.id}
            self.replace_option_prompt(option.id, self._prompt(option.id))

    def action_select(self) -> None:
        """A click marks."""
        self.action_mark()
