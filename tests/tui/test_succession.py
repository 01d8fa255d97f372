"""Runs that follow one another: their places, and the screens that follow the one which trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run
from cllab.study.queue import start_queue
from cllab.tui.succession import place, successor
from tests.tui.conftest import live_run
from tests.tui.recorded import records
from tests.tui.stories import SIZES, make_app, press, shown, tell, until


def three(folder: Path, seeds: tuple[int, ...] = (1, 2, 3)) -> list[Run]:
    """Empty run folders that know of each other, as `start_queue` leaves them."""
    runs = [live_run(folder / f"20261120-101112-er-cifar10-s{seed}") for seed in seeds]
    for run in runs:
        run.lock_path.unlink()
        run.queue_path.write_text("".join(f"{r.id}\n" for r in runs))
    return runs


def write(run: Run, *, seed: int, finished: bool) -> None:
    """The log of a whole or a half run."""
    with run.events_path.open("ab") as file:
        for event in records(run.id, pictures=0, steps=4, until_task=None if finished else 2, finished=finished):
            if isinstance(event, ev.RunStarted):
                object.__setattr__(event, "seed", seed)
                object.__setattr__(event, "device", "cuda:0 (NVIDIA H200)")
            file.write((ev.to_line(event) + "\n").encode())


def test_places(tmp_path: Path) -> None:
    one, two, three_ = three(tmp_path / "runs")
    assert [place(r, s) for r, s in ((one, 1), (two, 2), (three_, 3))] == ["seed 1 of 3", "seed 2 of 3", "seed 3 of 3"]
    assert place(two, None) == ""
    other = three(tmp_path / "other", (7, 9))
    assert [place(r, s) for r, s in zip(other, (7, 9), strict=True)] == ["seed 7, 1 of 2", "seed 9, 2 of 2"]
    alone = live_run(tmp_path / "runs" / "alone")
    assert place(alone, 4) == "seed 4"
    for torn in (b"\xff\xfe", b"../../etc\n/etc/passwd\n..\n", b""):
        alone.queue_path.write_bytes(torn)
        assert place(alone, 4) == "seed 4"
        assert successor(alone) is None
    assert alone.queue() == ()


def test_the_successor_is_the_one_that_trains(tmp_path: Path) -> None:
    one, two, last = three(tmp_path / "runs")
    assert successor(one) is None
    lock = RunLock(last.lock_path)
    # one that is passed over (stopped, failed, deleted) does not hold up the rest
    assert successor(one) == last
    assert successor(two) == last
    assert successor(last) is None
    lock.release()


def test_the_queue_writes_who_belongs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = three(tmp_path / "runs")
    for run in runs:
        run.queue_path.unlink()
    monkeypatch.setattr("cllab.study.queue.subprocess.Popen", lambda *_args, **_options: None)
    start_queue(runs)
    assert all(run.queue() == tuple(r.id for r in runs) for run in runs)


@pytest.mark.parametrize("mode", ["live", pytest.param("memory", marks=pytest.mark.slow)])
def test_the_seed_that_trains_is_followed(tmp_path: Path, mode: str) -> None:
    one, two, _ = three(tmp_path / "runs")
    lock = RunLock(one.lock_path)
    write(one, seed=1, finished=False)
    app = make_app(one)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: "seed 1 of 3" in shown(app) and "training" in shown(app))
        if mode == "memory":
            await press(pilot, "3")
        one.events_path.write_bytes(b"")
        write(one, seed=1, finished=True)
        second = RunLock(two.lock_path)
        write(two, seed=2, finished=False)
        lock.release()
        await until(pilot, lambda: app.current == two, "the second seed to be followed")
        assert app.current_mode == mode
        await until(pilot, lambda: "seed 2 of 3" in shown(app) and "▸ training" in shown(app))
        assert f"{one.id} is done" in " ".join(shown(app).split())
        # the first one, opened to be looked at, stays
        app.open_run(one)
        await until(pilot, lambda: "seed 1 of 3" in shown(app) and "✓ done" in shown(app))
        await pilot.pause(1.5)
        assert app.current == one
        second.release()

    tell(app, story)


def test_a_run_that_waits_says_so_until_it_trains(tmp_path: Path) -> None:
    one, two, _ = three(tmp_path / "runs")
    first, waits = RunLock(one.lock_path), RunLock(two.queued_path)
    app = make_app(two)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: "· queued" in shown(app))
        assert "waits for the run before it" in shown(app)
        assert app.screen.__class__.__name__ == "LiveScreen", "nothing has failed"
        second = two.take()
        write(two, seed=2, finished=False)
        waits.release()
        await until(pilot, lambda: "▸ training" in shown(app))
        second.release()

    tell(app, story)
    first.release()


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("key", ["2", "3"])
def test_where_one_is_and_which_run_it_is(tmp_path: Path, size: tuple[int, int], key: str) -> None:
    run = three(tmp_path / "runs")[1]
    write(run, seed=2, finished=True)
    app = make_app(run)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: "✓ done" in shown(app))
        await press(pilot, key)
        first, second = shown(app).splitlines()[:2]
        for i, name in enumerate(("Set up", "Live", "Memory", "Runs", "Explain", "Lessons"), 1):
            assert f"{i} {name}" in first
        assert ("[2 Live]" if key == "2" else "[3 Memory]") in first
        assert "er-cifar10 · seed 2 of 3" in second
        assert "on cuda:0, took" in second
        assert "NVIDIA" not in second
        # a click on the bar leads there
        await pilot.click("ModeBar", offset=(first.index("4 Runs") + 1, 0))
        await until(pilot, lambda: app.current_mode == "runs")

    tell(app, story, size)


def test_a_stop_that_was_asked_for_elsewhere_is_shown(tmp_path: Path) -> None:
    run = three(tmp_path / "runs")[0]
    lock = RunLock(run.lock_path)
    write(run, seed=1, finished=False)
    app = make_app(run)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: "▸ training" in shown(app))
        run.command("stop")
        await until(pilot, lambda: "■ stopping" in shown(app), "the wish of another viewer")
        assert "▸ training" not in shown(app)
        await press(pilot, "3")
        await until(pilot, lambda: "■ stopping" in shown(app))

    tell(app, story)
    lock.release()
