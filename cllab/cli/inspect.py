"""cllab show, compare, export: what happened, from the run folder."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cllab.cli.options import Json, Quiet, RunName, Runs
from cllab.errors import EXIT_DONE, UsageError, nearest
from cllab.io.files import expand

if TYPE_CHECKING:
    from cllab.record.outcome import Outcome
    from cllab.record.runs import Run, RunStore


def show(run: RunName = "last", as_json: Json = False, runs: Runs = None) -> None:
    """Show what a run was asked and what came out."""
    from cllab.io.output import Paper
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.report import export as files
    from cllab.report import tables as report
    from cllab.settings.catalog import load
    from cllab.study import joint

    store = RunStore(runs)
    found = outcome.read(store.find(run))
    found = joint.with_intransigence(found, outcome.finished(store))
    if as_json:
        print(json.dumps(files.data(found), ensure_ascii=False))
    else:
        print(report.run_text(found, load(), Paper.of(sys.stdout)))


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Runs; a part of a name stands for every run that has it.", show_default=False
        ),
    ],
    chosen: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Which metrics.", show_default=False)
    ] = None,
    intransigence: Annotated[
        bool, typer.Option("--intransigence", help="Run the joint runs that intransigence needs and are missing.")
    ] = False,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Compare runs: mean and deviation over seeds."""
    from cllab import metrics
    from cllab.io.output import Paper
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.report import tables as report

    for name in chosen or ():
        if name not in metrics.METRICS:
            hint = nearest(name, metrics.METRICS) or f"; known: {', '.join(metrics.METRICS)}"
            raise UsageError(f"--metric: no metric '{name}'{hint}")
    store = RunStore(runs)
    found = _finished(_matching(store, names), quiet)
    code = _run_joint(found, store, quiet) if intransigence else EXIT_DONE
    groups = outcome.group(_with_joint(found, store))
    if as_json:
        print(json.dumps(report.comparison_data(groups), ensure_ascii=False))
    elif as_markdown:
        print(report.comparison_markdown(groups, chosen or ()), end="")
    else:
        print(report.comparison(groups, Paper.of(sys.stdout), chosen or ()))
    raise typer.Exit(code)


def _matching(store: RunStore, names: Sequence[str]) -> list[Run]:
    """Every run that the names stand for, newest first within a name, each once."""
    from cllab.record.runs import Run

    listed = list(store)
    found: dict[str, Run] = {}
    for name in names:
        path = expand(name)
        if (path / "config.toml").is_file():
            matches = [Run(path)]
        else:
            matches = [r for r in listed if r.id == name] or [r for r in listed if name in r.id] or [store.find(name)]
        found.update({str(r.folder.resolve()): r for r in matches})
    return list(found.values())


def _finished(found: Sequence[Run], quiet: bool) -> list[Outcome]:
    """The outcomes of the runs that ended well; the others are named.

    Raises:
        UsageError: when none did.
    """
    from cllab.io.output import narrate
    from cllab.record import outcome

    done = []
    for run in found:
        read = outcome.read(run)
        if read.is_done:
            done.append(read)
        elif not quiet:
            narrate(f"left out: {run.id} is {read.status}")
    if not done:
        raise UsageError("none of these runs is done")
    return done


def _with_joint(found: Sequence[Outcome], store: RunStore) -> list[Outcome]:
    """Intransigence added where a joint run is in the runs folder or among those compared."""
    from cllab.record import outcome
    from cllab.study import joint

    among = [*found, *outcome.finished(store)]
    return [joint.with_intransigence(o, among) for o in found]


def _run_joint(found: Sequence[Outcome], store: RunStore, quiet: bool) -> int:
    """Train the joint runs that are missing; the first exit code that is not 0."""
    from cllab.cli.run import check_all, train_here
    from cllab.record import outcome
    from cllab.study import joint

    for one in found:
        if joint.find(one, [*found, *outcome.finished(store)]) is not None:
            continue
        config = joint.config_for(one.run.config())
        check_all([config], quiet=quiet)
        _, code = train_here(config, store, quiet=quiet)
        if code != EXIT_DONE:
            return code
    return EXIT_DONE


def export(
    run: RunName,
    csv: Annotated[bool, typer.Option("--csv", help="Accuracy matrix, per-class accuracy, stream curve.")] = False,
    md: Annotated[bool, typer.Option("--md", help="A page of Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole result.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="A picture that scales.")] = False,
    png: Annotated[bool, typer.Option("--png", help="A picture in pixels.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="A folder of scalars for TensorBoard.")] = False,
    npy: Annotated[bool, typer.Option("--npy", help="As Rainbow Memory writes it.")] = False,
    bcl: Annotated[bool, typer.Option("--bcl", help="As Bilevel Continual Learning writes it.")] = False,
    gem: Annotated[bool, typer.Option("--gem", help="As GEM writes it.")] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="A file, a folder, or - for stdout; else the current folder.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = None,
) -> None:
    """Write a run as files; prints their paths."""
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.report import export as files

    # the help texts stand here too, so that a help page needs no NumPy; a test holds them to the table of formats
    asked = {
        "csv": csv,
        "md": md,
        "json": as_json,
        "svg": svg,
        "png": png,
        "tensorboard": tensorboard,
        "npy": npy,
        "bcl": bcl,
        "gem": gem,
    }
    forms = [form for form in files.FORMATS if asked[form]]
    if not forms:
        raise UsageError(f"export: name a format: {', '.join(f'--{form}' for form in files.FORMATS)}")
    found = outcome.read(RunStore(runs).find(run))
    for form in forms:
        if form == "tensorboard":
            _export_tensorboard(found.run, out, several=len(forms) > 1)
            continue
        try:
            name, contents = files.contents(found, form)
        except KeyError as error:  # of a folder whose configuration was lost or edited out of shape
            raise UsageError(f"run '{found.run.id}' cannot be written as {form}: it does not say its {error}") from None
        if out == "-":
            first = contents[""]
            sys.stdout.flush()
            sys.stdout.buffer.write(first.encode() if isinstance(first, str) else first)
            continue
        for path in files.write_all(contents, _target(name, out, several=len(forms) > 1)):
            print(path)


def _target(name: str, out: str | None, *, several: bool) -> Path:
    """Where a file called `name` goes.

    Raises:
        UsageError: when there is no folder for it.
    """
    if out is None:
        return Path(name)
    path = expand(out)
    is_folder = path.is_dir() or out.endswith(("/", "\\")) or several
    if is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return path / name
    if not path.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder '{path.parent}'")
    return path


def _export_tensorboard(run: Run, out: str | None, *, several: bool) -> None:
    from cllab.report import export as files

    if out == "-":
        raise UsageError("--tensorboard writes a folder; name one with --out")
    name = re.sub(r"[^\w.-]+", "-", run.id)
    folder = expand(out) / name if out and several else expand(out or f"{name}-tensorboard")
    if folder.is_dir() and any(folder.glob("events.out.tfevents.*")):
        raise UsageError(f"'{folder}' holds TensorBoard events already; name another folder with --out")
    files.tensorboard(run, folder)
    print(folder)
