"""The Lessons screen as stories: through every lesson, a question answered, a lecture, a run for real."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from textual.pilot import Pilot

from cllab.tui.commands import LabCommands
from cllab.tui.lesson import lessons
from cllab.tui.screens.lessons import LessonsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.widgets.big import large
from cllab.tui.widgets.lesson_text import LessonText
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.trace_view import TraceView
from tests.tui.stories import SIZES, golden, make_app, press, shown, tell, until


def screen_of(app: Any) -> LessonsScreen:
    assert isinstance(app.screen, LessonsScreen), app.screen
    return app.screen


def still(**settings: Any) -> Any:
    """An app whose charts are there at once."""
    app = make_app(mode="lessons", **settings)
    app.animation_level = "none"
    return app


@pytest.mark.parametrize(
    ("size", "glyphs"),
    [
        pytest.param(size, glyphs, id=f"{glyphs}-{size[0]}x{size[1]}", marks=[] if quick else [pytest.mark.slow])
        for size in SIZES
        for glyphs in ("unicode", "ascii")
        # every size and every set of signs once; all of them with the slow tests
        for quick in [(size, glyphs) in ((SIZES[1], "unicode"),)]
    ],
)
def test_space_goes_through_every_lesson(size: tuple[int, int], glyphs: str) -> None:
    app = still(glyphs=glyphs)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        screen = screen_of(app)
        for lesson in lessons():
            assert lesson.title in shown(app)
            await press(pilot, "space")
            for number, step in enumerate(lesson.steps, 1):
                assert screen.lesson is lesson
                if step.ask is not None:
                    # before the answer neither the text nor the number is there
                    assert lesson.text(step)[:20] not in shown(app)
                    await press(pilot, "space")
                picture = shown(app)
                said = " ".join(picture.split())
                assert f"{number} of {len(lesson.steps)}" in said
                words = lesson.text(step).split()
                assert " ".join(words[:3]) in said
                # the whole text is there, whatever the size
                text = screen.query_one(LessonText)
                assert text.rows_needed(text.size.width) <= text.size.height, (lesson.name, number)
                if glyphs == "ascii":
                    assert not {c for c in picture if ord(c) > 126}, (lesson.name, number)
                await press(pilot, "space")
            assert screen.lesson is None

    tell(app, act, size)


def test_a_question_is_answered_and_the_curve_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # on a busy machine a short drawing is over before it is looked at
    monkeypatch.setattr("cllab.tui.screens.lessons.SECONDS", 12.0)
    app = make_app(mode="lessons")

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        screen = screen_of(app)
        await press(pilot, "down", "enter")
        assert screen.drawing
        await press(pilot, "space")
        assert not screen.drawing
        await press(pilot, "space")
        assert screen.asks
        chart = screen.query_one("#accuracy-finetune", LineChart)
        assert chart.curves is not None
        before = chart.curves.x.max()
        text = shown(app)
        assert "How much of task 1 is left" in text
        assert "0.0 %" not in text
        # a screen's digit still goes there, an answer's letter answers
        await press(pilot, "z")
        assert screen.drawing
        await until(pilot, lambda: chart.curves.x.max() > before, "the curve to go on")
        await press(pilot, "space")
        assert not screen.drawing
        text = shown(app)
        assert "✗  nearly all of it  (your guess)" in text
        assert "✓  almost nothing: 0.0 %" in text
        # back shows the step before as it ended; forward asks again
        await press(pilot, "b")
        assert chart.curves.x.max() == before
        await press(pilot, "space")
        assert screen.asks
        await press(pilot, "x")
        await press(pilot, "space")
        assert not screen.drawing
        assert "✓  almost nothing: 0.0 %  (your guess)" in shown(app)
        await press(pilot, "escape")
        assert screen.lesson is None
        assert "Lessons" in shown(app)

    tell(app, act)


def test_a_lecture_is_the_text_and_one_chart() -> None:
    app = still()

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        screen = screen_of(app)
        await press(pilot, "down", "space", "L")
        chart = screen.query_one("#accuracy-finetune", LineChart)
        assert "One task in color" in shown(app)
        assert chart.size.width > 110
        assert (chart.marker, chart.focus_task, chart.large) == ("quadrant", 0, True)
        await press(pilot, "f")
        assert chart.focus_task == 1
        await press(pilot, "space")
        text = shown(app)
        assert "How much of task 1 is left" in text
        assert "Nothing was erased" not in " ".join(text.split()), "nothing is given away"
        await press(pilot, "x")
        assert "Nothing was erased" in " ".join(shown(app).split())
        await press(pilot, "L")
        assert not chart.large
        assert "Nothing was erased" in " ".join(shown(app).split())

    tell(app, act)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 55)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_lecture_grows_with_the_terminal(size: tuple[int, int]) -> None:
    """The number that matters is written in large digits, twice as large and with strong lines where there is room."""
    app = still()

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        screen = screen_of(app)
        await press(pilot, "down", "space", "space", "x", "L")
        chart = screen.query_one("#accuracy-finetune", LineChart)
        digits = {80: 0, 120: 3, 200: 5}[size[0]]
        value = chart.curves.y[:, 0][-1] if chart.curves is not None else -1.0
        rows = large(f"{100 * value:.1f}", {0: 1, 3: 1, 5: 2}[digits], chart.glyphs)
        lines = shown(app).splitlines()
        found = [
            k
            for k in range(len(lines) - len(rows))
            if all(row.rstrip() in line for row, line in zip(rows, lines[k:], strict=False))
        ]
        assert len(found) == bool(digits)
        assert chart.size.width >= size[0] - 6
        assert chart.size.height >= size[1] // 2 - 3
        if found:
            assert "T1" in lines[found[0] - 1], "below the name of the task"
        # the text is there at any size, in lines that an eye does not lose
        said = [line for line in lines if "Nothing was erased" in line or "object" in line]
        assert said
        assert all(len(line.strip("│ ")) <= 100 for line in said)

    tell(app, act, size)


def test_g_sets_up_the_run_of_the_lesson() -> None:
    app = still()

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        await press(pilot, "down", "down", "space", "g")
        await until(
            pilot, lambda: isinstance(app.screen, SetupScreen) and app.screen.draft.values["method.name"] == "er"
        )
        setup = app.screen
        assert (setup.draft.values["memory.name"], setup.draft.values["memory.capacity"]) == ("reservoir", 20)
        assert setup.draft.base.name == "forgetting"
        assert not setup.problem
        line = setup.draft.command()
        assert line.startswith("cllab run --headless forgetting --set method.name=er")

    tell(app, act)


def test_the_bilevel_step_is_shown_with_its_pictures() -> None:
    app = still()

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        screen = screen_of(app)
        await press(pilot, *["down"] * 5, "space", "space")
        view = screen.query_one(TraceView)
        text = shown(app)
        for said in ("inner loss 1→4", "validation loss", "cosine", "validation batch: 6 pictures"):
            assert said in text, said
        assert "▸ inner loss" in text
        await press(pilot, "space")
        text = shown(app)
        assert "▸ validation loss" in text
        assert "▸ validation batch" in text
        assert "▸ inner loss" not in text
        for _ in range(2):
            await press(pilot, "space")
        assert view.index == 5
        await press(pilot, "left", "left")
        assert (screen.at, view.index) == (4, 3)
        assert "4 of 6" in shown(app)

    tell(app, act)


def test_lessons_are_reached_from_everywhere() -> None:
    app = make_app(mode="setup")

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen) and app.focused is not None)
        await press(pilot, "6")
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen))
        await press(pilot, "1")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        # and from the list where one begins
        await press(pilot, "home", "down")
        await until(pilot, lambda: "Recorded runs" in shown(app), "what Enter would do")
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen))
        await press(pilot, "1")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        provider = LabCommands(app.screen)
        hits = [hit async for hit in provider.search("lesson what to keep")]
        assert hits
        hits[0].command()
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.screen.lesson is not None)
        assert screen_of(app).lesson.name == "choice"

    tell(app, act)


def test_every_lesson_is_read_without_torch() -> None:
    code = (
        "import sys, cllab.tui.screens.lessons; from cllab.tui.lesson import lessons; "
        "n = [lesson.text(step) for lesson in lessons() for step in lesson.steps]; "
        "print(len(n), sorted({'torch', 'torchvision', 'sklearn', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(sum(len(x.steps) for x in lessons())), "[]\n"]


@pytest.mark.parametrize(("size", "keys", "name"), [
    ((120, 36), ("space", "space", "space"), "lesson_120x36"),
    ((80, 24), ("down", "down", "space", "space", "space", "z"), "lesson_answer_80x24"),
    ((160, 45), ("down", "down", "down", "down", "down", "space", "space"), "lesson_trace_160x45"),
])  # fmt: skip
def test_pictures(size: tuple[int, int], keys: tuple[str, ...], name: str) -> None:
    app = still()

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LessonsScreen) and app.focused is not None)
        await press(pilot, *keys)
        await pilot.pause(0.2)
        golden(f"screen_{name}", shown(app))

    tell(app, act, size)
