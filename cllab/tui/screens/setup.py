"""The first screen: begin with a preset or a recent run, or set up a new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantFocus, ScreenResume
from textual.widgets import Button

from cllab.config import RunConfig
from cllab.errors import CllabError, UsageError
from cllab.queue import start_queue
from cllab.tui.controls import Left, Row
from cllab.tui.draft import KINDS, Draft
from cllab.tui.estimates import Estimate, estimate
from cllab.tui.form import Form
from cllab.tui.index import RunIndex, index_of
from cllab.tui.screens.data_offer import DataOffer
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.starts import FIRST, QUICK, Start, first_draft, read_start, shipped_paths, starts
from cllab.tui.widgets.explanation import Explanation
from cllab.tui.widgets.group import GroupTitle
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.run_form import RunForm
from cllab.tui.widgets.setup_foot import SetupFoot
from cllab.tui.widgets.start_list import StartList
from cllab.tui.widgets.stream_picture import StreamPicture

if TYPE_CHECKING:
    from cllab.runs import Run
    from cllab.tui.app import CllabApp


MOST_SAVED = 5
"""Saved presets that stand in the list."""


class SetupScreen(DataOffer):
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

    def __init__(self) -> None:
        super().__init__()
        self._draft: Draft | None = None
        self.row: Row | None = None
        self.errors: dict[str, str] = {}
        self.estimate = Estimate()
        self._quick: Start | None = None
        self._few: list[Start] = []
        self._n_presets = 0

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    @property
    def index(self) -> RunIndex:
        """What is known of every run."""
        return index_of(self.lab.store)

    @property
    def draft(self) -> Draft:
        """The run that is being set up."""
        if self._draft is None:
            self._draft = first_draft(self.lab.settings.last, self._quick, self.lab.catalog)
        return self._draft

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
            self._refresh_index()

    @work(thread=True, exclusive=True, group="index", exit_on_error=False)
    def _refresh_index(self) -> None:
        if self.index.refresh() or not self.estimate.basis:
            self.app.call_from_thread(self._index_changed)

    def _index_changed(self) -> None:
        if self.is_running:
            self._list()
            self._estimate()

    def _list(self) -> None:
        self.query_one(StartList).show(self._quick, self._few, self._n_presets, self.index.entries)

    def _find_presets(self) -> None:
        """Those that stand in the list; the others are read when they are asked for."""
        paths = shipped_paths()
        self._n_presets = len(paths) + len(self.lab.settings.presets)
        few = [read_start(p, shipped=True) for p in paths if p.stem in FIRST]
        self._quick = next((s for s in few if s.label == QUICK), None)
        saved = [Path(p) for p in self.lab.settings.presets[:MOST_SAVED]]
        self._few = [s for s in few if s.label != QUICK] + [read_start(p, shipped=False) for p in saved if p.is_file()]

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

    @property
    def form(self) -> RunForm:
        """The form."""
        return self.query_one(RunForm)

    @property
    def problem(self) -> str:
        """Why this cannot be started, in one line; empty when it can."""
        for key, error in self.errors.items():
            return f"{key} {error}"
        for problem in self.draft.problems:
            return problem
        if self.is_missing:
            return f"{self.draft.values['dataset.name']} is not here"
        return ""

    def _show_foot(self) -> None:
        self.query_one(SetupFoot).show(self.draft, self.problem, self.estimate, self._runs_option())

    def _runs_option(self) -> str:
        from cllab.runs import runs_folder

        folder = self.lab.store.folder
        return "" if folder == runs_folder() else str(folder)

    @work(thread=True, exclusive=True, group="estimate", exit_on_error=False)
    def _estimate(self) -> None:
        found = estimate(self.draft.config, self.index.entries, self.lab.catalog)
        if found != self.estimate:
            self.app.call_from_thread(self._estimated, found)

    def _estimated(self, found: Estimate) -> None:
        self.estimate = found
        if self.is_running:
            self._show_foot()

    # -- explaining

    def _explain(self) -> None:
        error = self.errors.get(self.row.key, "") if self.row is not None else ""
        self.query_one(Explanation).show_key(self.draft, self.row, error)

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

    def show_config(self, config: Mapping[str, Any]) -> None:
        """Put the configuration of a run into the form."""
        catalog = self.lab.catalog
        try:
            draft = Draft.of(config, catalog, base=self.draft.base)
            self.show_draft(Draft.of(draft.shortened(), catalog, base=self.draft.base), fresh=True)
        except (UsageError, TypeError, ValueError, AttributeError) as error:
            self.notify(f"this run cannot be set up again: {error}", severity="error", markup=False, timeout=8)
            return
        self.action_focus_form()

    @on(Form.Invalid)
    def _invalid(self, _message: Form.Invalid) -> None:
        self.errors = self.form.errors
        self._show_foot()
        self._explain()

    @work(thread=True, exclusive=True, group="method-file", exit_on_error=False)
    def _read_method(self, file: str) -> None:
        """Describe a user's own method, which is run in a process of its own, and choose it."""
        if not file.endswith(".py"):
            return
        from cllab.catalog import describe_file

        try:
            spec = describe_file(Path(file).expanduser())
        except (UsageError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="warning", markup=False)
            return

        def take() -> None:
            catalog = self.draft.catalog.with_components([spec])
            given = {**self.draft.given, "method": {"name": spec.name, "file": str(Path(file).expanduser().resolve())}}
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

    # -- beginning

    @on(StartList.Looked)
    def _looked(self, message: StartList.Looked) -> None:
        self._look(self.query_one(StartList), message.what)

    def _look(self, start_list: StartList, what: str = "") -> None:
        """Say what Enter would do."""
        from cllab.tui.summaries import entry_text, start_text

        if not what and start_list.highlighted is not None:
            what = start_list.get_option_at_index(start_list.highlighted).id or ""
        kind, _, name = what.partition(":")
        text = None
        if kind == "run":
            entry = self.index.get(name)
            text = entry_text(entry, self.lab) if entry is not None else None
        elif kind in ("quick", "preset"):
            start = self._start(name)
            text = start_text(start, self.lab, quick=kind == "quick") if start is not None else None
        self.row = None
        if text is not None:
            self.query_one(Explanation).show(text)

    def _start(self, name: str) -> Start | None:
        if self._quick is not None and name == self._quick.name:
            return self._quick
        return next((s for s in starts(self.lab.settings.presets) if s.name == name), None)

    @on(StartList.Opened)
    def _opened(self, message: StartList.Opened) -> None:
        kind, _, name = message.what.partition(":")
        if kind == "more":
            self.action_presets()
        elif kind == "run":
            entry = self.index.get(name)
            if entry is not None:
                self.lab.open_run(entry.run)
        else:
            self._begin(name, at_once=kind == "quick")

    def _begin(self, name: str, *, at_once: bool = False) -> None:
        start = self._start(name)
        if start is None:
            self.notify(f"no preset '{name}'", severity="error", markup=False)
            return
        try:
            draft = start.draft(self.lab.catalog)
        except UsageError as error:
            self.notify(str(error), severity="error", markup=False, timeout=8)
            return
        self.show_draft(draft, fresh=True)
        if at_once:
            self.action_run()
        else:
            self.notify(f"{start.label}: r starts it, or change it first", timeout=4, markup=False)
            self.action_focus_form()

    def action_presets(self) -> None:
        """Every preset, to search in."""
        found = starts(self.lab.settings.presets)
        options = [Pick(s.name, "" if s.shipped else "saved", s.about, s.problem) for s in found]

        def chosen(name: str | None) -> None:
            if name is not None:
                # the dialog first gives the focus back to where it was
                self.call_after_refresh(self._begin, name)

        base = self.draft.base
        self.app.push_screen(PickScreen("Presets", options, base.name if base else None), chosen)

    @on(Button.Pressed, "#run")
    def action_run(self) -> None:
        """Start it, or say what is in the way."""
        if self.problem:
            self._show_problem()
            return
        try:
            configs = self.draft.configs()
            if len(configs) == 1:
                self.lab.start_run(configs[0])
            else:
                self._start_several(configs)
        except (CllabError, OSError) as error:
            self.notify(str(error), severity="error", markup=False, timeout=10)
            return
        self.lab.settings.last = self.draft.remembered()
        self.lab.settings.save()

    def _start_several(self, configs: list[RunConfig]) -> None:
        runs: list[Run] = [self.lab.store.create(config) for config in configs]
        start_queue(runs)
        self.lab.open_run(runs[0])
        self.notify(f"{len(runs)} runs, one after another; they go on when this app is closed", markup=False, timeout=6)

    def _show_problem(self) -> None:
        self.notify(self.problem, title="This cannot be started", severity="error", markup=False, timeout=8)
        key = next(iter(self.errors), "") or self.problem.partition(" ")[0]
        self.form.go_to(key if key in self.draft.values else "dataset.name")

    # -- keeping

    def action_copy(self) -> None:
        """The command line, to the clipboard."""
        line = self.draft.command(runs=self._runs_option())
        if not line:
            self.notify("save it as a preset first (s): a command line begins with one", severity="warning")
            return
        self.app.copy_to_clipboard(line)
        self.notify(f"{line}\n\nsent to the terminal's clipboard (OSC 52)", title="Copied", markup=False)

    def action_save(self) -> None:
        """Keep the setup as a preset."""
        from cllab.tui.screens.save_preset import SavePresetScreen

        if self.errors:
            self._show_problem()
            return

        def saved(path: Any) -> None:
            if path is None:
                return
            self.lab.settings.remember_preset(path)
            start = read_start(path, shipped=False)
            try:
                draft = start.draft(self.draft.catalog)
            except UsageError as error:
                self.notify(str(error), severity="error", markup=False)
                return
            self._find_presets()
            self.show_draft(draft.with_seeds(self.draft.seeds), fresh=True)
            self._list()
            self.notify(f"saved: {start.name}", markup=False)

        self.app.push_screen(SavePresetScreen(self.draft), saved)
