"""The fold of records into a state: pure, complete, and equal however it is cut."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cllab.record import events as ev
from cllab.record.state import RunState, Series
from tests.engine.sessions import walked


def fold(events: list[ev.Event], state: RunState | None = None) -> RunState:
    state = state or RunState()
    for event in events:
        state = state.apply(event)
    return state


def step(n: int, t: float = 0.0) -> ev.StepEnded:
    return ev.StepEnded(
        t=t,
        task=0,
        phase="stream",
        step=n,
        phase_step=n,
        phase_steps=50,
        epoch=0,
        samples=16 * n,
        losses={"a": 1.0},
        lr=0.1,
    )


@pytest.fixture(scope="module")
def events() -> list[ev.Event]:
    session, record = walked("rm", scenario={"tasks": 3}, evaluate={"every": 100, "future": True, "epochs": True})
    result = session.result("done")
    end = ev.RunEnded(t=9.0, status="done", metrics=dict(result["metrics"]), seconds=result["seconds"])
    return [*record.events, end]


def test_a_whole_run_folds_to_what_the_session_knows(events: list[ev.Event]) -> None:
    state = fold(events)
    rows = [e.tasks for e in events if isinstance(e, ev.Evaluated) and e.moment == "task" and e.task >= 0]
    assert state.rows == tuple(rows)
    assert len(state.seen) == 3
    assert state.baseline is not None
    assert len(state.baseline) == 3
    assert len(state.steps) == sum(isinstance(e, ev.StepEnded) for e in events)
    assert len(state.memory) == 3
    assert state.tasks_done == 3
    assert len(state.task_seconds) == 3
    assert state.checkpoint_task == 2
    assert (state.status, state.is_over, state.fraction) == ("done", True, 1.0)
    assert state.n_events == len(events)
    assert state.last_t == 9.0
    assert state.metrics["last_accuracy"] == state.seen[-1]


def test_the_fraction_grows_from_nothing_to_one(events: list[ev.Event]) -> None:
    state, last = RunState(), 0.0
    assert state.fraction == 0.0
    for event in events:
        state = state.apply(event)
        assert last <= state.fraction <= 1.0
        last = state.fraction
    before_the_end = fold(events[:-1])
    assert before_the_end.fraction == pytest.approx(1.0)


def test_applying_changes_nothing_that_was_there(events: list[ev.Event]) -> None:
    states = [RunState()]
    for event in events:
        states.append(states[-1].apply(event))
    again = RunState()
    for event, state in zip(events, states, strict=False):
        assert again == state
        again = again.apply(event)
    middle = states[len(states) // 2]
    frozen = copy.deepcopy(middle)
    fold(events, middle)
    fold(events[5:9], middle)
    assert middle == frozen


def test_two_futures_of_one_state_do_not_mix() -> None:
    state = fold([step(1), step(2)])
    left, right = state.apply(step(3)), state.apply(step(99))
    assert [s.step for s in left.steps] == [1, 2, 3]
    assert [s.step for s in right.steps] == [1, 2, 99]
    assert [s.step for s in state.steps] == [1, 2]


def test_phases_pauses_and_ends() -> None:
    state = fold([ev.PhaseStarted(phase="memory", task=1, steps=80), step(4)])
    assert (state.phase, state.phase_step, state.phase_steps) == ("stream", 4, 50)
    assert state.apply(ev.Paused(task=0, step=4)).status == "paused"
    assert fold([ev.Paused(task=0, step=4), ev.Resumed(task=0, step=4)], state).status == "training"
    stopped = state.apply(ev.RunEnded(status="stopped", reason="on request"))
    assert (stopped.status, stopped.reason, stopped.is_over) == ("stopped", "on request", True)
    assert stopped.apply(ev.Resumed(task=0, step=4, from_checkpoint=True)).reason == ""
    assert state.apply(ev.Warned(message="careful")).warnings == ("careful",)


def test_a_row_that_comes_again_replaces_what_followed() -> None:
    def row(task: int, value: float) -> ev.Evaluated:
        return ev.Evaluated(task=task, moment="task", step=0, samples=0, tasks=(value, value), seen=value)

    state = fold([row(0, 0.5), row(1, 0.6), row(0, 0.7)])
    assert state.rows == ((0.7, 0.7),)
    assert state.seen == (0.7,)


def test_clocks_keep_the_first_and_the_newest() -> None:
    state = fold([step(1, t=5.0), step(2, t=6.5), ev.Warned(message="no clock")])
    assert (state.first_t, state.last_t) == (5.0, 6.5)


def test_series_behave_like_sequences() -> None:
    series: Series[Any] = Series()
    for i in range(5):
        series = series.append(i)
    assert list(series) == [0, 1, 2, 3, 4]
    assert (series[0], series[-1], series[1:3], len(series)) == (0, 4, [1, 2], 5)
    for bad in (5, -6):
        with pytest.raises(IndexError):
            series[bad]
    longer = series.append(5)
    assert series[-1] == 4
    assert series[-3:] == [2, 3, 4], "a slice does not see what others appended"
    assert longer != series
    assert Series([1, 2]) == Series([1]).append(2)
    assert 3 in series
    assert list(reversed(series)) == [4, 3, 2, 1, 0]


def test_appending_shares_storage() -> None:
    series: Series[int] = Series()
    first = series.append(1)
    second = first.append(2)
    assert second._items is first._items
    other = first.append(3)
    assert other._items is not first._items
    assert list(second) == [1, 2]
