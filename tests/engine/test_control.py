"""Pause, step, stop and signals; killed and resumed in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cllab.engine.control import Control, StopRequested
from cllab.engine.run import Session
from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run, RunStore
from cllab.worker import main, train
from tests.conftest import toy

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of POSIX")


def command(path: Path, words: str) -> None:
    with path.open("a") as file:
        file.write(f"{time.time_ns()} {words}\n")


# -- the control file


def test_nothing_is_asked_where_there_is_no_file(tmp_path: Path) -> None:
    assert Control().poll() is False
    assert Control(tmp_path / "control").poll() is False


def test_pause_resume_step_trace_and_stop(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    command(path, "pause")
    assert control.poll() is True
    assert control.poll() is True
    command(path, "step")
    assert control.poll() is False
    assert control.pause_at_task_end is True
    command(path, "pause")
    assert control.poll() is True
    command(path, "resume")
    assert control.poll() is False
    command(path, "trace 4")
    assert control.poll() is False
    assert control.trace_steps == 4
    command(path, "trace")
    control.poll()
    assert control.trace_steps == 1
    command(path, "stop")
    with pytest.raises(StopRequested) as caught:
        control.poll()
    assert caught.value.exit_code == 143


def traced(control: Control, n: int) -> bool:
    """Take `n` traced steps; whether training pauses then."""
    for _ in range(n):
        assert control.poll() is False
        assert control.trace_steps > 0
        control.traced()
    return control.poll()


def test_a_trace_pauses_again_only_where_it_was_asked_for_in_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    command(path, "trace 2")
    assert traced(control, 2) is False
    command(path, "pause")
    assert control.poll() is True
    command(path, "trace 2")
    assert traced(control, 2) is True
    command(path, "trace 0")
    assert control.poll() is True
    # asked again on the way: from here on, so many
    command(path, "trace 5")
    assert traced(control, 1) is False
    command(path, "trace 2")
    assert traced(control, 2) is True


@pytest.mark.parametrize(("words", "paused"), [("pause", True), ("resume", False), ("step", False)])
def test_another_command_takes_the_place_of_a_trace_under_way(words: str, paused: bool, tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    command(path, "pause")
    control.poll()
    command(path, "trace 3")
    assert traced(control, 1) is False
    command(path, words)
    assert control.poll() is paused
    assert control.trace_steps == 0
    assert control.pause_at_task_end is (words == "step")


def test_a_trace_of_every_task_begins_with_each_of_them() -> None:
    control = Control()
    control.trace_each = 2
    control.enter_task(0)
    assert control.trace_steps == 2
    traced(control, 2)
    control.enter_task(0)  # a second phase of the same task
    assert control.trace_steps == 0
    control.enter_task(1)
    assert control.trace_steps == 2


def test_commands_within_one_tick_of_the_clock_are_all_seen(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    for n in range(40):
        command(path, "pause" if n % 2 == 0 else "resume")
        assert control.poll() is (n % 2 == 0)


def test_every_command_between_two_looks_counts_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    command(path, "step")
    command(path, "pause")
    assert control.poll() is True
    assert control.pause_at_task_end is True
    command(path, "trace 3")
    command(path, "resume")
    assert control.poll() is False
    assert control.trace_steps == 0
    command(path, "stop")
    command(path, "resume")
    with pytest.raises(StopRequested):
        control.poll()


def test_half_a_line_waits_for_its_end_and_a_new_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    path.write_text("1 pau")
    assert control.poll() is False
    path.write_text("1 pause\n2 res")
    assert control.poll() is True
    path.unlink()
    assert control.poll() is True
    command(path, "resume")
    assert control.poll() is False


def test_several_writers_at_once_lose_nothing(store: RunStore) -> None:
    run = store.create(toy("finetune"))
    heard: list[list[str]] = []
    control = Control(run.control_path)
    control._apply = heard.append  # type: ignore[method-assign]
    writer = (
        "import sys; from cllab.record.runs import Run; from pathlib import Path\n"
        "for i in range(200): Run(Path(sys.argv[1])).command(f'trace {sys.argv[2]}{i:03}')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", writer, str(run.folder), str(n)]) for n in (1, 2, 3)]
    while any(w.poll() is None for w in writers):
        control.poll()
    control.poll()
    assert all(w.returncode == 0 for w in writers)
    for n in "123":
        assert [words[1] for words in heard if words[1][0] == n] == [f"{n}{i:03}" for i in range(200)]
    assert len(heard) == 600


@pytest.mark.parametrize(
    "text", ["", "garbage", "1", "1 unknown", "1 trace many", "1 trace ²", "\xff\n\n1 trace " + "9" * 5000]
)
def test_nonsense_in_the_file_is_ignored(text: str, tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    path.write_text(f"{text}\n")
    assert control.poll() is False


def test_what_the_file_held_before_counts_only_where_it_was_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "control"
    command(path, "pause")
    assert Control(path).poll() is False
    assert Control(path, waiting=True).poll() is True


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_the_next_look_and_handlers_are_put_back(number: int, code: int) -> None:
    before = signal.getsignal(number)
    control = Control()
    control.install_signals()
    try:
        signal.raise_signal(number)
        with pytest.raises(StopRequested) as caught:
            control.poll()
        assert caught.value.exit_code == code
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    finally:
        control.remove_signals()
    assert signal.getsignal(number) is before


# -- a run that is controlled; the viewer is a sink in the same process


def controlled(store: RunStore, on: dict[int, str], **tables: Any) -> tuple[Run, list[ev.Event], int]:
    """A run during which a viewer writes `on[n]` into the control file right after the n-th step."""
    run = store.create(toy("finetune", scenario={"tasks": 3}, **tables))
    heard: list[ev.Event] = []
    waits = 0

    def wait(self: Control, seconds: float = 0.05) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            self.path = None  # a stuck pause would hang the test
            raise AssertionError("the pause did not end")
        command(run.control_path, on[-waits])

    def on_step(session: Session, phase: str) -> None:
        if session.learner.step in on:
            command(run.control_path, on[session.learner.step])
        original(session, phase)

    original, sleep = Session.on_step, Control.wait
    Session.on_step, Control.wait = on_step, wait  # type: ignore[method-assign]
    try:
        code = train(run, sinks=[heard.append], signals=False)
    finally:
        Session.on_step, Control.wait = original, sleep  # type: ignore[method-assign]
    return run, heard, code


def plain(events: list[ev.Event]) -> list[dict[str, Any]]:
    return [ev.without_times(e) for e in events if not isinstance(e, (ev.Paused, ev.Resumed, *ev.BY_CLOCK))]


def test_a_pause_changes_nothing_but_the_clock(store: RunStore) -> None:
    run, heard, code = controlled(store, {7: "pause", -1: "resume"})
    assert code == 0
    pause = next(e for e in heard if isinstance(e, ev.Paused))
    assert (pause.task, pause.step) == (0, 7)
    assert [type(e).__name__ for e in heard if isinstance(e, (ev.Paused, ev.Resumed))] == ["Paused", "Resumed"]
    _, undisturbed, _ = controlled(store, {})
    assert plain(heard) == plain(undisturbed)
    assert run.checkpoint_path.exists()


def test_a_step_runs_to_the_end_of_the_task(store: RunStore) -> None:
    _, heard, code = controlled(store, {3: "step", -1: "resume"})
    assert code == 0
    kinds = [type(e).__name__ for e in heard]
    first = kinds.index("Paused")
    assert kinds[first - 2 : first] == ["TaskEnded", "CheckpointSaved"]
    assert heard[first].task == 0  # type: ignore[attr-defined]
    assert kinds.count("Paused") == 1


def test_stop_while_paused_ends_with_a_checkpoint_to_go_on_from(store: RunStore) -> None:
    run, _, code = controlled(store, {9: "pause", -1: "stop"})
    assert code == 143
    status = run.status()
    assert status.state == "stopped"
    assert "resume" in status.reason
    assert train(run, resume=True, signals=False) == 0
    whole, _, _ = controlled(store, {})
    assert numbers(run) == numbers(whole)


def test_a_command_is_meant_for_one_process_only(store: RunStore) -> None:
    run, _, code = controlled(store, {5: "stop"})
    assert code == 143
    assert train(run, resume=True, signals=False, waiting=True) == 0


def test_the_stop_comes_at_the_very_next_batch_boundary(store: RunStore) -> None:
    run, heard, _ = controlled(store, {5: "stop"})
    result = run.result()
    assert result is not None
    assert result["steps"] == 5
    assert result["status"] == "stopped"
    assert isinstance(heard[-1], ev.RunEnded)
    assert heard[-1].status == "stopped"


# -- real processes


def numbers(run: Run) -> dict[str, Any]:
    result = run.result()
    assert result is not None
    return {k: v for k, v in result.items() if k not in ("seconds", "versions", "device", "name", "reason")}


LONG: dict[str, Any] = {
    "scenario": {"tasks": 3},
    "memory": {"name": "reservoir", "capacity": 60},
    "train": {"memory_epochs": 160, "checkpoint_seconds": 1, "augment": ["crop"]},
    "evaluate": {"every": 100},
}
"""A few seconds of training in a process: long enough to be hit."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = RunStore(tmp_path_factory.mktemp("runs")).create(toy("rm", **LONG))
    assert train(run, signals=False) == 0
    return numbers(run)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def steps_of(run: Run) -> int:
    """Steps that the log knows of, from its end."""
    lines = run.events_path.read_bytes()[-20_000:].splitlines()[1:]
    return max((e.step for e in map(ev.from_line, lines) if isinstance(e, ev.StepEnded)), default=0)


def end(process: subprocess.Popen[bytes]) -> int:
    return process.wait(timeout=60)


@posix
def test_stopped_interrupted_terminated_and_killed_a_run_ends_with_the_numbers_of_an_undisturbed_one(
    store: RunStore, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.create(toy("rm", **LONG))

    def started(*, resume: bool = True) -> subprocess.Popen[bytes]:
        process = run.start_worker(resume=resume)
        processes.append(process)
        return process

    def running(process: subprocess.Popen[bytes], more: int) -> None:
        """Wait until `process` has trained `more` steps."""
        wait_for(lambda: not isinstance(run.last_event(), ev.RunEnded))
        aim = steps_of(run) + more
        wait_for(lambda: process.poll() is not None or steps_of(run) > aim)
        assert process.poll() is None, run.log_tail()

    processes: list[subprocess.Popen[bytes]] = []
    try:
        # asked to stop while it is still importing
        process = started(resume=False)
        run.command("stop")
        assert end(process) == 143
        assert run.result()["steps"] == 1  # type: ignore[index]

        process = started()
        running(process, 150)
        # a second command on the folder is refused meanwhile
        assert train(run, signals=False) == 2
        refusal = (
            f"cllab: run '{run.id}' is already being trained by process {process.pid}; use cllab attach to watch it"
        )
        assert capsys.readouterr().err.strip() == refusal
        process.send_signal(signal.SIGINT)
        assert end(process) == 130
        assert run.status().state == "stopped"
        interrupted_at = run.result()["steps"]  # type: ignore[index]
        assert 1 < interrupted_at < undisturbed["steps"]

        process = started()
        running(process, 150)
        process.send_signal(signal.SIGTERM)
        assert end(process) == 143
        terminated_at = run.result()["steps"]  # type: ignore[index]
        assert interrupted_at < terminated_at < undisturbed["steps"]

        process = started()
        running(process, 150)
        assert run.kill()
        assert end(process) == -signal.SIGKILL
    finally:
        for process in processes:
            process.kill()
    assert run.status().state == "lost"
    assert run.result() is None
    assert train(run, resume=True, signals=False) == 0
    assert numbers(run) == undisturbed
    assert run.status().state == "done"


@posix
def test_a_second_training_in_the_folder_is_refused_and_touches_nothing(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.create(toy("finetune"))
    lock = RunLock(run.lock_path)
    try:
        assert main([str(run.folder)]) == 2
    finally:
        lock.release()
    assert "is already being trained by process" in capsys.readouterr().err
    assert not run.events_path.exists()
    assert train(run, signals=False) == 0


def test_a_worker_without_a_run_folder_says_how_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2
    assert "usage: python -m cllab.worker RUN_DIR" in capsys.readouterr().err


def test_a_run_folder_that_cannot_be_written_to(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run = store.create(toy("finetune"))
    run.lock_path.mkdir()  # permissions do not stop a superuser; a folder in the way stops everybody
    assert train(run, signals=False) == 1
    assert capsys.readouterr().err.startswith("cllab: Is a directory")
