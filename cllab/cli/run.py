"""cllab run, resume, stop: training in this process, or ending one that trains elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cllab.cli.options import Json, PresetName, Quiet, RunName, Runs, Seeds, Sets
from cllab.errors import EXIT_DONE, EXIT_FAILED, CllabError, UsageError
from cllab.io.files import expand

if TYPE_CHECKING:
    from cllab.record.runs import Run, RunStore
    from cllab.report.console import Lines
    from cllab.settings.config import RunConfig
    from cllab.settings.presets import Preset


def run(
    preset: PresetName,
    headless: Annotated[bool, typer.Option("--headless", help="Train here, without the app.")] = False,
    sets: Sets = None,
    seeds: Seeds = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Stream the events to stdout, last line the result; headless.")
    ] = False,
    trace: Annotated[
        int,
        typer.Option(
            "--trace",
            metavar="N",
            help="Trace the first N steps of every task: show and keep what the method publishes of them; headless.",
            min=0,
            show_default=False,
        ),
    ] = 0,
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Train a preset, in the app or --headless."""
    from cllab.settings import presets

    configs = configurations(presets.load(preset), sets or [], seeds)
    if (beside := presets.namesake(preset)) and not quiet:
        from cllab.io.output import narrate

        narrate(f"{preset} is the preset that comes with cllab; for the file here: cllab run {beside}")
    if not (headless or as_json):
        from cllab.cli.tui import open_new

        if trace:
            raise UsageError("--trace goes with --headless or --json; in the app, pause a run and trace its next steps")
        open_new(configs, runs)
    raise typer.Exit(train_all(configs, runs, as_json=as_json, quiet=quiet, trace=trace))


def resume(run: RunName, as_json: Json = False, runs: Runs = None, quiet: Quiet = False) -> None:
    """Go on with a run from its last checkpoint, or its beginning."""
    from cllab.record.runs import RunStore

    found = RunStore(runs).find(run)
    status = found.status()
    if status.state == "done":
        raise UsageError(f"run '{found.id}' is done; cllab show {found.id} shows it")
    raise typer.Exit(_report([_train(found, as_json=as_json, quiet=quiet, resume=True)], [found], as_json))


def stop(
    run: RunName,
    kill: Annotated[bool, typer.Option("--kill", help="End it at once, losing what follows its checkpoint.")] = False,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for it.", min=0)] = 60.0,
    runs: Runs = None,
) -> None:
    """Stop a run that trains elsewhere, with a checkpoint."""
    from cllab.io.output import narrate
    from cllab.record.runs import RunStore

    found = RunStore(runs).find(run)
    status = found.status()
    if status.state not in ("starting", "training", "paused"):
        reason = f": {status.reason}" if status.reason else ""
        raise UsageError(f"run '{found.id}' is not being trained; it is {status.state}{reason}")
    if kill:
        if not found.kill():
            raise CllabError(f"run '{found.id}': its process cannot be ended")
        narrate(f"{found.id} is killed; cllab resume {found.id} goes on from its last checkpoint")
        return
    found.stop()
    until = time.monotonic() + wait
    while found.status().state in ("starting", "training", "paused"):
        if time.monotonic() >= until:
            raise CllabError(f"run '{found.id}' has not stopped after {wait:g} s; cllab stop --kill {found.id} ends it")
        time.sleep(0.05)
    status = found.status()
    narrate(f"{found.id} is {status.state}{f': {status.reason}' if status.reason else ''}")


def configurations(preset: Preset, sets: Sequence[str], seeds: str | None = None) -> list[RunConfig]:
    """The preset's configuration with settings changed, once per seed.

    Raises:
        UsageError: for assignments and seeds that cannot be meant.
    """
    from cllab.settings import presets

    config, base = preset.config, preset.path.parent
    if sets:
        config = config.override([_from_here(item) for item in sets], base=base)
    if seeds is None:
        return [config]
    if any(item.partition("=")[0].strip() == "seed" for item in sets):
        raise UsageError("--seeds and --set seed=... both choose the seed; use one of them")
    try:
        numbers = presets.parse_seeds(seeds)
    except UsageError as error:
        raise UsageError(f"--seeds {error}") from None
    return [config.override([f"seed={number}"], base=base) for number in numbers]


def _from_here(item: str) -> str:
    """An assignment of a file, which on the command line is relative to where one stands, not to the preset."""
    key, sign, value = item.partition("=")
    if key.strip() != "method.file" or not sign:
        return item
    path = expand(value.strip().strip("\"'"))
    if not path.is_absolute():
        return f"method.file={json.dumps(os.path.realpath(path))}"
    return item


def train_all(configs: Sequence[RunConfig], runs: str | None, *, as_json: bool, quiet: bool, trace: int = 0) -> int:
    """Train one after another, the first `trace` steps of every task traced, and print what came out; returns the exit
    code."""
    from cllab.io.files import write_error
    from cllab.record.runs import RunStore
    from cllab.study.queue import Queue

    store = RunStore(runs)
    check_all(configs, quiet=quiet)
    codes: list[int] = []
    trained: list[Run] = []
    made = store.create_all(configs)
    try:
        queue = Queue(made)
    except OSError as error:
        for run in made:
            run.delete()
        raise write_error(error) from None
    try:
        for run in queue:
            trained.append(run)
            codes.append(_train(run, as_json=as_json, quiet=quiet, trace=trace))
            # one seed that fails says little about the next; a wish to stop is meant for all of them
            if codes[-1] not in (EXIT_DONE, EXIT_FAILED):
                break
    finally:
        queue.abandon()
    return _report(codes, trained, as_json)


def check_all(configs: Sequence[RunConfig], *, quiet: bool) -> None:
    """Refuse what cannot work before anything is created: the first look at the data may decode them.

    Raises:
        CllabError: from the first configuration that is refused.
    """
    from cllab.io.output import narrate

    if not quiet:
        narrate(f"reading {', '.join(dict.fromkeys(c.dataset.name for c in configs))}")
    from cllab.worker import precheck

    for config in configs:
        precheck(config)


def train_here(config: RunConfig, store: RunStore, *, quiet: bool, resume: Run | None = None) -> tuple[Run, int]:
    """Train `config` in this process, or go on with `resume`, watched on stderr; returns the run and its exit code."""
    made = resume or store.create(config)
    return made, _train(made, as_json=False, quiet=quiet, resume=resume is not None)


def _train(made: Run, *, as_json: bool, quiet: bool, resume: bool = False, trace: int = 0) -> int:
    from cllab.report.console import JsonLines, view
    from cllab.worker import train

    looks: Lines = view(quiet=quiet)
    sinks = [looks]
    out = JsonLines(sys.stdout) if as_json else None
    if resume:
        # the records before the checkpoint are not sent again
        looks.state = made.state()
    looks.narrate(f"run folder: {made.folder}")
    with looks:
        code = train(made, sinks=[*sinks, *([out] if out else [])], resume=resume, trace=trace)
    if out is not None:
        result = made.result()
        if result is not None:
            out.write(json.dumps(result, separators=(",", ":"), ensure_ascii=False))
    return code


def _report(codes: Sequence[int], made: Sequence[Run], as_json: bool) -> int:
    """Print the tables of the runs that ended well; the first exit code that is not 0."""
    done = [run for run, code in zip(made, codes, strict=True) if code == EXIT_DONE]
    if done and not as_json:
        from cllab.io.output import Paper
        from cllab.record import outcome
        from cllab.report import tables as report

        paper = Paper.of(sys.stdout)
        for group in outcome.group([outcome.read(run) for run in done]):
            print(report.experiment(group, paper))
            print("\n" + "\n".join(f"run folder  {o.run.folder}" for o in group.outcomes))
    return next((code for code in codes if code != EXIT_DONE), EXIT_DONE)
