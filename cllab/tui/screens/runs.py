"""Every run there is: filter, open, attach, replay, resume, export, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus, ScreenResume
from textual.screen import Screen
from textual.widgets import Input, Static

from cllab.errors import CllabError, UsageError
from cllab.tui import filters
from cllab.tui.index import Entry, RunIndex, index_of
from cllab.tui.screens.commanding import KEPT
from cllab.tui.summaries import entry_text
from cllab.tui.theme import style
from cllab.tui.troubles import background
from cllab.tui.widgets.field import Field
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.run_table import BY_KEY, RunTable, ordered

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

SORTS: dict[tuple[str, bool], str] = {
    ("started", True): "newest first",
    ("average", True): "best average first",
    ("forgetting", False): "least forgotten first",
    ("name", False): "by name and seed",
}
"""What `s` goes through: a column and whether its largest stands on top; the titles of the table offer the rest."""


class RunsScreen(Screen[None]):
    """The runs folder as a list."""

    # not the filter, which stands above it: what is typed while the screen comes up is a key of the table
    AUTO_FOCUS = "RunTable"
    HELP = (
        "Runs are folders; a run that trains goes on whether it is looked at or not. The filter takes words, "
        f"key:text and key<number: {filters.EXAMPLE}. A minus turns a term around. A click on a title sorts by it, "
        "another one the other way."
    )
    CSS = """
    RunsScreen #table { height: 1fr; }
    RunsScreen #filter { width: 1fr; background: $surface; padding: 0 1; }
    RunsScreen #bar { height: 1; padding: 0 1; }
    RunsScreen #bar .hint { width: auto; color: $text-muted; padding-right: 1; }
    RunsScreen #count { width: auto; color: $text-muted; padding-left: 1; }
    RunsScreen #details { height: 7; border: round $border-blurred; padding: 0 1; border-title-color: $text-muted; }
    RunsScreen.-short #details { height: 6; }
    App.-ascii RunsScreen RunTable, App.-ascii RunsScreen #details { border: ascii $border-blurred; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,a", "open", "Open", id="runs.open", key_display="⏎"),
        Binding("p", "replay", "Replay", id="runs.replay"),
        Binding("r", "resume", "Resume", id="runs.resume"),
        Binding("x", "stop", "Stop", id="runs.stop"),
        Binding("e", "export", "Export", id="runs.export"),
        Binding("d", "delete", "Delete", id="runs.delete"),
        Binding("slash", "filter", "Filter", id="runs.filter", key_display="/"),
        Binding("s", "sort", "Sort", id="runs.sort"),
        Binding("n", "again", "New like it", id="runs.again", show=False),
        Binding("y", "copy", "Copy path", id="runs.copy", show=False),
        Binding("escape", "clear", "All runs", id="runs.clear", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.test: filters.Test = lambda _entry: True
        self.problem = ""
        self.sort: tuple[str, bool] = next(iter(SORTS))
        self._version = -1

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    @property
    def index(self) -> RunIndex:
        """What is known of every run."""
        return index_of(self.lab.store)

    @property
    def entry(self) -> Entry | None:
        """The run under the cursor."""
        return self.query_one(RunTable).current

    def compose(self) -> ComposeResult:
        yield ModeBar("runs")
        with Horizontal(id="bar"):
            yield Static("filter /", classes="hint", markup=False)
            yield Field(placeholder=filters.EXAMPLE, compact=True, id="filter")
            yield Static("", id="count", markup=False)
        with Vertical():
            yield RunTable(id="table")
            yield Static("", id="details")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#table").border_title = "runs"
        self.query_one("#details").border_title = "this run"
        self.query_one(RunTable).focus()
        self.show_entries()
        self._look()
        self.set_interval(1.0, self._tick)

    @on(ScreenResume)
    def _resumed(self) -> None:
        self._look()

    def _tick(self) -> None:
        if self.is_current:
            if self.index.is_due or self.index.version != self._version:
                self._glance()
            self.query_one(RunTable).grow_older()

    @background("index", "looking at the runs")
    def _look(self) -> None:
        self.index.refresh()
        self.app.call_from_thread(self.show_entries)

    @background("index", "looking at the runs")
    def _glance(self) -> None:
        self.index.glance()
        # another screen may have been the first to see what is new
        if self.index.version != self._version:
            self.app.call_from_thread(self.show_entries)

    def show_entries(self) -> None:
        """List what passes the filter."""
        if not self.is_running:
            return
        self._version = self.index.version
        everything = self.index.entries
        key, most_first = self.sort
        # of those that are equal the first seed stands first
        shown = ordered((e for e in reversed(everything) if self.test(e)), key, most_first=most_first)
        table = self.query_one(RunTable)
        table.show(shown, self.sort)
        table.border_title = f"runs{self.lab.glyphs.sep}{self._sorted_by()}"
        n, of = len(shown), len(everything)
        plural = "run" if of == 1 else "runs"
        count = "! not applied" if self.problem else f"{n} {plural}" if n == of else f"{n} of {of} {plural}"
        self.query_one("#count", Static).update(count)
        self._details()

    def _sorted_by(self) -> str:
        key, most_first = self.sort
        return SORTS.get(self.sort) or f"by {BY_KEY[key].title}, {'descending' if most_first else 'ascending'}"

    @on(RunTable.Highlighted)
    @on(DescendantFocus)
    @on(DescendantBlur)
    def _details(self) -> None:
        entry = self.entry
        box = self.query_one("#details", Static)
        typing = self.focused is self.query_one("#filter")
        box.border_title = "filter" if typing or self.problem else "this run"
        if typing or self.problem:
            box.update(self._filter_text())
        elif entry is not None:
            box.update(entry_text(entry, self.lab))
        elif self.index.entries:
            box.update("no run passes the filter; esc shows all")
        else:
            box.update(f"no runs in {self.lab.store.folder} yet; 1 sets one up".replace("[", r"\["))
        self.refresh_bindings()

    def _filter_text(self) -> Text:
        """What is wrong with the filter, and what may stand in it."""
        colors = self.lab.palette
        text = Text()
        if self.problem:
            text.append(f"! {self.problem}\n", style(colors.lost, bold=True))
        elif not self.query_one(RunTable).entries and self.index.entries:
            text.append("no run passes the filter\n", style(colors.text, bold=True))
        text.append(f"{filters.columns()}\n", style(colors.text))
        text.append(
            f"{filters.EXAMPLE}   words look everywhere, -term turns it around; enter: the list, esc: all runs",
            style(colors.muted),
        )
        return text

    # -- the filter

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        try:
            self.test, self.problem = filters.parse(event.value), ""
        except UsageError as error:
            self.problem = str(error)
        self.show_entries()

    @on(Input.Submitted, "#filter")
    def _entered(self) -> None:
        self.query_one(RunTable).focus()

    def action_filter(self) -> None:
        """Type a filter."""
        # at once: what is typed next is the filter
        self.set_focus(self.query_one("#filter"))

    def action_clear(self) -> None:
        """All runs again."""
        self.query_one("#filter", Input).value = ""
        self.query_one(RunTable).focus()

    def action_sort(self) -> None:
        """The next order."""
        orders = list(SORTS)
        here = orders.index(self.sort) if self.sort in orders else -1
        self.sort = orders[(here + 1) % len(orders)]
        self.show_entries()

    @on(RunTable.SortAsked)
    def _title_clicked(self, message: RunTable.SortAsked) -> None:
        key, most_first = self.sort
        self.sort = (message.key, not most_first if message.key == key else BY_KEY[message.key].most_first)
        self.show_entries()

    # -- acting on the run under the cursor

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run."""
        if action in ("open", "replay", "resume", "stop", "export", "delete", "again", "copy"):
            entry = self.entry if self.is_mounted else None
            if entry is None:
                return False
            if action == "resume":
                return entry.state in ("stopped", "failed", "lost")
            if action == "stop":
                return entry.state in ("training", "paused", "starting") and entry.wish != "stopping"
            if action == "replay":
                return entry.is_over
            if action == "delete":
                return entry.is_over or entry.state == "queued"
            if action == "export":
                return entry.run.events_path.exists()
        return super().check_action(action, parameters)

    @on(RunTable.Opened)
    def action_open(self) -> None:
        """Look at it: as it trains, or as it ended."""
        if self.entry is not None:
            self.lab.open_run(self.entry.run)

    def action_replay(self) -> None:
        """Play it back."""
        if self.entry is not None:
            self.lab.open_run(self.entry.run, replay=True)

    def action_resume(self) -> None:
        """Go on from its checkpoint; a run that never wrote one begins anew."""
        entry = self.entry
        if entry is None:
            return
        try:
            self.lab.resume_run(entry.run)
        except CllabError as error:
            self.notify(str(error), severity="error", markup=False)

    def action_stop(self) -> None:
        """End its training after this batch; asks first."""
        from cllab.tui.screens.quit import ConfirmScreen

        entry = self.entry
        if entry is None:
            return

        def answered(yes: bool | None) -> None:
            if not yes:
                return
            try:
                entry.run.stop()
            except (CllabError, OSError) as error:
                self.notify(str(error), severity="error", markup=False)
            self._look()

        done = f", {100 * entry.fraction:.0f} % done" if entry.fraction is not None else ""
        ids = entry.run.queue()
        waiting = entry.run.id in ids and entry.run.id != ids[-1]
        text = f"{entry.run.id}{done}\n\n{KEPT}" + (" Those that wait for it begin then." if waiting else "")
        self.app.push_screen(ConfirmScreen(f"Stop {entry.name}?", text, "stop it"), answered)

    def action_export(self) -> None:
        """Write its numbers to files."""
        from cllab.tui.screens.export import ExportScreen

        if self.entry is not None:
            self.app.push_screen(ExportScreen(self.entry.run))

    def action_delete(self) -> None:
        """Remove its folder; asks first."""
        from cllab.tui.screens.quit import ConfirmScreen

        entry = self.entry
        if entry is None:
            return

        def answered(yes: bool | None) -> None:
            if not yes:
                return
            try:
                if self.lab.current == entry.run:
                    self.lab.close_run()
                entry.run.delete()
                self.notify(f"deleted: {entry.run.id}", markup=False, timeout=4)
            except (CllabError, OSError) as error:
                self.notify(str(error), severity="error", markup=False)
            self._look()

        text = f"{entry.run.folder}\n\nIts records, its memory and its checkpoint are removed for good."
        self.app.push_screen(ConfirmScreen(f"Delete {entry.name}?", text, "delete it", lit="esc"), answered)

    def action_again(self) -> None:
        """Set up a new run like this one."""
        entry = self.entry
        if entry is None:
            return
        from cllab.tui.screens.setup import SetupScreen

        self.lab.switch_mode("setup")
        screen = self.lab.screen
        if isinstance(screen, SetupScreen):
            self.lab.call_later(screen.show_config, entry.config)

    def action_copy(self) -> None:
        """Its folder's path, to the clipboard."""
        if self.entry is not None:
            path = str(self.entry.run.folder.resolve())
            self.app.copy_to_clipboard(path)
            self.notify(f"{path}\nsent to the terminal's clipboard (OSC 52)", markup=False, timeout=4)
