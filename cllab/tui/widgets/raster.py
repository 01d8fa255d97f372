"""Lines as braille, quadrants or ASCII: whole arrays at once, one character per cell.

A cell has one color, so it holds the dots of one line: where lines cross, the later series has the cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x (n,) ascending and y (n,); NaN is left out."""

_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_QUADRANT = np.array([[1, 2], [4, 8]], np.uint8)
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
DOTS = {"braille": (2, 4), "quadrant": (2, 2), "ascii": (1, 1)}
"""Dots per cell, across and down."""


@dataclass(frozen=True)
class Raster:
    """Lines drawn into cells.

    Attributes:
        text: (h, w) characters as code points, blank where nothing is.
        owner: (h, w) index of the series a cell belongs to, -1 for none.
        ends: (S,) row in which each series ends, or that is nearest to its end; -1 for a series without a point.
    """

    text: NDArray[np.uint32]
    owner: NDArray[np.int32]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class Pen:
    """What lines are drawn with.

    Attributes:
        marker: "braille", "quadrant" or "ascii".
        signs: with "ascii", one character per series.
        thick: dots down that a line is strong.
    """

    marker: str = "braille"
    signs: str = ""
    thick: int = 1


def draw_lines(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    pen: Pen = Pen(),
    cut: bool = False,
) -> Raster:
    """Draw `lines`, the last on top.

    With `cut`, what lies outside `y_range` is left out; otherwise it is drawn at the edge.
    """
    marker, signs, thick = pen.marker, pen.signs, pen.thick
    across, down = DOTS[marker]
    dots_w, dots_h = width * across, height * down
    bits = np.zeros((height, width), np.uint8)
    owner = np.full((height, width), -1, np.int32)
    ends = np.full(len(lines), -1, np.int64)
    span = max(x_range[1] - x_range[0], 1e-12)
    table = {"braille": _BRAILLE, "quadrant": _QUADRANT, "ascii": np.ones((1, 1), np.uint8)}[marker]
    columns = np.arange(dots_w)
    for s, (x, y) in enumerate(lines):
        known = np.isfinite(x) & np.isfinite(y)
        x, y = x[known], y[known]
        if not len(x):
            continue
        # the dot column of every point, then the height of the line in every column between the first and the last
        at = np.clip((x - x_range[0]) / span, 0, 1) * (dots_w - 1)
        level = (y_range[1] - y) / max(y_range[1] - y_range[0], 1e-12) * (dots_h - 1)
        if not cut:
            level = np.clip(np.round(level), 0, dots_h - 1)
        first, last = round(at[0]), round(at[-1])
        if last <= first:
            col = np.full(len(level), first)
            row = np.round(level).astype(np.int64)
            if len(row) == 1 and marker == "braille":
                # one point alone is one dot: make it four, to be seen
                col = np.array([first, first, first ^ 1, first ^ 1]).clip(0, dots_w - 1)
                row = np.array([row[0], row[0] ^ 1] * 2).clip(0, dots_h - 1)
        else:
            between = columns[first : last + 1]
            line = np.round(np.interp(between, at, level)).astype(np.int64)
            before = np.concatenate([line[:1], line[:-1]])
            # each column is filled from its neighbor's height to its own, so that steep lines have no gaps
            low = np.where(line > before, np.minimum(before + 1, line), line)
            high = np.where(line < before, np.maximum(before - 1, line), line)
            count = high - low + 1
            col = np.repeat(between, count)
            start = np.repeat(np.cumsum(count) - count, count)
            row = np.repeat(low, count) + np.arange(len(col)) - start
        if thick > 1:
            row, col = np.repeat(row, thick), np.repeat(col, thick)
            # upwards, but at the upper edge downwards, so that a line is as strong everywhere
            start = np.maximum(row - thick + 1, np.minimum(row, 0))
            row = start + np.arange(len(row)) % thick
        inside = (row >= 0) & (row < dots_h)
        row, col = row[inside], col[inside]
        own = np.zeros_like(bits)
        np.bitwise_or.at(own, (row // down, col // across), table[row % down, col % across])
        bits = np.where(own > 0, own, bits)
        owner[own > 0] = s
        ends[s] = min(max(0, round(level[-1])), dots_h - 1) // down
    if marker == "braille":
        text = bits.astype(np.uint32) + 0x2800
    elif marker == "quadrant":
        text = np.array([ord(c) for c in _QUADRANTS], np.uint32)[bits]
    else:
        points = np.array([ord(c) for c in signs] or [ord("*")], np.uint32)
        text = points[owner.clip(0) % len(points)]
    text = np.where(owner < 0, np.uint32(32), text)
    return Raster(text, owner, ends)


def runs(text: NDArray[np.uint32], owner: NDArray[np.int32]) -> list[tuple[str, int]]:
    """One row cut where the owner changes: (characters, owner); text, owner: (w,)."""
    if not len(text):
        return []
    whole = text.astype("<u4").tobytes().decode("utf-32-le")
    cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]
    return [(whole[a:b], int(owner[a])) for a, b in itertools.pairwise(cuts)]
