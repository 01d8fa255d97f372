"""Help made from what is there: the keys that are bound now and what the panes say about themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from cllab.tui.screens.dialog import Dialog

GLOSSARY = (
    ("task", "the unit of the stream; its classes or data come together"),
    ("accuracy matrix", "R[i, j]: accuracy on task j after learning task i"),
    ("forgetting", "a task's best accuracy at the end of an earlier task, minus that now"),
    ("memory, capacity", "the samples that are kept for replay; how many"),
    ("all, seen", "accuracy over the test samples of every class seen so far"),
)
UNSAID = ("screen.copy_text", "scroll_left", "scroll_right", "page_left", "page_right")
"""What the framework binds everywhere, and what nothing here needs."""


class HelpScreen(Dialog[None]):
    """Keys by group, the panes in their own words, a small glossary.

    Args:
        about: what the screen is for.
        keys: (key, what it does) of the screen and of the app.
        panes: (title, text) of the panes that are shown, the focused one first.
    """

    CSS = """
    HelpScreen .dialog { width: 88; padding: 0 1; }
    HelpScreen VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss(None)", "Close", id="help.close")
    ]

    def __init__(self, about: str, keys: list[tuple[str, str]], panes: list[tuple[str, str]]) -> None:
        super().__init__()
        self.about, self.keys, self.panes = about, keys, panes

    @classmethod
    def of(cls, screen: Screen[Any]) -> HelpScreen:
        """The help of `screen` as it is now."""
        keys: dict[str, list[str]] = {}
        # what this screen does comes before how any list is moved through
        known = sorted(screen.active_bindings.values(), key=lambda active: not active.binding.show)
        for active in known:
            binding = active.binding
            if binding.system or not binding.description or not active.enabled or binding.action.startswith(UNSAID):
                continue
            shown = screen.app.get_key_display(binding)
            keys.setdefault(binding.description, [])
            if shown not in keys[binding.description]:
                keys[binding.description].append(shown)
        focused = screen.focused
        widgets: list[Widget] = [w for w in screen.query("*").results(Widget) if getattr(w, "HELP", None) and w.display]
        widgets.sort(key=lambda w: w is not focused)
        panes, seen = [], set()
        for widget in widgets:
            text = str(getattr(widget, "HELP", ""))
            if text and text not in seen and widget.region:
                seen.add(text)
                title = str(widget.border_title or getattr(widget, "title", "") or type(widget).__name__)
                panes.append((title + (" (here)" if widget is focused else ""), text))
        rows = [
            (" ".join(sorted(names, key=lambda n: n.startswith("^"))), description)
            for description, names in keys.items()
        ]
        return cls(str(getattr(screen, "HELP", "") or ""), rows, panes)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "help"
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                if self.about:
                    yield Static(self.about + "\n", markup=False)
                yield Static(self._keys())
                if self.panes:
                    yield Static(self._pairs("what is shown", self.panes))
                yield Static(self._pairs("words", list(GLOSSARY)))

    def _keys(self) -> Table:
        table = Table.grid(padding=(0, 2))
        half = -(-len(self.keys) // 2)
        for left, right in zip(self.keys[:half], [*self.keys[half:], ("", "")], strict=False):
            table.add_row(Text(left[0], style="bold"), Text(left[1]), Text(right[0], style="bold"), Text(right[1]))
        return table

    @staticmethod
    def _pairs(title: str, pairs: list[tuple[str, str]]) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(max_width=26)
        table.add_row(Text(""), Text(""))
        table.add_row(Text(title, style="bold italic"), Text(""))
        for name, text in pairs:
            table.add_row(Text(name, style="bold"), Text(text))
        return table
