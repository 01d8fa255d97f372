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
from cllab.settings.presets import names
from cllab.settings.presets import shown as text_of
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
            # on the command line the name of a shipped preset means that one
            name = f"my-{self.draft.name}" if self.draft.name in names() else self.draft.name
            yield Field(f"{name}.toml", compact=True, id="file", select_on_focus=False)
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
        doubts = [f"{path} is there already; enter again replaces it"] if path.exists() else []
        if path.stem in names():
            doubts.append(
                f"cllab run {path.stem} means the preset that comes with cllab, cllab run {text_of(path)} this one"
            )
        if doubts and self._asked != path:
            self._asked = path
            self._say("; ".join(doubts) + ("" if path.exists() else "; enter again saves it"))
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
