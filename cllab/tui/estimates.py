"""How long a run will take and how much its memory will hold, from runs that have finished on this machine.

Nothing is guessed from tables of hardware: a run of the same kind must have ended here before, otherwise the answer is
that it is not known. Time is scaled by the work to do, counted in images that pass through the network.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cllab.errors import UsageError
from cllab.settings.catalog import Catalog
from cllab.settings.config import RunConfig
from cllab.tui.index import Entry

EVALUATION = 0.35
"""Cost of an image in a forward pass alone, against one that is also learned from."""
COLUMNS = ("images", "latents", "labels", "ids", "tasks", "entered", "scores")
"""What every memory keeps of each sample, beside what a method stores with it."""
CLOSE = 6.0
"""A run with this many times more or less work than the measured one is not estimated from it."""


@dataclass(frozen=True)
class Estimate:
    """What to expect.

    Attributes:
        seconds: of one seed; None when nothing like it was measured.
        basis: what it was measured on, for people.
        rough: whether the measured runs were of another method or much more or less work.
        bytes: of the full memory by kind of payload; None when not known.
    """

    seconds: float | None = None
    basis: str = ""
    rough: bool = False
    bytes: Mapping[str, int] | None = None


def work(config: RunConfig, catalog: Catalog) -> float | None:
    """Images that pass through the network in a run, one in evaluation counting less; None where the data decide."""
    facts = catalog.get("dataset", config.dataset.name).facts
    n_train, n_test, n_classes = (facts.get(key) for key in ("n_train", "n_test", "n_classes"))
    own = config.dataset.values
    if own.get("per_class") and own.get("n_classes"):
        n_train, n_test = own["per_class"] * own["n_classes"], n_test or 0
    if not n_train or n_test is None:
        return None
    scenario = config.scenario.values
    tasks = max(1, int(scenario.get("tasks") or 5))
    kind = catalog.get("scenario", config.scenario.name).facts
    has_parts = kind.get("has_class_tasks", True)
    if kind.get("needs_sessions"):
        sessions = catalog.get("dataset", config.dataset.name).facts.get("sessions")
        if not sessions or not n_classes:
            return None
        tasks = _tasks(config, n_classes, sessions)
        total, tested = float(n_train), float(n_test * tasks)
    elif has_parts:
        total = n_train * float(scenario.get("train_share") or 1.0)
        tested = n_test * (tasks + 1) / 2
    else:
        total = (scenario.get("samples") or n_train) * tasks
        tested = n_test * tasks * (tasks + 1) / 2
    capacity = config.capacity
    replayed = capacity * config.train.memory_epochs * tasks
    facts = catalog.get("method", config.method.name).facts
    if facts.get("memory_only"):
        learned = replayed + capacity * config.train.epochs * tasks + EVALUATION * total
    elif config.train.steps:
        learned = float(config.train.steps * config.train.batch_size * tasks)
    else:
        learned = total * max(1, config.train.epochs) + replayed
        learned += capacity * config.train.epochs * tasks if facts.get("replay") == "concat" else 0
    if config.evaluate.every:
        tested += n_test * total / config.evaluate.every / 2
    if config.base.on != "none":
        share = 1 / tasks
        if config.base.on == "classes":
            share = config.base.classes / n_classes if config.base.classes and n_classes else 0.5
        learned += config.base.epochs * share * total
    return float(learned + EVALUATION * tested)


def _tasks(config: RunConfig, n_classes: int, sessions: int) -> int:
    """Tasks of a stream of sessions."""
    # NumPy, which comes with it, is not loaded before someone asks
    from cllab.scenarios import _units as units

    return units.count(config.scenario.name, config.scenario.values, n_classes, sessions)


def estimate(config: RunConfig, entries: Iterable[Entry], catalog: Catalog) -> Estimate:
    """What to expect of `config`, from the finished runs among `entries` that come nearest to it."""
    wanted = work(config, catalog)
    same_kind = [e for e in entries if e.state == "done" and _like(e, config)]
    times: dict[int, list[float]] = {}
    for entry in same_kind:
        rank, seconds = _measured(entry, config, wanted, catalog)
        if seconds is not None:
            times.setdefault(rank, []).append(seconds)
    best = min(times, default=None)
    sizes = _bytes(config, same_kind)
    if best is None:
        return Estimate(bytes=sizes)
    found = times[best]
    one = len(found) == 1
    basis = {
        0: f"from {'a run' if one else f'{len(found)} runs'} of this very setup",
        1: f"from {'a run' if one else f'{len(found)} runs'} of {config.method.name} on {config.dataset.name}",
        2: f"from {'a run' if one else f'{len(found)} runs'} of another method on {config.dataset.name}",
    }[best]
    return Estimate(statistics.median(found), basis, best == 2, sizes)


def _like(entry: Entry, config: RunConfig) -> bool:
    """Same data, same network, same kind of device, as far as it is said."""
    if entry.dataset != config.dataset.name or entry.model != config.model.name:
        return False
    ran_on = entry.device.partition(":")[0].partition(" ")[0]
    wanted = config.device.partition(":")[0]
    return wanted == "auto" or ran_on in ("", "auto", wanted)


def _measured(entry: Entry, config: RunConfig, wanted: float | None, catalog: Catalog) -> tuple[int, float | None]:
    """How near `entry` comes (0 nearest), and what it says of the seconds of `config`."""
    seconds = entry.seconds
    if seconds is None or seconds <= 0:
        return 3, None
    if entry.result.get("signature") == config.signature:
        return 0, seconds
    try:
        other = RunConfig.from_dict(entry.config, catalog, checked=False, run_files=False)
        done = work(other, catalog)
    except (UsageError, KeyError, TypeError, ValueError, AttributeError):
        return 3, None
    same_network = dict(other.model.values) == dict(config.model.values)
    same_network &= dict(other.model.common) == dict(config.model.common)
    batches = other.train.batch_size / config.train.batch_size
    if not wanted or not done or not same_network or not 1 / CLOSE <= wanted / done <= CLOSE or not 0.5 <= batches <= 2:
        return 3, None
    return (1 if entry.method == config.method.name else 2), seconds * wanted / done


def _bytes(config: RunConfig, entries: Iterable[Entry]) -> Mapping[str, int] | None:
    """Bytes by kind at full capacity, from what a sample took in a run whose memory kept the same; what a method keeps
    beside its samples (a former network, weights of weights) is as much for any capacity."""
    facts = next((s.facts for s in config.specs if s.kind == "method"), {})
    each = {*COLUMNS, *facts.get("stores", ())}
    for entry in entries:
        memory: Any = entry.result.get("memory")
        if entry.method != config.method.name or entry.memory != config.memory.name or not isinstance(memory, Mapping):
            continue
        if _cut(entry.config) != _cut(config.to_dict()):  # else it is of other latents, or of images
            continue
        kinds, samples = memory.get("by_kind"), memory.get("samples")
        if isinstance(kinds, Mapping) and isinstance(samples, int) and (samples > 0 or not config.capacity):
            numbers = {str(k): v for k, v in kinds.items() if isinstance(v, (int, float)) and v > 0}
            sizes = {k: round(v / samples * config.capacity) if k in each else round(v) for k, v in numbers.items()}
            return {k: n for k, n in sizes.items() if n}
    return None if config.capacity else {}


def _cut(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Behind which part of the network samples are stored, and how; empty where they are images."""
    model: Any = config.get("model", {})
    keys = ("cut", "front", "latents") if isinstance(model, Mapping) and model.get("front") == "frozen" else ()
    return tuple(str(model.get(key, "")) for key in keys)


def duration(seconds: float) -> str:
    """A rough duration: nobody believes the seconds of an hour."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        minutes, rest = divmod(round(seconds / 10) * 10, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(seconds / 60)} min"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours < 10 and rest else f"{round(seconds / 3600)} h"
