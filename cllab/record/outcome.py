"""Runs as numbers: what one run gave, and what the seeds of one experiment give together."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cllab import metrics
from cllab.errors import CllabError, UsageError
from cllab.record.described import Described
from cllab.record.runs import Run, RunStore
from cllab.record.state import RunState
from cllab.settings.tables import TABLES
from cllab.text import is_number, shown

Rows = tuple[tuple[float | None, ...], ...]

SETTINGS_ASIDE = ("name", "about", "seed", "device")
"""Keys that the seeds of one experiment may differ in."""


@dataclass(frozen=True)
class Outcome:
    """What a run gave, from `result.json`, or from its records where that is missing.

    Attributes:
        matrix: (i, T) accuracy rows, one per finished task, None where not evaluated; a column per test set.
        tests: names of the test sets where they stand apart from the tasks; empty where every task has its own.
        n_tasks: tasks of the stream.
        seen: (i,) accuracy over the classes seen so far.
        stream: (samples, accuracy) while an online stream passed.
        memory: samples, bytes, by_kind.
        described: what the folder says of its components and metrics.
    """

    run: Run
    name: str
    status: str
    seed: int
    config: Mapping[str, Any] = field(repr=False)
    reason: str = ""
    signature: str = ""
    matrix: Rows = ()
    tests: tuple[str, ...] = ()
    n_tasks: int = 0
    seen: tuple[float | None, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    per_class: tuple[float | None, ...] = ()
    class_names: tuple[str, ...] = ()
    stream: tuple[tuple[int, float], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    steps: int = 0
    gradient_steps: int = 0
    described: Described = field(default_factory=Described, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of the accuracy matrix are: test sets, or "task 1", "task 2", ..."""
        return self.tests or tuple(f"task {j + 1}" for j in range(len(self.matrix[0]) if self.matrix else 0))

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    @property
    def capacity(self) -> int:
        """Samples that the memory could hold: none under a method that keeps none, whatever `memory.capacity` says."""
        found = self.value("memory.capacity")
        keeps = all(c.facts.get("uses_memory", True) for c in self.described.components if c.kind == "method")
        return found if keeps and isinstance(found, int) else 0

    def name_of(self, kind: str) -> str:
        """The configured component of a kind."""
        return str(self.config.get(kind, {}).get("name", ""))

    def value(self, key: str) -> Any:
        """The setting `table.key`, None when there is none."""
        table, _, name = key.rpartition(".")
        place: Any = self.config.get(table, {}) if table else self.config
        return place.get(name)


def read(run: Run) -> Outcome:
    """What `run` gave so far.

    Raises:
        UsageError: when its configuration cannot be read.
    """
    result = run.result()
    status = run.status()
    if result is not None and "accuracy_matrix" in result and status.state in ("done", "failed", "stopped"):
        return _from_result(run, result)
    return _from_events(run, status.state, status.reason)


def finished(store: RunStore) -> Iterator[Outcome]:
    """Every run of a store that ended well, newest first."""
    for run in store:
        result = run.result()
        if result is not None and result.get("status") == "done" and "accuracy_matrix" in result:
            # one that is out of shape is no finished run; asked for by name it says so
            with contextlib.suppress(UsageError):
                yield _from_result(run, result)


def _from_result(run: Run, result: Mapping[str, Any]) -> Outcome:
    try:
        rows = tuple(_numbers(row) for row in _list(result["accuracy_matrix"]))
        if len({len(row) for row in rows}) > 1:
            raise ValueError("the rows of its accuracy matrix differ in length")
        return Outcome(
            run=run,
            name=str(result["name"]),
            status=str(result["status"]),
            reason=str(result.get("reason", "")),
            seed=int(result["seed"]),
            signature=str(result.get("signature", "")),
            config=_tables(result["config"]),
            matrix=tuple(row for row in rows if any(v is not None for v in row)) or rows[:0],
            tests=tuple(str(test["name"]) for test in _list(result.get("tests", ()))),
            n_tasks=len(rows),
            seen=_numbers(result.get("seen_accuracy", ())),
            metrics=_measures(result["metrics"]),
            per_class=_numbers(result.get("per_class_accuracy", ())),
            class_names=tuple(map(str, _list(result.get("class_names", ())))),
            stream=tuple((int(n), float(a)) for n, a in _list(result.get("stream", ()))),
            seconds=_measures(result.get("seconds", {})),
            memory=_held(result.get("memory", {})),
            versions={k: str(v) for k, v in result.get("versions", {}).items()},
            device=str(result.get("device", "")),
            steps=int(result.get("steps", 0)),
            gradient_steps=int(result.get("gradient_steps", 0)),
            described=run.described(),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{run.result_path}: not a result ({type(error).__name__}: {error})") from None


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"a list is expected, not {shown(value)}")
    return value


def _numbers(value: Any) -> tuple[float | None, ...]:
    return tuple(None if v is None else _number(v) for v in _list(value))


def _number(value: Any) -> float:
    if not is_number(value):
        raise ValueError(f"a number is expected, not {shown(value)}")
    return value  # type: ignore[no-any-return]


def _measures(value: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(_number(v)) for k, v in value.items() if v is not None}


def _held(value: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {k: _number(v) for k, v in value.items() if k in ("samples", "bytes")}
    return {**out, "by_kind": {k: _number(v) for k, v in value.get("by_kind", {}).items()}} if value else {}


def _tables(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run; whatever should be a table is one."""
    return {k: v if isinstance(v, Mapping) == (k in TABLES) else {} for k, v in config.items() if k != "expect"}


def _from_events(run: Run, status: str, reason: str) -> Outcome:
    config = _tables(run.settings())
    seed = config.get("seed", 1)
    state: RunState = run.state()
    started = state.started
    n_tasks = state.n_tasks
    seen = [v for v in state.seen if v is not None]
    stream = [(e.samples, e.seen) for e in state.evaluations if e.moment == "stream" and e.seen is not None]
    if state.is_apart and state.test_sizes is None:
        seen = []  # a log out of shape: nothing follows from it
    values = (
        metrics.summary(
            state.rows, seen, n_tasks=n_tasks, tests=state.test_sizes, baseline=state.baseline, stream=stream
        )
        if seen
        else {}
    )
    memory = state.memory[-1] if len(state.memory) else None
    return Outcome(
        run=run,
        name=str(config.get("name", run.id)),
        status=status,
        reason=reason,
        seed=seed if isinstance(seed, int) else 1,
        signature=_signature(run),
        config=config,
        matrix=state.rows,
        tests=tuple(str(test.get("name", "")) for test in started.tests) if started else (),
        n_tasks=n_tasks,
        seen=state.seen,
        metrics={**values, **{k: v for k, v in state.metrics.items() if v is not None}},
        per_class=tuple(state.per_class),
        class_names=started.class_names if started else (),
        stream=tuple(stream),
        seconds=state.seconds or ({"total": round(state.last_t - state.first_t, 3)} if state.first_t else {}),
        memory={"samples": memory.samples, "bytes": sum(memory.bytes.values()), "by_kind": memory.bytes}
        if memory
        else {},
        versions=started.versions if started else {},
        device=started.device if started else "",
        steps=state.steps[-1].step if len(state.steps) else 0,
        described=run.described(),
    )


def _signature(run: Run) -> str:
    """The signature of a run that has no result; its id when the folder does not describe the method it names."""
    try:
        return run.config().signature
    except CllabError:
        return run.id


@dataclass(frozen=True)
class Stat:
    """A mean over seeds.

    Attributes:
        mean: over the seeds.
        deviation: sample standard deviation (n - 1), None for one seed.
        n: how many seeds.
    """

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Stat | None:
        """Of the finite ones among `values`, None when there are none."""
        known = [v for v in values if math.isfinite(v)]
        if not known:
            return None
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))

    def text(self, *, digits: int = 2, scale: float = 100.0, sign: str = "±") -> str:
        """`92.65 ± 0.33`, in percent unless `scale` says otherwise."""
        mean = f"{scale * self.mean:.{digits}f}"
        return mean if self.deviation is None else f"{mean} {sign} {scale * self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Group:
    """The runs of one experiment, one per seed."""

    label: str
    outcomes: tuple[Outcome, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(o.seed for o in self.outcomes)

    def stat(self, metric: str) -> Stat | None:
        """Mean and deviation of a metric over the seeds."""
        return Stat.of(o.metrics[metric] for o in self.outcomes if metric in o.metrics)

    def seconds(self) -> Stat | None:
        """Mean and deviation of the wall time."""
        return Stat.of(o.seconds["total"] for o in self.outcomes if "total" in o.seconds)

    def matrix(self) -> Rows:
        """The accuracy matrix, averaged over the seeds that have it."""
        return mean_rows([o.matrix for o in self.outcomes])

    def seen(self) -> tuple[float | None, ...]:
        """Accuracy over seen classes after each task, averaged over the seeds."""
        return next(iter(mean_rows([(o.seen,) for o in self.outcomes if o.seen])), ())


def mean_rows(matrices: Sequence[Sequence[Sequence[float | None]]]) -> Rows:
    """The entrywise mean of matrices; None where any of them has none."""
    if not matrices:
        return ()
    height = min(len(m) for m in matrices)
    out = []
    for i in range(height):
        cells: list[float | None] = []
        for values in zip(*(m[i] for m in matrices), strict=False):
            known = [v for v in values if v is not None]
            cells.append(statistics.fmean(known) if len(known) == len(values) else None)
        out.append(tuple(cells))
    return tuple(out)


def group(outcomes: Iterable[Outcome]) -> list[Group]:
    """Runs by signature, each seed once (the first given), in the order of their first run.

    Groups of one name are told apart by the settings in which they differ.
    """
    found: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.signature or outcome.run.id, {}).setdefault(outcome.seed, outcome)
    members = [tuple(sorted(seeds.values(), key=lambda o: o.seed)) for seeds in found.values()]
    by_name: dict[str, list[int]] = {}
    for i, outs in enumerate(members):
        by_name.setdefault(outs[0].name, []).append(i)
    labels = {}
    for name, indices in by_name.items():
        differing = differences([members[i][0] for i in indices])
        for place, i in enumerate(indices):
            told = ", ".join(f"{key}={_short(values[place])}" for key, values in list(differing.items())[:3])
            labels[i] = f"{name} ({told})" if told else name
    return [Group(labels[i], outs) for i, outs in enumerate(members)]


def differences(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """Settings that are not the same in all, with each one's value; seed, device and data folder aside."""
    flat = [dict(_flat(o.config)) for o in outcomes]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    out = {}
    for key in keys:
        values = [settings.get(key) for settings in flat]
        if any(v != values[0] for v in values):
            out[key] = values
    return out


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if (key, name) != ("dataset", "root"):
                    # a run read from TOML has no key where a result has null
                    yield f"{key}.{name}", list(inner) if isinstance(inner, (list, tuple)) else inner
        elif key not in SETTINGS_ASIDE:
            yield key, value


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def setting(value: Any) -> str:
    """A setting's value in a table."""
    return _short(value)
