"""The state of a run as a pure fold of its records; every view is a function of it.

`RunState.apply` never changes its argument. Curves are `Series`: append-only, sharing their storage with the states
before them, so that a fold over a long log costs one append per record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, overload

from cllab.record import events as ev
from cllab.record.pace import Pace

T = TypeVar("T")
MEASURED = 0.1
"""Seconds of a run's clock between two looks at its progress: a log has many records of a few milliseconds."""


class Series(Sequence[T], Generic[T]):
    """An immutable sequence with a cheap `append` that returns a new one."""

    __slots__ = ("_items", "_n")

    def __init__(self, items: list[T] | None = None, n: int | None = None) -> None:
        self._items: list[T] = [] if items is None else items
        self._n = len(self._items) if n is None else n

    @property
    def storage(self) -> object:
        """What this sequence shares with those that it continues, to remember what was made of them."""
        return self._items

    def append(self, item: T) -> Series[T]:
        """This sequence and `item`; shares storage unless another sequence already continued from here."""
        items = self._items if len(self._items) == self._n else self._items[: self._n]
        items.append(item)
        return Series(items, self._n + 1)

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._items[: self._n][index]
        if not -self._n <= index < self._n:
            raise IndexError(index)
        return self._items[index if index >= 0 else self._n + index]

    def __iter__(self) -> Iterator[T]:
        for i in range(self._n):
            yield self._items[i]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class RunState:
    """Everything a view may draw.

    Attributes:
        status: starting, training, paused, done, failed, stopped.
        started: the RunStarted record, None before it.
        phase: what is being done now; `phase_step` of `phase_steps`, steps or, in a pass over data, images.
        task: current task, -1 before the first.
        rows: (i, T) rows of the accuracy matrix, one per finished task; a column per test set.
        seen: accuracy over seen classes, one per finished task.
        baseline: accuracies of the untrained model, where they were measured.
        steps: StepEnded records (losses, rate, memory of the device over time).
        evaluations: every Evaluated record, of all moments.
        memory: every MemoryUpdated record.
        base, latents: what was learned before the stream, and what stands in the place of its images; else None.
        breaks: (from, to) of the pauses and of the time between two processes, on the records' clock.
        first_t, last_t: clock of the first and the newest record.
        pace: how fast it goes; `progress` is the largest share of its time that was behind so far,
            measured at the clock `measured`.
    """

    status: str = "starting"
    reason: str = ""
    started: ev.RunStarted | None = None
    phase: str = "starting"
    phase_step: int = 0
    phase_steps: int = 0
    task: int = -1
    rows: tuple[ev.Floats, ...] = ()
    seen: tuple[float | None, ...] = ()
    per_class: ev.Floats = ()
    baseline: ev.Floats | None = None
    steps: Series[ev.StepEnded] = field(default_factory=Series)
    evaluations: Series[ev.Evaluated] = field(default_factory=Series)
    memory: Series[ev.MemoryUpdated] = field(default_factory=Series)
    base: ev.BaseEnded | None = None
    latents: ev.LatentsTaken | None = None
    traces: Series[ev.Traced] = field(default_factory=Series)
    warnings: tuple[str, ...] = ()
    tasks_done: int = 0
    task_seconds: tuple[dict[str, float], ...] = ()
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    checkpoint_task: int = -1
    breaks: tuple[tuple[float, float], ...] = ()
    first_t: float = 0.0
    last_t: float = 0.0
    n_events: int = 0
    pace: Pace = field(default_factory=Pace)
    progress: float = 0.0
    measured: float = 0.0

    @property
    def n_tasks(self) -> int:
        return len(self.started.tasks) if self.started else 0

    @property
    def is_apart(self) -> bool:
        """Whether the test sets stand apart from the tasks; else every task has its own."""
        return bool(self.started and self.started.tests)

    @property
    def n_tests(self) -> int:
        """Columns of the accuracy matrix."""
        return len(self.started.tests) if self.started and self.started.tests else self.n_tasks

    @property
    def test_sizes(self) -> tuple[int, ...] | None:
        """Images of every test set that stands apart; None where every task has its own, or a log does not say it."""
        tests = self.started.tests if self.started else ()
        sizes = tuple(n for test in tests if isinstance(n := test.get("n"), int) and n > 0)
        return sizes if sizes and len(sizes) == len(tests) else None

    @property
    def is_over(self) -> bool:
        return self.status in ("done", "failed", "stopped")

    @property
    def fraction(self) -> float:
        """Share of the run's time of work that is behind, 0..1, as far as its pace tells; it never goes back."""
        return 1.0 if self.status == "done" else self.progress

    @property
    def seconds_left(self) -> float | None:
        """Seconds of work that are left, passes over data counted; None while it cannot be known."""
        return None if self.started is None or self.is_over else self.pace.left

    def _share(self, pace: Pace) -> float:
        share = pace.share if pace.clock else None
        if share is None:
            planned = sum(self.started.steps) if self.started else 0
            step = self.steps[-1].step if len(self.steps) else 0
            share = step / planned if planned else self.tasks_done / max(1, self.n_tasks)
        return min(1.0, max(self.progress, share))

    def apply(self, event: ev.Event) -> RunState:
        """The state after `event`."""
        fold = _FOLDS.get(type(event))
        state = fold(self, event) if fold else self
        t = event.t or self.last_t
        pace = self.pace.after(event)
        progress, measured = self.progress, self.measured
        if state.started is not None and (t - measured >= MEASURED or not event.t or isinstance(event, ev.TaskEnded)):
            progress, measured = state._share(pace), t
        return replace(
            state,
            n_events=self.n_events + 1,
            first_t=self.first_t or t,
            last_t=t,
            pace=pace,
            progress=progress,
            measured=measured,
        )

    def _run_started(self, e: ev.RunStarted) -> RunState:
        return replace(self, status="training", started=e, phase="starting")

    def _base_ended(self, e: ev.BaseEnded) -> RunState:
        return replace(self, base=e)

    def _latents_taken(self, e: ev.LatentsTaken) -> RunState:
        return replace(self, latents=e)

    def _phase_started(self, e: ev.PhaseStarted) -> RunState:
        return replace(self, phase=e.phase, phase_step=0, phase_steps=e.steps)

    def _task_started(self, e: ev.TaskStarted) -> RunState:
        return replace(self, task=e.task)

    def _working(self, e: ev.Working) -> RunState:
        return replace(self, phase=e.phase, phase_step=e.done, phase_steps=e.total)

    def _step_ended(self, e: ev.StepEnded) -> RunState:
        return replace(
            self,
            steps=self.steps.append(e),
            phase=e.phase,
            phase_step=e.phase_step,
            phase_steps=e.phase_steps,
            task=e.task,
        )

    def _evaluated(self, e: ev.Evaluated) -> RunState:
        if e.task < 0:
            return replace(self, baseline=e.tasks)
        state = replace(self, evaluations=self.evaluations.append(e), per_class=e.per_class or self.per_class)
        if e.moment == "task":
            state = replace(state, rows=(*self.rows[: e.task], e.tasks), seen=(*self.seen[: e.task], e.seen))
        return state

    def _memory_updated(self, e: ev.MemoryUpdated) -> RunState:
        return replace(self, memory=self.memory.append(e))

    def _task_ended(self, e: ev.TaskEnded) -> RunState:
        return replace(self, tasks_done=e.task + 1, task_seconds=(*self.task_seconds[: e.task], e.seconds))

    def _checkpoint_saved(self, e: ev.CheckpointSaved) -> RunState:
        return replace(self, checkpoint_task=e.task)

    def _paused(self, e: ev.Paused) -> RunState:
        return replace(self, status="paused")

    def _resumed(self, e: ev.Resumed) -> RunState:
        # the record before is that of the pause, or the last that the former process has left
        return replace(self, status="training", reason="", breaks=(*self.breaks, (self.last_t, e.t)))

    def _traced(self, e: ev.Traced) -> RunState:
        return replace(self, traces=self.traces.append(e))

    def _warned(self, e: ev.Warned) -> RunState:
        return replace(self, warnings=(*self.warnings, e.message))

    def _run_ended(self, e: ev.RunEnded) -> RunState:
        return replace(self, status=e.status, reason=e.reason, metrics=e.metrics, seconds=e.seconds, phase=e.status)


_FOLDS: dict[type[ev.Event], Any] = {
    ev.RunStarted: RunState._run_started,
    ev.PhaseStarted: RunState._phase_started,
    ev.BaseEnded: RunState._base_ended,
    ev.LatentsTaken: RunState._latents_taken,
    ev.TaskStarted: RunState._task_started,
    ev.StepEnded: RunState._step_ended,
    ev.Working: RunState._working,
    ev.Evaluated: RunState._evaluated,
    ev.MemoryUpdated: RunState._memory_updated,
    ev.TaskEnded: RunState._task_ended,
    ev.CheckpointSaved: RunState._checkpoint_saved,
    ev.Paused: RunState._paused,
    ev.Resumed: RunState._resumed,
    ev.Traced: RunState._traced,
    ev.Warned: RunState._warned,
    ev.RunEnded: RunState._run_ended,
}
