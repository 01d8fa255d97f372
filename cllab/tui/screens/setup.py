"""The first screen: begin with a preset or a recent run, or set up a new one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantFocus, ScreenResume
from textual.widgets import Button

from cllab.errors import UsageError
from cllab.io.files import expand
from cllab.settings.config import RunConfig
from cllab.tui import costs
from cllab.tui.controls import Left
from cllab.tui.draft import KINDS, Base, Draft
from cllab.tui.estimates import Estimate, estimate
from cllab.tui.form import Form
from cllab.tui.screens.beginning import Beginning
from cllab.tui.starts import base_called
from cllab.tui.troubles import background
from cllab.tui.widgets.explanation import Explanation
from cllab.tui.widgets.group import GroupTitle
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.run_form import RunForm
from cllab.tui.widgets.setup_foot import SetupFoot
from cllab.tui.widgets.start_list import StartList
from cllab.tui.widgets.stream_picture import StreamPicture


class SetupScreen(Beginning):
    """Start here, New run, and what the choice means."""

    CSS_PATH = "setup.tcss"
    HELP = (
        "Enter on Quick look starts at once. In the form, up and down move, left and right choose, Enter shows all "
        "choices, with the reason why some cannot be chosen. The line at the bottom does the same without the app."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Run", id="setup.run"),
        Binding("s", "save", "Save", id="setup.save"),
        Binding("y", "copy", "Copy", id="setup.copy"),
        Binding("p", "presets", "Presets", id="setup.presets"),
        Binding("u", "undo", "Undo", id="setup.undo"),
        Binding("d", "download", "Download", id="setup.download"),
        Binding("b", "built_in", "Digits", id="setup.built_in"),
        Binding("escape", "home", "Start list", id="setup.home", show=False),
    ]

    # -- layout

    def compose(self) -> ComposeResult:
        self._find_presets()
        yield ModeBar("setup")
        with Horizontal(id="body"):
            yield StartList(id="start")
            with Vertical(id="main"):
                yield RunForm(lambda: self.draft, id="form")
                with Horizontal(id="about"):
                    yield Explanation(id="text")
                    yield StreamPicture(id="picture")
        yield SetupFoot(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        if self.lab.settings.problem:
            self.notify(self.lab.settings.problem, severity="warning", markup=False, timeout=8)
        self._list()
        self.show_draft(self.draft)
        self.query_one(StartList).focus()
        self.set_interval(1.0, self._tick)

    @on(ScreenResume)
    def _resumed(self) -> None:
        # reading hundreds of folders must not compete with the first paint
        self.call_after_refresh(self._refresh_index)

    def _tick(self) -> None:
        if self.is_current:
            if self.index.is_due or self.index.version != self._version:
                self._glance()
            # ages are told in minutes
            if time.monotonic() - self._listed > 20:
                self._list()

    @background("index", "looking at the runs")
    def _refresh_index(self) -> None:
        self.index.refresh()
        self._tell_news()

    @background("index", "looking at the runs")
    def _glance(self) -> None:
        self.index.glance()
        self._tell_news()

    def _tell_news(self) -> None:
        # whichever screen was the first to see what is new, this one draws it
        if self.index.version != self._version:
            self.app.call_from_thread(self._index_changed)

    def _index_changed(self) -> None:
        if self.is_running:
            self._version = self.index.version
            self._list()
            self._estimate()
            if isinstance(self.focused, StartList):
                self._look(self.focused)

    # -- showing the draft

    def show_draft(self, draft: Draft, *, fresh: bool = False) -> None:
        """Show `draft` everywhere; `fresh` drops what is typed and was no value."""
        self._draft = draft
        self.form.show(draft, fresh=fresh)
        self.query_one(StreamPicture).show(draft)
        self.errors = self.form.errors
        self.forget_status()
        self._show_foot()
        self._explain()
        self.look_at_data(draft.config)
        self._estimate()

    def _show_foot(self) -> None:
        self.query_one(SetupFoot).show(self.draft, self.problem, self.estimate, self._runs_option())

    def _estimate(self) -> None:
        self._look_up_estimate(self.draft.config)

    @background("estimate", "estimating the time")
    def _look_up_estimate(self, config: RunConfig) -> None:
        found = estimate(config, self.index.entries, self.lab.catalog)
        self.app.call_from_thread(self._estimated, config, found)

    def _estimated(self, config: RunConfig, found: Estimate) -> None:
        # the answer for a setup that has changed meanwhile may come last
        if self.is_running and config is self.draft.config and found != self.estimate:
            self.estimate = found
            self._show_foot()

    # -- explaining

    def _explain(self) -> None:
        error = self.errors.get(self.row.key, "") if self.row is not None else ""
        note = ""
        if self.row is not None and self.row.key == "model.cut":
            asked = costs.question(self.draft.config)
            if asked in costs.KNOWN:
                note = costs.told(costs.KNOWN[asked], str(self.row.value), self.lab.glyphs)
            else:
                note = "asking what each cut costs"
                self._ask_costs(asked)
        self.query_one(Explanation).show_key(self.draft, self.row, error, note)

    @background("costs", "asking what each cut costs")
    def _ask_costs(self, asked: tuple[str, ...]) -> None:
        found = costs.ask(asked)

        def take() -> None:
            costs.KNOWN[asked] = found
            if self.is_running and self.row is not None and self.row.key == "model.cut":
                self._explain()

        self.app.call_from_thread(take)

    @on(Form.Focused)
    def _row_focused(self, message: Form.Focused) -> None:
        self.row = message.row
        stream = message.row.key.startswith("scenario.") and message.row.key != "scenario.name"
        if stream != self.has_class("-stream"):
            self.set_class(stream, "-stream")
        self._explain()

    @on(DescendantFocus)
    def _focus_moved(self, event: DescendantFocus) -> None:
        self.form.set_class(self.form in event.widget.ancestors, "-here")
        if isinstance(event.widget, StartList):
            self._look(event.widget)
        elif isinstance(event.widget, GroupTitle):
            table = self.form.table_of(event.widget)
            if table in KINDS:
                self.row = None
                self.query_one(Explanation).show_component(self.draft, table)

    def data_seen(self) -> None:
        """It is known whether the data are there."""
        self._show_foot()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "built_in":
            return self.is_missing
        if action == "download":
            return self.is_missing and bool(self.download_bytes)
        if action == "undo":
            return self._draft is not None and self._draft.base is not None and self._draft != self._undone()
        return super().check_action(action, parameters)

    # -- changing

    @on(Form.Changed)
    def _changed(self, message: Form.Changed) -> None:
        if message.key == "seed":
            if message.value != self.draft.seeds:
                self.show_draft(self.draft.with_seeds(message.value))
        elif message.key == "method.file":
            self.errors = self.form.errors
            self._read_method(str(message.value))
        else:
            self.choose(message.key, message.value)

    def choose(self, key: str, value: Any) -> None:
        """Change the draft, and say what had to change with it."""
        try:
            draft, notes = self.draft.choose(key, value)
            draft.assignments()
        except UsageError as error:
            self.notify(str(error), severity="error", markup=False)
            self.show_draft(self.draft)
            return
        if notes:
            self.notify("\n".join(notes), title="Changed with it", markup=False, timeout=6)
        if draft is not self.draft:
            self.show_draft(draft)

    def take(self, key: str, value: Any) -> None:
        """Choose a component from elsewhere in the app, or say why it cannot be."""
        reason = self.draft.blocked(key, value)
        if reason:
            self.notify(reason, severity="warning", markup=False, timeout=8)
            return
        self.choose(key, value)
        self.form.go_to(key)

    def show_config(self, config: Mapping[str, Any], base: Base | None = None) -> None:
        """Put the configuration of a run into the form; `base` is the preset it is compared with.

        Without one, it is the preset that the run is called after, else the one that the form began with.
        """
        catalog = self.lab.catalog
        base = base or base_called(str(config.get("name", "")), self.lab.settings.presets) or self.draft.base
        try:
            draft = Draft.of(config, catalog, base=base)
            self.show_draft(Draft.of(draft.shortened(), catalog, base=base), fresh=True)
        except (UsageError, TypeError, ValueError, AttributeError) as error:
            self.notify(f"this run cannot be set up again: {error}", severity="error", markup=False, timeout=8)
            return
        self.action_focus_form()

    @on(Form.Invalid)
    def _invalid(self, _message: Form.Invalid) -> None:
        self.errors = self.form.errors
        self._show_foot()
        self._explain()

    @background("method-file", "reading the method file")
    def _read_method(self, file: str) -> None:
        """Describe a user's own method, which is run in a process of its own, and choose it."""
        if not file.endswith(".py"):
            return
        from cllab.settings.catalog import describe_file

        try:
            spec = describe_file(expand(file))
        except (UsageError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="warning", markup=False)
            return

        def take() -> None:
            catalog = self.draft.catalog.with_components([spec])
            given = {**self.draft.given, "method": {"name": spec.name, "file": str(expand(file).resolve())}}
            self.show_draft(Draft(catalog, given, self.draft.seeds, self.draft.base))

        self.app.call_from_thread(take)

    def _undone(self) -> Draft:
        base = self.draft.base
        return Draft.of(base.given, self.draft.catalog, base=base) if base is not None else self.draft

    def action_undo(self) -> None:
        """Back to the preset."""
        self.show_draft(self._undone(), fresh=True)
        self.notify("back to the preset", timeout=3)

    # -- moving

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.query_one("#run", Button).focus()

    @on(Left)
    def action_home(self) -> None:
        """The list on the left."""
        self.query_one(StartList).focus()

    def action_focus_form(self) -> None:
        """The first question."""
        self.form.go_to("method.name")
