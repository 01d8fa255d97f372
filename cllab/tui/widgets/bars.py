"""A horizontal bar per name, with its number; an empty one is hollow, for that is the message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len

from cllab.tui.glyphs import Glyphs
from cllab.tui.theme import Palette, style
from cllab.tui.widgets.chart import Part, clip


class Bar(NamedTuple):
    """A name, its number, and the group whose color it has; none below 0."""

    name: str
    value: float
    group: int


def bar_rows(
    bars: Sequence[Bar],
    width: int,
    *,
    top: float,
    percent: bool,
    tall: int = 1,
    palette: Palette,
    glyphs: Glyphs,
) -> list[list[Part]]:
    """One row per bar, which has the color of its group, is full at `top` and takes `tall` lines."""
    if not bars:
        return []
    n_groups = max(0, *(bar.group for bar in bars)) + 1
    name_width = min(max(cell_len(bar.name) for bar in bars), max(4, width // 3), 16)
    room = max(2, width - name_width - 7)
    rows: list[list[Part]] = []
    for name, value, group in bars:
        known = math.isfinite(value)
        eighths = round(min(1.0, max(0.0, value / max(top, 1e-12))) * room * 8) if known else 0
        part = glyphs.eighths[eighths % 8].strip() if eighths % 8 else ""
        filled = glyphs.bar * (eighths // 8) + part
        number = "" if not known else f"{100 * value:.1f}" if percent else f"{value:.0f}"
        ink = palette.of(group, n_groups) if group >= 0 else palette.muted
        rows.append(
            [
                (clip(name, name_width, glyphs) + " ", style(palette.muted)),
                (filled, style(ink)),
                ((glyphs.empty if not filled else "").ljust(room - len(filled)), style(palette.grid)),
                (number.rjust(6), style(palette.text if value else palette.muted)),
            ]
        )
        rows += [[]] * (tall - 1)
    return rows
