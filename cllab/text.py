"""Text from outside: without what a terminal would obey, and short enough to be read.

Names, reasons, keys and values come from files that others wrote. Whatever is read from a run folder or said about a
user's file passes through `clean`, so that no title is set, no clipboard written and no color left behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

LONGEST = 600
"""Characters of a message: a few lines of a terminal."""
DEEPEST = 60
"""Nesting beyond which nothing that a person wrote goes."""

_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SEQUENCES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # operating system commands: titles, the clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)?"  # strings for devices
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colors, cursor, modes
    r"|\x1b[ -/]*[0-~]?"  # all other escapes
)
_BREAKS = re.compile(r"[\t\n\x0b\x0c\r\x85\u2028\u2029]+")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_REST = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_STYLES = re.compile(r"(\x1b\[[0-9;]*m)")


def clean(text: str, *, lines: bool = False) -> str:
    """`text` without escape sequences and control characters; what cannot be encoded is shown as U+FFFD.

    Args:
        text: from a file, a folder's name or a library.
        lines: keep line breaks; otherwise they become spaces.
    """
    if not _UNCLEAN.search(text):
        return text
    text = _SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text).replace("\t", " ") if lines else _BREAKS.sub(" ", text)
    return _SURROGATES.sub("\ufffd", _REST.sub("", text))


def clean_but_styles(text: str) -> str:
    """`text` cleaned, except for the colors that this program itself puts into a table's cells."""
    if not _UNCLEAN.search(text):
        return text
    return "".join(part if i % 2 else clean(part) for i, part in enumerate(_STYLES.split(text)))


def cleaned(value: Any, depth: int = 0) -> Any:
    """`value` as read from JSON or TOML, every text and key in it cleaned; dates and times become texts, and what is
    nested too deep None."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(k)): cleaned(v, depth + 1) for k, v in value.items()} if depth < DEEPEST else None
    if isinstance(value, (list, tuple)):
        if depth >= DEEPEST:
            return None
        return type(value)(v if isinstance(v, (int, float)) else cleaned(v, depth + 1) for v in value)
    return value.isoformat() if isinstance(value, (date, time)) else value


def is_number(value: object) -> bool:
    """Whether `value`, as read from JSON or TOML, is a number that can be computed with: finite, and no whole number
    beyond what a float holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def clip(text: str, most: int = LONGEST) -> str:
    """`text` with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 5]} ... {text[-tail:]}"


def shown(value: object, most: int = 80) -> str:
    """A value in a message: as Python writes it, clean and short."""
    if isinstance(value, str) and len(value) > 4 * most:
        value = value[: 2 * most] + value[-2 * most :]
    try:
        return clip(repr(cleaned(value)), most)
    except (ValueError, RecursionError):
        # whole numbers of thousands of digits, tables within tables without end
        return "a number too long to write" if isinstance(value, int) else f"a {type(value).__name__} too deep to show"
