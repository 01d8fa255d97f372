"""Signs that mean something, in Unicode and in plain ASCII, so that nothing is said by color alone.

Also what else the terminal can draw.
"""

from __future__ import annotations

import codecs
import importlib.util
import locale
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """One set of signs, each one cell wide.

    Attributes:
        states: a sign per run state; always shown with the word.
        eighths: bar ends from an empty to a full cell.
        shades: fills that tell neighboring groups of a bar apart without color.
        levels: a vertical bar of one cell, from lowest to highest.
        hanging: a bar from the top of a cell, a short and a long one.
        ramp: brightness from dark to light, for pictures without half cells.
    """

    ascii: bool
    states: dict[str, str]
    eighths: str
    shades: str
    levels: str
    hanging: str
    ramp: str
    hline: str
    vline: str
    dash: str
    corner: str
    tee: str
    bar: str
    done: str
    rest: str
    left: str
    right: str
    dot: str
    knob: str
    up: str
    down: str
    rising: str
    falling: str
    half: str
    ellipsis: str
    empty: str
    sep: str
    arrow: str
    worst: str

    @property
    def bars(self) -> str:
        """`levels` for rows that stand under each other: the highest leave room, so that rows do not fuse."""
        return self.levels if self.ascii else self.levels[:-2]

    def state(self, name: str) -> str:
        """The sign of a run state, a question mark for one that is not known."""
        return self.states.get(name, "?")


_NAMES = (
    "starting", "training", "paused", "done", "failed", "stopped", "lost", "stopping", "queued", "pausing", "resuming"
)  # fmt: skip

UNICODE = Glyphs(
    ascii=False,
    states=dict(zip(_NAMES, "○▸‖✓✗■✗■·‖▸", strict=True)),
    eighths=" ▏▎▍▌▋▊▉█",
    shades="█▓▒░",
    levels="▁▂▃▄▅▆▇█",
    hanging="▔▀",
    ramp=" ░▒▓█",
    hline="─",
    vline="│",
    dash="┊",
    corner="└",
    tee="┤",
    bar="█",
    done="━",
    rest="─",
    left="◂",
    right="▸",
    dot="·",
    knob="●",
    up="+",
    down="−",
    rising="▴",
    falling="▾",
    half="▀",
    ellipsis="…",
    empty="·",
    sep=" · ",
    arrow="→",
    worst="▾",
)
ASCII = Glyphs(
    ascii=True,
    states=dict(zip(_NAMES, "o>=vx-!-.=>", strict=True)),
    eighths="    #####",
    shades="#%+.",
    levels="_.-=+*%#",
    hanging="'\"",
    ramp=" .:-=+*#%@",
    hline="-",
    vline="|",
    dash=":",
    corner="+",
    tee="|",
    bar="#",
    done="=",
    rest="-",
    left="<",
    right=">",
    dot=".",
    knob="O",
    up="+",
    down="-",
    rising="^",
    falling="v",
    half=" ",
    ellipsis="~",
    empty=".",
    sep=" | ",
    arrow="->",
    worst="v",
)


def speaks_unicode() -> bool:
    """Whether the locale promises UTF-8."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = os.environ.get(name)
        if value:
            _, _, encoding = value.partition(".")
            if encoding:
                try:
                    return codecs.lookup(encoding.partition("@")[0]).name == "utf-8"
                except LookupError:
                    return False
            return value not in ("C", "POSIX")
    return locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"


def choose_glyphs(wish: str = "auto") -> Glyphs:
    """The signs to use: "unicode", "ascii", or by the locale; the Linux console has no braille, so it gets ASCII."""
    if wish == "unicode":
        return UNICODE
    if wish == "ascii" or os.environ.get("TERM") in ("linux", "vt100", "vt220"):
        return ASCII
    return UNICODE if speaks_unicode() else ASCII


def sharp_pixels(wish: str) -> bool:
    """Whether the terminal's own pixels may be used: the extra is there and the setting does not say cells."""
    # asking a terminal what it can do fails over slow lines and leaves garbage, so there only a clear wish counts
    if wish == "auto" and os.environ.get("SSH_CONNECTION"):
        return False
    return wish in ("auto", "kitty", "sixel") and importlib.util.find_spec("textual_image") is not None
