"""What a run says: a closed set of small records, one line of JSON each.

`events.jsonl` in the run folder is the truth; every view, table and file is made from it. A record holds numbers and
names only. What depends on the clock or on the machine is listed in `TIMES`; without those fields, two runs with one
seed write the same lines.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cllab.text import DEEPEST, cleaned, is_number

VERSION = 1

Floats = tuple[float | None, ...]

TIMES = frozenset(
    {"t", "seconds", "images_per_second", "device_bytes", "device", "versions", "run", "from_checkpoint_age", "log"}
)
"""Fields that may differ between two runs with the same seed."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A record; `t` is seconds since the epoch, set when it is written.

    Its texts are cleaned of control characters, whoever makes it: names of classes and of losses, and reasons, are what
    others wrote.
    """

    t: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, (str, dict)) or (isinstance(value, tuple) and value and _has_text(value[0])):
                object.__setattr__(self, name, cleaned(value))


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The stream is built and training is about to begin.

    Attributes:
        class_names: in stream-label order.
        tasks: per task its name, own classes, exposed classes and number of training samples.
        tests: per test set its name, classes and number of images, where they stand apart from the tasks; empty where
            every task has its own.
        counts: (E, K) training samples per task and class.
        steps: planned optimizer steps of each task.
        passes: planned images of each task that are only looked at, by kind of pass: "select", "evaluate".
    """

    run: str
    name: str
    seed: int
    device: str
    method: str
    dataset: str
    scenario: str
    model: str
    memory: str
    capacity: int
    class_names: tuple[str, ...]
    tasks: tuple[dict[str, Any], ...]
    counts: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]
    passes: tuple[dict[str, Any], ...] = ()
    n_parameters: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    tests: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A part of the work began: loading, stream, memory, select, evaluate, or a method's own ("bias correction")."""

    phase: str
    task: int = -1
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class BaseEnded(Event):
    """The base stage is over: what the stream begins with is learned.

    Attributes:
        on: "first-task", "classes" or "aside".
        classes: stream labels that it learned; of classes set aside, labels of their own.
        n_train, epochs: training samples, and passes over them.
        accuracy: on the test images of those classes, None where there are none.
    """

    on: str
    classes: tuple[int, ...]
    n_train: int
    epochs: int
    accuracy: float | None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LatentsTaken(Event):
    """What the frozen front says of every image was computed, and stands in the place of the images.

    Attributes:
        cut: the part behind which they were taken.
        shape, dtype: of one of them.
        samples, bytes: of all of them.
    """

    cut: str
    shape: tuple[int, ...]
    dtype: str
    samples: int
    bytes: int
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TaskStarted(Event):
    """Task `task` (0-based) began."""

    task: int
    name: str
    classes: tuple[int, ...]
    n_train: int


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """Progress inside a phase; losses are means since the previous record.

    Attributes:
        step: optimizer steps since the run began.
        phase_step: steps since the phase began, of `phase_steps`.
        samples: samples of the stream read since the run began.
    """

    task: int
    phase: str
    step: int
    phase_step: int
    phase_steps: int
    epoch: int
    samples: int
    losses: dict[str, float | None]
    lr: float
    images_per_second: float = 0.0
    device_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Working(Event):
    """A pass over data is under way: told twice a second at most, and once more at the end of a pass that was told of.

    Attributes:
        phase: what is done: loading, select, evaluate, or a method's own ("fisher").
        done, total: images of the pass.
        seconds: since the pass began, pauses left out.
    """

    task: int
    phase: str
    done: int
    total: int
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EpochEnded(Event):
    """One pass of a phase is over."""

    task: int
    phase: str
    epoch: int
    epochs: int
    losses: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """Accuracies on test data.

    Attributes:
        moment: "task" (a row of the accuracy matrix), "epoch" (after one epoch of a phase), "stream" (every n
            samples) or "glance" (within a task, on part of the test images: to be watched, in no metric).
        tasks: accuracy on every test set, None where it was not evaluated: on every task's own, unless `RunStarted`
            names test sets that stand apart.
        seen: accuracy over all test samples of the classes seen so far.
        per_class: per stream label, None for classes not evaluated.
        images: test images that were looked at.
    """

    task: int
    moment: str
    step: int
    samples: int
    tasks: Floats
    seen: float | None
    per_class: Floats = ()
    epoch: int = -1
    phase: str = ""
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MemoryUpdated(Event):
    """What the memory holds now.

    Attributes:
        bytes: by kind of payload ("images", "labels", "logits", ...).
        per_class: stored samples per stream label.
        per_task: stored samples per task of origin.
        added, evicted: how many samples entered and left since the previous record.
        snapshot: file under `memory/` with thumbnails and ids, empty if none was written: of hundreds of tasks, it is
            written after some.
    """

    task: int
    policy: str
    capacity: int
    samples: int
    bytes: dict[str, int]
    per_class: tuple[int, ...]
    per_task: tuple[int, ...]
    added: int
    evicted: int
    snapshot: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TaskEnded(Event):
    """Task `task` is learned and evaluated; `seconds` by kind of work."""

    task: int
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A complete state after task `task` lies in `checkpoint/`: after the last, and where the one before is old."""

    task: int


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Training waits for `resume`, `step` or `stop`."""

    task: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """Training goes on: after a pause, or in a new process from a checkpoint."""

    task: int
    step: int
    from_checkpoint: bool = False


@dataclass(frozen=True, kw_only=True)
class Traced(Event):
    """What a method published about one step while tracing was on.

    Attributes:
        step: the number of the step, which has just ended.
        scalars: by name, in the order in which they were published; of a method that publishes nothing, its losses.
        file: arrays, in a file relative to the run folder that `record.traces.read` reads; empty when there are none.
    """

    task: int
    step: int
    method: str
    scalars: dict[str, float | None]
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something a person should know that does not end the run."""

    message: str
    task: int = -1


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The last record.

    Attributes:
        status: done, failed, stopped.
        reason: one sentence; empty when done.
        metrics: what `result.json` holds under "metrics".
    """

    status: str
    reason: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        RunStarted,
        PhaseStarted,
        BaseEnded,
        LatentsTaken,
        TaskStarted,
        StepEnded,
        Working,
        EpochEnded,
        Evaluated,
        MemoryUpdated,
        TaskEnded,
        CheckpointSaved,
        Paused,
        Resumed,
        Traced,
        Warned,
        RunEnded,
    )
}

BY_CLOCK: tuple[type[Event], ...] = (Working, CheckpointSaved)
"""Kinds of which another run with the same seed may write more or fewer."""

Sink = Callable[[Event], None]


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: tuples as lists, numbers that are not finite as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def to_dict(event: Event) -> dict[str, Any]:
    """The record as a JSON object: version, kind, then its fields."""
    values = {f.name: plain(getattr(event, f.name)) for f in dataclasses.fields(event)}
    return {"v": VERSION, "kind": type(event).__name__, **values}


def to_line(event: Event) -> str:
    """One line, without the newline."""
    return json.dumps(to_dict(event), separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _tuples(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, list):
        return value
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    return tuple(_tuples(v, depth + 1) for v in value)


def _has_text(value: Any) -> bool:
    return not isinstance(value, (int, float)) and not (isinstance(value, tuple) and value and _number(value[0]))


def from_line(line: str | bytes) -> Event | None:
    """The record of one line; None for a torn line, an unknown kind (a newer version) or a line edited out of shape."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    kind = KINDS.get(str(data.get("kind")))
    if kind is None:
        return None
    known = {f.name: f for f in dataclasses.fields(kind)}
    try:
        event = kind(**{k: _tuples(v) for k, v in data.items() if k in known})
    except (TypeError, ValueError):
        return None
    return event if _well_formed(event) else None


_CHECKS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
}


def _well_formed(event: Event) -> bool:
    """Whether every field has the kind of value that its annotation promises, one level deep."""
    for item in dataclasses.fields(event):
        value, hint = getattr(event, item.name), str(item.type)
        if hint in _CHECKS:
            if not isinstance(value, _CHECKS[hint]) or (isinstance(value, bool) and hint != "bool"):
                return False
            if hint in ("int", "float") and not _number(value):
                return False
        elif hint.startswith("dict[str, float") or hint == "dict[str, int]":
            if not isinstance(value, dict) or not all(v is None or _number(v) for v in value.values()):
                return False
        elif hint == "dict[str, str]":
            if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
                return False
        elif hint.startswith("dict") and not isinstance(value, dict):
            return False
        elif hint == "Floats":
            if not isinstance(value, tuple) or not all(v is None or _number(v) for v in value):
                return False
        elif hint == "tuple[int, ...]":
            if not isinstance(value, tuple) or not all(map(_number, value)):
                return False
        elif hint == "tuple[tuple[int, ...], ...]":
            if not isinstance(value, tuple) or not all(isinstance(r, tuple) and all(map(_number, r)) for r in value):
                return False
        elif hint == "tuple[str, ...]":
            if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
                return False
        elif hint == "tuple[dict[str, Any], ...]":
            if not isinstance(value, tuple) or not all(isinstance(v, dict) for v in value):
                return False
        elif hint == "float | None" and not (value is None or _number(value)):
            return False
    return True


def _number(value: object) -> bool:
    # not a number is let through: it is drawn as a gap
    return is_number(value) or value != value


def without_times(event: Event) -> dict[str, Any]:
    """The record without what depends on the clock or the machine: equal for equal seeds."""
    data = {k: v for k, v in to_dict(event).items() if k not in TIMES}
    if isinstance(event, RunEnded):
        data["metrics"] = {k: v for k, v in data["metrics"].items() if not k.startswith("seconds")}
    return data
