"""The command tree and nothing more."""

from __future__ import annotations

from typing import Annotated

import typer

from cllab.cli import catalog, cuts, data, doctor, inspect, run, table, tui, tune
from cllab.cli.options import Runs

app = typer.Typer(
    help="An interactive continual-learning lab in the terminal. Without a command: the app.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from cllab import __version__

        print(f"cllab {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def home(
    context: typer.Context,
    runs: Runs = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An interactive continual-learning lab in the terminal. Without a command: the app."""
    if context.invoked_subcommand is None:
        tui.open_home(runs)


app.command("run")(run.run)
app.command("attach")(tui.attach)
app.command("replay")(tui.replay)
app.command("lessons")(tui.lessons)
app.command("resume")(run.resume)
app.command("stop")(run.stop)
app.command("show")(inspect.show)
app.command("compare")(inspect.compare)
app.command("export")(inspect.export)
app.command("list")(catalog.list_)
app.command("explain")(catalog.explain)
app.command("cuts")(cuts.cuts)
app.command("data")(data.data)
app.command("write-data")(data.write_data)
app.command("table")(table.table)
app.command("tune")(tune.tune)
app.command("check-claims")(table.check_claims)
app.command("doctor")(doctor.doctor)
