"""The first screen: begin with a preset or a recent run, or set up a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantFocus, ScreenResume
from textual.screen import Screen
from textual.widgets import Button, Static

from cllab.config import RunConfig
from cllab.data.info import DataStatus
from cllab.errors import CllabError, UsageError
from cllab.queue import start_queue
from cllab.tui.draft import Draft
from cllab.tui.estimates import Estimate, duration, estimate
from cllab.tui.form import ChoiceControl, Form, Row, TextControl
from cllab.tui.index import RunIndex, index_of
from cllab.tui.pages import component_text, field_text
from cllab.tui.rows import GROUPS, first_rows, group_rows, group_title, picks
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.starts import FIRST, QUICK, Start, read_start, recall, shipped_paths, starts
from cllab.tui.units import size
from cllab.tui.widgets.group import Group, GroupTitle
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.start_list import StartList
from cllab.tui.widgets.stream_picture import StreamPicture

if TYPE_CHECKING:
    from cllab.runs import Run
    from cllab.tui.app import CllabApp

SMALLEST_SETUP = {"method": {"name": "finetune"}, "dataset": {"name": "digits"}}
"""What the form holds when not even the quick look is there."""


class FormScroll(VerticalScroll, can_focus=False):
    """The form: up and down go from one question to the next."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "screen.move(1)", "Next", show=False),
        Binding("up", "screen.move(-1)", "Previous", show=False),
    ]


class SetupScreen(Screen[None]):
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
        self.status: DataStatus | None = None
        self.estimate = Estimate()
        self._quick: Start | None = None

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
            self._draft = self._first_draft()
        return self._draft

    def _first_draft(self) -> Draft:
        remembered = recall(self.lab.settings.last, self.lab.catalog)
        if remembered is not None:
            return remembered
        try:
            if self._quick is not None:
                return self._quick.draft(self.lab.catalog)
            return Draft.of(SMALLEST_SETUP, self.lab.catalog)
        except UsageError:
            names = {k: {"name": self.lab.catalog.names(k)[0]} for k in ("method", "dataset")}
            return Draft.of(names, self.lab.catalog)

    # -- layout

    def compose(self) -> ComposeResult:
        quick = next((p for p in shipped_paths() if p.stem == QUICK), None)
        self._quick = read_start(quick, shipped=True) if quick else None
        yield ModeBar("setup")
        with Horizontal(id="body"):
            yield StartList(id="start")
            with Vertical(id="main"):
                with FormScroll(id="form") as form:
                    form.border_title = "New run"
                    yield Form(first_rows(self.draft), self._picks, id="first")
                    for table in GROUPS:
                        yield Group("", lambda t=table: self._group_form(t), id=f"group-{table or 'top'}")  # type: ignore[misc]
                with Horizontal(id="about"):
                    with VerticalScroll(id="text", can_focus=False) as text:
                        text.border_title = "what it means"
                        yield Static("", id="explanation")
                    yield StreamPicture(id="picture")
        with Vertical(id="foot"):
            yield Static("", id="data", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Run (r)", id="run", variant="primary", compact=True)
                yield Static("", id="estimate", markup=False)
            yield Static("", id="command", markup=False)
        yield KeyBar()

    def _group_form(self, table: str) -> Form:
        return Form(group_rows(self.draft, table), self._picks, id=f"form-{table or 'top'}")

    def _picks(self, key: str) -> list[Pick]:
        return picks(self.draft, key)

    def on_mount(self) -> None:
        if self.lab.settings.problem:
            self.notify(self.lab.settings.problem, severity="warning", markup=False, timeout=8)
        self._list()
        self.show_draft(self.draft)
        self.query_one(StartList).focus()
        self.set_interval(1.0, self._tick)

    @on(ScreenResume)
    def _resumed(self) -> None:
        self._refresh_index()

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
        paths = shipped_paths()
        few = [read_start(p, shipped=True) for p in paths if p.stem in FIRST and p.stem != QUICK]
        few += [s for s in starts(self.lab.settings.presets) if not s.shipped][:5] if self.lab.settings.presets else []
        self.query_one(StartList).show(self._quick, few, len(paths), self.index.entries)

    # -- showing the draft

    def show_draft(self, draft: Draft) -> None:
        """Show `draft` everywhere."""
        self._draft = draft
        self.query_one("#first", Form).show_rows(first_rows(draft))
        for table in GROUPS:
            group = self.query_one(f"#group-{table or 'top'}", Group)
            rows = group_rows(draft, table)
            group.display = bool(rows)
            group.show_title(*group_title(draft, table))
            if isinstance(group.body, Form):
                group.body.show_rows(rows)
        self.query_one(StreamPicture).show(draft)
        self._collect_errors()
        self._show_foot()
        self._explain()
        self._look_at_data(draft.config)
        self._estimate()

    def _forms(self) -> list[Form]:
        return [f for f in self.query(Form) if f.is_attached]

    def _collect_errors(self) -> None:
        self.errors = {key: error for form in self._forms() for key, error in form.errors.items()}

    @property
    def problem(self) -> str:
        """Why this cannot be started, in one line; empty when it can."""
        for key, error in self.errors.items():
            return f"{key} {error}"
        return next(iter(self.draft.problems), "")

    def _show_foot(self) -> None:
        draft, glyphs = self.draft, self.lab.glyphs
        command = self.query_one("#command", Static)
        line = draft.command(runs=self._runs_option())
        command.update(f"$ {line}" if line else "save it as a preset (s) to run it without the app")
        self.query_one("#run", Button).disabled = bool(self.problem)
        box = self.query_one("#estimate", Static)
        box.set_class(bool(self.problem), "-problem")
        if self.problem:
            box.update(f"! {self.problem}")
            return
        found = self.estimate
        n = len(draft.seeds)
        if found.seconds is None:
            parts = ["time unknown until a run like this has ended here"]
        else:
            each = "about " if not found.rough else "roughly "
            parts = [each + duration(found.seconds * n) + (f" for {n} runs" if n > 1 else ""), found.basis]
        parts.append(self._memory_words(found))
        box.update(glyphs.sep.join(p for p in parts if p))

    def _memory_words(self, found: Estimate) -> str:
        capacity = self.draft.values["memory.capacity"]
        if not capacity:
            return "no memory"
        if found.bytes is None:
            return "memory size unknown"
        kinds = ", ".join(f"{kind} {size(n)}" for kind, n in sorted(found.bytes.items(), key=lambda kv: -kv[1]))
        return f"memory {size(sum(found.bytes.values()))}: {kinds}"

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
        palette, glyphs, draft = self.lab.palette, self.lab.glyphs, self.draft
        row = self.row
        key = row.key if row is not None else "method.name"
        table, _, name = key.rpartition(".")
        if row is not None and not (name == "name" and table):
            text = field_text(
                row.spec, "seeds" if key == "seed" else key, palette, glyphs, error=self.errors.get(key, "")
            )
        else:
            text = component_text(draft.component(table), palette, glyphs)
        mine = [p for p in draft.problems if p.startswith(f"{key} ")]
        for problem in mine:
            text.append(f"\n! {problem}", "bold")
        self.query_one("#explanation", Static).update(text)
        self.query_one("#text", VerticalScroll).scroll_home(animate=False)

    @on(Form.Focused)
    def _row_focused(self, message: Form.Focused) -> None:
        self.row = message.row
        stream = message.row.key.startswith("scenario.") and message.row.key != "scenario.name"
        if stream != self.has_class("-stream"):
            self.set_class(stream, "-stream")
        self._explain()

    @on(DescendantFocus)
    def _focus_moved(self, event: DescendantFocus) -> None:
        form = self.query_one("#form")
        form.set_class(form in event.widget.ancestors, "-here")
        if isinstance(event.widget, StartList):
            self._look(event.widget)
        elif isinstance(event.widget, GroupTitle):
            group = event.widget.parent
            table = (group.id or "").removeprefix("group-") if isinstance(group, Group) else ""
            if table in ("method", "scenario", "memory", "model", "dataset"):
                self.row = None
                self.query_one("#explanation", Static).update(
                    component_text(self.draft.component(table), self.lab.palette, self.lab.glyphs)
                )

    # -- the data

    @work(thread=True, exclusive=True, group="data", exit_on_error=False)
    def _look_at_data(self, config: RunConfig) -> None:
        from cllab.data.where import dataset_status

        root = config.dataset.common.get("root") or None
        try:
            status = dataset_status(config.dataset.name, root, config=dict(config.dataset.values), scan=False)
        except (CllabError, OSError) as error:
            status = DataStatus(config.dataset.name, False, (), problem=str(error))
        self.app.call_from_thread(self._data_seen, status)

    def _data_seen(self, status: DataStatus) -> None:
        if not self.is_running or status.name != self.draft.values["dataset.name"]:
            return
        self.status = status
        box = self.query_one("#data", Static)
        box.set_class(not status.found, "-missing")
        if not status.found:
            box.update(self._missing(status))
        self.refresh_bindings()

    def _missing(self, status: DataStatus) -> str:
        n_bytes = self._download_bytes()
        offer = f"d downloads {size(n_bytes)}, " if n_bytes else "nothing to download: set its root below, or "
        problem = status.problem if status.problem != "nothing found" else ""
        text = f"! {status.name} is not here{f': {problem}' if problem else ''}; {offer}b uses the built-in digits."
        return text + (f" Looked for {' or '.join(status.where[:2])}" if status.where else "")

    def _download_bytes(self) -> int:
        facts = self.draft.component("dataset").facts
        return int(facts.get("download_bytes") or 0)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        missing = self.status is not None and not self.status.found
        if action == "built_in":
            return missing
        if action == "download":
            return missing and bool(self._download_bytes())
        if action == "undo":
            return self._draft is not None and self._draft.base is not None and self._draft != self._undone()
        return super().check_action(action, parameters)

    def action_download(self) -> None:
        """Fetch the data that are missing."""
        from cllab.tui.screens.download import DownloadScreen

        values = self.draft.values
        screen = DownloadScreen(
            str(values["dataset.name"]), str(values.get("dataset.root") or ""), self._download_bytes()
        )
        self.app.push_screen(screen, self._downloaded)

    def _downloaded(self, _done: bool | None) -> None:
        self._look_at_data(self.draft.config)

    def action_built_in(self) -> None:
        """The digits, which need no download."""
        self._choose("dataset.name", "digits")

    # -- changing

    @on(Form.Changed)
    def _changed(self, message: Form.Changed) -> None:
        if message.key == "seed":
            if message.value != self.draft.seeds:
                self.show_draft(self.draft.with_seeds(message.value))
        elif message.key == "method.file":
            self._collect_errors()
            self._read_method(str(message.value))
        else:
            self._choose(message.key, message.value)

    def _choose(self, key: str, value: Any) -> None:
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
        self._choose(key, value)
        self._focus_key(key)

    def show_config(self, config: Mapping[str, Any]) -> None:
        """Put the configuration of a run into the form."""
        catalog = self.lab.catalog
        try:
            draft = Draft.of(config, catalog, base=self.draft.base)
            self.show_draft(Draft.of(draft.shortened(), catalog, base=self.draft.base))
        except (UsageError, TypeError, ValueError, AttributeError) as error:
            self.notify(f"this run cannot be set up again: {error}", severity="error", markup=False, timeout=8)
            return
        self.action_focus_form()

    @on(Form.Invalid)
    def _invalid(self, _message: Form.Invalid) -> None:
        self._collect_errors()
        self._show_foot()
        self._explain()

    @work(thread=True, exclusive=True, group="method-file", exit_on_error=False)
    def _read_method(self, file: str) -> None:
        """Describe a user's own method, which is run in a process of its own, and choose it."""
        if not file.endswith(".py"):
            return
        from pathlib import Path

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
        self.show_draft(self._undone())
        self.notify("back to the preset", timeout=3)

    # -- moving

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.query_one("#run", Button).focus()

    @on(Form.Left)
    def action_home(self) -> None:
        """The list on the left."""
        self.query_one(StartList).focus()

    def action_focus_form(self) -> None:
        """The first question."""
        self.query_one("#first", Form).query(ChoiceControl).first().focus()

    def action_move(self, by: int) -> None:
        """The next question, or the one before."""
        stops = self._stops()
        here = stops.index(self.focused) if self.focused in stops else -1
        target = here + by
        if 0 <= target < len(stops):
            stops[target].focus()

    def _stops(self) -> list[Any]:
        found = self.query_one("#form").query("TextControl, ChoiceControl, GroupTitle")
        return [w for w in found if isinstance(w, TextControl | ChoiceControl | GroupTitle) and _visible(w)]

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
            self.query_one("#explanation", Static).update(text)

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
        self.show_draft(draft)
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
        table = key.rpartition(".")[0]
        if not any(key in form.keys for form in self._forms()):
            self.query_one(f"#group-{table or 'top'}", Group).toggle(True)
        self.call_after_refresh(self._focus_key, key)

    def _focus_key(self, key: str) -> None:
        for form in self._forms():
            if key in form.keys:
                form.row(key).control.focus()

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
            self.show_draft(draft.with_seeds(self.draft.seeds))
            self._list()
            self.notify(f"saved: {start.name}", markup=False)

        self.app.push_screen(SavePresetScreen(self.draft), saved)


def _visible(widget: Any) -> bool:
    return all(w.display for w in widget.ancestors_with_self if hasattr(w, "display"))
