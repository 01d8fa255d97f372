"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def complete_presets(incomplete: str) -> list[str]:
    """Shipped presets that begin so, for the shell's completion."""
    from cllab.settings import presets

    return [name for name in presets.names() if name.startswith(incomplete)]


def complete_runs(incomplete: str) -> list[str]:
    """Runs of the runs folder that begin so, newest first."""
    from cllab.record.runs import RunStore

    return [run.id for run in RunStore() if run.id.startswith(incomplete)]


PresetName = Annotated[
    str,
    typer.Argument(
        metavar="PRESET",
        help="A preset file, or the name of a shipped one.",
        show_default=False,
        autocompletion=complete_presets,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, its name or a part of it, or 'last'.",
        show_default=False,
        autocompletion=complete_runs,
    ),
]
Runs = Annotated[
    str | None,
    typer.Option("--runs", metavar="DIR", help="The runs folder; else $CLLAB_RUNS, else ./runs.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. train.lr=0.1.", show_default=False),
]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="LIST", help="One run each: 1-3 or 1,2,5.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but what went wrong.")]
