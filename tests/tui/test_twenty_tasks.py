"""Twenty tasks in every kind of terminal: each can be followed, the most forgotten is named, y fits the axis."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from rich.color import Color, ColorSystem
from textual.pilot import Pilot

from cllab.record.runs import Run
from cllab.tui.screens.live import LiveScreen
from cllab.tui.view import accuracy_curves, forgetting_curves, most_forgotten
from cllab.tui.widgets.line_chart import GUTTER, LineChart
from tests.tui.recorded import make_run
from tests.tui.stories import make_app, press, shown, tell, until

TERMINALS: dict[str, tuple[dict[str, str], str, ColorSystem | None]] = {
    "16": ({"TERM": "xterm"}, "cllab-dark", ColorSystem.STANDARD),
    "256": ({"TERM": "xterm-256color"}, "cllab-light", ColorSystem.EIGHT_BIT),
    "truecolor": ({"COLORTERM": "truecolor"}, "cllab-dark", ColorSystem.TRUECOLOR),
    "NO_COLOR": ({"NO_COLOR": "1"}, "cllab-dark", None),
    "contrast": ({"TERM": "xterm"}, "cllab-contrast", ColorSystem.STANDARD),
}


def luminance(*rgb: int) -> float:
    """Relative luminance of the gray that a color becomes (WCAG 2.2)."""
    gray = (0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]) / 255
    return gray / 12.92 if gray <= 0.04045 else ((gray + 0.055) / 1.055) ** 2.4


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twenty tasks of a class each, done."""
    folder = tmp_path_factory.mktemp("runs") / "20261120-101112-er-twenty-s1"
    return make_run(folder, n_tasks=20, n_classes=20, steps=3, evaluations=1, pictures=0)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_every_task_can_be_followed(twenty: Run, terminal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, theme, system = TERMINALS[terminal]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = make_app(twenty, theme=theme)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        chart = app.screen.query_one("#accuracy", LineChart)
        assert chart.color_system == system
        await press(pilot, "z")
        width, height = chart.size
        rows = chart.draw(width, height)[:-1]
        # a label for every task, in its color, with a name that says which
        labels = {row[-1][0].split()[-2]: row[-1] for row in rows if len(row[-1][0]) == GUTTER and row[-1][0].strip()}
        assert {f"T{t + 1}" for t in range(20)} <= set(labels)
        # and its number on its line, for lines whose color is that of another
        numbers: dict[Any, str] = {}
        for row in rows:
            for part, ink in row[1:]:
                if len(part) != GUTTER and ink.color is not None and any(c.isdigit() for c in part):
                    key = (ink.color.triplet, ink.bold)
                    numbers[key] = numbers.get(key, "") + "".join(c for c in part if c.isdigit())
        found = 0
        for t in range(20):
            ink = labels[f"T{t + 1}"][1]
            said = numbers.get((ink.color.triplet, ink.bold), "")
            assert said.replace(str(t + 1), "") == "", (t, said)
            found += bool(said)
        assert found >= 16, found
        # two tasks that follow each other never look alike
        if system is not None:
            inks = [Color.from_triplet(labels[f"T{t + 1}"][1].color.triplet).downgrade(system) for t in range(20)]
            assert all(a != b for a, b in itertools.pairwise(inks))
        if system is None:
            # as grays: no line and no label fades into the background
            paper = luminance(*app.palette.background)
            for ink, _ in numbers:
                assert contrast(luminance(*ink), paper) >= 4.5, ink
        worst = most_forgotten(forgetting_curves(accuracy_curves(app.feed.state)))
        assert worst is not None
        assert f"▾ most forgotten: T{worst[0] + 1}, {100 * worst[1]:.1f} points" in shown(app)
        assert labels[f"T{worst[0] + 1}"][0].startswith("▾")

    tell(app, act, (120, 36))


def test_few_tasks_carry_numbers_only_where_colors_do_not_tell(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for environment, numbered in (({"COLORTERM": "truecolor"}, False), ({"NO_COLOR": "1"}, True)):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        app = make_app(finished)

        async def act(pilot: Pilot[Any], app: Any = app, numbered: bool = numbered) -> None:
            await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
            chart = app.screen.query_one("#accuracy", LineChart)
            rows = chart.draw(*chart.size)[:-1]
            digits = {c for row in rows for part, _ in row[1:] if len(part) != GUTTER for c in part if c.isdigit()}
            assert digits == (set("12345") if numbered else set())

        tell(app, act)


@pytest.mark.parametrize("mode", ["live", "replay"])
@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_y_fits_the_axes_and_the_titles_say_so(twenty: Run, mode: str, size: tuple[int, int]) -> None:
    app = make_app(twenty, mode=mode)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.n_events)
        if mode == "replay":
            await until(pilot, lambda: app.feed.loaded)
            await press(pilot, "end")
        await until(pilot, lambda: app.feed.state.is_over, "the end of the log")
        assert isinstance(app.screen, LiveScreen)
        assert not re.search(r"axis \d+ to", shown(app))
        assert "100┤" in shown(app)
        await press(pilot, "y")
        chart = app.screen.query_one("#accuracy", LineChart)
        values = chart._axis()
        assert f"axis {values.low} to {values.high}: accuracy per task %" in shown(app)
        # looking at a task keeps the axis and what is said of it
        await press(pilot, "f")
        assert re.search(r"axis \d+ to", shown(app))
        assert ": accuracy % - T1" in shown(app)
        await press(pilot, "escape")
        if size[0] < 100:
            await press(pilot, "tab")
        assert re.search(r"axis 0 to \d+: forgetting", shown(app))
        await press(pilot, "y")
        assert not re.search(r"axis \d+ to", shown(app))

    tell(app, act, size)


def test_the_key_is_in_the_help(twenty: Run) -> None:
    app = make_app(twenty)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        await press(pilot, "question_mark")
        await until(pilot, lambda: "Fit axis" in shown(app), "the key in the help")

    tell(app, act, (120, 60))
