"""Plays a recorded run back: the same states as live, at any moment, at any speed.

States are immutable and share their curves, so one is kept every few records and a seek folds at most `EVERY` of them.
"""

from __future__ import annotations

import bisect
import threading
import time

from textual.message_pump import MessagePump

from cllab.record import events as ev
from cllab.record.log import Tail
from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.feed import CHUNK, Feed, Hear, fold

EVERY = 64
"""Records between kept states."""
LONGEST_GAP = 2.0
"""Seconds: a longer silence (a pause, a night) is played as this."""
SPEEDS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
WATCHABLE = (10.0, 40.0)
"""Seconds that a whole replay should take at the first speed, at least and at most."""


class Timeline:
    """The records of a run with the time at which each is played.

    Args:
        hear: is told of records that cannot be applied; without it they raise.

    Attributes:
        times: seconds of play per record, ascending, the first at 0.
        tasks: play time at which each task begins.
        ends: play time at which each task was evaluated.
    """

    def __init__(self, hear: Hear | None = None) -> None:
        self.hear = hear
        self.events: list[ev.Event] = []
        self.times: list[float] = []
        self.tasks: list[float] = []
        self.ends: list[float] = []
        self._kept: list[RunState] = [RunState()]
        self._newest = RunState()
        self._last_t = 0.0

    @property
    def duration(self) -> float:
        return self.times[-1] if self.times else 0.0

    @property
    def state(self) -> RunState:
        """The state after the last record."""
        return self._newest

    def add(self, events: list[ev.Event]) -> None:
        """Append records."""
        for event in events:
            t = event.t if event.t > 0 else self._last_t
            # what comes before the first task (starting, loading) shows nothing, and is passed over
            gap = min(max(0.0, t - self._last_t), LONGEST_GAP) if self.tasks else 0.0
            self._last_t = max(t, self._last_t)
            now = self.duration + gap
            self.events.append(event)
            self.times.append(now)
            # a task that was taken up again after a stop keeps its first beginning
            if isinstance(event, ev.TaskStarted) and event.task == len(self.tasks):
                self.tasks.append(now)
            elif isinstance(event, ev.TaskEnded) and event.task == len(self.ends):
                self.ends.append(now)
            self._newest = fold(self._newest, (event,), self.hear)
            if len(self.events) % EVERY == 0:
                self._kept.append(self._newest)

    def at(self, seconds: float) -> RunState:
        """The state at a play time: after every record up to it."""
        return self.after(bisect.bisect_right(self.times, seconds))

    def after(self, n: int) -> RunState:
        """The state after the first `n` records."""
        if n >= len(self.events):
            return self._newest
        k = n // EVERY
        return fold(self._kept[k], self.events[k * EVERY : n], self.hear)


def first_speed(duration: float) -> float:
    """As recorded where that can be watched; what is long is played faster, what is over at once slower."""
    least, most = WATCHABLE
    if duration < least:
        return next((s for s in reversed(SPEEDS) if s <= 1 and duration / s >= least), SPEEDS[0])
    return next((s for s in SPEEDS if s >= 1 and duration / s <= most), SPEEDS[-1])


class Player(Feed):
    """A feed with a position, a speed and a pause.

    The thread reads the log, then advances the clock; keys set the position from the event loop.
    """

    replayed = True

    def __init__(self, run: Run, target: MessagePump, rate: float) -> None:
        super().__init__(run, target, rate)
        self.timeline = Timeline(self._hear)
        self.playing = True
        self.loaded = False
        self._position = 0.0
        self._speed = 1.0
        self._lock = threading.Lock()

    @property
    def position(self) -> float:
        """Seconds of play time."""
        return self._position

    @property
    def duration(self) -> float:
        return self.timeline.duration

    @property
    def speed(self) -> float:
        return self._speed

    def toggle(self) -> None:
        """Play or hold; at the end, play again from the start."""
        with self._lock:
            if not self.playing and self._position >= self.duration:
                self._position = 0.0
            self.playing = not self.playing
        self._wake.set()

    def seek(self, seconds: float) -> None:
        """Go to a play time."""
        with self._lock:
            self._position = min(max(0.0, seconds), self.duration)
        self._wake.set()

    def seek_task(self, by: int) -> None:
        """Go to the beginning of the task before or after."""
        marks = [0.0, *self.timeline.tasks[1:], self.duration]
        here = self._position
        if by > 0:
            self.seek(next((m for m in marks if m > here + 1e-6), self.duration))
        else:
            self.seek(next((m for m in reversed(marks) if m < here - 1e-6), 0.0))

    def seek_end_of(self, task: int) -> None:
        """Go to the moment at which `task` (0-based) was learned and evaluated."""
        if self.timeline.ends:
            self.seek(self.timeline.ends[min(max(0, task), len(self.timeline.ends) - 1)])

    def faster(self, by: int) -> None:
        """One step up or down the speeds."""
        k = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self._speed))
        self._speed = SPEEDS[min(max(0, k + by), len(SPEEDS) - 1)]
        self._wake.set()

    def _follow(self) -> None:
        tail = Tail(self.run.events_path)
        before = -1
        while not self._closed.is_set() and tail.position != before:
            before = tail.position
            self.timeline.add(tail.read(CHUNK))
        self._speed = first_speed(self.duration)
        self.loaded = True
        clock = time.monotonic()
        shown: tuple[float, bool, float] | None = None
        while not self._closed.is_set():
            now = time.monotonic()
            with self._lock:
                if self.playing:
                    self._position = min(self._position + (now - clock) * self._speed, self.duration)
                    # held at the end, so that it says so and costs nothing
                    self.playing = self._position < self.duration
                key = (self._position, self.playing, self._speed)
            clock = now
            if key != shown:
                shown = key
                self._publish(self.timeline.at(key[0]))
            self._pause(1 / max(self.rate, 1.0) if self.playing else None)
            if not key[1]:
                # time does not pass while it is held
                clock = time.monotonic()
