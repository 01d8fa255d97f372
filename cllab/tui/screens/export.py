"""Writing a run in other programs' formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from cllab.errors import CllabError, UsageError
from cllab.runs import Run
from cllab.tui.widgets.marks import Marks

ABOUT = {
    "csv": "every number, one a row",
    "md": "tables in Markdown",
    "json": "the whole result",
    "svg": "a chart, scalable",
    "png": "a chart in pixels",
    "npy": "accuracy after each task, for NumPy",
    "tensorboard": "scalars for TensorBoard",
}


class ExportScreen(ModalScreen[list[Path]]):
    """Asks which formats and where; dismissed with the files, or None.

    Args:
        run: what to write.
    """

    CSS = """
    ExportScreen Input { background: $panel; padding: 0 1; margin-bottom: 1; }
    ExportScreen .hint { margin-top: 1; }
    ExportScreen #said { color: $text-muted; height: auto; max-height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="export.back"),
        Binding("enter", "write", "Write", id="export.write", priority=True),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "Export"
            yield Static(self.run.id, markup=False)
            yield Marks(((form, f"{form:<12}{ABOUT[form]}") for form in ABOUT), ["csv"])
            yield Static("Folder", classes="hint", markup=False)
            yield Input(str(self.run.folder), compact=True, select_on_focus=False)
            yield Static("space marks, enter writes, esc goes back", id="said", markup=False)

    def on_mount(self) -> None:
        self.query_one(Marks).focus()

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#said", Static).update("space marks, enter writes, esc goes back")

    def action_write(self) -> None:
        """Write what is marked."""
        forms = list(self.query_one(Marks).marked)
        folder = self.query_one(Input).value.strip()
        if not forms:
            self.query_one("#said", Static).update("! mark at least one with space")
            return
        self.query_one("#said", Static).update("writing")
        self._write(forms, folder)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _write(self, forms: list[str], folder: str) -> None:
        written: list[Path] = []
        failed: list[str] = []
        for form in forms:
            try:
                written += write_run(self.run, form, Path(folder).expanduser())
            except CllabError as error:
                failed.append(str(error))
            except OSError as error:
                failed.append(f"{error.filename or folder}: {error.strerror or error}")
            except Exception as error:
                # a result that a hand has edited may break a writer anywhere; the others still go on
                failed.append(f"{form}: this run cannot be written so: {type(error).__name__}: {error}")
        self.app.call_from_thread(self._done, written, failed)

    def _done(self, written: list[Path], failed: list[str]) -> None:
        if not self.is_running:
            return
        if failed:
            lines = [f"! {reason}" for reason in failed] + [f"written: {path}" for path in written]
            self.query_one("#said", Static).update("\n".join(lines))
            return
        text = "\n".join(str(path) for path in written)
        self.app.notify(text, title="Exported", markup=False, timeout=8)
        self.dismiss(written)


def write_run(run: Run, form: str, folder: Path) -> list[Path]:
    """Write `run` into `folder` as one of `ABOUT`; returns the files.

    Raises:
        UsageError: when there is nothing to write yet, or an extra is missing.
        OSError: when the folder cannot be written.
    """
    from cllab import drawing, export, outcome, report
    from cllab.runs import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    if form == "tensorboard":
        target = folder / f"{run.id}-tensorboard"
        export.tensorboard(run, target)
        return [target]
    found = outcome.read(run)
    if not found.matrix and form != "json":
        raise UsageError(f"{form}: no task of this run has been evaluated yet; it is {found.status}")
    contents: dict[str, str | bytes] = {}
    stem = run.id
    if form == "csv":
        contents.update(export.csv_tables(found))
    elif form == "npy":
        stem = export.npy_name(found).removesuffix(".npy")
        contents[""] = export.npy_bytes(found)
    elif form == "json":
        contents[""] = json.dumps(export.data(found), indent=1, ensure_ascii=False) + "\n"
    elif form == "md":
        contents[""] = report.run_markdown(found)
    else:
        contents[""] = drawing.svg(found) if form == "svg" else drawing.png(found)
    paths = []
    for key, content in contents.items():
        paths.append(folder / f"{stem}{f'-{key}' if key else ''}.{form}")
        write_atomically(paths[-1], content)
    return paths
