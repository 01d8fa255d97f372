"""The text of a lesson and its charts in one grid: beside each other, or above each other where room is short."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget

from cllab.tui.lesson import WIDTH, Lesson, Step
from cllab.tui.panes import MAKE
from cllab.tui.widgets.chart import Chart
from cllab.tui.widgets.lesson_text import LessonText


class LessonGrid(Container):
    """One text, and the charts of all steps that were seen, of which a step shows its own."""

    def compose(self) -> ComposeResult:
        yield LessonText(id="text")

    def make(self, lesson: Lesson, step: Step) -> None:
        """A widget for each chart of a step; those of other steps stay, hidden."""
        for pane in step.show:
            if not self.query(f"#{pane_id(lesson, pane)}"):
                self.mount(MAKE[pane.partition("@")[0]](pane_id(lesson, pane)))

    def pane(self, lesson: Lesson, pane: str) -> Chart:
        """The widget of a pane."""
        return self.query_one(f"#{pane_id(lesson, pane)}", Chart)

    def lay_out(self, lesson: Lesson, shown: Sequence[str], *, stacked: bool, several: bool, steady: bool) -> None:
        """Show these panes: under the text, or beside it with what is less important below it.

        Args:
            lesson: whose panes.
            shown: the panes, the most important first.
            stacked: the text above the charts, which stand side by side.
            several: runs are compared: their charts stand under each other, at one size.
            steady: the text keeps the height of the lesson's longest step, so that charts do not move.
        """
        text = self.query_one(LessonText)
        panes = [self.pane(lesson, pane) for pane in shown]
        before: Widget = text
        for widget in panes:
            self.move_child(widget, after=before)
            before = widget
        for child in self.children:
            child.display = child in panes or (child is text and text.display)
            child.styles.row_span = child.styles.column_span = 1
        n = len(panes)
        if stacked:
            width = self.size.width - 6
            height = self._tallest(lesson, width) if steady else text.rows_needed(width)
            self.styles.grid_size_columns = n
            self.styles.grid_rows = f"{min(2 + height, max(6, self.size.height // 2))} 1fr" if text.display else "1fr"
            self.styles.grid_columns = "1fr"
            text.styles.column_span = n
            return
        self.styles.grid_size_columns = 2
        self.styles.grid_columns = f"{58 if self.size.width >= 150 else WIDTH + 6} 1fr"
        if several or n == 1:
            self.styles.grid_rows = "1fr"
            text.styles.row_span = n
        else:
            self.styles.grid_rows = f"{max(14, 4 + self._tallest(lesson, WIDTH))} " + "1fr " * (n - 1)
            panes[0].styles.row_span = n

    @staticmethod
    def _tallest(lesson: Lesson, width: int) -> int:
        """Lines of the longest step."""
        probe = LessonText()
        heights = []
        for step in lesson.steps:
            for probe.open in (True, False) if step.ask else (False,):
                probe.lesson, probe.step, probe.answer = lesson, step, 0
                heights.append(probe.rows_needed(width))
        return max(heights)


def pane_id(lesson: Lesson | None, pane: str) -> str:
    """The widget of a pane: one per kind and recording."""
    kind, _, run = pane.partition("@")
    return f"{kind}-{run or (lesson.run if lesson else '')}"
