"""The time left: steps and passes over data counted, from the pace of the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cllab.record import events as ev
from cllab.record.state import RunState

TASKS, STEPS, VOTES, TESTED = 5, 100, 5000, 1000


def told(
    step: Callable[[int], float],
    vote: float,
    test: float,
    *,
    fisher: float = 0.0,
    pause: float = 0.0,
    planned: bool = True,
    votes: int = VOTES,
) -> Iterator[ev.Event]:
    """A run in which a step of task t takes `step(t)` seconds, an image of a pass `vote` or `test`; `votes` planned."""
    t = 1000.0

    def at(event: ev.Event, seconds: float) -> ev.Event:
        nonlocal t
        t += seconds
        object.__setattr__(event, "t", t)
        return event

    passes = {"select": votes, "evaluate": TESTED}
    yield at(
        ev.RunStarted(
            run="r", name="n", seed=1, device="cpu", method="rm", dataset="d", scenario="s", model="m", memory="u",
            capacity=10, class_names=(), tasks=({"n_test": TESTED},) * TASKS, counts=(), steps=(STEPS,) * TASKS,
            passes=(passes,) * TASKS if planned else (),
        ),
        0.0,
    )  # fmt: skip
    for task in range(TASKS):
        yield at(ev.TaskStarted(task=task, name="", classes=(), n_train=STEPS), 3.0 if task == 0 else 0.0)
        yield at(ev.PhaseStarted(phase="stream", task=task, steps=STEPS), 0.0)
        for n in range(1, STEPS + 1):
            yield at(
                ev.StepEnded(
                    task=task, phase="stream", step=task * STEPS + n, phase_step=n, phase_steps=STEPS, epoch=0,
                    samples=0, losses={}, lr=0.1, images_per_second=10 / step(task),
                ),
                step(task),
            )  # fmt: skip
            if pause and n == 50:
                yield at(ev.Paused(task=task, step=n), 0.0)
                yield at(ev.Resumed(task=task, step=n), pause)
        yield at(ev.PhaseStarted(phase="select", task=task), 0.0)
        for tenth in range(1, 11):
            done = VOTES * tenth // 10
            working = ev.Working(task=task, phase="select", done=done, total=VOTES, seconds=vote * done)
            yield at(working, vote * VOTES / 10)
        yield at(
            ev.MemoryUpdated(
                task=task, policy="u", capacity=10, samples=10, bytes={}, per_class=(), per_task=(), added=0, evicted=0,
                seconds=vote * VOTES,
            ),
            0.0,
        )  # fmt: skip
        if fisher:
            yield at(ev.Working(task=task, phase="fisher", done=10, total=10, seconds=fisher), fisher)
        row = ev.Evaluated(
            task=task, moment="task", step=task, samples=0, tasks=(), seen=0.5, images=TESTED, seconds=test * TESTED
        )
        yield at(row, test * TESTED)
        yield at(ev.TaskEnded(task=task, seconds={}), 0.0)


def errors(events: Iterator[ev.Event]) -> list[tuple[float, float]]:
    """(share of the time that is behind, shown / true - 1) at every record."""
    state, shown = RunState(), []
    for event in events:
        state = state.apply(event)
        if state.task >= 0:
            shown.append((state.pace.spent, state.seconds_left))
    total = shown[-1][0]
    return [(s / total, left / (total - s) - 1) for s, left in shown if left is not None and total - s > 0.01 * total]


def test_passes_count_as_steps_do() -> None:
    # steps 50 s in all, votes 400 s, tests 25 s
    found = errors(told(lambda _: 0.1, 0.016, 0.005))
    assert all(abs(off) < 1e-6 for share, off in found if share > 0.22), "once each kind of work was measured"
    inside = [off for share, off in found if 0.05 < share < 0.19]
    assert inside
    assert all(abs(off) < 0.2 for off in inside), "inside of the first selection, only the first test is not measured"


def test_before_the_first_pass_its_cost_is_that_of_training_images() -> None:
    state = RunState()
    for event in told(lambda _: 0.1, 0.0015, 0.0015):
        state = state.apply(event)
        if len(state.steps) == 60:
            break
    # an image of training takes 10 ms, one that is only looked at 0.15 of it
    assert state.seconds_left == pytest.approx(440 * 0.1 + 5 * 6000 * 0.0015)


def test_a_choice_that_looks_at_no_image_counts_with_what_it_took_before() -> None:
    # GDumb's sampler plans no image and takes its time all the same: 400 of 475 s here
    found = errors(told(lambda _: 0.1, 0.016, 0.005, votes=0))
    assert all(abs(off) < 1e-6 for share, off in found if share > 0.22)


def test_a_step_that_grows_dearer_from_task_to_task_is_carried_on() -> None:
    found = errors(told(lambda t: 0.02 * (t + 1), 1e-5, 1e-5))
    assert all(abs(off) < 0.02 for share, off in found if share > 0.7)


def test_work_that_nobody_planned_is_expected_again() -> None:
    found = errors(told(lambda _: 0.01, 1e-5, 1e-5, fisher=10.0))
    assert all(abs(off) < 0.01 for share, off in found if share > 0.25)


def test_pauses_are_left_out() -> None:
    paused = errors(told(lambda _: 0.1, 0.016, 0.005, pause=3600.0))
    assert all(abs(off) < 1e-6 for share, off in paused if share > 0.22)


def test_a_log_of_an_older_version_is_measured_as_well() -> None:
    found = errors(told(lambda _: 0.1, 0.016, 1e-5, planned=False))
    assert all(abs(off) < 0.25 for share, off in found if share > 0.45)


def test_the_bar_never_goes_back_and_fills_with_time() -> None:
    state, last, total = RunState(), 0.0, 0.0
    events = list(told(lambda _: 0.1, 0.016, 0.005))
    total = events[-1].t - 1003.0
    for event in events:
        state = state.apply(event)
        assert last <= state.fraction <= 1.0
        last = state.fraction
        if state.pace.spent > 0.25 * total:
            assert state.fraction == pytest.approx(state.pace.spent / total, abs=0.01)
    assert last == pytest.approx(1.0)


def test_reading_the_data_is_no_part_of_any_task() -> None:
    state = RunState().apply(ev.PhaseStarted(t=900.0, phase="loading"))
    state = state.apply(ev.Working(t=950.0, task=-1, phase="loading", done=5, total=10, seconds=50.0))
    state = state.apply(ev.Working(t=999.0, task=-1, phase="loading", done=10, total=10, seconds=99.0))
    assert (state.phase, state.phase_step, state.phase_steps) == ("loading", 10, 10)
    for event in told(lambda _: 0.1, 0.016, 0.005):
        state = state.apply(event)
        if len(state.steps) == 50:
            break
    assert state.pace.spent == pytest.approx(5.0)
    assert set(state.pace.done) == {"train"}
