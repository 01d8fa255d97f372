"""The list of runs: only the lines that can be seen are drawn, so that thousands cost what twenty do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseMove, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cllab.tui.index import Entry, age
from cllab.tui.theme import style
from cllab.tui.widgets.chart import clip

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        width: cells, at least.
        share: of the room that is left over.
        need: width of the table from which on it is shown.
        right: whether its values stand at the right.
    """

    key: str
    title: str
    width: int
    text: Callable[[Entry], str]
    share: int = 0
    need: int = 0
    right: bool = False


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _result(entry: Entry) -> str:
    if entry.average is not None:
        return _percent(entry.average)
    return f"{100 * entry.fraction:.0f} %" if entry.fraction is not None and not entry.is_over else ""


COLUMNS = (
    Column("state", "state", 10, lambda e: e.state),
    Column("name", "name", 14, lambda e: e.name, share=3),
    Column("method", "method", 9, lambda e: e.method, share=1),
    Column("data", "data", 9, lambda e: e.dataset, share=1),
    Column("scenario", "scenario", 9, lambda e: e.scenario, share=1, need=96),
    Column("model", "model", 9, lambda e: e.model, share=1, need=130),
    Column("memory", "memory", 8, lambda e: e.memory if e.capacity else "", share=1, need=106),
    Column(
        "capacity",
        "size",
        6,
        lambda e: str(e.capacity or "none") if e.capacity is not None else "",
        need=64,
        right=True,
    ),
    Column("seed", "seed", 5, lambda e: "" if e.seed is None else str(e.seed), need=84, right=True),
    Column("average", "avg %", 6, _result, right=True),
    Column("last", "last %", 6, lambda e: _percent(e.last), need=100, right=True),
    Column("forgetting", "forgot", 6, lambda e: _percent(e.forgetting), need=76, right=True),
    Column("age", "age", 6, lambda e: age(max(0.0, time.time() - e.updated)) if e.updated else "", right=True),
)


class RunTable(ScrollView, can_focus=True):
    """Runs, one a line, with a cursor."""

    HELP = "Every run of the runs folder. Enter opens one; the other keys act on the one under the cursor."
    DEFAULT_CSS = """
    RunTable { height: 1fr; border: round $border-blurred; padding: 0 1; overflow-x: hidden; scrollbar-size-vertical: 1;
        scrollbar-background: $background; scrollbar-color: $border-blurred; border-title-color: $text-muted; }
    RunTable:focus { border: round $border; border-title-color: $primary; border-title-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor(1)", "Down", show=False),
        Binding("up,k", "cursor(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("home", "cursor(-1000000)", "First", show=False),
        Binding("end", "cursor(1000000)", "Last", show=False),
        Binding("enter", "open", "Open"),
    ]
    cursor: reactive[int] = reactive(0, repaint=False)

    class Highlighted(Message):
        """Another run is under the cursor."""

        def __init__(self, entry: Entry | None) -> None:
            super().__init__()
            self.entry = entry

    class Opened(Message):
        """A run was chosen."""

        def __init__(self, entry: Entry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.entries: Sequence[Entry] = ()
        self._columns: list[tuple[Column, int]] = []
        self._hover = -1

    @property
    def current(self) -> Entry | None:
        """The run under the cursor."""
        return self.entries[self.cursor] if 0 <= self.cursor < len(self.entries) else None

    def show(self, entries: Sequence[Entry]) -> None:
        """List `entries`; the cursor stays on its run, lines that did not change are not painted again."""
        old, here = self.entries, self.current
        self.entries = entries
        ids = [e.run.id for e in entries]
        cursor = ids.index(here.run.id) if here is not None and here.run.id in ids else min(self.cursor, len(ids) - 1)
        top = self.scroll_offset.y
        if len(old) == len(entries):
            for y in range(max(0, self.size.height - 1)):
                i = top + y
                if i < len(entries) and old[i] != entries[i]:
                    self.refresh(Region(0, y + 1, self.size.width, 1))
        else:
            self.virtual_size = Size(self.size.width, len(entries) + 1)
            self.refresh()
        self.set_reactive(RunTable.cursor, max(0, cursor))
        if here != self.current:
            self.refresh()
            self.post_message(self.Highlighted(self.current))

    def on_resize(self, event: Resize) -> None:
        """Fit the columns to the width."""
        self.virtual_size = Size(self.size.width, len(self.entries) + 1)
        self._fit(self.size.width)
        self.refresh()

    def _fit(self, width: int) -> None:
        shown = [c for c in COLUMNS if width >= c.need]
        left = width - sum(c.width + 1 for c in shown) + 1
        shares = sum(c.share for c in shown) or 1
        self._columns = [(c, c.width + max(0, left) * c.share // shares) for c in shown]

    # -- drawing

    def render_line(self, y: int) -> Strip:
        app = cast("CllabApp", self.app)
        width, colors, base = self.size.width, app.palette, self.rich_style
        if y == 0:
            parts = [self._cell(c.title, c, w) for c, w in self._columns]
            return self._strip([Segment(" ".join(parts), style(colors.muted))], width, base)
        i = self.scroll_offset.y + y - 1
        if i >= len(self.entries):
            return Strip.blank(width, base)
        entry = self.entries[i]
        here = i == self.cursor
        plain = style(colors.text)
        segments: list[Segment] = []
        for n, (column, w) in enumerate(self._columns):
            if n:
                segments.append(Segment(" "))
            text, ink = column.text(entry), plain
            if column.key == "state":
                text = f"{app.glyphs.state(entry.state)} {text}"
                bad, live = entry.state in ("failed", "lost"), not entry.is_over
                ink = style(colors.lost if bad else colors.gained if live else colors.text, bold=bad or live)
            elif column.key in ("age", "seed", "scenario", "model"):
                ink = style(colors.muted)
            segments.append(Segment(self._cell(text, column, w), ink))
        mark = self.get_component_rich_style("run-table--cursor") if here else base
        return self._strip(segments, width, mark, force=here)

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run-table--cursor"}
    DEFAULT_CSS += """
    RunTable > .run-table--cursor { background: $block-cursor-blurred-background; }
    RunTable:focus > .run-table--cursor { background: $primary 40%; text-style: bold; }
    """

    def _cell(self, text: str, column: Column, width: int) -> str:
        glyphs = cast("CllabApp", self.app).glyphs
        return text.rjust(width) if column.right and len(text) <= width else clip(text, width, glyphs)

    @staticmethod
    def _strip(segments: list[Segment], width: int, base: Style, force: bool = False) -> Strip:
        return Strip(segments).adjust_cell_length(width).apply_style(base)

    # -- moving

    def validate_cursor(self, cursor: int) -> int:
        """Never outside the list."""
        return min(max(0, cursor), max(0, len(self.entries) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Keep the cursor in sight."""
        top, room = self.scroll_offset.y, max(1, self.size.height - 1)
        if new < top:
            self.scroll_to(y=new, animate=False, force=True)
        elif new >= top + room:
            self.scroll_to(y=new - room + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.Highlighted(self.current))

    def action_cursor(self, by: int) -> None:
        """Move."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move by what can be seen."""
        self.cursor += by * max(1, self.size.height - 2)

    def action_open(self) -> None:
        """Choose the run under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def on_mouse_move(self, event: MouseMove) -> None:
        """Nothing lights up under the mouse: the cursor is what counts."""

    def on_click(self, event: Click) -> None:
        """A click moves the cursor, a second one on the same line opens."""
        y = event.y - 1  # the border is not part of the content
        i = self.scroll_offset.y + y - 1
        if 0 <= i < len(self.entries) and y >= 1:
            if i == self.cursor and event.chain > 1:
                self.action_open()
            self.cursor = i
