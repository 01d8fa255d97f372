"""A replay: the same screens at any moment of a run that is over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.tui.player import Player, Timeline, first_speed
from cllab.tui.widgets.scrub_bar import ScrubBar
from cllab.tui.widgets.thumbs import ThumbGrid
from tests.tui.recorded import make_run, records
from tests.tui.stories import TWO_QUICK, make_app, press, shown, tell, until


async def player_of(pilot: Pilot[Any], app: Any) -> Player:
    await until(pilot, lambda: isinstance(app.feed, Player) and app.feed.loaded, "the recording")
    assert isinstance(app.feed, Player)
    return app.feed


@pytest.mark.parametrize("size", TWO_QUICK)
def test_playing_holding_and_scrubbing(finished: Run, size: tuple[int, int]) -> None:
    app = make_app(finished, mode="replay", rate=20.0)

    async def act(pilot: Pilot[Any]) -> None:
        player = await player_of(pilot, app)
        await until(pilot, lambda: player.position > 0, "the clock")
        await press(pilot, "space")
        await until(pilot, lambda: not player.playing)
        # within the first task, however long a busy machine took until here
        player.seek(player.timeline.tasks[1] / 2)
        held = player.position
        assert "held" in shown(app)
        assert "x1" in shown(app)
        # a hundredth, a task, the ends
        await press(pilot, "right")
        assert player.position == pytest.approx(held + player.duration / 100)
        await press(pilot, "left")
        assert player.position == pytest.approx(held)
        await press(pilot, "full_stop", "full_stop")
        assert player.position == player.timeline.tasks[2]
        await until(pilot, lambda: player.state.task == 2)
        text = shown(app)
        assert "task 3/5" in text
        assert "T2" in text
        # nothing trains now, and no time is left of what is past
        assert "▸ replay" in text
        assert "training" not in text
        assert " into it" in text
        assert " left" not in text
        await press(pilot, "comma")
        assert player.position == player.timeline.tasks[1]
        await press(pilot, "end")
        await until(pilot, lambda: player.state.is_over)
        assert "✓ done" in shown(app)
        await press(pilot, "home")
        await until(pilot, lambda: player.state.tasks_done == 0 and not len(player.state.steps))
        # speed
        await press(pilot, "plus", "plus", "minus")
        assert player.speed == 2.0
        await until(pilot, lambda: "x2" in shown(app))
        # a click on the bar
        bar = app.screen.query_one(ScrubBar)
        await pilot.click(bar, offset=(bar.size.width - 2, 0))
        await until(pilot, lambda: player.position > 0.9 * player.duration, "a jump")
        # at the end it holds, and space begins again
        await press(pilot, "end", "space")
        await until(pilot, lambda: player.playing and player.position < 0.5 * player.duration)

    tell(app, act, size)


def test_the_key_bar_of_a_replay_has_room_for_what_is_looked_at(finished: Run) -> None:
    app = make_app(finished, mode="replay", rate=20.0)

    async def act(pilot: Pilot[Any]) -> None:
        player = await player_of(pilot, app)
        keys = lambda: shown(app).splitlines()[-1]  # noqa: E731
        await until(pilot, lambda: "space Hold" in keys(), "the keys of a replay")
        for key in (". Next task", "+ Faster", "- Slower", "f Focus", "y Fit", "q Quit", "? Help"):
            assert f" {key}" in keys()
        assert "z Zoom" not in keys(), "one pane has the screen anyway"
        await press(pilot, "space")
        await until(pilot, lambda: not player.playing and "space Play" in keys(), "what space does now")

    tell(app, act, (80, 24))


def test_a_glance_is_told_from_an_evaluation_live_and_replayed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "20261120-101112-er-glances-s1", until_task=1, pictures=0, evaluations=0, finished=False)
    lines = run.events_path.read_text(encoding="utf-8").splitlines()
    newest = max(e.t for e in run.events())
    glance = ev.Evaluated(
        task=1, moment="glance", step=500, samples=500, tasks=(0.7, 0.4, None, None, None), seen=0.55, images=200,
        t=newest + 0.1,
    )  # fmt: skip
    ended = ev.RunEnded(status="stopped", reason="asked to", t=newest + 0.2)
    run.events_path.write_text("\n".join([*lines, *map(ev.to_line, (glance, ended))]) + "\n", encoding="utf-8")
    for mode in ("live", "replay"):
        app = make_app(run, mode=mode, rate=20.0)

        async def act(pilot: Pilot[Any], app: Any = app, mode: str = mode) -> None:
            if mode == "replay":
                await player_of(pilot, app)
                await press(pilot, "end")
            await until(pilot, lambda: "~ on 200 test images" in shown(app), "the glance")
            assert "~40.0" in shown(app)

        tell(app, act, (80, 24))


def test_the_memory_moves_with_the_clock(finished: Run) -> None:
    app = make_app(finished, mode="replay", rate=20.0)

    async def act(pilot: Pilot[Any]) -> None:
        player = await player_of(pilot, app)
        await press(pilot, "space", "end", "3")
        await until(pilot, lambda: "[T5]" in shown(app))
        await press(pilot, "left", "left")
        await until(pilot, lambda: "[T3]" in shown(app))
        await until(pilot, lambda: player.position == player.timeline.ends[2])
        assert player.state.tasks_done == 3
        # and the Live screen stands at the same moment
        await press(pilot, "2")
        await until(pilot, lambda: "task 3/5" in shown(app))
        await press(pilot, "3", "right")
        await until(pilot, lambda: "[T4]" in shown(app))
        assert len(app.screen.query_one(ThumbGrid).sections) == 8

    tell(app, act)


def test_nothing_commands_the_run(finished: Run) -> None:
    app = make_app(finished, mode="replay", rate=20.0)

    async def act(pilot: Pilot[Any]) -> None:
        await player_of(pilot, app)
        await press(pilot, "n", "x", "d", "K", "r")
        assert app.is_running
        assert not finished.control_path.exists()
        await press(pilot, "q")

    tell(app, act)
    assert app.return_value == 0


@pytest.mark.parametrize(("seconds", "speed"), [
    (0.0, 0.0625), (0.3, 0.0625), (1.3, 0.125), (6.0, 0.5), (12.0, 1.0), (40.0, 1.0), (41.0, 2.0), (3600.0, 128.0),
])  # fmt: skip
def test_what_is_over_at_once_is_played_slowly_and_what_is_long_fast(seconds: float, speed: float) -> None:
    assert first_speed(seconds) == speed


def test_nothing_is_waited_for_before_the_first_task() -> None:
    timeline = Timeline()
    started = [e for e in records(n_tasks=2) if isinstance(e, ev.RunStarted | ev.TaskStarted)][:2]
    timeline.add([
        dataclasses.replace(e, t=t)
        for e, t in zip([ev.PhaseStarted(phase="loading"), *started], (100.0, 101.5, 103.0), strict=True)
    ])  # fmt: skip
    assert timeline.tasks == [0.0]
    assert timeline.duration == 0.0
    timeline.add([ev.TaskEnded(task=0, seconds={}, t=104.0)])
    assert timeline.ends == [1.0]


def test_a_speed_that_can_be_watched(hundred: Run) -> None:
    app = make_app(hundred, mode="replay")

    async def act(pilot: Pilot[Any]) -> None:
        player = await player_of(pilot, app)
        assert player.duration / player.speed <= 40

    tell(app, act)
