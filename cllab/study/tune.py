"""Choosing settings on tasks that are set aside: `cllab tune`.

The protocol of A-GEM (Chaudhry et al., arXiv:1812.00420) and Bilevel Continual Learning (arXiv:2007.15553): settings
are chosen on three tasks that the reported run never meets. Split streams set their first tasks aside (`part = "cv"`);
permuted and rotated ones draw three others, from seeds far from any run's. The memory keeps its share a task.
Class-incremental and blurry streams have no task to spare: the whole stream is tried, from such seeds. No trial is
scored on a test image of the reported run: where a trial's classes are the run's, one in six training images is kept
out of training and tested on (`evaluate.on = "held-out"`).
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cllab.errors import UsageError, nearest
from cllab.metrics import METRICS
from cllab.settings.catalog import Catalog, load
from cllab.settings.config import RunConfig, dump_toml, parse_value
from cllab.settings.rules import FIXED_TESTS, HELD_OUT

TASKS = 3
SEEDS_APART = 1_000_000
"""Added to the seeds of the trials where a seed decides how tasks look, so that no run meets a trial's tasks."""
MOST_TRIALS = 1000
ALWAYS = frozenset({"task_accuracy", "last_accuracy", "average_accuracy", "learning_accuracy"})
"""Metrics that every finished run has."""
_SECOND = ("beta", "margin", "strength")
"""A method's setting that its default grid varies beside the learning rate: the first of these that it has."""

Grid = Mapping[str, Sequence[Any]]
RunOne = Callable[[RunConfig], Mapping[str, Any] | None]
"""Trains a configuration and returns what `result.json` holds; None where training failed."""


@dataclass(frozen=True)
class Trial:
    """One point of the grid.

    Attributes:
        assignments: its settings, as `--set` takes them.
        values: the metric, one a seed; none where training failed, as at a learning rate too high.
        seconds: what its runs took together.
    """

    assignments: tuple[str, ...]
    values: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def score(self) -> str:
        """The mean and deviation in percent."""
        if not self.values:
            return "failed"
        spread = f" ± {100 * statistics.stdev(self.values):.2f}" if len(self.values) > 1 else ""
        return f"{100 * self.mean:.2f}{spread}"

    @property
    def text(self) -> str:
        return f"{' '.join(self.assignments)}: {self.score}{' %' if self.values else ''}"


@dataclass(frozen=True)
class Tuning:
    """What was tried, in grid order, and what is best: the highest mean, of equal ones the first.

    Raises:
        UsageError: when no trial ended well.
    """

    config: RunConfig
    metric: str
    seeds: tuple[int, ...]
    trials: tuple[Trial, ...]

    def __post_init__(self) -> None:
        if not any(trial.values for trial in self.trials):
            raise UsageError(f"no trial of '{self.config.name}' ended well, so nothing can be chosen")

    @property
    def best(self) -> Trial:
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        return max((trial for trial in self.trials if trial.values), key=lambda trial: sign * trial.mean)

    @property
    def at_the_edge(self) -> tuple[str, ...]:
        """Assignments of the best trial that are the lowest or highest number tried: a better one may lie beyond."""
        out = []
        for i, item in enumerate(self.best.assignments):
            key, _, text = item.partition("=")
            tried = {parse_value(trial.assignments[i].partition("=")[2]) for trial in self.trials}
            numbers = [v for v in tried if isinstance(v, (int, float)) and not isinstance(v, bool)]
            if len(numbers) == len(tried) > 1 and parse_value(text) in (min(numbers), max(numbers)):
                out.append(f"{key}={text}")
        return tuple(out)

    def chosen(self, catalog: Catalog | None = None) -> RunConfig:
        """The whole configuration with the best settings."""
        return self.config.override(self.best.assignments, catalog)

    def preset(self, catalog: Catalog | None = None) -> str:
        """The chosen preset as TOML, with the evidence as its comment."""
        title = METRICS[self.metric].title
        lines = [
            f"{self.config.name}, with settings chosen by `cllab tune` on {where(self.config, catalog)}.",
            f"Best {title} there: {self.best.text}.",
            f"Tried, over {len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}, "
            f"{sum(t.seconds for t in self.trials):.0f} s in all:",
            *(f"  {trial.text}" for trial in self.trials),
        ]
        chosen = self.chosen(catalog)
        given = {k: v for k, v in chosen.given.items() if k != "expect"}
        given["name"] = f"{self.config.name}-tuned"
        ordered: dict[str, Any] = {
            k: given.pop(k) for k in ("name", "about", "seed", "device", "fidelity") if k in given
        }
        return "".join(f"# {line}\n" for line in lines) + "\n" + dump_toml({**ordered, **given})


def parse_grid(items: Sequence[str]) -> dict[str, list[Any]]:
    """`KEY=V1,V2,...` items as a grid.

    Raises:
        UsageError: for an item that is none.
    """
    grid: dict[str, list[Any]] = {}
    for item in items:
        key, sign, text = item.partition("=")
        values = [parse_value(part.strip()) for part in text.split(",") if part.strip()]
        key = key.strip()
        if not sign or not key or not values:
            raise UsageError(f"--grid {item}: expected KEY=VALUE,VALUE,..., for example train.lr=0.03,0.1,0.3")
        if key in grid:
            raise UsageError(f"--grid {item}: '{key}' has its values already; name them all at once")
        if key in ("seed", "name", "about", "device"):
            raise UsageError(f"--grid {item}: '{key}' is no setting to choose{'; see --seeds' * (key == 'seed')}")
        grid[key] = list(dict.fromkeys(values))
    return grid


def default_grid(config: RunConfig) -> dict[str, list[Any]]:
    """Three learning rates around the preset's, and three values of the method's own main setting, if it has one."""
    lr = config.train.lr
    grid: dict[str, list[Any]] = {"train.lr": [_round(lr / 3), lr, _round(lr * 3)]}
    name = next((n for n in _SECOND if n in config.method.values), None)
    if name is None:
        return grid
    value = float(config.method.values[name])
    around = {"beta": [0.1, 0.3, 1.0], "margin": [0.0, 0.5, 1.0]}.get(
        name, [_round(value / 10), value, _round(value * 10)]
    )
    grid[f"method.{name}"] = sorted({value, *around})
    return grid


def aside(config: RunConfig, catalog: Catalog | None = None, *, tasks: int = TASKS) -> RunConfig:
    """The configuration on `tasks` tasks that its own run does not meet, or on training images that are held out.

    Raises:
        UsageError: when its scenario has nothing to set aside.
    """
    scenario, values = config.scenario.name, config.scenario.values
    n = int(values.get("tasks", 0))
    held_out = "evaluate.on=held-out"
    sets: list[str]
    if scenario == "task-incremental":
        kept = int(values["cv_tasks"]) or tasks
        if values["part"] != "cl":
            raise UsageError(
                f"scenario.part = '{values['part']}' leaves no task to choose settings on; use scenario.part = 'cl' "
                f"with scenario.cv_tasks = {tasks}"
            )
        n, tasks = n - kept, kept
        sets = ["scenario.part=cv"]
    elif scenario in ("permuted", "rotated"):
        tasks = min(tasks, n)
        sets = [f"scenario.tasks={tasks}", held_out]
        facts = (catalog or load()).get("dataset", config.dataset.name).facts
        if values["samples"] and facts.get("n_train") and values["samples"] > facts["n_train"] * (1 - 1 / HELD_OUT):
            sets.append("scenario.samples=0")  # all that are left
    elif scenario in FIXED_TESTS:
        raise UsageError(f"scenario '{scenario}' has nothing to set aside: its files name the test images")
    else:
        return config.override([held_out], catalog)
    capacity = int(config.memory.common["capacity"])
    if capacity:
        sets += ["memory.bytes=", f"memory.capacity={max(1, capacity * tasks // max(1, n))}"]
    return config.override(sets, catalog)


def where(config: RunConfig, catalog: Catalog | None = None) -> str:
    """What the trials of `config` are scored on, in words."""
    trial = aside(config, catalog)
    n = trial.scenario.values.get("cv_tasks") or trial.scenario.values.get("tasks")
    if trial.evaluate.on == "test":
        return f"{n} tasks set aside"
    held = f"one in {HELD_OUT} training images, held out"
    return held if n == config.scenario.values.get("tasks") else f"{n} other tasks and {held}"


def trials(
    config: RunConfig, grid: Grid, catalog: Catalog | None = None
) -> Iterator[tuple[tuple[str, ...], RunConfig]]:
    """Every point of the grid: its assignments, and the configuration on the tasks set aside. All are checked first.

    Raises:
        UsageError: for a key or value that cannot be, or too many points.
    """
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > MOST_TRIALS:
        raise UsageError(f"the grid has {count} points; at most {MOST_TRIALS} are tried")
    points = [tuple(f"{k}={_text(v)}" for k, v in zip(grid, p, strict=True)) for p in itertools.product(*grid.values())]
    made = [(point, aside(config.override(point, catalog), catalog)) for point in points]
    yield from (
        (point, dataclasses.replace(trial, name=f"{config.name}-trial {' '.join(point)}")) for point, trial in made
    )


def seeded(trial: RunConfig, seeds: Sequence[int]) -> list[RunConfig]:
    """The runs of a trial, one a seed, apart from the seeds of any reported run."""
    return [dataclasses.replace(trial, seed=SEEDS_APART + seed) for seed in seeds]


def check_metric(name: str, metric: str, found: Sequence[Mapping[str, float | None]]) -> None:
    """Refuse a metric that runs of a preset do not give.

    Args:
        name: of the preset.
        metric: what is to be best.
        found: the metrics of finished runs.

    Raises:
        UsageError: when one of them lacks it.
    """
    if any(metrics.get(metric) is None for metrics in found):
        raise UsageError(f"a run of '{name}' gives no {metric}; choose another metric")


def tune(
    config: RunConfig,
    grid: Grid,
    run_one: RunOne,
    *,
    seeds: Sequence[int] = (1,),
    metric: str = "task_accuracy",
    catalog: Catalog | None = None,
    note: Callable[[Trial, int, int], None] | None = None,
) -> Tuning:
    """Try every point of the grid.

    Args:
        config: what to tune.
        grid: values by key.
        run_one: trains one configuration.
        seeds: of the trials.
        metric: what to be best in.
        catalog: the components; the built-in ones by default.
        note: told every trial when it is done, with its number and how many there are.

    Raises:
        UsageError: for a metric or a grid that cannot be, or when no trial ends well.
    """
    if metric not in METRICS:
        raise UsageError(f"no metric '{metric}'{nearest(metric, METRICS) or '; known: ' + ', '.join(METRICS)}")
    points = list(trials(config, grid, catalog))
    done = []
    for i, (assignments, trial) in enumerate(points, 1):
        values: list[float] = []
        seconds = 0.0
        for run in seeded(trial, seeds):
            result = run_one(run)
            if result is None:
                values = []
                break
            check_metric(config.name, metric, [result["metrics"]])
            values.append(float(result["metrics"][metric]))
            seconds += float(result["seconds"]["total"])
        done.append(Trial(assignments, tuple(values), seconds))
        if note is not None:
            note(done[-1], i, len(points))
    return Tuning(config, metric, tuple(seeds), tuple(done))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _round(value: float) -> float:
    return float(f"{value:.2g}")
