"""Ends the app when its terminal is gone, whatever the event loop is doing.

A terminal that died without a SIGHUP leaves the app running, and one that died with it can leave Textual waiting
forever to write its last words. A thread that does nothing else looks after both.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

LOOK = 2.0
"""Seconds between looks."""
PATIENCE = 3.0
"""Seconds that a normal end may take when nobody can see it."""


def terminal_is_there() -> bool:
    """Whether standard input is still a terminal: after a hang-up it is not."""
    try:
        return sys.__stdin__ is not None and os.isatty(sys.__stdin__.fileno())
    except (OSError, ValueError):
        return False


class Lifeline(threading.Thread):
    """Watches the terminal; when it is gone, asks for a normal end, then ends the process.

    Args:
        end: asks the app to end; called from this thread.
        code: exit code.
        is_there: what is watched.
    """

    def __init__(self, end: Callable[[], object], code: int, is_there: Callable[[], bool] = terminal_is_there) -> None:
        super().__init__(name="lifeline", daemon=True)
        self._end, self._code, self._is_there = end, code, is_there
        self._cut = threading.Event()

    def cut(self) -> None:
        """Say that the terminal is gone (a SIGHUP), without waiting for the next look."""
        self._cut.set()

    def run(self) -> None:
        """Look until the terminal is gone."""
        while not self._cut.wait(LOOK) and self._is_there():
            pass
        self._end()
        # the interpreter ends this thread with the process; only an app that cannot end comes further
        threading.Event().wait(PATIENCE)
        os._exit(self._code)
