"""Follows a run in a thread and posts its newest `RunState`, however fast it trains.

The thread reads what was appended, folds it, and posts one message that its successor may replace: the screen shows the
newest state at most `rate` times a second. Threads never touch widgets.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from textual.message import Message
from textual.message_pump import MessagePump

from cllab.record import events as ev
from cllab.record.log import Tail
from cllab.record.runs import Run, RunStatus
from cllab.record.state import RunState

CHUNK = 1 << 18
"""Bytes read at once: a few milliseconds of folding, so that keys are still answered while a long log loads."""


Hear = Callable[[str, Exception], None]
"""Is told what failed, and how."""


class Troubled(Message):
    """Something failed where nobody looks: `what`, and the `error`."""

    def __init__(self, what: str, error: Exception) -> None:
        super().__init__()
        self.what, self.error = what, error


class StateChanged(Message):
    """The run that `feed` follows has a newer state."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StateChanged) and message.feed is self.feed


class Feed:
    """What screens read: the state of one run, live or replayed.

    Args:
        run: the run folder.
        target: where `StateChanged` is posted.
        rate: messages per second at most.
    """

    replayed = False
    was_training = False
    """Whether this feed has seen it train."""

    def __init__(self, run: Run, target: MessagePump, rate: float) -> None:
        self.run = run
        self.rate = rate
        self.opened = time.monotonic()
        self._target = target
        self._state = RunState()
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> RunState:
        """The newest state; immutable, so it may be read from any thread."""
        return self._state

    @property
    def is_training(self) -> bool:
        """Whether a process trains this run now."""
        return False

    def start(self) -> None:
        """Begin to follow."""
        self._thread = threading.Thread(target=self._guarded, name=f"feed-{self.run.id}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following; returns at once."""
        self._closed.set()
        self._wake.set()

    def _guarded(self) -> None:
        try:
            self._follow()
        except Exception as error:
            # a viewer must say what it cannot show rather than stand still
            self._hear("showing this run", error)
            reason = f"this run cannot be shown: {type(error).__name__}: {error}"
            self._publish(replace(self._state, status="lost", reason=reason))

    def _hear(self, what: str, error: Exception) -> None:
        """Pass on what failed."""
        if not self._closed.is_set():
            self._target.post_message(Troubled(what, error))

    def _follow(self) -> None:
        raise NotImplementedError

    def _publish(self, state: RunState) -> None:
        self._state = state
        if not self._closed.is_set():
            self._target.post_message(StateChanged(self))

    def _pause(self, seconds: float | None) -> None:
        self._wake.wait(seconds)
        self._wake.clear()


class LiveFeed(Feed):
    """Follows `events.jsonl` while it grows, and notices when the process behind it is gone.

    Args:
        worker: the training process, when this app started it; its exit code says more than the lock.
    """

    def __init__(
        self, run: Run, target: MessagePump, rate: float, worker: subprocess.Popen[bytes] | None = None
    ) -> None:
        super().__init__(run, target, rate)
        self._worker = worker
        self._alive = worker is not None and worker.poll() is None

    @property
    def is_training(self) -> bool:
        return self._alive

    def _follow(self) -> None:
        tail = Tail(self.run.events_path)
        raw = RunState()
        caught_up: int | None = None
        shown: tuple[int, str] | None = None
        while not self._closed.is_set():
            # looked at before reading: what a dying process wrote last is then always read
            alive = self._look()
            n_read = tail.position
            events = tail.read(CHUNK)
            if tail.restarted:
                raw, caught_up = RunState(), None
            raw = fold(raw, events, self._hear)
            more = tail.position - n_read >= CHUNK
            if caught_up is None and not more:
                caught_up = raw.n_events
            turned = self._alive != alive
            self._alive = alive
            self.was_training |= alive
            state = raw if more else self._judged(raw, alive, fresh=raw.n_events == caught_up)
            now = (state.n_events, state.status)
            if now != shown or turned:
                shown = now
                self._publish(state)
            if not more:
                self._pause(1 / self.rate)

    def _look(self) -> bool:
        if self._worker is not None and self._worker.poll() is None:
            return True
        return self.run.is_alive

    def _judged(self, state: RunState, alive: bool, *, fresh: bool) -> RunState:
        """`state`, corrected by what the log cannot say: that its writer waits, is starting, or dead."""
        if alive:
            # a stopped run that is being taken up again says nothing until its process is ready
            return replace(state, status="starting", reason="") if state.is_over and fresh and self._worker else state
        if state.is_over:
            return state
        code = self._worker.poll() if self._worker is not None else None
        if code is None:
            status = self.run.status()
            if status.state in ("starting", "queued"):
                return replace(state, status=status.state, reason=status.reason)
            return replace(state, status="lost", reason=self._reason(status))
        return replace(state, status="lost", reason=death(code, self.run.log_tail(20)))

    def _reason(self, status: RunStatus) -> str:
        error = last_error(self.run.log_tail(20))
        return f"{status.reason}: {error}" if error else status.reason


def fold(state: RunState, events: Iterable[ev.Event], hear: Hear | None = None) -> RunState:
    """`state` after `events`.

    What a hand has edited beyond sense is no record any more (`events.from_line`), so one that cannot be applied is a
    mistake of ours: `hear` is told of it and the record passed over, so that the others are still shown.

    Raises:
        Exception: what `RunState.apply` raised, when there is no `hear`.
    """
    for event in events:
        try:
            state = state.apply(event)
        except Exception as error:
            if hear is None:
                raise
            hear(f"reading the record {type(event).__name__}", error)
    return state


def death(code: int, log: list[str]) -> str:
    """What an exit code of the training process means, in one sentence."""
    error = last_error(log)
    if code == -signal.SIGKILL:
        return "the training process was killed (SIGKILL); most often the machine ran out of memory"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the training process died of {name}" + (f": {error}" if error else "")
    return error or f"the training process ended with exit code {code} before the run was over"


def last_error(log: list[str]) -> str:
    """The line of a log that names an exception, the last one, or an empty string."""
    for line in reversed(log):
        if re.match(r"\w[\w.]*(Error|Exception|Interrupt|Exit)\b|Fatal Python error|Killed", line):
            return line.strip()[:300]
    return ""
