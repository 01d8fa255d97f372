"""Passes over data: the work between steps, counted while it is done.

Whatever looks at many samples (choosing for the memory, evaluating, importance of weights, class means) takes them
through `over`, or tells `worked` what it has seen. Then a run says how far it is, and can be paused and stopped between
two parts. A pass draws and changes nothing of the run's; a pass that is stopped begins again when the run goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

TELL_SECONDS = 0.5
"""Between two records of a pass under way."""


class Part(Protocol):
    """Some samples of a pass."""

    def __len__(self) -> int: ...


T = TypeVar("T", bound=Part)


class Passes:
    """The passes of a run; before a session connects it, it counts for nobody.

    Attributes:
        tell: told (phase, done, total, seconds) of a pass under way, now and then.
        look: called between two parts; returns the seconds for which it paused, and raises to stop.
        fallback: what a pass is called that nobody has named.
        undivided: a step of training is under way: whatever it looks at is neither paused nor stopped, for half a step
            cannot be gone on with.
    """

    def __init__(self) -> None:
        self.tell: Callable[[str, int, int, float], None] | None = None
        self.look: Callable[[], float] = lambda: 0.0
        self.fallback = "working"
        self.undivided = False
        self._name: str | None = None
        self._done = 0
        self._total = 0
        self._began = 0.0
        self._told = 0.0
        self._was_told = False

    @contextlib.contextmanager
    def work(self, name: str, total: int = 0) -> Iterator[None]:
        """Count what is looked at inside as one pass over `total` samples; inside of another it adds to that one."""
        if self._name is not None:
            self._total = max(self._total, self._done + total)
            yield
            return
        self._name, self._done, self._total = name or self.fallback, 0, total
        self._began = self._told = time.perf_counter()
        self._was_told = False
        try:
            yield
            if self._was_told:
                self._total = self._done = max(self._total, self._done)
                self._say()
        finally:
            self._name = None

    def over(self, parts: Sequence[T], name: str = "") -> Iterator[T]:
        """The `parts` of a pass, one after the other; whoever stops early has looked at no more."""
        with self.work(name, sum(map(len, parts))):
            for part in parts:
                yield part
                self.worked(len(part))

    def worked(self, n: int) -> None:
        """`n` more samples were looked at: tell it where that is due, pause and stop where that is asked."""
        if self.tell is None:
            return
        self._done += n
        if self._name is not None:
            now = time.perf_counter()
            if now - self._told >= TELL_SECONDS:
                self._total = max(self._total, self._done)
                self._say()
        if self.undivided:
            return
        paused = self.look()
        self._began += paused
        self._told += paused

    def look_around(self) -> None:
        """Pause and stop where that is asked, and tell how far it is, in the middle of a long part."""
        self.worked(0)

    def at(self, what: str, done: int, total: int) -> None:
        """The pass stands at `done` of `total`, as someone says who counts by himself."""
        self._total = total
        self.worked(done - self._done)

    def _say(self) -> None:
        assert self._name is not None
        assert self.tell is not None
        self._told, self._was_told = time.perf_counter(), True
        self.tell(self._name, self._done, self._total, round(self._told - self._began, 3))
