"""Small pictures out of half cells: two pixels per character, scaled by area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cllab.tui.glyphs import Glyphs
from cllab.tui.theme import RGB, scale, style
from cllab.tui.widgets.chart import Part

Picture = NDArray[np.uint8]
"""(h, w, 3) RGB."""


def resize(picture: Picture, height: int, width: int) -> Picture:
    """`picture` at another size: the mean of each area when it shrinks, the nearest pixel when it grows."""
    out = picture.astype(np.float32)
    for axis, size in ((0, height), (1, width)):
        n = out.shape[axis]
        if n == size or n == 0:
            continue
        if size < n:
            # the mean over [k n/size, (k+1) n/size) from the running sum, with parts of pixels at the edges
            total = np.concatenate([np.zeros_like(out.take([0], axis)), np.cumsum(out, axis, dtype=np.float64)], axis)
            edges = np.arange(size + 1) * (n / size)
            low = np.minimum(edges.astype(int), n - 1)
            shape = [1] * out.ndim
            shape[axis] = size + 1
            share = (edges - low).reshape(shape)
            at = total.take(low, axis) * (1 - share) + total.take(low + 1, axis) * share
            out = (np.diff(at, axis=axis) * (size / n)).astype(np.float32)
        else:
            out = out.take(np.arange(size) * n // size, axis)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def half_cells(picture: Picture, glyphs: Glyphs, *, toward: RGB | None = None, share: float = 0.6) -> list[list[Part]]:
    """Rows of cells for `picture`, h/2 of them; with `toward`, faded into that color.

    Without half cells (ASCII), each cell is a sign of the mean brightness of its two pixels.
    """
    pixels = picture if len(picture) % 2 == 0 else np.concatenate([picture, picture[-1:]])
    if toward is not None:
        pixels = (pixels * (1 - share) + np.array(toward) * share).astype(np.uint8)
    rows: list[list[Part]] = []
    if glyphs.ascii:
        mean = pixels.astype(np.uint16).reshape(len(pixels) // 2, 2, -1, 3).mean(1)
        light = (mean @ np.array([0.299, 0.587, 0.114])) / 255
        signs = (light * (len(glyphs.ramp) - 1)).round().astype(int)
        for y in range(len(mean)):
            rows.append([(glyphs.ramp[s], style(_rgb(c))) for s, c in zip(signs[y], mean[y].astype(int), strict=True)])
        return rows
    for y in range(0, len(pixels), 2):
        above, below = pixels[y].tolist(), pixels[y + 1].tolist()
        row: list[Part] = []
        last: tuple[list[int], list[int]] | None = None
        count = 0
        for pair in zip(above, below, strict=True):
            if pair == last:
                count += 1
                continue
            if last is not None:
                row.append(_cells(last, count, glyphs))
            last, count = pair, 1
        if last is not None:
            row.append(_cells(last, count, glyphs))
        rows.append(row)
    return rows


def _rgb(values: Sequence[int] | NDArray[np.int64]) -> RGB:
    return int(values[0]), int(values[1]), int(values[2])


def _cells(pair: tuple[list[int], list[int]], count: int, glyphs: Glyphs) -> Part:
    above, below = _rgb(pair[0]), _rgb(pair[1])
    if above == below:
        return " " * count, style(None, below)
    return glyphs.half * count, style(above, below)


def heat_picture(values: NDArray[np.generic], heat: tuple[RGB, ...]) -> Picture:
    """A vector (a latent, a row of codes) as a nearly square picture in heat colors."""
    flat = np.nan_to_num(np.asarray(values, float).reshape(-1))
    if flat.size > 4096:
        flat = flat[: flat.size // 4096 * 4096].reshape(4096, -1).mean(1)
    side = max(1, int(np.ceil(np.sqrt(flat.size))))
    padded = np.full(side * side, flat.min() if flat.size else 0.0)
    padded[: flat.size] = flat
    span = float(np.ptp(padded)) or 1.0
    share = (padded - padded.min()) / span
    table: Picture = np.array([scale(heat, s) for s in np.linspace(0, 1, 64)], np.uint8)
    picture: Picture = table[(share * 63).astype(int)].reshape(side, side, 3)
    return picture
