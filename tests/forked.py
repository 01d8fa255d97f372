"""A process that begins where the test stands: a fresh one would import torch first, which takes two seconds."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import TextIO


def forked(work: Callable[[TextIO], None]) -> tuple[int, TextIO]:
    """Begin `work`, which writes to the stream that it is given, in a process of its own.

    Returns its number and what it writes; it ends with 0, or with 1 and the traceback of what `work` raised.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        os.close(reading)
        with os.fdopen(writing, "w", buffering=1) as out:
            try:
                work(out)
                code = 0
            except BaseException:
                traceback.print_exc(file=out)
            out.flush()
            os._exit(code)  # nothing of the test's own is ended twice
    os.close(writing)
    return child, os.fdopen(reading)
