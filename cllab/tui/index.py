"""What the lists know of every run: read from its folder once, and again only when a file in it has changed.

A folder that is torn, half-written, from a newer version or edited by hand gives an entry with blanks, never an error.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from cllab.errors import CllabError
from cllab.record.lock import is_locked
from cllab.record.log import Tail
from cllab.record.runs import MISSING, Run, RunStore, Stamp, stamp
from cllab.record.state import RunState
from cllab.settings.catalog import load
from cllab.text import is_number

OVER = ("done", "failed", "stopped", "lost")
LIVE = ("starting", "training", "paused", "queued")


@dataclass(frozen=True)
class Entry:
    """One run in a list; None and "" where the folder does not say.

    Attributes:
        state: as `Run.status` says.
        average, last, forgetting: metrics of a run that ended, fractions.
        fraction: share of a run that trains which is done, as the Live screen says it.
        started, updated: seconds since the epoch.
        config: the tables of config.toml.
        result: result.json.
        problem: why the folder cannot be read, in one sentence.
        wish: "stopping", "pausing" or "resuming" while a run that trains has been asked to and has not yet.
    """

    run: Run
    state: str = "lost"
    reason: str = ""
    name: str = ""
    method: str = ""
    dataset: str = ""
    scenario: str = ""
    model: str = ""
    memory: str = ""
    capacity: int | None = None
    seed: int | None = None
    n_tasks: int | None = None
    device: str = ""
    average: float | None = None
    last: float | None = None
    forgetting: float | None = None
    seconds: float | None = None
    fraction: float | None = None
    started: float = 0.0
    updated: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    result: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: str = ""
    wish: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing trains here, or will without being asked."""
        return self.state not in LIVE

    @property
    def word(self) -> str:
        """What it does, or what it was asked to do and is about to."""
        return self.wish or self.state


CHUNK = 1 << 18
"""Bytes of a log that are read at once."""
SHARE = 0.002
"""Of a core, at most, for looking at folders in which nothing happens."""


class RunIndex:
    """Entries of every run of a store, newest first. Meant to be refreshed from a thread.

    Attributes:
        entries: what is known; replaced, never changed.
        version: grows whenever `entries` does; who draws them remembers which one was drawn.

    Args:
        store: the runs.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.entries: tuple[Entry, ...] = ()
        self.version = 0
        self.n_read = 0
        self._known: dict[str, tuple[Stamp, Entry]] = {}
        self._followers: dict[str, Follower] = {}
        self._due = 0.0
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Look at every folder; whether anything is new."""
        with self._lock:
            return self._look(everything=True)

    @property
    def is_due(self) -> bool:
        """Whether a `glance` would look at anything: something trains, or all folders are to be looked at again."""
        return time.monotonic() >= self._due or any(not e.is_over for e in self.entries)

    def glance(self) -> bool:
        """Look at the runs that train, and at every folder when that is due; whether anything is new.

        Meant to be called every second: however many folders there are, looking costs `SHARE` of a core at most.
        """
        with self._lock:
            return self._look(everything=time.monotonic() >= self._due)

    def _look(self, *, everything: bool) -> bool:
        n_read, began = self.n_read, time.thread_time()
        known: dict[str, tuple[Stamp, Entry]] = {}
        for folder in self._folders() if everything else self._known:
            seen = self._known.get(folder)
            if seen is not None and seen[1].is_over and not everything:
                known[folder] = seen
                continue
            now = stamp(os.path.join(self.store.folder, folder))
            if now[0] == MISSING:
                continue
            if seen is not None and seen[0] == now:
                entry = seen[1] if seen[1].is_over else _restated(seen[1])
            else:
                run = Run(self.store.folder / folder)
                follower = self._followers.get(folder) or Follower(run)
                entry = read_entry(run, follower)
                self.n_read += 1
                if entry.is_over:
                    self._followers.pop(folder, None)
                else:
                    self._followers[folder] = follower
            known[folder] = (now, entry)
        if everything:
            # what was read is read once; what will be spent every time is the looking
            spent = time.thread_time() - began if n_read == self.n_read else 0.0
            self._due = time.monotonic() + spent / SHARE
        entries = tuple(entry for _, entry in known.values())
        changed = entries != self.entries
        self._known, self.entries = known, entries
        self.version += changed
        return changed

    def _folders(self) -> list[str]:
        """Names of what may be run folders, newest first."""
        try:
            with os.scandir(self.store.folder) as found:
                return sorted((entry.name for entry in found if entry.is_dir()), reverse=True)
        except OSError:
            return []

    def get(self, run_id: str) -> Entry | None:
        """The entry of a run."""
        known = self._known.get(run_id)
        return known[1] if known else None


_INDEXES: WeakKeyDictionary[RunStore, RunIndex] = WeakKeyDictionary()


def index_of(store: RunStore) -> RunIndex:
    """The one index of a store, shared by the screens."""
    return _INDEXES.setdefault(store, RunIndex(store))


def _restated(entry: Entry) -> Entry:
    """A run whose files have not changed may still have died, given up waiting, or been asked for something."""
    if is_locked(entry.run.lock_path) and entry.state in ("training", "paused"):
        wish = entry.run.wish(entry.state)
        return entry if wish == entry.wish else replace(entry, wish=wish)
    return _with_status(entry)


def _with_status(entry: Entry) -> Entry:
    try:
        status = entry.run.status()
    except (OSError, ValueError) as error:
        return replace(entry, state="lost", reason=f"the folder cannot be read: {error}")
    wish = entry.run.wish(status.state)
    return replace(entry, state=status.state, wish=wish, reason=status.reason, updated=status.updated)


def read_entry(run: Run, follower: Follower | None = None) -> Entry:
    """All that a list shows of `run`, whatever state its files are in; `follower` knows its log up to some record."""
    config, problem = _config(run)
    result = run.result() or {}
    seed = config.get("seed")
    metrics = _table(result, "metrics")
    scenario = _table(config, "scenario")
    entry = Entry(
        run=run,
        name=_text(config.get("name")) or run.id,
        method=_text(_table(config, "method").get("name")),
        dataset=_text(_table(config, "dataset").get("name")),
        scenario=_text(scenario.get("name")),
        model=_text(_table(config, "model").get("name")),
        memory=_text(_table(config, "memory").get("name")),
        capacity=_whole(_table(config, "memory").get("capacity")) if _keeps_samples(run, config) else 0,
        seed=_whole(seed),
        n_tasks=_whole(scenario.get("tasks")),
        device=_text(result.get("device")),
        average=_real(metrics.get("average_accuracy")),
        last=_real(metrics.get("last_accuracy")),
        forgetting=_real(metrics.get("forgetting")),
        seconds=_real(_table(result, "seconds").get("total")),
        started=_started(run),
        config=config,
        result=result,
        problem=problem,
    )
    entry = _with_status(entry)
    if entry.is_over or entry.state == "queued":
        return entry
    return replace(entry, fraction=(follower or Follower(run)).fraction())


def _config(run: Run) -> tuple[dict[str, Any], str]:
    try:
        return run.settings(), ""
    except CllabError as error:
        return {}, f"config.toml cannot be read: {str(error).removeprefix(f'{run.config_path}: ')}"


class Follower:
    """How far a run is that trains: the fold of its log, as the Live screen has it, from what was appended since."""

    def __init__(self, run: Run) -> None:
        self._tail = Tail(run.events_path)
        self._state = RunState()

    def fraction(self) -> float | None:
        """`RunState.fraction` of the log as it is now; None before the run has said what it trains."""
        before = -1
        while self._tail.position != before:
            before = self._tail.position
            events = self._tail.read(CHUNK)
            if self._tail.restarted:
                self._state = RunState()
            for event in events:
                self._state = self._state.apply(event)
        return self._state.fraction if self._state.started is not None else None


def _started(run: Run) -> float:
    """When the run was made: its name begins with that moment; else its folder's clock."""
    try:
        return time.mktime(time.strptime(run.id[:15], "%Y%m%d-%H%M%S"))
    except (ValueError, OverflowError):
        pass
    try:
        return run.config_path.stat().st_mtime
    except OSError:
        return 0.0


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _keeps_samples(run: Run, config: Mapping[str, Any]) -> bool:
    """Whether the run's method looks into a memory at all; its capacity says nothing where it does not."""
    table = _table(config, "method")
    name = _text(table.get("name"))
    known = load() if not table.get("file") and name in load().names("method") else None
    components = known.components if known is not None else run.described().components
    return all(c.facts.get("uses_memory", True) for c in components if (c.kind, c.name) == ("method", name))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _real(value: object) -> float | None:
    return float(value) if is_number(value) else None  # type: ignore[arg-type]


def age(seconds: float) -> str:
    """How long ago, for people."""
    if seconds < 60:
        return "now"
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"
