"""cllab data, write-data: where a dataset is, fetching it, and files of data for other programs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cllab.cli.options import Json, PresetName, Quiet, Sets
from cllab.errors import EXIT_DATA, EXIT_DONE, UsageError
from cllab.io.files import expand

if TYPE_CHECKING:
    from cllab.data.info import DataStatus
    from cllab.io.output import Paper


def data(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A dataset; every one when left out.", show_default=False)
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it and decode it, unless it is there.")] = False,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="DIR", help="The data folder; else $CLLAB_DATA.", show_default=False),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            "--raw", metavar="DIR", help="Write its raw tensors there, as GEM's scripts start from.", show_default=False
        ),
    ] = None,
    clear_latents: Annotated[
        bool, typer.Option("--clear-latents", help="Delete the latents of pretrained fronts that runs have kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show where a dataset is, or fetch it."""
    from cllab.data import where

    if clear_latents:
        if name is not None or download or raw is not None:
            raise UsageError("data --clear-latents: stands alone")
        _clear()
        return
    if name is None:
        if download:
            raise UsageError("data --download: name the dataset to fetch")
        if raw is not None:
            raise UsageError("data --raw: name the dataset to write")
        _show([where.dataset_status(n, root, scan=False) for n in where.names()], root, as_json)
        return
    status = where.dataset_status(name, root)
    if download and not (status.found and status.cached is not False):
        # fetching opens the dataset, which also decodes it: the first run does not wait for that
        where.source(name).open(None, root, download=True, progress=_Progress())
        status = where.dataset_status(name, root)
    if raw is not None:
        from cllab.engine import writing

        for path in writing.write_raw(name, root, expand(raw)):
            print(path)
        return
    _show([status], root, as_json)
    raise typer.Exit(EXIT_DONE if status.found else EXIT_DATA)


def write_data(
    preset: PresetName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .pt file.", show_default=False)],
    cv: Annotated[
        int,
        typer.Option(
            "--cv",
            metavar="N",
            help="Two files: -val with the first N tasks, for choosing settings, and -cl with the others.",
            min=0,
            show_default=False,
        ),
    ] = 0,
    sets: Sets = None,
    square: Annotated[
        bool, typer.Option("--square", help="Images as channels x height x width; else flat, as published.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a preset's tasks as a GEM benchmark file."""
    from cllab.cli.run import configurations
    from cllab.io.output import narrate
    from cllab.settings import presets

    path = expand(file)
    if path.suffix != ".pt":
        raise UsageError(f"write-data: a benchmark file's name ends in .pt, not '{file}'")
    if not path.parent.is_dir():
        raise UsageError(f"write-data: there is no folder '{path.parent}'")
    for there in [path.with_stem(f"{path.stem}-{part}") for part in ("val", "cl")] if cv else [path]:
        if there.exists() and not force:
            raise UsageError(f"'{there}' is there already; --force overwrites it")
    (config,) = configurations(presets.load(preset), sets or ())
    if not quiet:
        narrate(f"reading {config.dataset.name}")
    from cllab.engine import writing

    for written in writing.write_stream(config, path, cv=cv, flat=not square):
        print(written)


def _show(found: list[DataStatus], root: str | None, as_json: bool) -> None:
    from cllab.io.output import Paper, table

    if as_json:
        rows = [_plain(status) for status in found]
        print(json.dumps(rows[0] if len(rows) == 1 else rows))
        return
    paper = Paper.of(sys.stdout)
    if len(found) == 1:
        print(_one(found[0]))
        return
    from cllab.data.where import data_root

    cells = [[s.name, "yes" if s.found else "no", str(s.path or s.kind or s.problem)] for s in found]
    print(table(["dataset", "here", "where"], cells, paper=paper))
    print(f"\ndata folder: {data_root(root)}")
    _latents(paper)


def _latents(paper: Paper) -> None:
    """What pretrained fronts have said of datasets, where there is any."""
    from cllab.data import latent_files
    from cllab.io.output import size, table

    files = latent_files.listed()
    if not files:
        return
    cells = [[f.what, " x ".join(map(str, f.shape)), f.dtype, size(f.bytes)] for f in files]
    print("\n" + table(["latents that are kept", "shape", "as", "size"], cells, paper=paper))
    print(f"\n{size(sum(f.bytes for f in files))} in {files[0].path.parent}; cllab data --clear-latents deletes them")


def _clear() -> None:
    from cllab.data import latent_files
    from cllab.io.output import size

    n = len(latent_files.listed())
    print(f"{n} file{'' if n == 1 else 's'} of latents deleted, {size(latent_files.clear())}")


def _one(status: DataStatus) -> str:
    from cllab.io.output import size, table

    rows = [["dataset", status.name], ["here", "yes" if status.found else f"no: {status.problem}"]]
    if status.kind:
        rows.append(["kind", status.kind])
    if status.path:
        rows.append(["folder", str(status.path)])
    if status.bytes is not None:
        rows.append(["size", size(status.bytes)])
    if status.cached is not None:
        rows.append(["decoded", "yes" if status.cached else "at the first run"])
    if not status.found:
        rows += [["looked for" if i == 0 else "", place] for i, place in enumerate(status.where)]
        from cllab.settings.catalog import load

        n_bytes = load().get("dataset", status.name).facts.get("download_bytes")
        if n_bytes:
            rows.append(["to fetch", f"cllab data {status.name} --download ({size(n_bytes)})"])
    return table((), rows)


def _plain(status: DataStatus) -> dict[str, Any]:
    return {**vars(status), "path": str(status.path) if status.path else None, "where": list(status.where)}


class _Progress:
    """Progress on stderr: one line repainted on a terminal, a line every tenth elsewhere."""

    def __init__(self) -> None:
        self._told = ("", -1)
        self._painted = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        part = 100 * done // total if total else 0
        if sys.stderr.isatty():
            now = time.monotonic()
            if now - self._painted >= 0.1 or done >= total:
                self._painted = now
                end = "\n" if total and done >= total else ""
                print(f"\r{what}  {part:3d} %\x1b[K", end=end, file=sys.stderr, flush=True)
        elif (what, part // 10) != self._told:
            self._told = (what, part // 10)
            print(f"{what}  {part} %", file=sys.stderr, flush=True)
