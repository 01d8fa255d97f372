"""How a run begins: from the list of presets and recent runs, or from what the form holds; and how a setup is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import on
from textual.widgets import Button

from cllab.errors import CllabError, UsageError
from cllab.settings.config import RunConfig
from cllab.study.queue import start_queue
from cllab.tui.controls import Row
from cllab.tui.doubts import doubts, twins
from cllab.tui.draft import Draft
from cllab.tui.estimates import Estimate, estimate
from cllab.tui.index import RunIndex, index_of
from cllab.tui.screens.data_offer import DataOffer
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.screens.starting import StartScreen
from cllab.tui.starts import FIRST, QUICK, Start, first_draft, read_start, recall, shipped_paths, starts
from cllab.tui.units import size
from cllab.tui.widgets.explanation import Explanation
from cllab.tui.widgets.run_form import RunForm
from cllab.tui.widgets.start_list import StartList

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

MOST_SAVED = 5
"""Saved presets that stand in the list."""


class Beginning(DataOffer):
    """A screen with a draft, and all the ways to make a run of it."""

    def __init__(self) -> None:
        super().__init__()
        self._draft: Draft | None = None
        self.row: Row | None = None
        self.errors: dict[str, str] = {}
        self.estimate = Estimate()
        self._quick: Start | None = None
        self._few: list[Start] = []
        self._n_presets = 0
        self._version = -1
        self._listed = 0.0
        self._recalled: tuple[Mapping[str, Any], Draft | None] | None = None

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
            self._draft = self.last or first_draft(self._quick, self.lab.catalog)
        return self._draft

    @property
    def last(self) -> Draft | None:
        """The setup that is remembered, None when there is none or it makes no sense any more."""
        remembered = self.lab.settings.last
        if self._recalled is None or self._recalled[0] is not remembered:
            self._recalled = (remembered, recall(remembered, self.lab.catalog))
        return self._recalled[1]

    def show_draft(self, draft: Draft, *, fresh: bool = False) -> None:
        """Show `draft` everywhere; `fresh` drops what is typed and was no value."""
        raise NotImplementedError

    def action_focus_form(self) -> None:
        """The first question."""
        raise NotImplementedError

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

    def _runs_option(self) -> str:
        from cllab.record.runs import runs_folder

        folder = self.lab.store.folder
        return "" if folder == runs_folder() else str(folder)

    # -- the list of presets and runs

    def _list(self) -> None:
        self._listed = time.monotonic()
        last = self.last.name if self.last is not None else ""
        self.query_one(StartList).show(self._quick, last, self._few, self._n_presets, self.index.entries)

    def _find_presets(self) -> None:
        """Those that stand in the list; the others are read when they are asked for."""
        paths = shipped_paths()
        self._n_presets = len(paths) + len(self.lab.settings.presets)
        few = [read_start(p, shipped=True) for p in paths if p.stem in FIRST]
        self._quick = next((s for s in few if s.label == QUICK), None)
        saved = [Path(p) for p in self.lab.settings.presets[:MOST_SAVED]]
        self._few = [s for s in few if s.label != QUICK] + [read_start(p, shipped=False) for p in saved if p.is_file()]

    # -- beginning

    @on(StartList.Looked)
    def _looked(self, message: StartList.Looked) -> None:
        self._look(self.query_one(StartList), message.what)

    def _look(self, start_list: StartList, what: str = "") -> None:
        """Say what Enter would do."""
        from cllab.tui.summaries import entry_text, last_text, lessons_text, start_text

        if not what and start_list.highlighted is not None:
            what = start_list.get_option_at_index(start_list.highlighted).id or ""
        kind, _, name = what.partition(":")
        text = None
        if kind == "run":
            entry = self.index.get(name)
            text = entry_text(entry, self.lab) if entry is not None else None
        elif kind in ("quick", "preset"):
            start = self._start(name)
            if start is not None:
                text = start_text(start, self.lab, quick=kind == "quick", instead=self._instead_of(start))
        elif kind == "last" and self.last is not None:
            text = last_text(self.last, self.lab)
        elif kind == "lessons":
            text = lessons_text(self.lab)
        self.row = None
        if text is not None:
            self.query_one(Explanation).show(text)

    def _instead_of(self, start: Start) -> str:
        """What else than `start` the form holds, which would go; empty when it holds nothing else."""
        try:
            other = start.draft(self.lab.catalog)
        except UsageError:
            return ""
        same = other.config == self.draft.config and other.seeds == self.draft.seeds
        return "" if same else f"{self.draft.name} in the form"

    def _start(self, name: str) -> Start | None:
        if self._quick is not None and name == self._quick.name:
            return self._quick
        return next((s for s in starts(self.lab.settings.presets) if s.name == name), None)

    @on(StartList.Opened)
    def _opened(self, message: StartList.Opened) -> None:
        kind, _, name = message.what.partition(":")
        if kind == "more":
            self.action_presets()
        elif kind == "lessons":
            self.lab.switch_mode("lessons")
        elif kind == "run":
            entry = self.index.get(name)
            if entry is not None:
                self.lab.open_run(entry.run)
        elif kind == "last":
            if self.last is not None:
                self.show_draft(self.last, fresh=True)
            self.action_focus_form()
        else:
            self.begin(name, at_once=kind == "quick")

    def begin(self, name: str, *, at_once: bool = False) -> None:
        """Put a preset into the form, and start it when `at_once`."""
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
            self.notify(f"{start.label}: r starts it, or change it first", timeout=2, markup=False)
            self.action_focus_form()

    def action_presets(self) -> None:
        """Every preset, to search in."""
        found = starts(self.lab.settings.presets)
        options = [Pick(s.name, "" if s.shipped else "saved", s.about, s.problem) for s in found]

        def chosen(name: str | None) -> None:
            if name is not None:
                # the dialog first gives the focus back to where it was
                self.call_after_refresh(self.begin, name)

        base = self.draft.base
        self.app.push_screen(PickScreen("Presets", options, base.name if base else None), chosen)

    @on(Button.Pressed, "#run")
    def action_run(self) -> None:
        """Start it; ask first where it was trained already or may take long; or say what is in the way."""
        if self.problem:
            self._show_problem()
            return
        draft = self.draft
        try:
            configs = draft.configs()
        except CllabError as error:
            self.notify(str(error), severity="error", markup=False, timeout=10)
            return
        entries, catalog = self.index.entries, self.lab.catalog
        doubt = doubts(draft, twins(configs, entries, catalog), estimate(configs[0], entries, catalog))
        if doubt is None:
            self._start_now(draft, configs)
            return

        def chosen(choice: str | None) -> None:
            if choice == "start":
                self._start_now(draft, configs)
            elif choice == "open" and doubt.twin is not None:
                self.lab.open_run(doubt.twin.run)

        self.app.push_screen(StartScreen(doubt), chosen)

    def _start_now(self, draft: Draft, configs: list[RunConfig]) -> None:
        try:
            if len(configs) == 1:
                self.lab.start_run(configs[0])
            else:
                self._start_several(configs)
        except (CllabError, OSError) as error:
            self.notify(str(error), severity="error", markup=False, timeout=10)
            return
        self.lab.settings.last = draft.remembered()
        self.lab.settings.save()

    def _start_several(self, configs: list[RunConfig]) -> None:
        runs = self.lab.store.create_all(configs)
        start_queue(runs)
        self.lab.open_run(runs[0])
        self.notify(f"{len(runs)} runs, one after another; they go on when this app is closed", markup=False, timeout=6)

    def _show_problem(self) -> None:
        problem = self.problem
        if self.is_missing and not self.errors and not self.draft.problems:
            # the line that offers it may lie under this message
            offer = f"d downloads {size(self.download_bytes)}" if self.download_bytes else "set its root in the form"
            problem += f"; {offer}, b uses the built-in digits"
        self.notify(problem, title="This cannot be started", severity="error", markup=False, timeout=8)
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
