"""One run as it happens: progress, accuracy, forgetting, memory, speed; pause, step, stop, detach."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import DescendantFocus, Key, Resize, ScreenResume
from textual.widget import Widget
from textual.widgets import Static

from cllab.record.state import RunState
from cllab.tui.feed import Feed
from cllab.tui.panes import MAKE, Look, fill
from cllab.tui.screens.commanding import Commanding
from cllab.tui.view import (
    accuracy_curves,
    class_names,
    n_tasks,
    task_classes,
    task_names,
)
from cllab.tui.widgets.chart import Chart
from cllab.tui.widgets.composition import MOST_GROUPS, Composition
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.matrix import AccuracyMatrix
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.pane_tabs import PaneTabs
from cllab.tui.widgets.run_header import RunHeader
from cllab.tui.widgets.scrub_bar import ScrubBar
from cllab.tui.widgets.thumbs import ThumbGrid
from cllab.tui.widgets.trace_view import TraceView

PANES = (
    ("accuracy", "accuracy"),
    ("forgetting", "forgetting"),
    ("matrix", "matrix"),
    ("memory", "memory"),
    ("rates", "speed"),
    ("trace", "trace"),
    ("classes", "classes"),
    ("samples", "samples"),
)
NEED_A_RUN = ("focus_task", "unfocus", "zoom", "pane", "group", "marker", "log", "fit", "trace", "lines")
MARKERS: tuple[Literal["braille", "quadrant", "ascii"], ...] = ("braille", "quadrant", "ascii")


class LiveScreen(Commanding):
    """The open run."""

    CSS_PATH = "live.tcss"
    HELP = (
        "Watch a run. Everything here is read from its folder: quitting the app does not stop it, "
        "and any number of viewers may look at it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "focus_task(1)", "Focus task", id="live.focus"),
        Binding("F", "focus_task(-1)", "Focus back", id="live.focus_back", show=False),
        Binding("escape", "unfocus", "All tasks", id="live.unfocus", show=False),
        Binding("z", "zoom", "Zoom", id="live.zoom"),
        Binding("tab", "pane(1)", "Next pane", id="live.next_pane", show=False),
        Binding("shift+tab", "pane(-1)", "Pane before", id="live.previous_pane", show=False),
        Binding("T", "tracing", "Trace/speed pane", id="live.tracing", show=False),
        Binding("g", "group", "By class/task", id="live.group", show=False),
        Binding("y", "fit", "Fit axis", id="live.fit"),
        Binding("c", "lines", "By class", id="live.lines", show=False),
        Binding("m", "marker", "Marker", id="live.marker", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.current = "accuracy"
        self.zoomed = False
        self.focus_task: int | None = None
        self.by = "class"
        self.lines = "test"
        self.fitted = False
        self._feed: Feed | None = None
        self._told = ""
        self._keys: tuple[str, bool, int, bool] = ("", False, 0, False)
        self.shows_traces = True
        self._awaits_trace = False
        self._shown_wish = ""

    def compose(self) -> ComposeResult:
        yield ModeBar("live")
        yield RunHeader(id="header")
        yield PaneTabs(PANES, id="tabs")
        with Container(id="panes"):
            for key, _ in PANES:
                yield MAKE[key](key)
        yield Static("", id="nothing")
        yield ScrubBar(id="scrub")
        yield KeyBar()

    def on_mount(self) -> None:
        self._arrange()
        self.set_interval(1.0, self._tick)

    @on(ScreenResume)
    def _resumed(self) -> None:
        if self.lab.feed is not None:
            self.show_state(self.lab.feed.state)
        else:
            self._show_nothing()

    def on_resize(self, _event: Resize) -> None:
        self._arrange()

    # -- drawing

    def show_state(self, state: RunState) -> None:
        """Draw the newest state; only the panes that are on the screen."""
        feed = self.lab.feed
        if feed is None:
            self._show_nothing()
            return
        if feed is not self._feed:
            self._feed, self._asked, self._told, self.focus_task, self.lines = feed, None, "", None, "test"
            self.query_one(AccuracyMatrix).cursor = None
            self._arrange()
        playing = self.player is not None and self.player.playing
        keys = (state.status, feed.is_training, min(len(state.traces), 1), playing)
        bindings_change, self._keys = keys != self._keys, keys
        news = len(state.traces) - len(self._state.traces)
        first_trace = bool(len(state.traces)) != bool(len(self._state.traces))
        self._state = state
        if news > 0 and self._awaits_trace:
            self._awaits_trace = False
            self._choose("trace")
        elif first_trace:
            self._arrange()
        self._settle(state)
        self.query_one("#nothing").display = False
        self._show_header(feed, state)
        self.show_player()
        for pane in self._visible():
            self._fill(pane, state)
        if bindings_change:
            self.refresh_bindings()
        self._tell(state)

    def _show_header(self, feed: Feed, state: RunState) -> None:
        waited = time.monotonic() - feed.opened
        self._shown_wish = self._wish() or self._elsewhere(feed)
        self.query_one(RunHeader).show(
            state,
            name=self._run_name(state),
            wish=self._shown_wish,
            place=self.run_place(state),
            waited=waited,
            replayed=feed.replayed,
        )

    def _elsewhere(self, feed: Feed) -> str:
        """What the run was asked for from the list or by another viewer."""
        return feed.run.wish(self._state.status) if feed.is_training else ""

    def _show_nothing(self) -> None:
        note = self.query_one("#nothing", Static)
        note.display = True
        note.update("No run is open.  1 sets one up, 4 lists those there are.")
        for widget in ("#header", "#tabs", "#panes", "#scrub"):
            self.query_one(widget).display = False
        # keys of a pane that nobody sees
        self.set_focus(None)

    def _run_name(self, state: RunState) -> str:
        return state.started.name if state.started else self.lab.feed.run.id if self.lab.feed else ""

    def _visible(self) -> list[Widget]:
        return [w for w in self.query_one("#panes").children if w.display]

    def _fill(self, pane: Widget, state: RunState) -> None:
        if self.lab.feed is not None:
            look = Look(self.focus_task, self.lab.settings.marker, self.by, fitted=self.fitted, lines=self.lines)
            fill(pane, self.lab.feed.run, state, look)

    # -- layout

    @property
    def small(self) -> bool:
        """Whether there is room for one pane only."""
        return self.size.width < 100 or self.size.height < 30

    @property
    def single(self) -> bool:
        """Whether one pane is shown at a time."""
        return self.zoomed or self.small

    @property
    def key_words(self) -> dict[str, str]:
        """What keys do now, short where all of them are to be said."""
        if not self.small:
            return super().key_words
        # what cannot be done, and what is also said where it is needed (a failure, leaving), makes room
        short = {"focus_task(1)": "Focus", "fit": "Fit"}
        if self.lab.feed is not None and self.lab.feed.is_training:
            paused = self._state.status == "paused"
            short.update({"log": "", "detach" if paused else "trace": ""})
        return {**super().key_words, **short}

    def _arrange(self) -> None:
        """Show the panes that the size allows."""
        if not self.is_mounted:
            return
        single, wide = self.single, self.size.width >= 150 and self.size.height >= 36
        self.set_class(single, "-single")
        self.set_class(wide and not single, "-all")
        self.query_one("#header").display = self.lab.feed is not None
        self.query_one("#panes").display = self.lab.feed is not None
        panes = self._panes()
        if self.current not in dict(panes):
            self.current = "accuracy"
        tabs = self.query_one(PaneTabs)
        tabs.display = single and self.lab.feed is not None
        tabs.show(self.current, panes)
        for key, _ in PANES:
            shown = key == self.current if single else wide or key not in ("classes", "samples")
            if not single and key in ("rates", "trace"):
                # one place for both: while a step is looked at, nothing runs
                shown = (key == "trace") == (self.shows_traces and "trace" in dict(panes))
            self.query_one(f"#{key}").display = shown
        if self.lab.feed is not None:
            for pane in self._visible():
                self._fill(pane, self._state)
        focused = self.focused
        if self.lab.feed is not None and ((isinstance(focused, Chart) and not focused.display) or focused is None):
            target = self.query_one(f"#{self.current}")
            (target if target.display else self.query_one("#accuracy")).focus()

    def _panes(self) -> list[tuple[str, str]]:
        """The panes that have something to show now."""
        return [(k, name) for k, name in PANES if k != "trace" or len(self._state.traces)]

    def action_pane(self, by: int) -> None:
        """Go to the next pane, or show it when there is room for one only."""
        keys = [k for k, _ in self._panes() if self.single or self.query_one(f"#{k}").display]
        here = keys.index(self.current) if self.current in keys else 0
        self._choose(keys[(here + by) % len(keys)])

    def _choose(self, pane: str) -> None:
        self.current = pane
        self._arrange()
        self.query_one(f"#{pane}").focus()

    @on(PaneTabs.Chosen)
    def _pane_chosen(self, message: PaneTabs.Chosen) -> None:
        self._choose(message.pane)

    @on(DescendantFocus)
    def _focus_moved(self, event: DescendantFocus) -> None:
        if event.widget.id in dict(PANES):
            self.current = event.widget.id or self.current

    def action_zoom(self) -> None:
        """One pane over the whole screen, or all of them."""
        self.zoomed = not self.zoomed
        self._arrange()

    # -- looking

    def action_focus_task(self, by: int) -> None:
        """Look at the next task that has been evaluated, and dim the others; after the last, at all."""
        learned = accuracy_curves(self._state, self.lines).y
        known = np.flatnonzero(np.isfinite(learned).any(axis=0)).tolist() if learned.size else []
        if not known:
            self.notify("nothing has been evaluated yet", timeout=3)
            return
        ring: list[int | None] = [None, *known]
        here = ring.index(self.focus_task) if self.focus_task in ring else 0
        self._look_at(ring[(here + by) % len(ring)])

    def _look_at(self, task: int | None) -> None:
        self.focus_task = task
        if task is None:
            self.query_one(LineChart).entitle("accuracy per task %")
        elif not self._state.is_apart and self.lines == "test":
            classes = ", ".join(task_classes(self._state, task)[:4])
            name = task_names(self._state)[task] if task < n_tasks(self._state) else ""
            about = classes or (name if name != f"T{task + 1}" else "")
            self.query_one(LineChart).entitle(f"accuracy % - T{task + 1}" + (f": {about}" if about else ""))
        for pane in self._visible():
            self._fill(pane, self._state)

    @on(LineChart.Focused)
    def _label_clicked(self, message: LineChart.Focused) -> None:
        self._look_at(None if message.task == self.focus_task else message.task)

    def action_unfocus(self) -> None:
        """Look at all tasks; leave the zoom."""
        if self.focus_task is not None:
            self._look_at(None)
        elif self.zoomed:
            self.action_zoom()

    def action_group(self) -> None:
        """Divide the memory by class or by task."""
        self.by = "task" if self.by == "class" else "class"
        many = len(class_names(self._state)) > MOST_GROUPS and not self.query_one(Composition).is_strip
        if self.by == "class" and many:
            self.notify(
                f"more than {MOST_GROUPS} classes are shown by task; the classes pane has each of them", timeout=4
            )
        for pane in self._visible():
            self._fill(pane, self._state)

    def action_fit(self) -> None:
        """Fit the axes of accuracy and forgetting to the data, or show 0 to 100 again; the titles say which."""
        self.fitted = not self.fitted
        for pane in self._visible():
            self._fill(pane, self._state)

    def action_lines(self) -> None:
        """A line for every class, or for every task or test set again."""
        self.lines = "test" if self.lines == "class" else "class"
        self._look_at(None)
        for chart in self.query(LineChart):
            # who has the heading of tasks again is told at once
            if self.lines == "test" and not self._state.is_apart:
                told = "forgetting per task, points" if chart.mean_name == "mean" else "accuracy per task %"
                chart.entitle(told)

    def go_to(self, task: int) -> None:
        """Look at `task`: at its line where tasks have lines, and at its row of the matrix."""
        super().go_to(task)
        if self.player is not None:
            return
        matrix = self.query_one(AccuracyMatrix)
        matrix.look_at(task)
        if self._state.is_apart or self.lines == "class":
            self._choose("matrix")
        else:
            self._look_at(task)

    def action_marker(self) -> None:
        """Draw lines finely, boldly (for a projector), or in ASCII."""
        settings = self.lab.settings
        here = MARKERS.index(settings.marker) if settings.marker in MARKERS else 0
        settings.marker = MARKERS[(here + 1) % len(MARKERS)]
        settings.save()
        for pane in self._visible():
            self._fill(pane, self._state)

    # -- tracing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A step is traced while training is paused; the pane can be changed when there is a trace."""
        if self.lab.feed is None and action in NEED_A_RUN:
            return False
        if action == "trace":
            if not self._no_trace():
                return True
            # greyed out while it trains, not there when nothing does
            return None if self.player is None and super().check_action("pause", ()) else False
        if action == "zoom":
            # one pane has the screen anyway
            return not self.small or self.zoomed
        if action == "tracing":
            return bool(len(self._state.traces)) and not self.single
        return super().check_action(action, parameters)

    def _no_trace(self) -> str:
        """Why no step can be traced now; empty when one can."""
        feed, status = self.lab.feed, self._state.status
        if feed is None or feed.replayed or not feed.is_training:
            return "nothing trains: a step can be traced while a run is paused"
        if self._asked is not None and self._asked[0] == "tracing":
            return "a step is being traced"
        return "" if status == "paused" else "pause first (space), then t trains one step and shows what happened in it"

    def on_key(self, event: Key) -> None:
        """Say why the key does nothing."""
        if event.key == "t" and (reason := self._no_trace()):
            self.notify(reason, timeout=4)

    def action_trace(self) -> None:
        """Train one step, show what the method published about it, and pause again."""
        self.shows_traces = self._awaits_trace = True
        self.query_one(TraceView).at = None
        super().action_trace()

    def action_tracing(self) -> None:
        """Show the traced step or loss and speed: they share a place."""
        self.shows_traces = not self.shows_traces
        if self.current in ("rates", "trace"):
            self.current = "trace" if self.shows_traces else "rates"
        self._arrange()

    # -- telling

    def _tick(self) -> None:
        """Keep what depends on the clock current while something was asked for or nothing has been said yet."""
        feed = self.lab.feed
        if not self.is_current or feed is None:
            return
        self.follow_the_queue()
        if feed is not self.lab.feed:
            return
        if self._asked or self._state.started is None or self._elsewhere(feed) != self._shown_wish:
            self._settle(self._state)
            self._show_header(feed, self._state)
            self.refresh_bindings()

    def _tell(self, state: RunState) -> None:
        """Say once that a run has failed."""
        feed = self.lab.feed
        if feed is None or feed.replayed or state.status not in ("failed", "lost"):
            self._told = "" if state.status in ("starting", "training") else self._told
            return
        if self._told != state.reason and self.is_current:
            self._told = state.reason
            from cllab.tui.screens.failed import FailedScreen

            def then(choice: str | None) -> None:
                if choice == "resume":
                    self.action_resume()
                elif choice == "log":
                    self.action_log()

            self.app.push_screen(FailedScreen(feed.run, state), then)

    @on(ThumbGrid.Enlarged)
    def _enlarge(self, message: ThumbGrid.Enlarged) -> None:
        from cllab.tui.screens.picture import PictureScreen

        if message.item.picture is not None:
            self.app.push_screen(PictureScreen(message.item.picture, message.item.caption))
