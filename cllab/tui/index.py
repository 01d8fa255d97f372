"""What the lists know of every run: read from its folder once, and again only when a file in it has changed.

A folder that is torn, half-written, from a newer version or edited by hand gives an entry with blanks, never an error.
"""

from __future__ import annotations

import math
import os
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from cllab.runs import Run, RunStore, is_locked

OVER = ("done", "failed", "stopped", "lost")
LIVE = ("starting", "training", "paused", "queued")


@dataclass(frozen=True)
class Entry:
    """One run in a list; None and "" where the folder does not say.

    Attributes:
        state: as `Run.status` says.
        average, last, forgetting: metrics of a run that ended, fractions.
        fraction: share of the tasks that are done, of a run that has not ended.
        started, updated: seconds since the epoch.
        config: the tables of config.toml.
        result: result.json.
        problem: why the folder cannot be read, in one sentence.
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

    @property
    def is_over(self) -> bool:
        """Whether nothing trains here, or will without being asked."""
        return self.state not in LIVE


Stamp = tuple[tuple[int, int], ...]


class RunIndex:
    """Entries of every run of a store, newest first. Meant to be refreshed from a thread.

    Args:
        store: the runs.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.entries: tuple[Entry, ...] = ()
        self.n_read = 0
        self._known: dict[str, tuple[Stamp, Entry]] = {}

    def refresh(self) -> bool:
        """Look at every folder; whether anything is new."""
        entries = []
        known: dict[str, tuple[Stamp, Entry]] = {}
        for run in self.store:
            stamp = _stamp(run)
            seen = self._known.get(run.id)
            if seen is not None and seen[0] == stamp:
                entry = seen[1] if seen[1].is_over else _restated(seen[1])
            else:
                entry = read_entry(run)
                self.n_read += 1
            known[run.id] = (stamp, entry)
            entries.append(entry)
        changed = tuple(entries) != self.entries
        self._known, self.entries = known, tuple(entries)
        return changed

    def get(self, run_id: str) -> Entry | None:
        """The entry of a run."""
        known = self._known.get(run_id)
        return known[1] if known else None


_INDEXES: WeakKeyDictionary[RunStore, RunIndex] = WeakKeyDictionary()


def index_of(store: RunStore) -> RunIndex:
    """The one index of a store, shared by the screens."""
    return _INDEXES.setdefault(store, RunIndex(store))


def _stamp(run: Run) -> Stamp:
    """Changes whenever a file does that an entry is made of."""
    stamps = []
    for name in ("events.jsonl", "config.toml", "result.json", "lock", "queued"):
        try:
            status = os.stat(run.folder / name)
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append((0, 0))
    return tuple(stamps)


def _restated(entry: Entry) -> Entry:
    """A run whose files have not changed may still have died, or given up waiting."""
    if is_locked(entry.run.lock_path) and entry.state in ("training", "paused"):
        return entry
    return _with_status(entry)


def _with_status(entry: Entry) -> Entry:
    try:
        status = entry.run.status()
    except (OSError, ValueError) as error:
        return replace(entry, state="lost", reason=f"the folder cannot be read: {error}")
    return replace(entry, state=status.state, reason=status.reason, updated=status.updated)


def read_entry(run: Run) -> Entry:
    """All that a list shows of `run`, whatever state its files are in."""
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
        capacity=_whole(_table(config, "memory").get("capacity")),
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
    return entry if entry.state in ("done", "queued") else replace(entry, fraction=_fraction(run, entry))


def _config(run: Run) -> tuple[dict[str, Any], str]:
    try:
        return tomllib.loads(run.config_path.read_text(encoding="utf-8")), ""
    except OSError as error:
        return {}, f"config.toml cannot be read: {error.strerror}"
    except ValueError as error:
        return {}, f"config.toml is damaged: {error}"


def _fraction(run: Run, entry: Entry) -> float | None:
    """Share of the tasks that are done, from the last records."""
    event = run.last_event()
    task = getattr(event, "task", None)
    if not isinstance(task, int) or not entry.n_tasks:
        return None
    done = task + (type(event).__name__ in ("TaskEnded", "CheckpointSaved"))
    steps, step = getattr(event, "phase_steps", 0), getattr(event, "phase_step", 0)
    within = step / steps if isinstance(steps, int) and steps > 0 else 0.0
    return min(1.0, max(0.0, (done + min(1.0, within)) / entry.n_tasks))


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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def age(seconds: float) -> str:
    """How long ago, for people."""
    if seconds < 60:
        return "now"
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"
