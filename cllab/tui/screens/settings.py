"""The settings as a form, made from their declarations; a change shows at once and is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from cllab.settings.spec import FieldSpec
from cllab.tui.controls import Left, Row
from cllab.tui.form import Form
from cllab.tui.screens.dialog import Dialog
from cllab.tui.screens.pick import Pick
from cllab.tui.settings import FIELDS

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class SettingsScreen(Dialog[None]):
    """What the app remembers."""

    CSS = """
    SettingsScreen #help { color: $text-muted; height: auto; min-height: 3; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="settings.back"),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
    ]

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "Settings"
            yield Form(self._rows(), self._picks)
            yield Static("", id="help", markup=False)

    def on_mount(self) -> None:
        self.query_one(Form).row("theme").control.focus()

    def _spec(self, spec: FieldSpec) -> FieldSpec:
        return replace(spec, choices=tuple(self.lab.available_themes)) if spec.name == "theme" else spec

    def _rows(self) -> list[Row]:
        settings = self.lab.settings
        return [
            Row(
                f.name,
                self._spec(f),
                getattr(settings, f.name),
                f.name,
                _note(f),
                getattr(settings, f.name) != f.default,
            )
            for f in FIELDS
        ]

    def _picks(self, key: str) -> list[Pick]:
        spec = next(self._spec(f) for f in FIELDS if f.name == key)
        return [Pick(choice) for choice in spec.choices]

    @on(Form.Changed)
    def _changed(self, message: Form.Changed) -> None:
        settings = self.lab.settings
        if getattr(settings, message.key) == message.value:
            return
        setattr(settings, message.key, message.value)
        if message.key == "theme":
            self.lab.theme = message.value
        if message.key == "rate" and self.lab.feed is not None:
            self.lab.feed.rate = self.lab.rate
        settings.save()
        self.query_one(Form).show_rows(self._rows())

    @on(Form.Focused)
    def _focused(self, message: Form.Focused) -> None:
        path = self.lab.settings.path
        kept = f"\nkept in {path}" if path is not None else ""
        self.query_one("#help", Static).update(f"{message.row.spec.help}.{kept}")

    @on(Left)
    @on(Form.Submitted)
    def _left(self) -> None:
        self.dismiss(None)

    def action_move(self, by: int) -> None:
        """The next setting, or the one before."""
        if by > 0:
            self.focus_next()
        else:
            self.focus_previous()


def _note(spec: FieldSpec) -> str:
    return ", ".join(spec.choices) if spec.choices else spec.allowed() if spec.type == "float" else ""
