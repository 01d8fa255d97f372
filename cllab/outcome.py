"""Runs as numbers: what one run gave, and what the seeds of one experiment give together."""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cllab import metrics
from cllab.errors import UsageError
from cllab.runs import Run, RunStore
from cllab.state import RunState

Rows = tuple[tuple[float | None, ...], ...]

SETTINGS_ASIDE = ("name", "about", "seed", "device")
"""Keys that the seeds of one experiment may differ in."""


@dataclass(frozen=True)
class Outcome:
    """What a run gave, from `result.json`, or from its records where that is missing.

    Attributes:
        matrix: (i, E) accuracy rows, one per finished task, None where not evaluated.
        seen: (i,) accuracy over the classes seen so far.
        stream: (samples, accuracy) while an online stream passed.
        memory: samples, bytes, by_kind.
    """

    run: Run
    name: str
    status: str
    seed: int
    config: Mapping[str, Any] = field(repr=False)
    reason: str = ""
    signature: str = ""
    matrix: Rows = ()
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

    @property
    def n_tasks(self) -> int:
        return len(self.matrix[0]) if self.matrix else 0

    @property
    def is_done(self) -> bool:
        return self.status == "done"

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
            yield _from_result(run, result)


def _from_result(run: Run, result: Mapping[str, Any]) -> Outcome:
    try:
        rows = tuple(tuple(row) for row in result["accuracy_matrix"])
        return Outcome(
            run=run,
            name=str(result["name"]),
            status=str(result["status"]),
            reason=str(result.get("reason", "")),
            seed=int(result["seed"]),
            signature=str(result.get("signature", "")),
            config=result["config"],
            matrix=tuple(row for row in rows if any(v is not None for v in row)) or rows[:0],
            seen=tuple(result.get("seen_accuracy", ())),
            metrics={k: float(v) for k, v in result["metrics"].items() if v is not None},
            per_class=tuple(result.get("per_class_accuracy", ())),
            class_names=tuple(result.get("class_names", ())),
            stream=tuple((int(n), float(a)) for n, a in result.get("stream", ())),
            seconds=result.get("seconds", {}),
            memory=result.get("memory", {}),
            versions=result.get("versions", {}),
            device=str(result.get("device", "")),
            steps=int(result.get("steps", 0)),
            gradient_steps=int(result.get("gradient_steps", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{run.result_path}: not a result ({type(error).__name__}: {error})") from None


def _from_events(run: Run, status: str, reason: str) -> Outcome:
    try:
        config = tomllib.loads(run.config_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{run.config_path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{run.config_path}: not TOML: {error}") from None
    state: RunState = run.state()
    started = state.started
    n_tasks = state.n_tasks
    seen = [v for v in state.seen if v is not None]
    stream = [(e.samples, e.seen) for e in state.evaluations if e.moment == "stream" and e.seen is not None]
    values = metrics.summary(state.rows, seen, n_tasks=n_tasks, baseline=state.baseline, stream=stream) if seen else {}
    memory = state.memory[-1] if len(state.memory) else None
    return Outcome(
        run=run,
        name=str(config.get("name", run.id)),
        status=status,
        reason=reason,
        seed=int(config.get("seed", 1)),
        signature=_signature(run),
        config=config,
        matrix=state.rows,
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
    )


def _signature(run: Run) -> str:
    """The signature of a run that has no result; its id when the method file it names is gone."""
    try:
        return run.config().signature
    except UsageError:
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
