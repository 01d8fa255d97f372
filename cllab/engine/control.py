"""What viewers and signals ask of a running training, looked at between steps and inside of passes over data."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from cllab.errors import EXIT_INTERRUPTED, EXIT_TERMINATED
from cllab.record.control import Asked


class StopRequested(Exception):  # noqa: N818 - not an error: the run is asked to end here
    """The run shall end at this batch boundary; `exit_code` says by whose wish."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Control:
    """Requests from the control file of a run folder and from signals.

    Args:
        path: the control file, None when there is no run folder.
        waiting: heed what the file already holds; otherwise only what is written from now on.

    Attributes:
        paused: whether training shall wait.
        pause_at_task_end: whether it shall wait after the current task.
        trace_steps: how many of the next steps are traced.
        trace_each: how many steps are traced at the beginning of every task.
    """

    def __init__(self, path: Path | None = None, *, waiting: bool = False) -> None:
        self.paused = False
        self.pause_at_task_end = False
        self.trace_steps = 0
        self.trace_each = 0
        self._advance = 0
        self._task = -1
        self._signal = 0
        self._stop = False
        self._asked = Asked(path, waiting=waiting)
        self._old_handlers: dict[int, Any] = {}

    def install_signals(self) -> None:
        """SIGINT and SIGTERM stop at the next batch boundary; a second one ends at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old_handlers[number] = signal.signal(number, self._on_signal)

    def remove_signals(self) -> None:
        """Put the former handlers back."""
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers.clear()

    def poll(self) -> bool:
        """Look for requests; True when training shall pause now. About a microsecond when there are none.

        Raises:
            StopRequested: when the run shall end here.
        """
        if self._signal:
            raise StopRequested(EXIT_INTERRUPTED if self._signal == signal.SIGINT else EXIT_TERMINATED)
        for words in self._asked.new():
            self._apply(words)
        if self._stop:
            raise StopRequested(EXIT_TERMINATED)
        return self.paused

    def enter_task(self, index: int) -> None:
        """Task `index` trains from here on; told at the beginning of every phase."""
        if index != self._task:
            self._task = index
            self.trace_steps = max(self.trace_steps, self.trace_each)

    def traced(self) -> None:
        """A step was traced; the last of those asked for during a pause ends in a pause again."""
        self.trace_steps -= 1
        if self._advance:
            self._advance -= 1
            self.paused = self._advance == 0

    def wait(self, seconds: float = 0.05) -> None:
        """Sleep a little while paused."""
        time.sleep(seconds)

    def _apply(self, words: list[str]) -> None:
        command = words[0] if words else ""
        if command == "stop":
            self._stop = True
        elif command == "trace":
            n = int(words[1]) if len(words) > 1 and words[1].isdecimal() and len(words[1]) < 10 else 1
            if n and (self.paused or self._advance):
                self.paused, self._advance = False, n
            self.trace_steps = n
        elif command in ("pause", "resume", "step"):
            # any of these takes the place of steps that were asked for one by one
            if self._advance:
                self._advance = self.trace_steps = 0
            self.paused = command == "pause"
            self.pause_at_task_end = self.pause_at_task_end or command == "step"

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signal:
            raise KeyboardInterrupt
        self._signal = number
