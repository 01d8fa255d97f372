"""The list of runs: only the lines that can be seen are drawn, so that thousands cost what twenty do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.cells import cell_len
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
        order: what the table is sorted by when this column is asked for; None stands last either way.
        most_first: whether the first click puts the largest on top.
        share: of the room that is left over.
        need: width of the table from which on it is shown.
        right: whether its values stand at the right.
    """

    key: str
    title: str
    width: int
    text: Callable[[Entry], str]
    order: Callable[[Entry], Any]
    most_first: bool = False
    share: int = 0
    need: int = 0
    right: bool = False


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _state(entry: Entry) -> str:
    """What the run does, and how far it is: never in a column that holds results."""
    done = f" {100 * entry.fraction:.0f}%" if entry.fraction is not None and not entry.is_over else ""
    return entry.word + done


_STATES = ("training", "paused", "starting", "queued", "failed", "lost", "stopped", "done")


def _state_order(entry: Entry) -> int:
    """What asks for attention first."""
    return _STATES.index(entry.state) if entry.state in _STATES else len(_STATES)


COLUMNS = (
    Column("state", "state", 14, _state, _state_order),
    Column("name", "name", 14, lambda e: e.name, lambda e: (e.name.casefold(), e.seed or 0), share=3),
    Column("method", "method", 9, lambda e: e.method, lambda e: e.method, share=1),
    Column("data", "data", 9, lambda e: e.dataset, lambda e: e.dataset, share=1),
    Column("scenario", "scenario", 9, lambda e: e.scenario, lambda e: e.scenario, share=1, need=100),
    Column("model", "model", 9, lambda e: e.model, lambda e: e.model, share=1, need=134),
    Column("memory", "memory", 8, lambda e: e.memory if e.capacity else "", lambda e: e.memory, share=1, need=112),
    Column(
        "capacity",
        "size",
        6,
        lambda e: str(e.capacity or "none") if e.capacity is not None else "",
        lambda e: e.capacity,
        need=80,
        right=True,
    ),
    Column("seed", "seed", 4, lambda e: "" if e.seed is None else str(e.seed), lambda e: e.seed, need=60, right=True),
    Column("average", "avg %", 6, lambda e: _percent(e.average), lambda e: e.average, True, right=True),
    Column("last", "last %", 7, lambda e: _percent(e.last), lambda e: e.last, True, need=104, right=True),
    Column(
        "forgetting", "forgot pts", 11, lambda e: _percent(e.forgetting), lambda e: e.forgetting, need=96, right=True
    ),
    Column(
        "age",
        "age",
        6,
        lambda e: age(max(0.0, time.time() - e.updated)) if e.updated else "",
        lambda e: -e.updated if e.updated else None,
        right=True,
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}
ORDERS: dict[str, Callable[[Entry], Any]] = {"started": lambda e: e.started}
"""Orders that no column shows."""


def ordered(entries: Iterable[Entry], key: str, *, most_first: bool) -> list[Entry]:
    """`entries` by a column; those that have no value there stand last, and what is equal keeps its order."""
    order = BY_KEY[key].order if key in BY_KEY else ORDERS[key]
    known = [(order(e), e) for e in entries]
    have = sorted((k for k in known if k[0] is not None), key=lambda k: k[0], reverse=most_first)
    return [e for _, e in have] + [e for k, e in known if k is None]


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

    class SortAsked(Message):
        """The title of a column was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.entries: Sequence[Entry] = ()
        self.sorted_by: tuple[str, bool] = ("", False)
        self._columns: list[tuple[Column, int]] = []
        self._drawn = 0.0

    @property
    def current(self) -> Entry | None:
        """The run under the cursor."""
        return self.entries[self.cursor] if 0 <= self.cursor < len(self.entries) else None

    def show(self, entries: Sequence[Entry], sorted_by: tuple[str, bool] | None = None) -> None:
        """List `entries`; the cursor stays on its run, lines that did not change are not painted again.

        Args:
            sorted_by: the column by which they are sorted and whether its largest stands on top; marked in its title.
        """
        if sorted_by is not None and sorted_by != self.sorted_by:
            self.sorted_by = sorted_by
            self.refresh()
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

    def grow_older(self, every: float = 20.0) -> None:
        """Draw the ages again when that is worth it: they are told in minutes."""
        if time.monotonic() - self._drawn >= every:
            # behind a question the table is not drawn: it was asked for all the same
            self._drawn = time.monotonic()
            self.refresh()

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
            self._drawn = time.monotonic()
            parts = [self._cell(self._title(c, w), c, w) for c, w in self._columns]
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
                text = f"{app.glyphs.state(entry.word)} {text}"
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

    def _title(self, column: Column, width: int) -> str:
        """A column's title, with the direction in which the table is sorted by it where there is room."""
        key, most_first = self.sorted_by
        glyphs = cast("CllabApp", self.app).glyphs
        if key != column.key or len(column.title) + 1 > width:
            return column.title
        mark = glyphs.falling if most_first else glyphs.rising
        return mark + column.title if column.right else column.title + mark

    def _cell(self, text: str, column: Column, width: int) -> str:
        glyphs = cast("CllabApp", self.app).glyphs
        rest = width - cell_len(text)
        return " " * rest + text if column.right and rest >= 0 else clip(text, width, glyphs)

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
        """A click moves the cursor, a second one on the same line opens; one on a title sorts."""
        y = event.y - 1  # the border is not part of the content
        if y == 0:
            self._title_clicked(event.x - 2)
            return
        i = self.scroll_offset.y + y - 1
        if 0 <= i < len(self.entries) and y >= 1:
            if i == self.cursor and event.chain > 1:
                self.action_open()
            self.cursor = i

    def _title_clicked(self, x: int) -> None:
        for column, width in self._columns:
            if 0 <= x < width:
                self.post_message(self.SortAsked(column.key))
                return
            x -= width + 1
