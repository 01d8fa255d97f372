"""Themes and chart colors, named by meaning.

Series colors have the order and the character of the Okabe-Ito set, moved apart for each background until protanopes,
deuteranopes and tritanopes can tell them apart as well; a test holds the distances. Heat colors change
lightness in one direction, so they survive gray scale.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from rich.color import Color, ColorSystem
from rich.style import Style
from textual.theme import Theme

RGB = tuple[int, int, int]


def rgb(text: str) -> RGB:
    """`#rrggbb` as numbers."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`share` of `b` in `a`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def luminance(color: RGB) -> float:
    """Relative luminance, WCAG 2."""
    r, g, b = ((v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in (c / 255 for c in color))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@dataclass(frozen=True)
class Palette:
    """Chart colors of one theme.

    Attributes:
        series: colors that can be told apart, for up to eight tasks or classes.
        more: sixteen others for up to 24; each differs from all, and plainly from its neighbors, also in 16 colors.
        ramp: ends and middles of a scale, for more of them in their order.
        heat: colors of a value from 0 to 1.
        text, muted, grid: writing, less important writing, axes.
        background: what charts stand on.
        focus: what is being looked at.
        gained, lost: entered and left, better and worse; a sign stands beside them.
    """

    series: tuple[RGB, ...]
    more: tuple[RGB, ...]
    ramp: tuple[RGB, ...]
    heat: tuple[RGB, ...]
    text: RGB
    muted: RGB
    grid: RGB
    background: RGB
    focus: RGB
    gained: RGB
    lost: RGB

    def of(self, index: int, count: int) -> RGB:
        """The color of series `index` of `count`: distinct ones for up to 24, a scale for more."""
        if count <= len(self.series):
            return self.series[index % len(self.series)]
        if count <= len(self.series) + len(self.more):
            return (*self.series, *self.more)[index % (len(self.series) + len(self.more))]
        return scale(self.ramp, index / max(1, count - 1))

    def dim(self, color: RGB) -> RGB:
        """`color`, stepped back while another is looked at."""
        gray = round(0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2])
        return mix(mix(color, (gray, gray, gray), 0.7), self.background, 0.62)

    def warmth(self, value: float) -> RGB:
        """The heat color of a value from 0 to 1."""
        return scale(self.heat, min(1.0, max(0.0, value)))


def scale(stops: Sequence[RGB], position: float) -> RGB:
    """The color at `position` 0..1 between evenly spaced stops."""
    x = position * (len(stops) - 1)
    i = min(int(x), len(stops) - 2)
    return mix(stops[i], stops[i + 1], x - i)


def _colors(text: str) -> tuple[RGB, ...]:
    return tuple(rgb(part) for part in text.split())


_VIRIDIS = _colors("#440154 #3b528b #21918c #5ec962 #fde725")

DARK = Palette(
    series=_colors("#3484d4 #d58500 #10c598 #e997d4 #f0f04b #ef683b #92a0ff #eac9d1"),
    more=_colors(
        "#7b3cf9 #3cf93c #7b663c #f93c7b #f93ce4 #cff9a5 #7be4f9 #3c7b66 "
        "#e4ba7b #a53ca5 #51a53c #f99090 #7b90a5 #3cf990 #90a566 #a5f966"
    ),
    ramp=_colors("#6a8cff #4fb0d8 #49c39b #a9cf5b #f5dc4e #f59a52"),
    heat=_VIRIDIS,
    text=rgb("#e4e7ec"),
    muted=rgb("#98a1b0"),
    grid=rgb("#4a5261"),
    background=rgb("#14171d"),
    focus=rgb("#ffffff"),
    gained=rgb("#56b4e9"),
    lost=rgb("#f0703a"),
)
LIGHT = Palette(
    series=_colors("#1396e5 #ed6a1c #0a764d #a73f80 #6f5300 #257cb0 #2232a2 #234e5d"),
    more=_colors(
        "#3e1414 #d114d1 #a77d7d #d1143e #14143e #689214 #1414d1 #923e29 "
        "#685392 #bc68d1 #293e14 #68147d #3e9292 #7d7d53 #7d14bc #68143e"
    ),
    ramp=_colors("#1d2f87 #0f6fa8 #0b8377 #5a8a1c #a37500 #b3450f"),
    heat=_colors("#f4f7d8 #b5dfb4 #46aebf #2462a6 #0a1f5c"),
    text=rgb("#1d2430"),
    muted=rgb("#5a6472"),
    grid=rgb("#b8bfca"),
    background=rgb("#fbfbf8"),
    focus=rgb("#000000"),
    gained=rgb("#0072b2"),
    lost=rgb("#c25100"),
)
CONTRAST = Palette(
    series=_colors("#ffff1a #44b3b3 #ffa3ff #d9fcf8 #09ff84 #ff8d1a #81a0ff #eac9d1"),
    more=_colors(
        "#870fff #e70f57 #6f6f0f #e70fcf #9f3f6f #e7ff9f #0f6f3f #5757e7 "
        "#ff0f0f #cf6f57 #6f6f87 #6fb70f #3fffcf #ffcf57 #9fb787 #6fff0f"
    ),
    ramp=_colors("#7f9cff #00d5ff #00ff9c #c8ff30 #ffff00 #ffb060"),
    heat=_colors("#000000 #3a3f8f #2f9fa0 #b4d95a #ffffff"),
    text=rgb("#ffffff"),
    muted=rgb("#d0d0d0"),
    grid=rgb("#909090"),
    background=rgb("#000000"),
    focus=rgb("#ffffff"),
    gained=rgb("#00e5ff"),
    lost=rgb("#ff9020"),
)

THEMES = (
    Theme(
        name="cllab-dark",
        primary="#56b4e9",
        secondary="#8aa0ff",
        accent="#e69f00",
        warning="#f0e442",
        error="#f0703a",
        success="#2fc79c",
        foreground="#e4e7ec",
        background="#14171d",
        surface="#1a1e26",
        panel="#232833",
        dark=True,
        variables={"border": "#56b4e9", "border-blurred": "#3a4250", "footer-key-foreground": "#e69f00"},
    ),
    Theme(
        name="cllab-light",
        primary="#0072b2",
        secondary="#3b2f9c",
        accent="#a35400",
        warning="#7d6300",
        error="#b03c00",
        success="#00795b",
        foreground="#1d2430",
        background="#fbfbf8",
        surface="#f2f2ed",
        panel="#e6e6df",
        dark=False,
        variables={"border": "#0072b2", "border-blurred": "#b8bfca", "footer-key-foreground": "#a35400"},
    ),
    Theme(
        name="cllab-contrast",
        primary="#ffff00",
        secondary="#00e5ff",
        accent="#ffff00",
        warning="#ffff00",
        error="#ff9020",
        success="#00ff7f",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        dark=True,
        variables={
            "border": "#ffff00",
            "border-blurred": "#909090",
            "footer-key-foreground": "#ffff00",
            "text-muted": "#d8d8d8",
            "text-disabled": "#b0b0b0",
        },
    ),
)
_OWN = {"cllab-dark": DARK, "cllab-light": LIGHT, "cllab-contrast": CONTRAST}


def palette_for(theme: Theme) -> Palette:
    """Chart colors for `theme`; a theme that is not ours gets those of its lightness."""
    return _OWN.get(theme.name) or (DARK if theme.dark else LIGHT)


@functools.lru_cache(maxsize=16384)
def style(color: RGB | None = None, background: RGB | None = None, bold: bool = False, strike: bool = False) -> Style:
    """A style from plain numbers, made once."""
    return Style(
        color=Color.from_rgb(*color) if color else None,
        bgcolor=Color.from_rgb(*background) if background else None,
        bold=bold or None,
        strike=strike or None,
    )


def are_told_apart(colors: Sequence[RGB], system: ColorSystem | None) -> bool:
    """Whether a terminal shows each of `colors` as another; None for one without colors."""
    if system is None:
        return len(colors) < 2
    return len({Color.from_rgb(*c).downgrade(system) for c in colors}) == len(colors)


def ink_on(background: RGB) -> RGB:
    """Black or white, whichever reads better on `background`."""
    return (0, 0, 0) if luminance(background) > 0.18 else (255, 255, 255)
