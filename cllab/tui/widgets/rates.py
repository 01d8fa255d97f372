"""Loss terms, images per second and device memory, each as a number and its recent past."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from cllab.record.state import RunState
from cllab.tui.theme import RGB, style
from cllab.tui.view import losses, rates, short, size
from cllab.tui.widgets.chart import Chart, Part, clip, message
from cllab.tui.widgets.raster import draw_lines
from cllab.tui.widgets.signed import resampled


def levels(
    values: Sequence[float], width: int, signs: str, *, low: float | None = None, high: float | None = None
) -> str:
    """The newest values as `width` vertical bars: means of equal parts when there are more."""
    if width <= 0 or not len(values):
        return " " * max(0, width)
    v = np.array(resampled(values, width))
    known = v[np.isfinite(v)]
    if not len(known):
        return " " * width
    bottom = float(known.min()) if low is None else low
    span = (float(known.max()) if high is None else high) - bottom
    top = len(signs) - 1
    # what does not vary is drawn in the middle, but nothing at all at the bottom
    rest = top // 2 if low is None else 0
    text = "".join(
        " " if not math.isfinite(x) else signs[round((x - bottom) / span * top) if span > 1e-12 else rest] for x in v
    )
    return text.rjust(width)


def summed(parts: Sequence[float]) -> float:
    """The loss of a record: the sum of the terms that occur in it; NaN where none does."""
    known = [p for p in parts if math.isfinite(p)]
    return sum(known) if known else math.nan


class Rates(Chart):
    """How the optimization goes and how fast."""

    HELP = "The loss and its terms, images per second and memory of the device: the newest value and the recent past."

    def __init__(self, *, title: str = "loss and speed", id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.state = RunState()

    def show(self, state: RunState) -> None:
        """Draw the newest records of `state`."""
        if state.steps is not self.state.steps or state.status != self.state.status:
            self.state = state
            self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        if not len(self.state.steps):
            return message("numbers appear with the first step", width, height, colors.muted)
        terms = losses(self.state)
        speed, memory = rates(self.state)
        name_width = min(14, max([5, *(cell_len(n) for n in terms)]))
        value_width = 8
        room = max(4, width - name_width - value_width - 1)
        last = self.state.steps[-1]
        table: list[tuple[str, str, Sequence[float], RGB]] = []
        n = len(terms)
        if n > 1:
            total = [summed(parts) for parts in zip(*terms.values(), strict=True)]
            table.append(("loss", self._newest(total), total, colors.text))
        table += [(name, self._newest(v), v, colors.of(i, n)) for i, (name, v) in enumerate(terms.items())]
        table.append(("img/s", short(speed[-1]), speed, colors.muted))
        table.append(("lr", short(last.lr), [s.lr for s in self.state.steps[-600:]], colors.muted))
        if any(b > 0 for b in memory if math.isfinite(b)):
            table.append(("device", size(memory[-1]), memory, colors.muted))
        if len(table) > height:
            # the terms make way before what everyone needs
            keep = max(1, height - 3)
            table = table[:keep] + table[-3:][: height - keep]
        tall = max(1, min(4, height // len(table)))
        rows: list[list[Part]] = []
        for name, value, past, ink in table:
            picture = self._past(past, room, tall, is_loss=name not in ("img/s", "device", "lr"))
            for y in range(tall):
                label = (
                    (clip(name, name_width, self.glyphs), value.rjust(value_width))
                    if y == (tall - 1) // 2
                    else ("", "")
                )
                rows.append(
                    [
                        (label[0] or " " * name_width, style(colors.muted)),
                        (label[1].rjust(value_width), style(colors.text, bold=True)),
                        (" " + picture[y], style(ink)),
                    ]
                )
        return rows

    def _newest(self, values: Sequence[float]) -> str:
        """The newest value; a dash where the term does not occur now."""
        return short(values[-1]) if math.isfinite(values[-1]) else "-"

    def _past(self, past: Sequence[float], width: int, height: int, *, is_loss: bool) -> list[str]:
        """The recent past as bars, or as a line where there are several rows; rates begin at zero."""
        if self.glyphs.ascii or (height == 1 and is_loss):
            return [" " * width] * (height - 1) + [levels(past, width, self.glyphs.bars, low=None if is_loss else 0.0)]
        y = np.asarray(past, float)
        known = y[np.isfinite(y)]
        if not len(known):
            return [" " * width] * height
        low, high = (float(known.min()), float(known.max())) if is_loss else (0.0, float(known.max()) * 1.1)
        pad = 0.05 * (high - low) or 1.0
        x = np.arange(len(y), dtype=float)
        raster = draw_lines(
            [(x, y)],
            width,
            height,
            x_range=(0.0, max(1.0, len(y) - 1.0)),
            y_range=(low - pad * is_loss, high + pad * is_loss),
        )
        return ["".join(map(chr, row)) for row in raster.text.tolist()]
