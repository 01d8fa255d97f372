"""Bars of a row of values around zero: upwards in one sign, downwards in the other, with the line of zero between.

Bars leave a little of their cell free at the top, so that those of the row below do not grow into them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from rich.style import Style

from cllab.tui.glyphs import Glyphs
from cllab.tui.theme import Palette, style
from cllab.tui.widgets.chart import Part


def resampled(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: means of equal parts when there are more; NaN where nothing is known."""
    v = np.asarray(values, float)
    if len(v) <= width:
        return [float(x) for x in v]
    edges = np.linspace(0, len(v), width + 1).astype(int)
    parts = [v[a:b][np.isfinite(v[a:b])] for a, b in itertools.pairwise(edges)]
    return [float(part.mean()) if len(part) else math.nan for part in parts]


def heights(values: Sequence[float], signs: str, top: float) -> str:
    """A vertical bar per value from 0 (the lowest sign) to `top`; what is unknown or below 0 is blank."""
    last = len(signs) - 1
    return "".join(
        " " if not math.isfinite(x) or x < 0 else signs[round(min(1.0, x / top) * last) if top > 0 else 0]
        for x in values
    )


def signed_bars(
    values: Sequence[float],
    inks: Sequence[Style],
    glyphs: Glyphs,
    palette: Palette,
    *,
    cell: int = 1,
    tall: bool = False,
    gap: bool = False,
) -> list[list[Part]]:
    """One row, or two around the line of zero.

    In one row, bars above zero stand on its bottom and those below hang from its top.

    Args:
        values: what is drawn; NaN leaves a gap.
        inks: of each value that is not below zero; those are in the color of what is lost.
        glyphs, palette: signs and colors of this terminal.
        cell: columns of each value.
        tall: whether there are two rows, where some value is below zero.
        gap: whether the last column of each value stays free.
    """
    known = [v for v in values if math.isfinite(v)]
    top = max([0.0, *map(abs, known)])
    is_low = any(v < 0 for v in known)
    wide, space = (cell - 1, " ") if gap and cell > 1 else (cell, "")
    zero = style(palette.grid)
    up: list[Part] = []
    down: list[Part] = []
    signs = glyphs.bars
    last = len(signs) - 1
    for value, ink in zip(values, inks, strict=True):
        bar = heights([value], signs, top)
        if is_low and value < 0:
            (down if tall else up).extend(
                [_hanging(round(-value / top * last), wide, glyphs, palette), (space, style())]
            )
            if tall:
                # the line of zero goes on above what hangs from it
                up.append((signs[0] * wide + space, zero))
            continue
        up.append((bar * wide + space, ink if value or ink.bold else zero))
        down.append((" " * cell, style()))
    return [up, down] if is_low and tall else [up]


def _hanging(level: int, wide: int, glyphs: Glyphs, palette: Palette) -> Part:
    """A bar of `level` eighths (and one, so that it is seen) from the top of its cell."""
    if glyphs.ascii:
        return glyphs.hanging[0 if level <= len(glyphs.bars) // 2 else -1] * wide, style(palette.lost)
    # there are no signs for it: the part below is painted with the background
    return glyphs.levels[6 - min(level, 6)] * wide, style(palette.background, palette.lost)
