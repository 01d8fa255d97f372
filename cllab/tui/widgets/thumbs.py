"""The stored samples as pictures, in groups; only the rows that are on the screen are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.message import Message

from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.snapshots import Snapshot, changes, load
from cllab.tui.theme import RGB, mix, style
from cllab.tui.view import class_names
from cllab.tui.widgets.chart import Chart, Part, center, clip, message
from cllab.tui.widgets.composition import class_inks
from cllab.tui.widgets.pictures import Picture, half_cells, resize

SIZES = (8, 12, 16, 24, 32)
GAP = 1


@dataclass(frozen=True)
class Item:
    """One sample.

    Attributes:
        key: what the owner of the grid knows it by.
        picture: None for a sample without one.
        caption: a word below it.
        mark: "new", "left" or "".
        color: of its class or task.
    """

    key: int
    picture: Picture | None
    caption: str
    mark: str = ""
    color: RGB = (128, 128, 128)


@dataclass(frozen=True)
class Section:
    """Samples under a heading."""

    title: str
    items: Sequence[Item]


class ThumbGrid(Chart):
    """Pictures in sections; the selection moves over all of them."""

    HELP = (
        "Stored samples in groups. Comma and full stop or a click select one, up and down move by a row, enter "
        "enlarges it; + entered and \u2212 left since the task before."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("comma,shift+left,h", "pick(-1)", "Picture before", id="thumbs.previous", show=False),
        Binding("full_stop,shift+right", "pick(1)", "Next picture", id="thumbs.next", show=False),
        Binding("up,k", "pick_row(-1)", "Row up", id="thumbs.up", show=False),
        Binding("down,j", "pick_row(1)", "Row down", id="thumbs.down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="thumbs.pageup", show=False),
        Binding("pagedown", "page(1)", "Page down", id="thumbs.pagedown", show=False),
        Binding("enter,i", "enlarge", "Enlarge", id="thumbs.enlarge"),
    ]

    class Selected(Message):
        """Another sample is selected."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Enlarged(Selected):
        """The selected sample is to be seen large."""

    always_selected = True

    def __init__(self, *, title: str, empty: str, id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.empty = empty
        self.sections: Sequence[Section] = ()
        self.pixels = 16
        self.selected = 0
        self.top = 0
        self._cache: dict[tuple[int, int, str, RGB], list[list[Part]]] = {}
        self._spots: list[tuple[int, int, int]] = []

    def show(self, sections: Sequence[Section], *, keep: bool = True) -> None:
        """Draw `sections`; `keep` keeps the selected sample and the place when it is still there."""
        before = self.item
        self.sections = sections
        items = self._items()
        if keep and before is not None:
            self.selected = next((i for i, x in enumerate(items) if x.key == before.key and x.mark != "left"), 0)
        else:
            self.selected, self.top = 0, 0
        self.selected = min(self.selected, max(0, len(items) - 1))
        self._cache.clear()
        self.invalidate()

    @property
    def item(self) -> Item | None:
        """The selected sample."""
        items = self._items()
        return items[self.selected] if self.selected < len(items) else None

    def _items(self) -> list[Item]:
        return [item for section in self.sections for item in section.items]

    # -- layout: virtual rows, of which a window is drawn

    @property
    def _step(self) -> tuple[int, int]:
        """Columns and rows of one picture with its caption."""
        return self.pixels + GAP, (self.pixels + 1) // 2 + 1

    def _plan(self, width: int) -> list[tuple[int, int, int]]:
        """Per virtual line block: (first line, section, first item of the row; -1 for a heading)."""
        across = max(1, (width + GAP) // self._step[0])
        plan, line = [], 0
        for s, section in enumerate(self.sections):
            if section.title:
                plan.append((line, s, -1))
                line += 1
            for i in range(0, len(section.items), across):
                plan.append((line, s, i))
                line += self._step[1]
        plan.append((line, -1, -1))
        return plan

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        if not self.sections or not any(len(s.items) for s in self.sections):
            self.border_subtitle = ""
            text = self.sections[0].title if self.sections and self.sections[0].title else self.empty
            return message(text, width, height, colors.muted)
        plan = self._plan(width)
        across = max(1, (width + GAP) // self._step[0])
        total = plan[-1][0]
        self.top = min(max(0, self.top), max(0, total - height))
        starts = np.cumsum([0, *(len(s.items) for s in self.sections)])
        rows: list[list[Part]] = [[] for _ in range(height)]
        self._spots = []
        for line, s, i in plan[:-1]:
            tall = 1 if i < 0 else self._step[1]
            if line + tall <= self.top or line >= self.top + height:
                continue
            section = self.sections[s]
            if i < 0:
                rows[line - self.top] = [(clip(section.title, width, self.glyphs), style(colors.text, bold=True))]
                continue
            blocks = []
            for k in range(i, min(i + across, len(section.items))):
                index = int(starts[s]) + k
                blocks.append(self._block(section.items[k], index == self.selected))
                self._spots.append((line, (k - i) * self._step[0], index))
            for dy in range(tall):
                y = line + dy - self.top
                if 0 <= y < height:
                    row: list[Part] = []
                    for block in blocks:
                        row += block[dy]
                        row.append((" " * GAP, style()))
                    rows[y] = row
        if total > height:
            n = sum(len(s.items) for s in self.sections)
            self.border_subtitle = f"{self.selected + 1}/{n}"
        else:
            self.border_subtitle = ""
        return rows

    def _block(self, item: Item, selected: bool) -> list[list[Part]]:
        """The lines of one picture and its caption."""
        colors, glyphs, w = self.palette, self.glyphs, self.pixels
        key = (item.key, w, item.mark, item.color)
        if key not in self._cache:
            self._cache[key] = self._picture(item, w)
        sign = {"new": glyphs.up, "left": glyphs.down}.get(item.mark, "")
        ink = {"new": colors.gained, "left": colors.lost}.get(item.mark, item.color)
        text = f"{sign}{item.caption}" if w >= 6 else sign or item.caption[:1]
        if selected and (self.always_selected or self.has_focus):
            # a mark beside the color, for those who do not see it
            caption: Part = (clip(glyphs.right + text, w, glyphs), style(colors.background, colors.gained, bold=True))
        else:
            caption = (clip(text, w, glyphs), style(ink, strike=item.mark == "left"))
        return [*self._cache[key], [caption]]

    def _picture(self, item: Item, w: int) -> list[list[Part]]:
        rows = (w + 1) // 2
        if item.picture is None:
            said = [
                (
                    center("no picture" if w >= 10 else self.glyphs.dot, w),
                    style(self.palette.muted, mix(self.palette.grid, self.palette.background, 0.6)),
                )
            ]
            blank = [(" " * w, said[0][1])]
            return [said if y == rows // 2 else blank for y in range(rows)]
        small = resize(item.picture, rows * 2, w)
        return half_cells(small, self.glyphs, toward=self.palette.background if item.mark == "left" else None)

    # -- moving

    def action_pick(self, by: int) -> None:
        """Select the picture before or after."""
        self._select(self.selected + by)

    def action_pick_row(self, by: int) -> None:
        """Select the picture above or below."""
        plan = [(line, s, i) for line, s, i in self._plan(self.size.width)[:-1] if i >= 0]
        across = max(1, (self.size.width + GAP) // self._step[0])
        starts = [0]
        for section in self.sections:
            starts.append(starts[-1] + len(section.items))
        for at, (_, s, i) in enumerate(plan):
            first = starts[s] + i
            if first <= self.selected < min(first + across, starts[s + 1]):
                to = plan[min(max(0, at + by), len(plan) - 1)]
                column = self.selected - first
                end = min(to[2] + across, len(self.sections[to[1]].items))
                self._select(starts[to[1]] + min(to[2] + column, end - 1))
                return

    def action_page(self, by: int) -> None:
        """Move by as many rows as are shown."""
        for _ in range(max(1, self.size.height // self._step[1])):
            self.action_pick_row(by)

    def action_enlarge(self) -> None:
        """See the selected picture large."""
        if self.item is not None:
            self.post_message(self.Enlarged(self.item))

    def _select(self, index: int) -> None:
        n = sum(len(s.items) for s in self.sections)
        if not n:
            return
        self.selected = min(max(0, index), n - 1)
        self._bring_into_view()
        self.invalidate()
        if self.item is not None:
            self.post_message(self.Selected(self.item))

    def _bring_into_view(self) -> None:
        width, height = self.size
        across = max(1, (width + GAP) // self._step[0])
        start = 0
        seen: dict[int, int] = {}
        for s, section in enumerate(self.sections):
            seen[s] = start
            start += len(section.items)
        for line, s, i in self._plan(width)[:-1]:
            if i >= 0 and seen[s] + i <= self.selected < min(
                seen[s] + i + across, seen[s] + len(self.sections[s].items)
            ):
                head = line - (1 if i == 0 and self.sections[s].title else 0)
                if head < self.top:
                    self.top = head
                elif line + self._step[1] > self.top + height:
                    self.top = line + self._step[1] - height
                return

    def on_focus(self) -> None:
        """Show the selection."""
        self.invalidate()

    def on_blur(self) -> None:
        """Hide the selection where it says nothing."""
        self.invalidate()

    def on_mouse_scroll_down(self) -> None:
        """Scroll by a picture."""
        self.top += self._step[1]
        self.invalidate()

    def on_mouse_scroll_up(self) -> None:
        """Scroll back by a picture."""
        self.top = max(0, self.top - self._step[1])
        self.invalidate()

    def on_click(self, event: object) -> None:
        """Select the picture that was clicked; a double click enlarges it."""
        x, y = getattr(event, "x", 0) - 2, getattr(event, "y", 0) - 1 + self.top
        for line, column, index in self._spots:
            if line <= y < line + self._step[1] and column <= x < column + self.pixels:
                self._select(index)
                if getattr(event, "chain", 1) == 2:
                    self.action_enlarge()
                return


class RecentThumbs(ThumbGrid):
    """What entered the memory last, as pictures: the pane of the Live screen."""

    HELP = "Samples that entered the memory with the newest snapshot; the Memory screen (3) has all of them."

    always_selected = False

    def __init__(self, *, title: str = "new in memory", id: str | None = None) -> None:
        super().__init__(title=title, empty="pictures appear when the memory is first reported", id=id)
        self._shown: tuple[str, str] | None = None

    def show_run(self, run: Run, state: RunState) -> None:
        """Draw the newest snapshot of `run`, read once."""
        named = [m.snapshot for m in state.memory if m.snapshot]
        key = (str(run.folder), named[-1] if named else "")
        if key == self._shown:
            return
        self._shown = key
        if not named:
            self.show((), keep=False)
            return
        now = load(run.memory_folder / named[-1])
        before = load(run.memory_folder / named[-2]) if len(named) > 1 else None
        inks = class_inks(state, self.palette)
        self.show(self._sections(now, before, class_names(state), inks), keep=False)

    def _sections(
        self, now: Snapshot | None, before: Snapshot | None, names: Sequence[str], inks: Sequence[RGB]
    ) -> list[Section]:
        if now is None or not len(now.thumbs):
            return []
        fresh, _ = changes(now, before)
        order = np.flatnonzero(fresh & (now.pictures >= 0))
        # a few of each class before more of any
        seen: dict[int, int] = {}
        rank = []
        for i in order:
            label = int(now.labels[i])
            seen[label] = seen.get(label, 0) + 1
            rank.append((seen[label], label, int(i)))

        def ink(c: int) -> RGB:
            return inks[c] if 0 <= c < len(inks) else self.palette.muted

        items = [
            Item(int(now.ids[i]), now.thumbs[now.pictures[i]], names[c] if 0 <= c < len(names) else str(c), "", ink(c))
            for _, c, i in sorted(rank)[:200]
        ]
        return [Section("", items)]
