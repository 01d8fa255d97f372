"""What goes wrong behind the screen: one line for the user, the whole of it in a log that can be sent on.

Work in a thread is declared with `background`; a failure in it ends in `CllabApp.troubled`, like every other that the
app survives.
"""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from textual import work
from textual.dom import DOMNode
from textual.worker import Worker

from cllab import __version__
from cllab.settings.catalog import cache_folder

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

MOST = 1 << 20
"""Bytes at which the log is begun anew; the former one is kept beside it."""

N = TypeVar("N", bound=DOMNode)
P = ParamSpec("P")


def log_path() -> Path:
    """The app's own log."""
    return cache_folder() / "app.log"


def sentence(what: str, error: BaseException) -> str:
    """That `what` failed, and why, in one line."""
    reason = " ".join(str(error).split())[:200]
    return f"{what} failed: {type(error).__name__}{f': {reason}' if reason else ''}"


def note(what: str, error: BaseException) -> Path | None:
    """Append a failure with its traceback to the log; the log, None where it cannot be written."""
    path = log_path()
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    text = "".join(traceback.format_exception(error))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST:
            path.replace(path.with_suffix(".log.1"))
        with path.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"{when} cllab {__version__}: {sentence(what, error)}\n{text}\n")
    except OSError:
        return None
    return path


def background(
    group: str, what: str
) -> Callable[[Callable[Concatenate[N, P], None]], Callable[Concatenate[N, P], Worker[None]]]:
    """Run a method of a widget in a thread, a later call in place of an earlier one of `group`.

    Args:
        group: of the calls of which the last one counts.
        what: names the work where its failure is told: "looking at the runs".
    """

    def decorate(method: Callable[Concatenate[N, P], None]) -> Callable[Concatenate[N, P], Worker[None]]:
        @functools.wraps(method)
        def guarded(self: N, *args: P.args, **kwargs: P.kwargs) -> None:
            lab = cast("CllabApp", self.app)
            try:
                method(self, *args, **kwargs)
            except Exception as error:
                # an app that is closing answers no thread any more, and has nobody to tell
                if lab.return_code is None and lab.is_running:
                    lab.troubled(what, error)

        # what fails is told here; Textual would end the app for it
        made: Any = work(thread=True, exclusive=True, group=group, exit_on_error=False)(guarded)
        return cast("Callable[Concatenate[N, P], Worker[None]]", made)

    return decorate
