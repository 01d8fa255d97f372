"""What a stream can show, and tables of plain text that fit it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TextIO

from cllab.text import clean, clean_but_styles

NARROWEST = 16
"""Columns of text below which wrapping would do more harm than running over."""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Paper:
    """What a stream can show.

    Attributes:
        width: columns.
        color: whether ANSI colors mean something there.
        unicode: whether braille and box characters do.
    """

    width: int = 80
    color: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Paper:
        """What `stream` can show; a pipe or a file is 80 columns wide unless $COLUMNS says otherwise."""
        terminal = is_terminal(stream)
        color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        return cls(max(40, shutil.get_terminal_size((80, 24)).columns), color, encoding.startswith("utf"))

    def style(self, text: str, code: str) -> str:
        """`text` in an ANSI style where that means something."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text

    def bold(self, text: str) -> str:
        return self.style(text, "1")

    def dim(self, text: str) -> str:
        return self.style(text, "2")

    @property
    def dot(self) -> str:
        """Stands between short facts on one line."""
        return " · " if self.unicode else " | "

    @property
    def plus_minus(self) -> str:
        """Stands before a deviation."""
        return "±" if self.unicode else "+-"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at `stream`; False for one that is closed or missing."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def visible(text: str) -> str:
    """`text` without ANSI styles."""
    return _ANSI.sub("", text)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
    paper: Paper | None = None,
) -> str:
    """Columns of text, as wide as they need to be.

    Args:
        head: titles; an empty sequence for none.
        rows: cells, which may hold ANSI styles.
        right: columns that are aligned to the right.
        width: where to wrap the last column; None for nowhere.
        paper: where it will be printed, for the style of the titles.
    """
    lines = [[clean_but_styles(cell) for cell in line] for line in ([head, *rows] if head else rows)]
    if not lines:
        return ""
    n = len(lines[0])
    widths = [max(len(visible(line[i])) for line in lines) for i in range(n)]
    out = []
    indent = sum(widths[:-1]) + 2 * (n - 1)
    room = None if width is None or width - indent < NARROWEST else width - indent
    for number, line in enumerate(lines):
        last = line[-1]
        parts = textwrap.wrap(last, room) if room and len(visible(last)) > room else [last]
        cells = [_pad(c, w, i in right) for i, (c, w) in enumerate(zip(line[:-1], widths, strict=False))]
        last_cell = _pad(parts[0], widths[-1], True) if n - 1 in right else parts[0]
        text = "  ".join([*cells, last_cell]).rstrip()
        if head and number == 0 and paper is not None:
            text = paper.bold(text)
        out.append(text)
        out += [" " * indent + part for part in parts[1:]]
    return "\n".join(out)


def _pad(text: str, width: int, right: bool) -> str:
    gap = " " * (width - len(visible(text)))
    return gap + text if right else text + gap


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """The same as GitHub reads it."""

    def cell(text: str) -> str:
        return clean(visible(text)).replace("|", "\\|")

    rule = ["---:" if i in right else "---" for i in range(len(head))]
    lines = [[cell(c) for c in head], rule, *([cell(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def wrapped(text: str, width: int) -> str:
    """Paragraphs of `text`, each wrapped; a line that begins with a dash is an item of a list, hung by two columns."""
    pieces: list[list[str]] = []
    for line in text.strip().splitlines():
        item, goes_on = line.startswith("- "), line.startswith(" ")
        within_item = bool(pieces and pieces[-1] and pieces[-1][0].startswith("- "))
        if not line.strip():
            pieces.append([])
        elif item or not pieces or not pieces[-1] or (within_item and not goes_on):
            pieces.append([line])
        else:
            pieces[-1].append(line)
    out = []
    for piece in pieces:
        joined = " ".join(" ".join(piece).split())
        out.append(textwrap.fill(joined, width, subsequent_indent="  " if joined.startswith("- ") else ""))
    return "\n".join(out)


def size(n_bytes: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n_bytes) < 1000 or unit == "GB":
            return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 100 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent, without the sign; a dash where it is not known."""
    if value is None or value != value:
        return "-"
    text = f"{100 * value:.{digits}f}"
    # a tiny negative number is nothing
    return text.removeprefix("-") if float(text) == 0 else text


def narrate(text: str) -> None:
    """Lines for people, on stderr."""
    print(clean(text, lines=True), file=sys.stderr, flush=True)
