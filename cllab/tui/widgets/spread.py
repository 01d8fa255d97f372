"""How values are spread: one line each with its range, a histogram and the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cllab.tui.theme import style
from cllab.tui.view import short
from cllab.tui.widgets.chart import Chart, Part, clip, message


class Spread(Chart):
    """Age and score of what is stored, and the bytes by kind."""

    HELP = (
        "How long ago the samples entered (in steps) and the score of the policy, as histograms; the three numbers are "
        "the lowest, the median and the highest. Below, bytes by kind."
    )

    def __init__(self, *, title: str, empty: str, id: str | None = None) -> None:
        super().__init__(title=title, id=id)
        self.empty = empty
        self.rows: Sequence[tuple[str, Sequence[float]]] = ()
        self.notes: Sequence[str] = ()

    def show(self, rows: Sequence[tuple[str, Sequence[float]]], notes: Sequence[str] = ()) -> None:
        """Draw a histogram per (name, values), and lines below."""
        self.rows, self.notes = rows, notes
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors, glyphs = self.palette, self.glyphs
        out: list[list[Part]] = []
        for name, raw in self.rows:
            values = np.asarray(raw, float)
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            low, high = float(values.min()), float(values.max())
            bins = max(4, width)
            counted, _ = np.histogram(values, bins=bins, range=(low, high) if high > low else (low - 0.5, low + 0.5))
            top = counted.max()
            signs = glyphs.levels
            bars = "".join(" " if c == 0 else signs[min(len(signs) - 1, int(c / top * len(signs)))] for c in counted)
            ends = f" {glyphs.hline} ".join(
                f"{v:.2g}" if abs(v) < 100 else short(v) for v in (low, float(np.median(values)), high)
            )
            out.append(
                [(clip(name, width - len(ends) - 1, glyphs) + " ", style(colors.text)), (ends, style(colors.muted))]
            )
            out.append([(bars[:width], style(colors.gained))])
        out += [[(clip(note, width, glyphs), style(colors.muted))] for note in self.notes]
        return out or message(self.empty, width, height, colors.muted)
