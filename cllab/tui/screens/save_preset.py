"""Keeping a setup as a preset file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from cllab.io.files import expand, write_atomically
from cllab.tui.draft import Draft
from cllab.tui.screens.dialog import Dialog
from cllab.tui.widgets.field import Field


class SavePresetScreen(Dialog[Path]):
    """Asks for a file and a sentence; dismissed with the file that was written, or None.

    Args:
        draft: what to keep.
    """

    CSS = """
    SavePresetScreen Input { background: $panel; padding: 0 1; margin-bottom: 1; }
    SavePresetScreen #said { color: $text-muted; height: auto; }
    SavePresetScreen #said.-problem { color: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="save.back"),
        Binding("ctrl+s", "save", "Save", id="save.save", key_display="^s"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self._asked: Path | None = None

    def compose(self) -> ComposeResult:
        given = self.draft.given.get("about")
        with Vertical(classes="dialog") as box:
            box.border_title = "Save as preset"
            yield Static("File", markup=False)
            yield Field(f"{self.draft.name}.toml", compact=True, id="file", select_on_focus=False)
            yield Static("What it shows, in one sentence", markup=False)
            yield Field(given if isinstance(given, str) and not self._edited else "", compact=True, id="sentence")
            yield Static(f"enter saves in {Path.cwd()}, esc goes back", id="said", markup=False)

    @property
    def _edited(self) -> bool:
        return bool(self.draft.assignments())

    def on_mount(self) -> None:
        self.query_one("#file", Input).focus()

    @on(Input.Changed)
    def _changed(self) -> None:
        self._asked = None

    @on(Input.Submitted)
    def action_save(self) -> None:
        """Write the file; a second time where one is there already."""
        text = self.query_one("#file", Input).value.strip()
        if not text:
            self._say("a file needs a name")
            return
        path = expand(text)
        path = path if path.suffix == ".toml" else path.with_name(f"{path.name}.toml")
        if path.exists() and self._asked != path:
            self._asked = path
            self._say(f"{path} is there already; enter again replaces it")
            return
        about = self.query_one("#sentence", Input).value.strip()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self.draft.to_toml(name=path.stem, about=about))
        except OSError as error:
            self._say(f"{path}: {error.strerror or error}")
            return
        self.dismiss(path)

    def _say(self, text: str) -> None:
        said = self.query_one("#said", Static)
        said.update(f"! {text}")
        said.add_class("-problem")
