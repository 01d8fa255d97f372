"""Printed charts: they fit, they say what the numbers say, and they survive plain terminals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cllab.io.output import Paper, visible
from cllab.record.described import Described
from cllab.record.outcome import Outcome
from cllab.record.runs import Run
from cllab.report import drawing
from cllab.report.plots import accuracy_chart, forgetting_chart, most_forgotten, spread, told_tasks
from cllab.report.tables import settings_text
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig

MATRIX = ((0.95, None, None), (0.8, 0.93, None), (0.3, 0.81, 0.96))
SEEN = (0.95, 0.87, 0.69)


def column_of(chart: str, mark: str) -> list[tuple[int, int]]:
    """(row, column) of a mark inside the frame."""
    rows = [line for line in chart.splitlines() if "┤" in line or "│" in line]
    return [(i, j) for i, line in enumerate(rows) for j, c in enumerate(line[5:-1]) if c == mark]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_charts_fit_the_paper(width: int) -> None:
    paper = Paper(width)
    for chart in (accuracy_chart(MATRIX, SEEN, paper), forgetting_chart([0.65, 0.12], paper)):
        assert max(map(len, chart.splitlines()[1:])) <= width
        assert "\x1b" not in chart


def test_points_stand_where_their_values_are() -> None:
    chart = accuracy_chart(MATRIX, SEEN, Paper(80))
    first = column_of(chart, "1")
    # later is further right, and forgotten is further down
    assert [x for _, x in sorted(first, key=lambda p: p[1])] == sorted({x for _, x in first})
    rows = [row for row, _ in sorted(first, key=lambda p: p[1])]
    assert rows == sorted(rows)
    assert rows[-1] - rows[0] > 3
    for name in ("1 task 1", "2 task 2", "3 task 3", "• all seen"):
        assert name in chart


def test_ascii_paper_gets_ascii() -> None:
    paper = Paper(80, unicode=False)
    assert accuracy_chart(MATRIX, SEEN, paper).isascii()
    assert forgetting_chart([0.65, -0.12, math.nan], paper).isascii()


def test_color_adds_nothing_but_color() -> None:
    colored = accuracy_chart(MATRIX, SEEN, Paper(80, color=True))
    assert "\x1b[38;2;" in colored
    assert visible(colored) == accuracy_chart(MATRIX, SEEN, Paper(80))


def test_forgetting_tells_its_numbers_and_gaps() -> None:
    chart = forgetting_chart([0.65, -0.12, math.nan], Paper(80))
    assert all(text in chart for text in ("1: 65.0", "2: -12.0", "3: -"))
    bars = [line.count("█") for line in chart.splitlines()]
    assert sum(bars) > 0
    assert forgetting_chart([math.nan], Paper()) == ""


def test_nothing_is_drawn_of_one_task() -> None:
    assert accuracy_chart(((0.9,),), (0.9,), Paper()) == ""


def test_many_tasks_are_thinned_out() -> None:
    n = 50
    matrix = tuple(tuple(0.9 - 0.01 * (i - j) if j <= i else None for j in range(n)) for i in range(n))
    chart = accuracy_chart(matrix, tuple(0.9 - 0.005 * i for i in range(n)), Paper(80))
    assert "a task 1 " in chart
    assert "f task 50" in chart
    assert spread(50, 6) == [0, 10, 20, 29, 39, 49]
    assert spread(3, 6) == [0, 1, 2]


TWENTY = tuple(
    tuple(0.9 - (0.6 if j == 9 and i > 9 else 0.0) - 0.001 * (i - j) if j <= i else None for j in range(20))
    for i in range(20)
)


def test_the_most_forgotten_of_twenty_tasks_is_drawn_and_named() -> None:
    assert most_forgotten(TWENTY) == 9
    assert most_forgotten(MATRIX) == 0
    assert most_forgotten(((0.5, None), (0.6, 0.7))) is None
    assert most_forgotten(()) is None
    chart = accuracy_chart(TWENTY, [0.9] * 20, Paper(100))
    assert "task 10 (most forgotten)" in chart
    assert told_tasks(20, 9) == sorted({*spread(20, 6), 9})
    assert told_tasks(9, 3) == list(range(9))
    picture = drawing.svg(
        Outcome(
            Run(Path("none")),
            "a run",
            "done",
            1,
            {},
            matrix=TWENTY,
            seen=(0.9,) * 20,
            metrics={"last_accuracy": 0.85, "forgetting": 0.123},
        )
    )
    assert "task 10 (most forgotten)" in picture
    # forgetting is a difference of percentages
    assert "forgetting 12.3 points" in picture
    assert "last accuracy 85.0 %" in picture


@pytest.mark.parametrize(("method", "capacity"), [("joint", 0), ("er", 500)])
def test_a_memory_that_nothing_is_kept_in_is_no_fact_of_a_run(method: str, capacity: int) -> None:
    config = RunConfig.from_dict(
        {"method": {"name": method}, "dataset": {"name": "digits"}, "memory": {"capacity": 500}}
    )
    tables = config.to_dict()
    outcome = Outcome(Run(Path("none")), "a run", "done", 1, tables, matrix=MATRIX, described=Described(config.specs))
    assert outcome.capacity == capacity
    assert ("memory 500" in drawing.svg(outcome)) is bool(capacity)
    said = next(line for line in settings_text(tables, load(), Paper(80)).splitlines() if line.startswith("memory"))
    assert ("none" in said) is not bool(capacity)
    assert ("500" in said) is bool(capacity)


def test_an_axis_that_does_not_begin_at_zero_says_so() -> None:
    high = ((0.95, None), (0.91, 0.93))
    assert "axis from 75 to 100" in accuracy_chart(high, (0.95, 0.92), Paper(80)).splitlines()[0]
    low = ((0.95, None), (0.05, 0.93))
    assert "axis" not in accuracy_chart(low, (0.95, 0.5), Paper(80)).splitlines()[0]
