"""391 tasks that share three test sets, with 50 and with 1,000 classes: readable, in time, any task within reach."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cllab.record.runs import Run
from cllab.tui.panes import Look, fill
from cllab.tui.screens.jump import JumpScreen
from cllab.tui.screens.memory import MemoryScreen
from cllab.tui.view import accuracy_curves, accuracy_matrix, forgetting_curves, matrix_sentence
from cllab.tui.widgets.chart import Chart
from cllab.tui.widgets.composition import Composition
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.matrix import AccuracyMatrix
from tests.tui.many import SESSIONS, make_many
from tests.tui.stories import make_app, press, shown, tell, until


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_many(tmp_path_factory.mktemp("runs") / "20261120-101112-er-nicv2-391-s1")


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_many(tmp_path_factory.mktemp("runs") / "20261120-101112-er-nicv2-391-s1", n_classes=1000)


def text(chart: Chart, width: int, height: int) -> list[str]:
    rows = ["".join(part for part, _ in row) for row in chart.draw(width, height)]
    assert len(rows) <= height
    assert all(len(row) <= width for row in rows), [len(row) for row in rows]
    return rows


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("run", ["many", pytest.param("thousand", marks=pytest.mark.slow)])
def test_every_pane_says_what_it_shows(run: str, size: tuple[int, int], request: pytest.FixtureRequest) -> None:
    app = make_app(request.getfixturevalue(run))

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        assert "accuracy per test set %" in shown(app)
        assert all(name in shown(app) for name in SESSIONS)
        assert "task 391/391" in shown(app)
        await press(pilot, "c")
        assert "accuracy per class %" in shown(app)
        n = len(app.feed.state.per_class)
        if size[0] > 100:
            assert f"24 of {n} lines drawn" in shown(app)
        await press(pilot, "f")
        assert "accuracy % - object 1" in shown(app)
        await press(pilot, "c")
        assert "accuracy per test set %" in shown(app)
        for pane in app.screen.query("#panes > *").results(Chart):
            for width, height in ((36, 10), (76, 18), (150, 40)):
                text(pane, width, height)

    tell(app, act, size)


def test_the_matrix_is_a_strip_of_means_that_says_so(many: Run) -> None:
    app = make_app(many)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        matrix = app.screen.query_one(AccuracyMatrix)
        rows = text(matrix, 60, 19)
        r, seen = accuracy_matrix(app.feed.state)
        assert r.shape == (391, 3)
        # 14 rows below the head, above four lines of words
        assert (
            rows[0].split() == [*(name.replace(" ", "") for name in ("S1", "S2", "S3")), "all"]
            or SESSIONS[0] in rows[0]
        )
        each = -(-391 // 14)
        assert f"a row is the mean of {each} tasks" in " ".join(" ".join(rows).split())
        for k in (0, 5):
            part = slice(k * each, (k + 1) * each)
            values = rows[1 + k].replace("[", " ").replace("]", " ").split()
            assert values[0] == f"T{(k + 1) * each}"
            assert [float(v) for v in values[1:]] == pytest.approx(
                [*(100 * r[part].mean(axis=0)), 100 * seen[part].mean()], abs=0.051
            )

    tell(app, act, (120, 36))


def test_a_cell_says_what_it_is_and_claims_no_forgetting_of_a_task(many: Run) -> None:
    state = many.state()
    said = matrix_sentence(state, 390, 1)
    assert said.startswith("session 7: ")
    assert "after task 391 (object" in said
    assert "points below its best, after task" in said
    assert "learned" not in said
    lost = forgetting_curves(accuracy_curves(state))
    r, _ = accuracy_matrix(state)
    assert lost.y[-1] == pytest.approx(r[:-1].max(axis=0) - r[-1])


def test_curves_by_class_begin_where_a_class_was_first_seen(many: Run) -> None:
    state = many.state()
    curves = accuracy_curves(state, "class")
    assert curves.y.shape == (391, 50)
    assert curves.names[:2] == ("object 1", "object 2")
    assert np.isfinite(curves.y[0]).sum() == 10
    assert state.started is not None
    first = {c: t for t, task in reversed(list(enumerate(state.started.tasks))) for c in task["classes"]}
    for c in range(50):
        known = np.flatnonzero(np.isfinite(curves.y[:, c]))
        assert known[0] == first[c]
        assert len(known) == 391 - first[c]


def test_the_memory_is_a_strip_over_the_whole_run(many: Run) -> None:
    app = make_app(many)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        await press(pilot, "z")
        pane = app.screen.query_one(Composition)
        for by, what in (("class", "a column: class"), ("task", "a column: 4 tasks of origin")):
            fill(pane, many, app.feed.state, Look(by=by))
            rows = text(pane, 120, 20)
            assert [rows[0].split()[0], rows[-2].split()[0]] == ["T1", "T391"]
            assert rows[-1].startswith(what)
            # after the first task there is something in the first columns only
            filled = [i for i, sign in enumerate(rows[0][5:-6]) if sign != " "]
            assert max(filled) < 40
            assert len([sign for sign in rows[-2][5:-6] if sign != " "]) > 80

    tell(app, act, (120, 36))


def test_any_task_is_reached_by_its_number(many: Run) -> None:
    app = make_app(many)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        await press(pilot, "number_sign")
        assert isinstance(app.screen, JumpScreen)
        assert "1 to 391" in shown(app)
        await press(pilot, "4", "0", "0", "enter")
        assert "! a number from 1 to 391" in shown(app)
        app.screen.query_one(Input).value = "100"
        await press(pilot, "enter")
        matrix = app.screen.query_one(AccuracyMatrix)
        assert matrix.cursor is not None
        assert matrix.cursor[0] == 99
        assert "after task 100" in " ".join(shown(app).split())
        await press(pilot, "3")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen), "the memory")
        await press(pilot, "number_sign", "1", "0", "0", "enter")
        assert "[T100]" in shown(app)
        assert "of 391 tasks the memory is written after 14, the nearest T91" in " ".join(shown(app).split())
        assert "/300" not in shown(app), "no place among samples that are not there"
        await press(pilot, "number_sign", "9", "1", "enter")
        assert "[T91]" in shown(app)
        assert "the memory is written" not in shown(app)
        await press(pilot, "d")
        assert "300 entered since T61" in shown(app), "not since the beginning, nor since T90, which was not written"
        await press(pilot, "d")
        await press(pilot, "number_sign", "escape")
        assert "[T91]" in shown(app)

    tell(app, act, (120, 36))


def test_a_replay_goes_to_the_moment_at_which_a_task_was_evaluated(many: Run) -> None:
    app = make_app(many, mode="replay")

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.loaded, "the recording")
        await press(pilot, "space", "number_sign", "2", "0", "0", "enter")
        await until(pilot, lambda: len(app.feed.state.rows) == 200, "task 200")
        assert "task 200/391" in shown(app)

    tell(app, act, (120, 36))


@pytest.mark.parametrize(("run", "seconds"), [("many", 0.06), pytest.param("thousand", 0.2, marks=pytest.mark.slow)])
def test_a_frame_costs_little_however_many_tasks_and_classes(
    run: str, seconds: float, request: pytest.FixtureRequest
) -> None:
    """CPU time of what a new evaluation costs all panes, by test set and by class, the least of some frames."""
    app = make_app(request.getfixturevalue(run))

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        state = app.feed.state
        panes = list(app.screen.query("#panes > *").results(Chart))
        for lines in ("test", "class"):
            spent = []
            for k in range(6):
                # a new evaluation each time, so that nothing is remembered of it
                state = state.apply(state.evaluations[-1])
                began = time.process_time()
                for pane in panes:
                    fill(pane, app.feed.run, state, Look(lines=lines, focus_task=k if k % 2 else None))
                    if isinstance(pane, LineChart | AccuracyMatrix | Composition):
                        pane.draw(70, 16)
                spent.append(time.process_time() - began)
            assert min(spent) < seconds, (lines, spent)

    tell(app, act, (160, 45))
