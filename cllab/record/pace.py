"""How fast a run goes and how long it will still take, learned within the run from its records.

A run's work is steps of training and passes over data (choosing for the memory, evaluating, what a method looks at
between phases). Both are counted in units, steps and images, by the phase that they belong to; how many there will be
of each in every task was said when the run began. A unit costs what it cost lately; where the steps of a method grow
dearer from task to task (GEM computes one more gradient each), the trend is carried on. What was not measured yet is
put at a default ratio to a trained image, what nobody planned at what it took in the tasks before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cllab.record import events as ev

TRAIN = "train"
FORWARD = 0.15
"""Seconds of an image in a pass against those of a trained one, until a pass was measured: 0.1 (a small network, batch
16) to 0.35 (convolutions) were seen."""
TREND = 4
"""Tasks that must have been learned before a trend in the cost of a step is believed."""

LATELY = 50
"""Tasks from whose steps the cost of one is told: of hundreds the latest are enough, and quick to look through."""

Cost = tuple[float, float]
"""(seconds, units)."""


@dataclass(frozen=True)
class Pace:
    """What a run's records say of its speed; a fold like `RunState`, whose part it is.

    Attributes:
        planned: per task, units by kind of work: "train" steps, "select" and "evaluate" images.
        later: per task, the units of all tasks from it on, and the sum of (task x steps) for a trend.
        done: by kind of work and task, the seconds and units so far.
        spent: seconds of work, pauses left out.
        clock: of the newest record; 0 before the first.
        running: the pass under way: its kind, and (done, total, seconds) of it.
        images: images that were trained on.
    """

    planned: tuple[Mapping[str, float], ...] = ()
    later: tuple[Mapping[str, float], ...] = ()
    done: Mapping[str, Mapping[int, Cost]] = field(default_factory=dict)
    task: int = 0
    step: int = 0
    spent: float = 0.0
    clock: float = 0.0
    running: tuple[str, float, float, float] | None = None
    images: float = 0.0
    waiting: bool = False

    # -- the fold

    def after(self, event: ev.Event) -> Pace:
        """The pace when `event` is known."""
        t = event.t
        if not t:
            return self._plan(event) if isinstance(event, ev.RunStarted) else self
        if isinstance(event, ev.Resumed):
            return replace(self, clock=t, running=None if event.from_checkpoint else self.running, waiting=False)
        gap = max(0.0, t - self.clock) if self.clock and not self.waiting else 0.0
        if isinstance(event, ev.StepEnded):  # most records are of this kind: one new object is enough
            return replace(
                self,
                clock=max(t, self.clock),
                spent=self.spent + gap,
                done=self._with(TRAIN, gap, max(0, event.step - self.step)),
                step=event.step,
                task=event.task,
                images=self.images + gap * max(0.0, event.images_per_second),
            )
        pace = replace(self, clock=max(t, self.clock), spent=self.spent + gap)
        if isinstance(event, ev.RunStarted):
            return replace(pace._plan(event), spent=0.0, done={}, running=None)
        if isinstance(event, ev.Paused):
            return replace(pace._add(TRAIN, gap, 0), waiting=True) if not self.running else replace(pace, waiting=True)
        if isinstance(event, ev.TaskStarted):
            # what goes before the first task is done once, and no measure of anything that comes
            return replace(pace, task=event.task, spent=pace.spent if self.done else 0.0)
        if isinstance(event, ev.Working):
            return pace._working(event, gap)
        if isinstance(event, ev.MemoryUpdated):
            return pace._ended("select", event.seconds, gap, pace._units("select", pace.task))
        if isinstance(event, ev.Evaluated):
            return pace._ended("evaluate", event.seconds, gap, event.images or pace._tested(event))
        return pace._add(TRAIN, gap, 0)

    def _plan(self, event: ev.RunStarted) -> Pace:
        sizes = tuple(float(task.get("n_test") or 0) for task in event.tasks)
        planned = []
        for i, steps in enumerate(event.steps):
            passes = event.passes[i] if i < len(event.passes) else {}
            numbers = {k: float(v) for k, v in passes.items() if isinstance(v, (int, float))}
            planned.append({TRAIN: float(steps), "evaluate": sum(sizes[: i + 1]), **numbers})
        later: list[dict[str, float]] = [{}]
        for i in range(len(planned) - 1, -1, -1):
            sums = dict(later[0])
            for kind, units in planned[i].items():
                sums[kind] = sums.get(kind, 0.0) + units
            sums["trend"] = sums.get("trend", 0.0) + i * planned[i][TRAIN]
            later.insert(0, sums)
        return replace(self, planned=tuple(planned), later=tuple(later))

    def _add(self, kind: str, seconds: float, units: float) -> Pace:
        return self if seconds <= 0 and units <= 0 else replace(self, done=self._with(kind, seconds, units))

    def _with(self, kind: str, seconds: float, units: float) -> Mapping[str, Mapping[int, Cost]]:
        """What was done, and `seconds` and `units` more of `kind` in the current task."""
        of = self.done.get(kind, {})
        before = of.get(self.task, (0.0, 0.0))
        return {**self.done, kind: {**of, self.task: (before[0] + max(0.0, seconds), before[1] + units)}}

    def _working(self, event: ev.Working, gap: float) -> Pace:
        """A pass goes on; what of the time since the last record it did not take was training."""
        known = self.running
        same = known is not None and known[0] == event.phase and event.seconds >= known[3]
        own = event.seconds - (known[3] if known is not None and same else 0.0)
        pace = self._add(TRAIN, gap - own, 0)
        if event.done >= event.total and event.phase not in ("select", "evaluate"):
            return replace(pace._add(event.phase, event.seconds, event.total), running=None)
        return replace(pace, running=(event.phase, float(event.done), float(event.total), event.seconds))

    def _ended(self, kind: str, seconds: float, gap: float, units: float) -> Pace:
        """A pass is over that took `seconds`; its beginning may have been counted by records under way."""
        told = self.running[3] if self.running is not None and self.running[0] == kind else 0.0
        pace = self._add(kind, seconds, units)
        return replace(pace._add(TRAIN, gap - max(0.0, seconds - told), 0), running=None)

    def _tested(self, event: ev.Evaluated) -> float:
        return max(1.0, self.planned[-1].get("evaluate", 1.0) if self.planned else 1.0)

    # -- what is left

    @property
    def left(self) -> float | None:
        """Seconds of work that are left; None while nothing was measured."""
        step, slope = self._step()
        if not self.planned or (step is None and (self.later[0].get(TRAIN) or not self.done)):
            return None
        t = min(max(0, self.task), len(self.planned) - 1)
        later = self.later[t + 1]
        now = self.planned[t]
        left = 0.0
        if step is not None:
            mine = max(0.0, now[TRAIN] - self._units_done(TRAIN, t))
            left += mine * step + later.get(TRAIN, 0.0) * step
            left += slope * (later.get("trend", 0.0) - t * later.get(TRAIN, 0.0))
        for kind in {*now, *later, *self.done} - {TRAIN, "trend"}:
            left += self._pass(kind, t, now.get(kind), later.get(kind, 0.0))
        if self.running is not None and self.running[0] not in now and self.running[0] not in self.done:
            left += self._of_running(self.running[0])[0]
        return max(0.0, left)

    @property
    def of_pass(self) -> float | None:
        """Seconds that are left of the pass under way; None when there is none."""
        return self._of_running(self.running[0])[0] if self.running is not None and self.running[1] > 0 else None

    @property
    def share(self) -> float | None:
        """Share of the time of work that is behind, 0..1; None while it cannot be known."""
        left = self.left
        return None if left is None or self.spent + left <= 0 else self.spent / (self.spent + left)

    def _step(self) -> tuple[float | None, float]:
        """Seconds of a step in the current task, and by how much it grows with every task."""
        of = self.done.get(TRAIN, {})
        told = [(t, s / n, n) for t, (s, n) in sorted(of.items())[-LATELY:] if n > 0 and s > 0]
        if not told:
            return None, 0.0
        whole = [(t, rate) for t, rate, _ in told if t < self.task]
        slope = _trend(whole)
        recent = [item for item in told if item[0] >= self.task - 1]
        if slope:
            middle = sum(r for _, r in whole) / len(whole)
            at = sum(t for t, _ in whole) / len(whole)
            return max(1e-9, middle + slope * (self.task - at)), slope
        recent = recent or told[-1:]
        units = sum(n for _, _, n in recent)
        return sum(r * n for _, r, n in recent) / units, 0.0

    def _pass(self, kind: str, t: int, now: float | None, later: float) -> float:
        """Seconds of the passes `kind` that are left, in task `t` and after it."""
        running, rate = self._of_running(kind)
        is_running = self.running is not None and self.running[0] == kind
        of = self.done.get(kind, {})
        if not self.later[0].get(kind):
            # nobody planned it: what it took in the tasks before, in those to come
            before = [s for i, (s, _) in of.items() if i < t]
            mean = sum(before) / len(before) if before else of[t][0] if t in of else 0.0
            mine = 0.0 if t in of or is_running else mean
            return running + mine + mean * (len(self.planned) - t - 1)
        under_way = self.running[2] if self.running is not None and is_running else 0.0
        mine = max(0.0, (now or 0.0) - self._units_done(kind, t) - under_way)
        if rate is None:
            known = {i: cost for i, cost in of.items() if cost[1] > 0}
            recent = [cost for i, cost in known.items() if i >= t - 2] or list(known.values())
            units = sum(n for _, n in recent)
            rate = sum(s for s, _ in recent) / units if units else self._look()
        return running + rate * (mine + later)

    def _of_running(self, kind: str) -> tuple[float, float | None]:
        """Seconds that are left of a pass `kind` under way, and of each of its units; (0, None) when there is none."""
        if self.running is None or self.running[0] != kind or self.running[1] <= 0:
            return 0.0, None
        _, done, total, seconds = self.running
        rate = seconds / done
        return rate * max(0.0, total - done), rate

    def _look(self) -> float:
        """Seconds of an image in a pass of a kind not measured yet: as in others, else by what training takes."""
        told = [cost for kind, of in self.done.items() if kind != TRAIN for cost in of.values() if cost[1] > 0]
        if told:
            return sum(s for s, _ in told) / sum(n for _, n in told)
        trained = sum(s for s, _ in self.done.get(TRAIN, {}).values())
        return FORWARD * trained / self.images if self.images > 0 else 0.0

    def _units(self, kind: str, t: int) -> float:
        if self.running is not None and self.running[0] == kind:
            return self.running[2]
        return float(self.planned[t].get(kind, 0.0)) if 0 <= t < len(self.planned) else 0.0

    def _units_done(self, kind: str, t: int) -> float:
        return self.done.get(kind, {}).get(t, (0.0, 0.0))[1]


def _trend(rates: list[tuple[int, float]]) -> float:
    """By how much a step grows dearer a task: the slope of a line through (task, seconds), 0 where there is none."""
    n = len(rates)
    if n < TREND:
        return 0.0
    mean_t, mean_r = sum(t for t, _ in rates) / n, sum(r for _, r in rates) / n
    spread = sum((t - mean_t) ** 2 for t, _ in rates)
    slope = sum((t - mean_t) * (r - mean_r) for t, r in rates) / spread
    rest = sum((r - mean_r - slope * (t - mean_t)) ** 2 for t, r in rates)
    error = (rest / (n - 2) / spread) ** 0.5
    # a slope that noise could have made is none, and a step does not grow cheaper for ever
    return slope if slope > 3 * error else 0.0
