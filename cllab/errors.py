"""What can go wrong, as exceptions that know their exit code.

Every message is one line for a person: what, where, what is allowed, the nearest valid name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from cllab.text import clean, clip

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class CllabError(Exception):
    """An expected failure: shown as one line, without a traceback.

    The message may quote what others wrote: it is cleaned of control characters and never longer than a few lines.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: object = "") -> None:
        super().__init__(clip(clean(str(message))))


class UsageError(CllabError):
    """A preset, flag or combination that cannot be meant."""

    exit_code = EXIT_USAGE


class DataError(CllabError):
    """Data that is missing, truncated or not what its name says."""

    exit_code = EXIT_DATA


class TrainingError(CllabError):
    """A run that started and could not go on (NaN, out of memory, disk full)."""

    exit_code = EXIT_FAILED


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest of `names`, or an empty string."""
    if len(name) > 200:
        return ""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
