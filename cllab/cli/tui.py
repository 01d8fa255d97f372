"""cllab alone, attach, replay: the one place that imports the app."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cllab.cli.options import Runs, complete_runs
from cllab.errors import CllabError, DataError, UsageError

if TYPE_CHECKING:
    from cllab.record.runs import Run
    from cllab.settings.config import RunConfig

LastRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, its name or a part of it; the newest when left out.",
        autocompletion=complete_runs,
    ),
]


def attach(run: LastRun = "last", runs: Runs = None) -> None:
    """Watch a run in the app, also while it trains."""
    _open_found(run, runs, "live")


def replay(run: LastRun = "last", runs: Runs = None) -> None:
    """Play a recorded run back in the app."""
    _open_found(run, runs, "replay")


def lessons(runs: Runs = None) -> None:
    """Six short lessons on recorded runs, in the app."""
    _check_terminal()
    _open(runs, mode="lessons")


def open_home(runs: str | None) -> NoReturn:
    """The app on its first screen."""
    _check_terminal()
    _open(runs, mode="setup")


def open_new(configs: Sequence[RunConfig], runs: str | None) -> NoReturn:
    """Start detached training of `configs`, one after another, and watch the first.

    Raises:
        UsageError: without a terminal, or when no run folder can be made.
        DataError: when the data are not there.
    """
    from cllab.record.runs import RunStore

    _check_terminal()
    for config in configs:
        _check_data(config)
    made = RunStore(runs).create_all(configs)
    try:
        if len(made) == 1:
            made[0].start_worker()
        else:
            from cllab.study.queue import start_queue

            start_queue(made)
    except OSError as error:
        raise CllabError(f"the training process cannot be started: {error.strerror or error}") from None
    _open(runs, made[0])


def _open_found(name: str, runs: str | None, mode: str) -> None:
    from cllab.record.runs import RunStore

    found = RunStore(runs).find(name)
    _check_terminal()
    _open(runs, found, mode)


def _open(runs: str | None, run: Run | None = None, mode: str = "live") -> NoReturn:
    from cllab.tui.app import run_app

    raise typer.Exit(run_app(runs=runs, run=run, mode=mode))


def _check_terminal() -> None:
    """Raises UsageError where the app could not read keys or paint."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if os.environ.get("TERM") == "dumb" or not all(s is not None and not s.closed and s.isatty() for s in streams):
        raise UsageError("not a terminal; use: cllab run --headless PRESET")


def _check_data(config: RunConfig) -> None:
    """What can be seen without torch; the training process looks closer."""
    from cllab.data.where import dataset_status

    name = config.dataset.name
    status = dataset_status(name, config.dataset.common.get("root") or None, config=config.dataset.values, scan=False)
    if not status.found:
        places = f"; looked for {', '.join(status.where)}" if status.where else ""
        raise DataError(f"{name}: {status.problem}{places}; see: cllab data {name}")
