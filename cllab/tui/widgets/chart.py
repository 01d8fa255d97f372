"""The base of every chart: draws into cached strips and repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from cllab.text import clean
from cllab.tui.glyphs import UNICODE, Glyphs
from cllab.tui.theme import DARK, RGB, Palette, style

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

Part = tuple[str, Style]
_SYSTEMS = {"standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT, "windows": ColorSystem.WINDOWS}


class Chart(Widget, can_focus=True):
    """A bordered pane whose content is a pure function of its data, size, palette and signs.

    A subclass keeps its data, calls `invalidate` when they change, and implements `draw`.
    """

    HELP: ClassVar[str] = ""
    EMPTY: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = []
    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    Chart {
        border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $text-muted;
        padding: 0 1; background: $background;
    }
    Chart:focus { border: round $border; border-title-color: $primary; border-title-style: bold; }
    """

    def __init__(self, *, title: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.set_class(self.can_focus, "pane")
        self.border_title = title
        self.title = title
        self._strips: list[Strip] | None = None

    # -- what a subclass uses

    @property
    def glyphs(self) -> Glyphs:
        """The signs of this terminal."""
        return cast("CllabApp", self.app).glyphs if self.is_attached else UNICODE

    @property
    def palette(self) -> Palette:
        """The colors of this theme."""
        return cast("CllabApp", self.app).palette if self.is_attached else DARK

    @property
    def color_system(self) -> ColorSystem | None:
        """The colors of this terminal; None where none are wanted."""
        if not self.is_attached:
            return ColorSystem.TRUECOLOR
        if self.app.no_color:
            return None
        return _SYSTEMS.get(self.app.console.color_system or "", ColorSystem.TRUECOLOR)

    def draw(self, width: int, height: int) -> list[list[Part]]:
        """The content, at most `height` rows of at most `width` cells."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Draw again and repaint what changed; a widget that is not on screen waits until it is."""
        width, height = self.size
        old = self._strips
        if old is None or not width or not height:
            self._strips = None
            self.refresh()
            return
        if not self.is_on_screen:
            self._strips = None
            return
        new = self._build(width, height)
        self._strips = new
        regions = [r for y, (a, b) in enumerate(zip(old, new, strict=False)) if a is not b and (r := _changed(a, b, y))]
        if len(old) != len(new):
            self.refresh()
        elif regions:
            self.refresh(*regions)

    def fitting(self, *texts: str) -> str:
        """The first of `texts` that the border has room for, else the last, cut with this terminal's own sign."""
        width = self.size.width - 2  # a blank on either side of the text, and the ends of the border
        if width <= 0:
            return texts[0]
        return next((text for text in texts if cell_len(text) <= width), clip(texts[-1], width, self.glyphs))

    # -- Textual

    def notify_style_update(self) -> None:
        self._strips = None
        super().notify_style_update()

    def on_resize(self, _event: Resize) -> None:
        self._strips = None

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if self._strips is None or len(self._strips) != height:
            self._strips = self._build(width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _build(self, width: int, height: int) -> list[Strip]:
        if not width or not height:
            return []
        base = self.rich_style
        rows = self.draw(width, height)[:height]
        strips = []
        for row in rows:
            # names come from files that others wrote
            strip = Strip([Segment(said, ink) for text, ink in row if (said := clean(text))])
            strips.append(strip.adjust_cell_length(width).apply_style(base))
        strips += [Strip.blank(width, base)] * (height - len(strips))
        return strips


def _changed(a: Strip, b: Strip, y: int) -> Region | None:
    """The cells of row `y` in which two strips differ, None when they are equal."""
    first, second = list(a), list(b)
    if first == second:
        return None
    start = 0
    for old, new in zip(first, second, strict=False):
        if old != new:
            break
        start += old.cell_length
    end = 0
    for old, new in zip(reversed(first), reversed(second), strict=False):
        if old != new:
            break
        end += old.cell_length
    width = max(a.cell_length, b.cell_length) - end - start
    return Region(start, y, max(1, width), 1)


def text_rows(lines: Iterable[str], color: RGB) -> list[list[Part]]:
    """Plain lines in one color."""
    return [[(line, style(color))] for line in lines]


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, and of eight at least."""
    width = max(8, width)
    lines, used = [""], 0
    for word in text.split():
        for k, part in enumerate(chop_cells(word, width)):
            gap = " " if k == 0 and used else ""
            if used + len(gap) + cell_len(part) > width:
                lines.append("")
                gap, used = "", 0
            lines[-1] += gap + part
            used += len(gap) + cell_len(part)
    return lines


def message(text: str, width: int, height: int, color: RGB) -> list[list[Part]]:
    """What an empty pane says, in its middle."""
    lines = wrap(text, width)[:height]
    above = max(0, (height - len(lines)) // 2)
    return [[("", Style())]] * above + [[(center(line, width), style(color))] for line in lines]


def cells(*parts: Part) -> list[Part]:
    """One row from parts."""
    return list(parts)


def clip(text: str, width: int, glyphs: Glyphs) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + glyphs.ellipsis if width > 1 else set_cell_size(text, 1)
    return set_cell_size(text, width)


def center(text: str, width: int) -> str:
    """`text` in the middle of `width` cells; as it is where there is no room."""
    rest = max(0, width - cell_len(text))
    # as `str.center` does
    left = rest // 2 + (rest & width & 1)
    return " " * left + text + " " * (rest - left)
