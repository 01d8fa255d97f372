"""Lessons: a few lines and recorded runs that draw themselves, step by step; offline, without training."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize, ScreenResume
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from cllab.errors import CllabError
from cllab.tui.lesson import Lesson, Step, lessons
from cllab.tui.panes import Look, fill
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.lesson_grid import LessonGrid, pane_id
from cllab.tui.widgets.lesson_text import KEYS, LessonText
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.trace_view import TraceView

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

SECONDS = 1.5
"""How long a chart takes to draw what happens between two steps."""
FRAME = 0.08


class LessonsScreen(Screen[Any]):
    """The list of lessons, or one of them."""

    CSS_PATH = "lessons.tcss"
    HELP = (
        "Lessons on recorded runs: space goes on, b goes back. L is for a lecture: one chart over the whole width "
        "below the text, with strong lines and the number that matters in large digits. g puts the recorded run into "
        "the set-up form, to be trained for real."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "next", "Next", id="lessons.next", key_display="space"),
        Binding("enter,right", "next", "Next", id="lessons.enter", show=False),
        Binding("b,backspace,left", "back", "Back", id="lessons.back", key_display="b"),
        *(Binding(key, f"answer({i})", "Answer", id=f"lessons.{key}", show=False) for i, key in enumerate(KEYS)),
        Binding("tab", "pane(1)", "Other chart", id="lessons.pane"),
        Binding("shift+tab", "pane(-1)", "Chart before", id="lessons.pane_back", show=False),
        Binding("L", "lecture", "Lecture", id="lessons.lecture"),
        Binding("f", "focus_task", "Focus task", id="lessons.focus", show=False),
        Binding("g", "real", "Run for real", id="lessons.real"),
        Binding("escape", "leave", "Lessons", id="lessons.leave", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lesson: Lesson | None = None
        self.at = 0
        self.answers: dict[int, int | None] = {}
        self.lecture = False
        self.first = 0
        self.focus_task: int | None = None
        self._from: dict[str, int] = {}
        self._to: dict[str, int] = {}
        self._began = 0.0
        self._timer: Timer | None = None

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    def compose(self) -> ComposeResult:
        yield ModeBar("lessons")
        with Horizontal(id="menu"):
            yield OptionList(id="list")
            yield Static("", id="about", markup=False)
        yield LessonGrid(id="lesson")
        yield KeyBar()

    def on_mount(self) -> None:
        menu = self.query_one("#list", OptionList)
        menu.border_title = "Lessons"
        for i, lesson in enumerate(lessons()):
            menu.add_option(Option(f"{i + 1}  {lesson.title}", id=lesson.name))
        menu.highlighted = 0
        self._show_menu()

    @on(ScreenResume)
    def _resumed(self) -> None:
        if self.lesson is not None:
            self._arrange()

    def on_resize(self, _event: Resize) -> None:
        self._arrange()

    # -- the list

    def _show_menu(self) -> None:
        self._stop()
        self.lesson = None
        self.query_one("#menu").display = True
        self.query_one("#lesson").display = False
        self.query_one("#list").focus()
        self.refresh_bindings()

    @on(OptionList.OptionHighlighted)
    def _looked(self, event: OptionList.OptionHighlighted) -> None:
        lesson = next(x for x in lessons() if x.name == event.option.id)
        about = Text(lesson.title + "\n\n", style="bold")
        about.append(" ".join(lesson.about.split()), style="not bold")
        about.append(f"\n\n{len(lesson.steps)} steps on recorded runs; space begins", style="not bold dim")
        self.query_one("#about", Static).update(about)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.begin(str(event.option.id))

    def begin(self, name: str) -> None:
        """Show the first step of a lesson."""
        self.lesson = next(x for x in lessons() if x.name == name)
        self.answers, self._from, self.focus_task = {}, {}, None
        self.query_one("#menu").display = False
        self.query_one("#lesson").display = True
        self._go(0)

    # -- one lesson

    @property
    def step(self) -> Step | None:
        """The step that is shown."""
        return self.lesson.steps[self.at] if self.lesson is not None else None

    @property
    def asks(self) -> bool:
        """Whether a question waits for an answer."""
        step = self.step
        return step is not None and step.ask is not None and self.at not in self.answers

    @property
    def drawing(self) -> bool:
        """Whether the charts are still on their way."""
        return self._timer is not None

    def _go(self, at: int) -> None:
        """Show step `at`: what came before at once, what is new as it happens."""
        lesson = self.lesson
        if lesson is None:
            return
        forward = at >= self.at
        self.at, self.first = at, 0
        step = lesson.steps[at]
        self.focus_task = step.focus - 1 if step.focus else None
        runs = lesson.runs_of(step)
        before = {}
        if at and forward:
            earlier = lesson.steps[at - 1]
            before = {r: lesson.recordings[r].position(earlier.at) for r in lesson.runs_of(earlier)}
        end = {r: lesson.recordings[r].position(step.at) for r in runs}
        begin = {r: min(before.get(r, lesson.recordings[r].position("start")), end[r]) for r in runs}
        self.query_one(LessonGrid).make(lesson, step)
        for trace in self.query(TraceView):
            trace.at = None
        if self.asks:
            # nothing is given away before the question is answered
            self._stop()
            self._from, self._to = begin, begin
        elif forward:
            self._draw_from(begin, end)
        else:
            self._stop()
            self._from, self._to = end, end
        self._arrange()
        self.refresh_bindings()

    def _draw_from(self, begin: dict[str, int], end: dict[str, int]) -> None:
        self._stop()
        self._from, self._to, self._began = begin, end, time.monotonic()
        if begin != end and self.app.animation_level != "none":
            self._timer = self.set_interval(FRAME, self._frame)
        else:
            self._from = end

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _frame(self) -> None:
        """The next records, until all that belong to the step are drawn."""
        if time.monotonic() - self._began >= SECONDS:
            self._finish()
        else:
            self._fill()

    def _finish(self) -> None:
        self._stop()
        self._from = self._to
        self._fill()
        self.refresh_bindings()

    def _now(self, run: str) -> int:
        """How many records of a recording are drawn now."""
        share = min(1.0, (time.monotonic() - self._began) / SECONDS) if self.drawing else 1.0
        begin, end = self._from[run], self._to[run]
        return begin + round(share * (end - begin))

    def _fill(self) -> None:
        lesson, step = self.lesson, self.step
        if lesson is None or step is None or not self._to:
            return
        several = len(lesson.runs_of(step)) > 1
        marker = "quadrant" if self.lecture else self.lab.settings.marker
        look = Look(self.focus_task, marker, step.by, step.look, large=self.lecture)
        with self.app.batch_update():
            for pane in step.show:
                widget = self.query_one(LessonGrid).pane(lesson, pane)
                if not widget.display:
                    continue
                recording = lesson.recording(pane)
                state = recording.timeline.after(self._now(recording.name))
                fill(widget, recording.run, state, look)
                if several:
                    # short, for two stand side by side in a small terminal
                    kind = pane.partition("@")[0]
                    widget.border_title = f"{recording.label}: {kind}{' %' if kind in ('accuracy', 'matrix') else ''}"
                elif str(widget.border_title).startswith(f"{recording.label}: "):
                    widget.border_title = widget.title

    @property
    def stacked(self) -> bool:
        """Whether the text stands above the charts, for there is no room beside them."""
        return self.lecture or self.size.width < 100 or self.size.height < 30

    def _arrange(self) -> None:
        """Show the panes that the size and the lecture allow."""
        lesson, step = self.lesson, self.step
        if not self.is_mounted or lesson is None or step is None:
            return
        self.set_class(self.lecture, "-lecture")
        text = self.query_one(LessonText)
        text.show(lesson, self.at, answer=self.answers.get(self.at), open=self.asks, large=self.lecture)
        stacked = self.stacked
        several = len(lesson.runs_of(step)) > 1
        first = self.first if stacked else 0
        turned = [step.show[(first + k) % len(step.show)] for k in range(len(step.show))]
        shown = turned[: 2 if several else 1] if stacked else turned
        grid = self.query_one(LessonGrid)
        grid.lay_out(lesson, shown, stacked=stacked, several=several, steady=not self.lecture)
        self._fill()
        grid.pane(lesson, shown[0]).focus()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        if action == "answer":
            step = self.step
            return (
                self.asks
                and step is not None
                and step.ask is not None
                and int(str(parameters[0])) < len(step.ask.choices)
            )
        if action in ("back", "lecture", "focus_task", "leave"):
            return self.lesson is not None
        if action in ("group", "marker"):
            # keys that charts have for the Live screen
            return False
        if action == "pane":
            return self.step is not None and len(self.step.show) > 1
        return super().check_action(action, parameters)

    def action_next(self) -> None:
        """Finish the drawing, show the answer, go to the next step, or back to the list after the last."""
        lesson = self.lesson
        if lesson is None:
            self.query_one("#list", OptionList).action_select()
        elif self.drawing:
            self._finish()
        elif self.asks:
            self._answered(None)
        elif self.at + 1 < len(lesson.steps):
            self._go(self.at + 1)
        else:
            menu = self.query_one("#list", OptionList)
            menu.highlighted = min([x.name for x in lessons()].index(lesson.name) + 1, len(lessons()) - 1)
            self._show_menu()

    def action_back(self) -> None:
        """The step before; from the first, the list."""
        if self.at:
            self.answers.pop(self.at, None)
            self._go(self.at - 1)
        else:
            self._show_menu()

    def action_answer(self, choice: int) -> None:
        """Answer the question; the charts go on."""
        self._answered(choice)

    def _answered(self, choice: int | None) -> None:
        lesson, step = self.lesson, self.step
        if lesson is None or step is None:
            return
        self.answers[self.at] = choice
        self._draw_from(self._from, {r: lesson.recordings[r].position(step.at) for r in lesson.runs_of(step)})
        self._arrange()
        self.refresh_bindings()

    def action_pane(self, by: int) -> None:
        """The next chart of this step."""
        step, lesson = self.step, self.lesson
        if step is None or lesson is None:
            return
        self.first = (self.first + by) % len(step.show)
        if self.stacked:
            self._arrange()
        self.query_one(LessonGrid).pane(lesson, step.show[self.first]).focus()

    def action_lecture(self) -> None:
        """The chart over the whole width below the text, with strong lines and large digits, for the back row."""
        self.lecture = not self.lecture
        self._arrange()

    def action_focus_task(self) -> None:
        """One task in color, the next one, all."""
        lesson = self.lesson
        if lesson is not None:
            n = lesson.recordings[lesson.run].timeline.state.n_tasks
            ring: list[int | None] = [None, *range(n)]
            self.focus_task = ring[(ring.index(self.focus_task) + 1) % len(ring)]
            self._fill()

    def action_real(self) -> None:
        """Put the recorded run into the set-up form, to train it here."""
        lesson = self.lesson
        if lesson is None:
            name = self.query_one("#list", OptionList).highlighted
            lesson = lessons()[name or 0]
            pane = lesson.run
        else:
            pane = "@" + self.lesson_run
        recording = lesson.recording(pane) if "@" in pane else lesson.recordings[pane]
        lab = self.lab
        try:
            from cllab.settings import presets
            from cllab.tui.starts import read_base

            config = presets.load(recording.preset).config.override(recording.settings)
            base = read_base(recording.preset)
        except CllabError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        lab.switch_mode("setup")

        def show() -> None:
            from cllab.tui.screens.setup import SetupScreen

            if isinstance(lab.screen, SetupScreen):
                lab.screen.show_config(config.to_dict(), base=base)
                lab.screen.notify(f"{recording.command}\n\nr starts it", title="The run of this lesson", markup=False)

        lab.call_after_refresh(show)

    @property
    def lesson_run(self) -> str:
        """The recording whose pane is looked at."""
        lesson, step = self.lesson, self.step
        assert lesson is not None
        assert step is not None
        here = next(
            (p for p in step.show if self.focused is not None and pane_id(lesson, p) == self.focused.id), step.show[0]
        )
        return here.partition("@")[2] or lesson.run

    def action_leave(self) -> None:
        """Back to the list."""
        self._show_menu()
