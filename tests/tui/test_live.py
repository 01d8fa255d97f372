"""The Live screen as short stories: a run that grows, a run that is over, one that failed, one whose process dies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run
from cllab.tui.feed import death, last_error
from cllab.tui.screens.failed import FailedScreen, shortened
from cllab.tui.screens.help import HelpScreen
from cllab.tui.screens.live import LiveScreen
from cllab.tui.screens.log import LogScreen
from cllab.tui.screens.quit import ConfirmScreen, QuitScreen
from cllab.tui.screens.small import TooSmall
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.matrix import AccuracyMatrix
from tests.tui.conftest import live_run
from tests.tui.recorded import records
from tests.tui.stories import SIZES, make_app, press, shown, tell, until


def live(app: Any) -> LiveScreen:
    assert isinstance(app.screen, LiveScreen), app.screen
    return app.screen


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_finished_run_shows_everything(finished: Run, size: tuple[int, int]) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
        screen = live(app)
        text = shown(app)
        assert "✓ done" in text
        assert "task 5/5" in text
        assert "100 %" in text
        assert "took" in text
        assert "accuracy per task" in text
        assert "T5" in text
        panes = ("accuracy", "forgetting", "matrix", "memory", "rates", "classes", "samples")
        visible = [key for key in panes if screen.query_one(f"#{key}").display]
        if size[0] < 100:
            # one pane at a time; tab shows each of them
            assert visible == ["accuracy"]
            assert "[accuracy]" in text
            for key in (*panes[1:], "accuracy"):
                await press(pilot, "tab")
                assert [k for k in panes if screen.query_one(f"#{k}").display] == [key]
                assert screen.focused is screen.query_one(f"#{key}")
                assert len(shown(app).strip()) > 100
            await press(pilot, "shift+tab")
            assert screen.current == "samples"
        elif size[0] < 150:
            assert visible == list(panes[:5])
            assert "forgot" in text
            assert "memory by class" in text
            assert "img/s" in text
        else:
            assert visible == list(panes)
            assert "accuracy per class" in text
            assert "new in memory" in text
            assert "truck" in text

    tell(app, act, size)


def test_looking_at_one_task_zooming_and_reading_the_matrix(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        screen = live(app)
        await press(pilot, "f")
        assert screen.focus_task == 0
        assert "T1: airplane, automobile" in shown(app)
        await press(pilot, "f", "f", "F")
        assert screen.focus_task == 1
        await press(pilot, "escape")
        assert screen.focus_task is None
        # zoom keeps the keys and the header; esc gives it back
        await press(pilot, "z")
        assert [w.id for w in screen.query("#panes > *") if w.display] == ["accuracy"]
        assert screen.query_one("#accuracy").size.width > 110
        await press(pilot, "escape")
        assert screen.query_one("#matrix").display
        # the cursor of the matrix
        await press(pilot, "tab", "tab")
        matrix = screen.query_one(AccuracyMatrix)
        assert screen.focused is matrix
        assert "T1 (airplane, automobile): 45.9 %" in shown(app)
        await press(pilot, "up", "right")
        assert matrix.cursor == (3, 1)
        assert "after task 4" in " ".join(shown(app).split())
        # the marker is remembered
        await press(pilot, "m")
        assert app.settings.marker == "quadrant"
        # a click on a label looks at its task
        chart = screen.query_one("#accuracy", LineChart)
        row = next(y for y, task in chart._label_rows.items() if task == 2)
        await pilot.click(chart, offset=(chart.outer_size.width - 6, row + 1))
        await until(pilot, lambda: screen.focus_task == 2, "a click on T3")

    tell(app, act)


def test_a_run_grows_while_it_is_watched(tmp_path: Path) -> None:
    run = live_run(tmp_path / "20261120-101112-er-s1")
    lock = RunLock(run.lock_path)
    app = make_app(run, rate=50.0)
    log = [ev.to_line(e) + "\n" for e in records(n_tasks=3, n_classes=6, steps=6, evaluations=1)]

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert "starting" in shown(app)
        with run.events_path.open("a") as file:
            for i, line in enumerate(log[:-1]):
                # half a line first: it must wait for its other half
                file.write(line[:20])
                file.flush()
                file.write(line[20:])
                file.flush()
                await until(pilot, lambda n=i + 1: app.feed and app.feed.state.n_events == n, f"record {i + 1}")
        assert app.feed is not None
        assert app.feed.is_training
        assert "▸ training" in shown(app)
        # what is asked for is written down for the worker, and shown until it happens
        await press(pilot, "space")
        assert run.control_path.read_text().split()[-1] == "pause"
        assert "pausing" in shown(app)
        with run.events_path.open("a") as file:
            file.write(ev.to_line(ev.Paused(task=2, step=180)) + "\n")
        await until(pilot, lambda: app.feed and app.feed.state.status == "paused")
        assert "‖ paused" in shown(app)
        await press(pilot, "n")
        assert run.control_path.read_text().split()[-1] == "step"
        await press(pilot, "space")
        assert run.control_path.read_text().split()[-1] == "resume"
        # stop asks first
        await press(pilot, "x")
        assert isinstance(app.screen, ConfirmScreen)
        await press(pilot, "escape")
        assert run.control_path.read_text().split()[-1] == "resume"
        await press(pilot, "x", "y")
        assert run.control_path.read_text().split()[-1] == "stop"
        with run.events_path.open("a") as file:
            file.write(ev.to_line(ev.RunEnded(status="stopped", reason="stopped by a viewer")) + "\n")
        lock.release()
        await until(pilot, lambda: app.feed and app.feed.state.status == "stopped")
        assert "■ stopped" in shown(app)
        assert "stopped by a viewer" in shown(app)

    tell(app, act)


def test_the_death_of_the_process_is_seen_and_named(tmp_path: Path) -> None:
    run = live_run(tmp_path / "20261120-101112-er-s1")
    run.log_path.write_text("reading\nValueError: cannot reshape [3, 4]\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; from pathlib import Path; from cllab.record.lock import RunLock; "
         "lock = RunLock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()", str(run.lock_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    run.events_path.write_text("".join(ev.to_line(e) + "\n" for e in records(until_task=1, finished=False)))
    app = make_app(run)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.n_events > 10 and app.feed.is_training)
        holder.kill()
        holder.wait()
        await until(
            pilot, lambda: isinstance(app.screen, FailedScreen), "the dialog", seconds=10
        )  # a busy machine may take its time
        text = shown(app)
        assert "The training process is gone" in text
        assert "died without a word" in text
        assert "cannot reshape [3, 4]" in text
        assert run.id in text
        await press(pilot, "l")
        assert isinstance(app.screen, LogScreen)
        assert "ValueError" in shown(app)
        await press(pilot, "escape")
        # the charts stay
        assert "✗ lost" in shown(app)
        assert "accuracy per task" in shown(app)
        assert "T1" in shown(app)

    tell(app, act)
    assert holder.stdin is not None
    holder.stdin.close()
    holder.stdout.close()


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_failed_run_keeps_its_charts_and_says_why(failed: Run, size: tuple[int, int]) -> None:
    app = make_app(failed)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, FailedScreen), "the dialog")
        text = shown(app)
        assert "The run has failed" in text
        assert "The loss is not a number since step 1010." in text
        assert "TrainingError: the loss is not a number [nan]" in text
        await press(pilot, "escape")
        text = shown(app)
        assert "✗ failed" in text
        assert "the loss is not a number" in text
        assert "T2" in text
        # it is said once
        await press(pilot, "2")
        assert isinstance(app.screen, LiveScreen)

    tell(app, act, size)


def test_an_empty_log_says_so(finished: Run) -> None:
    app = make_app(finished)
    written = finished.log_path.read_bytes() if finished.log_path.exists() else None

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        await press(pilot, "l")
        await until(pilot, lambda: "has printed nothing" in shown(app))
        assert shown(app).splitlines()[-1].split("  ")[:2] == [" esc Close", "c Copy"]
        finished.log_path.write_text("a first line\n")
        await until(pilot, lambda: "a first line" in shown(app))
        assert "nothing" not in shown(app)

    finished.log_path.unlink(missing_ok=True)
    try:
        tell(app, act)
    finally:
        finished.log_path.unlink(missing_ok=True)
        if written is not None:
            finished.log_path.write_bytes(written)


def test_the_run_is_named_whatever_the_length_of_its_path() -> None:
    run = "20261120-101112-er-s1"
    assert shortened(f"/short/{run}", 70, "…") == f"/short/{run}"
    long = f"/{'very/' * 30}long/{run}"
    assert shortened(long, 50, "…") == long[:27] + f"…/{run}"
    assert len(shortened(long, 50, "…")) == 50
    assert shortened(long, 10, "~") == f"~/{run}"


def test_exit_codes_are_named() -> None:
    assert "out of memory" in death(-9, [])
    assert "SIGSEGV" in death(-11, ["Fatal Python error: Segmentation fault"])
    assert (
        death(1, ["x", "torch.OutOfMemoryError: CUDA out of memory", "trailing"])
        == "torch.OutOfMemoryError: CUDA out of memory"
    )
    assert "exit code 7" in death(7, ["nothing said"])
    assert last_error([]) == ""


def test_quit_asks_while_it_trains(tmp_path: Path) -> None:
    run = live_run(tmp_path / "20261120-101112-er-s1")
    run.events_path.write_text("".join(ev.to_line(e) + "\n" for e in records(until_task=1, finished=False)))
    # enter takes the first choice, which is to detach: nothing is asked of the run
    for key, command in (("enter", None), ("s", "stop")):
        lock = RunLock(run.lock_path)
        app = make_app(run)

        async def act(pilot: Pilot[Any], app: Any = app, key: str = key) -> None:
            await until(pilot, lambda: app.feed.state.n_events > 10 and app.feed.is_training)
            for stay in (("escape",), ("down", "down", "enter")):
                await press(pilot, "q")
                assert isinstance(app.screen, QuitScreen)
                text = shown(app)
                assert "A run is still training" in text
                assert "task 2/5" in text
                assert f"cllab attach {run.id}" in text
                await press(pilot, *stay)
                assert isinstance(app.screen, LiveScreen)
            await press(pilot, "q", key)

        tell(app, act, (100, 30))
        assert app.return_value == 0
        written = run.control_path.read_text().split()[-1] if run.control_path.exists() else None
        assert written == command
        lock.release()


def test_quit_does_not_ask_when_nothing_trains(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        await press(pilot, "q")

    tell(app, act)
    assert app.return_value == 0


def test_help_is_made_from_the_keys_and_panes(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        described = {text for _, text in app.screen.keys}
        assert {"Focus task", "Zoom", "Log", "Quit", "Memory", "Runs"} <= described
        # what cannot be done now is not offered
        assert not {"Pause/go on", "Stop", "Detach", "Kill", "Play"} & described
        titles = [title for title, _ in app.screen.panes]
        assert titles[0] == "accuracy per task % (here)"
        assert "accuracy matrix %" in titles
        await press(pilot, "escape")
        assert isinstance(app.screen, LiveScreen)

    tell(app, act)


def test_a_tiny_terminal_gets_one_line(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        for size in ((59, 30), (100, 15), (20, 3)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: isinstance(app.screen, TooSmall))
            await until(pilot, lambda s=size: f"now {s[0]}x{s[1]}" in " ".join(shown(app).split()), f"{size}")
            assert " ".join(shown(app).split()).startswith("needs 60x16")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert "✓ done" in shown(app)
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: app.screen.query_one("#matrix").display)

    tell(app, act, (20, 3))


def test_a_terminal_without_unicode_gets_ascii(finished: Run) -> None:
    app = make_app(finished, glyphs="ascii")

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        for keys in (("2",), ("tab", "tab"), ("3",)):
            await press(pilot, *keys)
            text = shown(app)
            strange = sorted({c for c in text if ord(c) > 126})
            assert not strange, strange
            assert "v done" in text or "memory after" in text

    tell(app, act, (160, 45))


def test_the_locale_chooses_the_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    from cllab.tui.glyphs import ASCII, UNICODE, choose_glyphs

    for lang, term, expected in (
        ("C.UTF-8", "xterm", UNICODE), ("de_DE.ISO-8859-1", "xterm", ASCII), ("C", "xterm", ASCII),
        ("en_US.UTF-8", "linux", ASCII),
    ):  # fmt: skip
        for name in ("LC_ALL", "LC_CTYPE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LANG", lang)
        monkeypatch.setenv("TERM", term)
        assert choose_glyphs() is expected, (lang, term)
    assert choose_glyphs("unicode") is UNICODE
    assert choose_glyphs("ascii") is ASCII


def test_names_with_brackets_are_not_markup(tmp_path: Path) -> None:
    run = live_run(tmp_path / "20261120-101112-er-s1")
    log = list(records(n_tasks=2, n_classes=4, steps=2))
    start = log[0]
    assert isinstance(start, ev.RunStarted)
    object.__setattr__(start, "name", "er [bold]x[/bold] [/]")
    object.__setattr__(start, "class_names", ("[red]", "[/", "c]", "[d"))
    run.events_path.write_text("".join(ev.to_line(e) + "\n" for e in log))
    app = make_app(run)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        assert "er [bold]x[/bold] [/]" in shown(app)
        await press(pilot, "f")
        assert "[red]" in shown(app)
        await press(pilot, "3")
        assert "c]" in shown(app)

    tell(app, act)


def test_no_run_is_open() -> None:
    app = make_app(mode="live")

    async def act(pilot: Pilot[Any]) -> None:
        for key in ("2", "3"):
            app.switch_mode({"2": "live", "3": "memory"}[key])
            await pilot.pause()
            assert "No run is open" in shown(app)

    tell(app, act)


def test_the_app_is_light() -> None:
    code = (
        "import sys; import cllab.tui.app, cllab.tui.screens.live, cllab.tui.screens.memory, cllab.tui.player; "
        "print(sorted({'torch', 'torchvision', 'plotext', 'sklearn', 'faiss', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}, check=True
    )
    assert done.stdout.strip() == "[]"


def test_not_a_terminal_is_one_line_and_exit_2() -> None:
    code = "import sys; from cllab.tui.app import run_app; sys.exit(run_app())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "cllab: not a terminal; use: cllab run --headless PRESET\n"


def test_the_app_starts_a_process_and_names_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import signal

    from cllab.settings.config import RunConfig

    config = RunConfig.from_dict(
        {"name": "lab", "dataset": {"name": "cifar10"}, "method": {"name": "er"}, "memory": {"capacity": 50}}
    )
    worker = Path(__file__).with_name("fake_worker.py")
    monkeypatch.setenv("CLLAB_WORKER_CMD", f"{sys.executable} {worker}")
    for story, ending in (
        ({"pictures": 0, "steps": 5}, "done"),
        ({"pictures": 0, "exit": 1}, "RuntimeError: CUDA error: an illegal memory access was encountered"),
        ({"pictures": 0, "rate": 30}, "out of memory"),
    ):
        monkeypatch.setenv("CLLAB_FAKE", json.dumps(story))
        app = make_app(mode="live")
        app.store.folder = tmp_path / "runs"

        async def act(pilot: Pilot[Any], app: Any = app, ending: str = ending) -> None:
            run = app.start_run(config)
            assert app.current == run
            assert run.folder.parent == tmp_path / "runs"
            await until(pilot, lambda: app.feed.state.started is not None, "the first record")
            if ending == "done":
                await until(pilot, lambda: app.feed.state.status == "done" and not app.feed.is_training)
                return
            if ending == "out of memory":
                os.kill(run.status().pid, signal.SIGKILL)
            await until(pilot, lambda: isinstance(app.screen, FailedScreen), "the dialog")
            assert ending in " ".join(re.sub("[│╭╮╰╯─]", " ", shown(app)).split())

        tell(app, act)
