"""Writing a run in other programs' formats."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from cllab.errors import CllabError
from cllab.io.files import expand
from cllab.record.runs import Run
from cllab.report import export
from cllab.tui.screens.dialog import Dialog
from cllab.tui.troubles import background
from cllab.tui.widgets.field import Field
from cllab.tui.widgets.marks import Marks


class ExportScreen(Dialog[list[Path]]):
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
            yield Marks(((name, f"{name:<12}{form.help}") for name, form in export.FORMATS.items()), ["csv"])
            yield Static("Folder", classes="hint", markup=False)
            yield Field(str(self.run.folder), compact=True, select_on_focus=False)
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

    @background("export", "exporting")
    def _write(self, forms: list[str], folder: str) -> None:
        written: list[Path] = []
        failed: list[str] = []
        for form in forms:
            try:
                written += export.write(self.run, form, expand(folder))
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
        folders = {path.parent for path in written}
        # the folder once: many long paths would hide what lies under them
        one = len(folders) == 1
        lines = [f"in {folders.pop()}", *(path.name for path in written)] if one else [str(path) for path in written]
        self.app.notify("\n".join(lines), title="Exported", markup=False, timeout=5)
        self.dismiss(written)
