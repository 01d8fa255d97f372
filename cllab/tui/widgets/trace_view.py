"""What a method published about single steps: scalars over the traced steps, pictures, vectors, matrices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.message import Message

from cllab.errors import CllabError
from cllab.record.events import Traced
from cllab.record.state import Series
from cllab.tui.theme import scale, style
from cllab.tui.view import number, short
from cllab.tui.widgets.chart import Chart, Part, clip, message
from cllab.tui.widgets.pictures import Picture, half_cells, heat_picture, resize
from cllab.tui.widgets.signed import resampled, signed_bars

if TYPE_CHECKING:
    from cllab.record.traces import Trace

PIXELS = 16
"""Side of a traced picture in pixels; half of it where there are few rows."""
PER_TASK = frozenset({"inner products", "multipliers", "projected inner products"})
"""Vectors with a number for every earlier task: GEM's constraints."""
Array = NDArray[Any]


def read_trace(path: Path) -> Trace | None:
    """The arrays in `path`; None when the file is missing, half-written or not one."""
    from cllab.record.traces import read

    try:
        return read(path)
    except CllabError:
        return None


def numbered(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """`names` in order, those that differ only by a number at the end ("inner loss 1", "inner loss 2") as one row."""
    rows: dict[str, list[str]] = {}
    for name in names:
        stem = re.fullmatch(r"(.*\D)\s*\d+", name)
        rows.setdefault(stem[1].strip() if stem else name, []).append(name)
    out: list[tuple[str, list[str]]] = []
    for stem_name, members in rows.items():
        if len(members) > 2:
            out.append((stem_name, members))
        else:
            out += [(name, [name]) for name in members]
    return out


class TraceView(Chart):
    """One traced step: its scalars beside their course over all traced steps, its arrays below."""

    HELP = (
        "What the method published about one step. A number stands beside its course over the traced steps; numbered "
        "names are one row over the steps within the step. Bars begin at zero: what is below it hangs from the top. "
        "Left and right go through the traced steps."
    )
    EMPTY = "nothing is traced: pause (space), then t trains one step and shows what the method did in it"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Traced step before", id="trace.back", show=False),
        Binding("right", "step(1)", "Traced steps", id="trace.on", key_display="\u2190\u2192"),
    ]

    class Moved(Message):
        """Another traced step is shown."""

    def __init__(self, *, title: str = "traced step", id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.traces: Sequence[Traced] = ()
        self.at: int | None = None
        self._folder = Path()
        self._key: tuple[object, ...] | None = None
        self._arrays: Mapping[str, Array] = {}
        self._kinds: Mapping[str, str] = {}
        self._missing = False
        self.names: Sequence[str] = ()
        self.look: tuple[str, ...] = ()

    def show(
        self, folder: Path, traces: Series[Traced], names: Sequence[str] = (), *, look: tuple[str, ...] = ()
    ) -> None:
        """Draw the traced steps of the run in `folder`: the newest one, unless another was gone to.

        Args:
            folder: the run folder, where the arrays are.
            traces: every traced step.
            names: of the classes, for the labels of pictures.
            look: names of numbers and arrays to look at, numbered ones without their number: they get a sign, and the
                others step back.
        """
        self.names = names
        if look != self.look:
            self.look = look
            self.invalidate()
        if folder != self._folder:
            self._folder, self.at = folder, None
        self.traces = traces
        if self.at is not None and self.at >= len(traces):
            self.at = None
        self._load()

    @property
    def index(self) -> int:
        """Which traced step is shown, -1 for none."""
        return len(self.traces) - 1 if self.at is None else self.at

    def action_step(self, by: int) -> None:
        """Go to the traced step before or after; the newest follows the run."""
        if not len(self.traces):
            return
        at = min(max(0, self.index + by), len(self.traces) - 1)
        self.at = None if at == len(self.traces) - 1 else at
        self._load()
        self.post_message(self.Moved())

    def _load(self) -> None:
        """Read the arrays of the shown step once."""
        record = self.traces[self.index] if len(self.traces) else None
        key = (self._folder, self.index, len(self.traces), record, self._missing)
        if key == self._key:
            return
        name = record.file if record is not None else ""
        # a path in a hand-edited log leads nowhere else
        inside = bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts
        trace = read_trace(self._folder / name) if inside else None
        self._arrays, self._kinds = (trace.arrays, trace.kinds) if trace is not None else ({}, {})
        self._missing = bool(name) and trace is None
        self._key = (*key[:4], self._missing)
        self.border_title = self.title if record is None else f"{self.title} {record.step}"
        n = len(self.traces)
        self.border_subtitle = f"{self.index + 1} of {n}" if n > 1 else ""
        self.invalidate()

    # -- drawing

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, glyphs = self.palette, self.glyphs
        if not len(self.traces):
            return message(self.EMPTY, width, height, colors.muted)
        record = self.traces[self.index]
        head = glyphs.sep.join([record.method, f"task {record.task + 1}", f"step {record.step}"])
        rows: list[list[Part]] = [[(clip(head, width, glyphs), style(colors.muted))]] if height >= 8 else []
        if self._missing:
            rows.append([(clip(f"{record.file} is missing or cannot be read", width, glyphs), style(colors.lost))])
        room = height - len(rows)
        n = len(numbered(list(record.scalars)))
        # the numbers come first; arrays get what they leave, and two fifths where both are many
        for_scalars = min(n, max(1, room * 2 // 5, room - 22)) if self._arrays else room
        scalars = self._scalar_rows(record, width, for_scalars)
        arrays = self._array_rows(width, room - len(scalars) - 1)
        return (rows + scalars + ([[], *arrays] if arrays else []))[:height]

    def _scalar_rows(self, record: Traced, width: int, most: int) -> list[list[Part]]:
        """A row per scalar (or per numbered group), in two columns where one has no room."""
        if most < 1:
            return []
        groups = numbered(list(record.scalars))
        columns = 2 if len(groups) > most and width >= 64 else 1
        if len(groups) > most * columns:
            # what is talked about is not among those that are left out
            groups.sort(key=lambda g: bool(self.look) and not self._is_looked_at(g[0]))
        gutter = len(self._gutter(""))
        wide = (width - 2 * (columns - 1)) // columns - gutter
        each = min(most, -(-len(groups) // columns))
        cells: list[list[Part]] = []
        for c in range(columns):
            cells += self._column(record, groups[c * each : (c + 1) * each], wide, alone=columns == 1)
        if len(groups) > each * columns:
            hidden = len(groups) - (each * columns - 1)
            cells[-1] = [(clip(f"and {hidden} more", wide + gutter, self.glyphs), style())]
        blank: list[Part] = [(" " * (wide + gutter), style())]
        rows = []
        for y in range(each):
            row: list[Part] = []
            for c in range(columns):
                at = y + c * each
                row += [*(cells[at] if at < len(cells) else blank), *([("  ", style())] if c < columns - 1 else [])]
            rows.append(row)
        return rows

    def _column(
        self, record: Traced, groups: Sequence[tuple[str, list[str]]], wide: int, *, alone: bool
    ) -> list[list[Part]]:
        """A cell of `wide` columns (and the sign before it) per group, names and numbers under each other."""
        texts = [self._value(record, members) for _, members in groups]
        value_width = max([7, *map(len, texts)])
        names = [
            name if len(members) == 1 else f"{name} 1{self.glyphs.arrow}{len(members)}" for name, members in groups
        ]
        if max([0, *map(cell_len, names)]) > wide - value_width - 12:
            # of "iteration 2: inner loss", the number tells what the words do not
            names = [re.sub(r"^[^:]* (\d+): ", r"\1: ", name) for name in names]
        name_width = max(4, min(max([0, *map(cell_len, names)]), wide - value_width - (12 if alone else 1)))
        return [
            self._stand_out(
                stem, self._scalar(record, clip(name, name_width, self.glyphs), members, text.rjust(value_width), wide)
            )
            for name, (stem, members), text in zip(names, groups, texts, strict=True)
        ]

    # -- what is looked at

    def _is_looked_at(self, name: str) -> bool:
        """Whether a number or an array is talked about, by its name or by its name without a number."""
        return name in self.look or name.rstrip("0123456789").rstrip() in self.look

    def _gutter(self, name: str) -> str:
        """The sign before a name, as wide for all; none where nothing is looked at more than the rest."""
        if not self.look:
            return ""
        return f"{self.glyphs.right} " if self._is_looked_at(name) else "  "

    def _stand_out(self, name: str, row: list[Part], *, first: bool = True) -> list[Part]:
        """A row with the sign of what is looked at (`first`: of several rows only that one), or stepped back."""
        if not self.look:
            return row
        colors = self.palette
        if self._is_looked_at(name):
            sign = self._gutter(name) if first else "  "
            if row and row[0][1] == style(colors.muted):
                row = [(row[0][0], style(colors.text, bold=True)), *row[1:]]
            return [(sign, style(colors.focus, bold=True)), *row]
        return [("  ", style()), *((text, self._dimmed(ink)) for text, ink in row)]

    def _dimmed(self, ink: Style) -> Style:
        colors = self.palette
        parts = [c.get_truecolor() if c is not None else None for c in (ink.color, ink.bgcolor)]
        front, back = (colors.dim((c.red, c.green, c.blue)) if c is not None else None for c in parts)
        return style(front, back)

    # -- numbers

    def _value(self, record: Traced, members: list[str]) -> str:
        """The number, or the first and the last of numbered ones."""
        values = [_short(number(record.scalars[m])) for m in members]
        return values[0] if len(values) == 1 else f"{values[0]} {self.glyphs.arrow} {values[-1]}"

    def _scalar(self, record: Traced, name: str, members: list[str], value: str, width: int) -> list[Part]:
        colors = self.palette
        if len(members) > 1:
            past, here = [number(record.scalars[m]) for m in members], -1
        else:
            past, here = [number(t.scalars.get(members[0])) for t in self.traces], self.index
        room = max(0, width - cell_len(name) - len(value) - 3)
        course = self._course(past, here, min(room, 48)) if room >= 3 and len(past) > 1 else []
        used = sum(len(text) for text, _ in course)
        return [
            (name, style(colors.muted)),
            (" " + value, style(colors.text, bold=True)),
            ("  "[: max(0, width - cell_len(name) - len(value) - 1)], style()),
            *course,
            (" " * max(0, room - used), style()),
        ]

    def _course(self, past: list[float], here: int, width: int) -> list[Part]:
        """Values as bars from zero, the one at `here` in another color; -1 for none."""
        colors = self.palette
        cell = max(1, min(4, width // len(past)))
        values = resampled(past, width)
        plain = style(colors.series[0] if len(past) > width or here < 0 else colors.muted)
        inks = [plain] * len(values)
        if len(past) <= width and here >= 0:
            inks[here] = style(colors.focus, bold=True)
        return signed_bars(values, inks, self.glyphs, colors, cell=cell)[0]

    def _array_rows(self, width: int, most: int) -> list[list[Part]]:
        """Pictures first, then vectors and matrices, as many as there is room for."""
        ranks = {"pictures": 0, "vector": 1, "matrix": 2}
        single = {name for _, members in numbered(list(self._arrays)) if len(members) == 1 for name in members}
        names = [n for n in self._arrays if not self._is_labels(n)]
        names.sort(key=lambda n: (n not in single, ranks.get(self._kinds.get(n, ""), 3)))
        # sharp pictures while several of their blocks fit
        n_pictures = max([0, *(len(v) for n, v in self._arrays.items() if self._kinds.get(n) == "pictures")])
        inside = width - len(self._gutter(""))
        roomy = most >= PIXELS + 4 and min(n_pictures, 12) * (PIXELS + 1) <= inside + 1
        side = PIXELS if roomy else PIXELS // 2
        # what is talked about has room first, and everything its usual place
        blocks: dict[str, list[list[Part]]] = {}
        left = most
        order = sorted(names, key=lambda n: bool(self.look) and not self._is_looked_at(n))
        for name in order:
            block = self._array(name, self._arrays[name], inside, left, side)
            if len(block) <= left:
                blocks[name] = block
                left -= len(block)
        # a line of zero and the tasks below the bars, where rows are free
        for name in order:
            if name in blocks and self._kinds.get(name) == "vector":
                block = self._vector(name, self._arrays[name], inside, spare=left)
                left -= len(block) - len(blocks[name])
                blocks[name] = block
        return [self._stand_out(n, row, first=not y) for n in names if n in blocks for y, row in enumerate(blocks[n])]

    def _is_labels(self, name: str) -> bool:
        """Whether an array only says what is in the pictures of another."""
        return name.endswith(" labels") and self._kinds.get(name.removesuffix(" labels")) == "pictures"

    def _captions(self, name: str) -> list[str]:
        """A word per picture: its class."""
        labels = self._arrays.get(f"{name} labels")
        if labels is None or np.ndim(labels) != 1:
            return []
        whole = [int(v) if np.isfinite(v) else -1 for v in labels]
        return [self.names[c] if 0 <= c < len(self.names) else str(c) for c in whole]

    def _array(self, name: str, values: Array, width: int, most: int, side: int) -> list[list[Part]]:
        colors, glyphs, kind = self.palette, self.glyphs, self._kinds.get(name, "tensor")
        muted = style(colors.muted)
        if kind == "pictures":
            shown = as_pictures(values)[: max(1, (width + 1) // (side + 1))]
            n = len(values)
            title = f"{name}: {n} picture{'s' * (n != 1)}" + (f", {len(shown)} shown" if len(shown) < n else "")
            blocks = [half_cells(resize(p, side, side), glyphs) for p in shown]
            lines: list[list[Part]] = [[(clip(title, width, glyphs), muted)]]
            for y in range(side // 2):
                lines.append([part for block in blocks for part in (*block[y], (" ", style()))][:-1])
            captions = self._captions(name)[: len(shown)]
            if captions:
                lines.append([(" ".join(clip(c, side, glyphs) for c in captions).rstrip()[:width], muted)])
            return lines
        flat = np.asarray(values, float).reshape(-1)
        if kind == "vector":
            return self._vector(name, values, width)
        shape = "x".join(map(str, np.shape(values)))
        title = f"{name}: {shape}, {_span(flat)}"
        if kind == "matrix" and most >= 4 and flat.size:
            tall = min(most - 1, 6)
            wide = max(1, min(width, 2 * tall * np.shape(values)[1] // np.shape(values)[0]))
            small = resize(heat_matrix(np.asarray(values, float), colors.heat), tall * 2, wide)
            return [[(clip(title, width, glyphs), muted)], *half_cells(small, glyphs)]
        return [[(clip(title, width, glyphs), muted)]]

    def _vector(self, name: str, values: Array, width: int, *, spare: int = 0) -> list[list[Part]]:
        """A title and bars; with spare rows, those below zero in a row of their own, and the tasks they belong to."""
        colors, glyphs = self.palette, self.glyphs
        flat = [float(v) for v in np.asarray(values, float).reshape(-1)]
        n = len(flat)
        by_task = name in PER_TASK and n > 0 and n == self.traces[self.index].task
        what = f"tasks 1{glyphs.arrow}{n}" if by_task and n > 1 else "task 1" if by_task else f"{n} values"
        title = f"{name}, {what}: {_span(np.array(flat))}" if by_task else f"{name}: {what}, {_span(np.array(flat))}"
        rows: list[list[Part]] = [[(clip(title, width, glyphs), style(colors.muted))]]
        cell = max(1, min(4, width // max(1, n)))
        shown = resampled(flat, width)
        inks = [style(colors.series[0])] * len(shown)
        rows += signed_bars(shown, inks, glyphs, colors, cell=cell, tall=spare > 0, gap=by_task)
        if by_task and n <= width and spare >= len(rows) - 1:
            every = -(-(len(str(n)) + 1) // cell)
            line = "".join(str(t + 1).ljust(cell * every) for t in range(0, n, every))
            rows.append([(line[:width].rstrip(), style(colors.muted))])
        return rows


def as_pictures(values: Array) -> list[Picture]:
    """(n, C, h, w) or (n, h, w) numbers as RGB: bytes as they are, others from their least to their greatest."""
    v = np.asarray(values)
    if v.ndim == 3:
        v = v[:, None]
    if v.ndim != 4 or v.shape[1] not in (1, 3):
        return [heat_picture(row.reshape(-1), ((0, 0, 0), (255, 255, 255))) for row in v]
    if v.dtype != np.uint8:
        low, high = float(np.nanmin(v)), float(np.nanmax(v))
        v = np.nan_to_num((v - low) / (high - low if high > low else 1.0) * 255).astype(np.uint8)
    v = np.moveaxis(v, 1, 3)
    return list(np.repeat(v, 3, axis=3) if v.shape[3] == 1 else v)


def heat_matrix(values: NDArray[np.float64], heat: tuple[tuple[int, int, int], ...]) -> Picture:
    """(h, w) numbers as a picture of that shape in heat colors."""
    known = np.nan_to_num(values)
    span = float(np.ptp(known)) or 1.0
    table: Picture = np.array([scale(heat, s) for s in np.linspace(0, 1, 64)], np.uint8)
    picture: Picture = table[((known - known.min()) / span * 63).astype(int)]
    return picture


def _short(value: float) -> str:
    """A number in few characters, with a sign where it is needed and powers where it is tiny."""
    return f"{value:.1e}" if value and abs(value) < 1e-3 and math.isfinite(value) else short(value)


def _span(flat: NDArray[np.float64]) -> str:
    known = flat[np.isfinite(flat)]
    return f"{_short(float(known.min()))} to {_short(float(known.max()))}" if len(known) else "no number"
