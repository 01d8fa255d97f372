"""The left side of a lesson: a few lines to read, a question, what was answered."""

from __future__ import annotations

from cllab.tui.lesson import Ask, Lesson, Step
from cllab.tui.theme import style
from cllab.tui.widgets.chart import Chart, Part, wrap

LECTURE_WIDTH = 100
"""Columns of a line of text in a lecture."""
KEYS = "xyz"
"""The keys of a question's choices: neither screens nor actions have them."""


class LessonText(Chart, can_focus=False):
    """The text of a step; with a question, its choices, and after the answer what is true."""

    HELP = "What to see. At a question, x, y or z answers it and the chart goes on; space goes on without an answer."
    DEFAULT_CSS = "LessonText { padding: 1 2; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lesson: Lesson | None = None
        self.step: Step | None = None
        self.answer: int | None = None
        self.open = False
        self.large = False

    def show(self, lesson: Lesson, index: int, *, answer: int | None, open: bool, large: bool = False) -> None:
        """Draw step `index`.

        Args:
            lesson: which lesson.
            index: which of its steps.
            answer: the choice that was made, None for none.
            open: whether its question waits.
            large: for a lecture: bold, and in lines that an eye does not lose.
        """
        self.lesson, self.step = lesson, lesson.steps[index]
        self.answer, self.open, self.large = answer, open, large
        self.border_title = lesson.title
        self.border_subtitle = f"{index + 1} of {len(lesson.steps)}"
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        lesson, step, colors = self.lesson, self.step, self.palette
        if lesson is None or step is None:
            return []
        rows: list[list[Part]] = []
        ask = step.ask
        if ask is not None:
            # it stays where it was asked
            rows += self._question(lesson, ask, width)
        if ask is None or not self.open:
            measure = min(width, LECTURE_WIDTH) if self.large else width
            ink = style(colors.text, bold=self.large)
            said: list[list[Part]] = [[(line, ink)] for line in wrap(lesson.text(step), measure)]
            if rows and len(rows) + len(said) < height:
                rows.append([])
            rows += said
        return rows[:height]

    def _question(self, lesson: Lesson, ask: Ask, width: int) -> list[list[Part]]:
        """The question with its keys; once it is answered, which choice is true."""
        colors, glyphs = self.palette, self.glyphs
        rows: list[list[Part]] = [
            [(line, style(colors.focus if self.open else colors.muted, bold=self.open))]
            for line in wrap(ask.question, width)
        ]
        for i, (text, _, _) in enumerate(ask.choices):
            if self.open:
                rows.append([(f" {KEYS[i]} ", style(colors.background, colors.focus, bold=True)),
                             (f" {text}", style(colors.text))])  # fmt: skip
                continue
            right = lesson.is_right(ask, i)
            sign = glyphs.states["done"] if right else glyphs.states["failed"] if i == self.answer else " "
            ink = colors.gained if right else colors.lost if i == self.answer else colors.muted
            said = f": {lesson.say(ask.value)}" if right else ""
            yours = "  (your guess)" if i == self.answer else ""
            rows.append([(f" {sign}  {text}{said}{yours}"[:width], style(ink, bold=right))])
        return rows

    def rows_needed(self, width: int) -> int:
        """Lines that the step takes at `width` columns, for a layout that gives no more."""
        return len(self.draw(max(8, width), 99))
