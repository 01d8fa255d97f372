"""cllab tune: choosing settings on tasks that are set aside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cllab.cli.many import STOPPED, Jobs, run_missing
from cllab.cli.options import Json, PresetName, Quiet, Runs, Sets
from cllab.errors import EXIT_DONE, UsageError, nearest
from cllab.io.files import expand

if TYPE_CHECKING:
    from cllab.settings.config import RunConfig
    from cllab.study.plan import Done
    from cllab.study.tune import Tuning


def tune(
    preset: PresetName,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=V1,V2,...",
            help="Values to try of a setting; else three learning rates and the method's main setting.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="LIST", help="Of every trial: 1-3 or 1,2,5.")] = "1",
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="What to be best in.")] = "task_accuracy",
    sets: Sets = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FILE", help="The chosen preset; else PRESET-tuned.toml here.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite that file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be tried.")] = False,
    jobs: Jobs = 1,
    as_json: Json = False,
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Choose settings away from the test images; writes a preset. Stopped, the same command goes on."""
    from cllab.io.files import write_atomically
    from cllab.io.output import narrate
    from cllab.metrics import METRICS
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.settings import presets
    from cllab.study import tune as tuning
    from cllab.study.plan import Done

    if metric not in METRICS:
        hint = nearest(metric, METRICS) or f"; known: {', '.join(METRICS)}"
        raise UsageError(f"--metric: no metric '{metric}'{hint}")
    try:
        numbers = presets.parse_seeds(seeds)
    except UsageError as error:
        raise UsageError(f"--seeds {error}") from None
    config = _config(preset, sets or ())
    values = tuning.parse_grid(grid) if grid else tuning.default_grid(config)
    points = list(tuning.trials(config, values))
    target = _target(out, config.name, overwrite=force or dry_run)

    store = RunStore(runs)
    done = Done(outcome.finished(store))
    wanted = [run for _, trial in points for run in tuning.seeded(trial, numbers)]
    missing = [run for run in wanted if done.get(run) is None]
    if not quiet or dry_run:
        first = points[0][1]
        narrate(
            f"{config.name}: {len(points)} trials, {len(wanted)} runs, {len(missing)} of them to be run; "
            f"{first.scenario.name}, scored on {tuning.where(config)}"
        )
    if dry_run:
        for assignments, trial in points:
            for run in tuning.seeded(trial, numbers):
                state = "missing" if done.get(run) is None else "done"
                print(f"{' '.join(assignments)}  seed {run.seed}  {run.signature}  {state}")
        return
    code = EXIT_DONE
    if metric not in tuning.ALWAYS and len(missing) == len(wanted):
        # whether runs of this kind give the metric is known after one of them
        code, missing = run_missing(missing[:1], store, done, quiet=quiet), missing[1:]
    if code == EXIT_DONE:
        tuning.check_metric(config.name, metric, [o.metrics for run in wanted if (o := done.get(run)) is not None])
    if code not in STOPPED:
        code = run_missing(missing, store, done, quiet=quiet, jobs=jobs) or code
    if code in STOPPED:
        if not quiet:
            there = sum(done.get(run) is not None for run in wanted)
            narrate(f"{there} of {len(wanted)} runs are finished; the same command goes on with the others")
        raise typer.Exit(code)
    found = tuning.tune(config, values, lambda run: _result(run, done), seeds=numbers, metric=metric)
    write_atomically(target, found.preset())
    print(json.dumps(_data(found, target)) if as_json else _text(found, target))
    if found.at_the_edge and not quiet:
        narrate(f"at the edge of the grid: {' '.join(found.at_the_edge)}; a better value may lie beyond")


def _config(preset: str, sets: list[str] | tuple[()]) -> RunConfig:
    """The configuration to tune; a method file of one's own gets its whole path, for the chosen preset to find it."""
    from cllab.cli.run import configurations
    from cllab.settings import presets

    loaded = presets.load(preset)
    (config,) = configurations(loaded, sets)
    file = config.method.common.get("file")
    return config.override([f"method.file={json.dumps(file)}"], base=loaded.path.parent) if file else config


def _target(out: str | None, name: str, *, overwrite: bool) -> Path:
    """Where the chosen preset goes.

    Raises:
        UsageError: when there is no folder for it, or it is there already.
    """
    path = expand(out or f"{name}-tuned.toml")
    if path.is_dir():
        path = path / f"{name}-tuned.toml"
    if not path.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder '{path.parent}'")
    if path.suffix != ".toml":
        raise UsageError(f"--out {out}: a preset's name ends in .toml")
    if path.exists() and not overwrite:
        raise UsageError(f"'{path}' is there already; --force overwrites it, --out names another file")
    return path


def _result(config: RunConfig, done: Done) -> dict[str, Any] | None:
    found = done.get(config)
    return None if found is None else {"metrics": found.metrics, "seconds": found.seconds}


def _text(found: Tuning, target: Path) -> str:
    """The trials as a table, and what was chosen."""
    from cllab.io.output import Paper, duration, table
    from cllab.metrics import unit

    paper = Paper.of(sys.stdout)
    keys = [item.partition("=")[0] for item in found.best.assignments]
    rows = []
    for trial in found.trials:
        score = trial.score if paper.unicode else trial.score.replace("±", "+-")
        mark = "chosen" if trial is found.best else ""
        rows.append([*(item.partition("=")[2] for item in trial.assignments), score, duration(trial.seconds), mark])
    right = range(len(keys) + 2)
    shown = table([*keys, f"{found.metric} ({unit(found.metric)})", "time", ""], rows, right=right, paper=paper)
    return f"{shown}\n\nchosen  {' '.join(found.best.assignments)}\n{target}"


def _data(found: Tuning, target: Path) -> dict[str, Any]:
    trials = [
        {
            "settings": dict(item.split("=", 1) for item in trial.assignments),
            "values": trial.values,
            "mean": trial.mean if trial.values else None,
            "seconds": trial.seconds,
        }
        for trial in found.trials
    ]
    chosen = found.trials.index(found.best)
    return {"metric": found.metric, "seeds": found.seeds, "trials": trials, "chosen": chosen, "file": str(target)}
