"""Training from the command line: the events, the tables, the exit codes, and resuming."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cllab.cli import run as commands
from cllab.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from tests.cli.conftest import Cllab
from tests.conftest import toy_preset

EXPECT = """
[[expect]]
metric = "last_accuracy"
value = 0.5
tolerance = 0.5
seeds = [1, 2]
source = "a toy"
"""
PRESET = (
    toy_preset(scenario={"tasks": 3}, model={"layers": 1}, memory={"capacity": 30}, train={"batch_size": 32}) + EXPECT
)


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "toy.toml"
    path.write_text(PRESET, encoding="utf-8")
    return str(path)


def test_headless_prints_tables_to_stdout_and_tells_on_stderr(cllab: Cllab, preset: str, store: RunStore) -> None:
    said = cllab("run", preset, "--headless", "--seeds", "1-2")
    assert said.code == 0
    runs = list(store)
    assert [r.config().seed for r in reversed(runs)] == [1, 2]
    # data
    assert "toy · mean of 2 seeds: 1, 2" in said.out
    assert "accuracy (%) on each task, over the tasks learned" in said.out
    assert "forgetting (points)" in said.out
    assert "mean ± deviation, n = 2" in said.out
    assert all(str(r.folder) in said.out for r in runs)
    assert "\x1b" not in said.out
    results = [r.result() for r in runs]
    values = sorted(100 * r["metrics"]["last_accuracy"] for r in results if r is not None)
    assert f"{sum(values) / 2:.2f}" in said.out
    # narration
    assert said.err.count("task 3/3") == 2
    assert said.err.count("done in") == 2
    assert "task 1/3" not in said.out


def test_json_is_the_events_and_last_the_result(cllab: Cllab, preset: str, store: RunStore) -> None:
    said = cllab("run", preset, "--json", "--set", "train.lr=0.1")
    assert said.code == 0
    lines = said.out.splitlines()
    run = next(iter(store))
    assert lines[:-1] == run.events_path.read_text().splitlines()
    assert all(ev.from_line(line) is not None for line in lines[:-1])
    result = json.loads(lines[-1])
    assert result == run.result()
    assert result["config"]["train"]["lr"] == 0.1
    assert "task 3/3" in said.err


def test_quiet_says_nothing(cllab: Cllab, preset: str) -> None:
    said = cllab("run", preset, "--headless", "--quiet")
    assert (said.code, said.err) == (0, "")


def test_a_failed_run_says_why_and_exits_1(cllab: Cllab, preset: str, store: RunStore) -> None:
    said = cllab("run", preset, "--headless", "--quiet", "--set", "train.lr=100", "--set", "train.momentum=1")
    run = next(iter(store))
    assert run.status().state == "failed"
    assert said.code == 1
    assert said.out == ""
    assert said.err.strip() == f"failed: {run.status().reason}"


def start(preset: str, runs: Path) -> subprocess.Popen[str]:
    """A long headless run in a process of its own, once it has begun to train."""
    arguments = ["run", preset, "--headless", "--runs", str(runs), "--set", "train.batch_size=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cllab", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if any(isinstance(r.last_event(), ev.StepEnded) for r in RunStore(runs)):
            return process
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_interrupted_then_resumed_ends_as_if_it_never_was(cllab: Cllab, preset: str, tmp_path: Path) -> None:
    runs = tmp_path / "cut"
    process = start(preset, runs)
    second = cllab("resume", "last", "--runs", str(runs))
    assert second.code == 2
    assert "already being trained" in second.err
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (EXIT_INTERRUPTED, "")
    assert "stopped" in err
    said = cllab("resume", "last", "--runs", str(runs))
    assert said.code == 0
    assert "goes on at task" in said.err
    whole = tmp_path / "whole"
    assert cllab("run", preset, "--headless", "--runs", str(whole), "--set", "train.batch_size=2").code == 0
    results = [next(iter(RunStore(folder))).result() for folder in (whole, runs)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0]["accuracy_matrix"] == results[1]["accuracy_matrix"]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_seeds_without_the_app_are_a_queue_as_well(
    cllab: Cllab, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cllab.tui.succession import place, successor

    seen: list[object] = []

    def trained(run: Run, **_: object) -> int:
        runs = sorted(store, key=lambda r: r.config().seed)
        queues = {r.queue() for r in runs}
        assert [[i[-2:] for i in ids] for ids in queues] == [["s4", "s5", "s6"]]
        lock = run.take()
        seen.append((place(run, run.config().seed), [r.status().state for r in runs], successor(runs[0])))
        lock.release()
        if run.config().seed == 4:
            runs[1].delete()  # one that is deleted while it waits is passed over
        return EXIT_FAILED

    monkeypatch.setattr(commands, "_train", trained)
    assert cllab("run", "quickstart", "--headless", "--seeds", "4-6").code == EXIT_FAILED
    last, first = store
    assert seen == [
        ("seed 4, 1 of 3", ["starting", "queued", "queued"], None),
        ("seed 6, 3 of 3", ["lost", "starting"], last),
    ]
    assert not any(run.queued_path.exists() for run in (first, last))


def test_seeds_that_were_not_begun_when_one_was_stopped_leave_nothing(
    cllab: Cllab, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(run: Run, **_: object) -> int:
        run.take().release()
        return EXIT_TERMINATED

    monkeypatch.setattr(commands, "_train", stopped)
    assert cllab("run", "quickstart", "--headless", "--seeds", "1-3").code == EXIT_TERMINATED
    (run,) = store
    assert run.config().seed == 1
    assert cllab("run", "quickstart", "--headless").code == EXIT_TERMINATED
    assert next(iter(store)).queue() == (), "one alone is no queue"


def test_seeds_that_cannot_be_announced_leave_nothing(
    cllab: Cllab, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cllab.record.queue.write", full)
    said = cllab("run", "quickstart", "--headless", "--seeds", "1-3")
    assert (said.code, said.err.splitlines()[-1]) == (EXIT_FAILED, "cllab: the disk is full")
    assert list(store.folder.iterdir()) == []


TRAINER = """
import sys, time
from pathlib import Path
from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run
run = Run(Path(sys.argv[1]))
lock, sink = RunLock(run.lock_path), run.sink()
sink(ev.TaskStarted(task=0, name="T1", classes=(0,), n_train=1))
print("up", flush=True)
while not (run.control_path.exists() and "stop" in run.control_path.read_text()):
    time.sleep(0.01)
sink(ev.RunEnded(status="stopped", reason="stopped on request"))
"""
"""Holds a run as the training process does, and ends it when it is asked to."""


@pytest.mark.parametrize("options", [(), ("--kill",)])
def test_stop_ends_a_run_elsewhere(cllab: Cllab, store: RunStore, options: tuple[str, ...]) -> None:
    from tests.recorded import config

    run = store.create(config())
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(run.folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "up\n"
    said = cllab("stop", run.id, *options)
    trainer.wait(10)
    assert said.code == 0
    if options:
        assert trainer.returncode == -signal.SIGKILL
        assert run.status().state == "lost"
    else:
        assert trainer.returncode == 0
        assert f"{run.id} is stopped: stopped on request" in said.err


def test_traced_steps_are_told_streamed_and_kept(cllab: Cllab, preset: str, store: RunStore) -> None:
    more = ("--set", "method=gem", "--set", "memory=ring", "--trace", "2")
    said = cllab("run", preset, "--json", *more)
    assert said.code == 0, said.err
    run = next(iter(store))
    streamed = [e for e in map(ev.from_line, said.out.splitlines()) if isinstance(e, ev.Traced)]
    assert streamed == [e for e in run.events() if isinstance(e, ev.Traced)]
    assert [e.task for e in streamed] == [0, 0, 1, 1, 2, 2]
    assert [e.file for e in streamed[:2]] == ["", ""]
    assert all((run.folder / e.file).is_file() for e in streamed[2:])
    told = [line for line in said.err.splitlines() if line.startswith("step ")]
    assert [line.split("  ")[0] for line in told] == [f"step {e.step}, task {e.task + 1}" for e in streamed]
    assert "violated constraints " in told[-1]
    assert told[-1].endswith(streamed[-1].file)
    assert not [line for line in cllab("run", preset, "--headless").err.splitlines() if line.startswith("step ")]


def test_a_trace_in_the_app_is_asked_for_there(cllab: Cllab, preset: str, store: RunStore) -> None:
    said = cllab("run", preset, "--trace", "2")
    assert said.code == 2
    assert said.err.splitlines()[-1].endswith(
        "--trace goes with --headless or --json; in the app, pause a run and trace its next steps"
    )
    assert not store.folder.exists()
    assert cllab("run", preset, "--headless", "--trace", "-1").code == 2


def test_a_method_file_is_relative_to_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands._from_here("method.file=mine.py") == f'method.file="{tmp_path / "mine.py"}"'
    assert commands._from_here("method.file = 'mine.py'") == f'method.file="{tmp_path / "mine.py"}"'
    assert commands._from_here("method.file=/there/mine.py") == "method.file=/there/mine.py"
    assert commands._from_here("train.lr=1") == "train.lr=1"


def test_check_claims_runs_and_judges(cllab: Cllab, preset: str, tmp_path: Path, store: RunStore) -> None:
    said = cllab("check-claims", preset, "--quiet")
    assert said.code == 0
    assert said.out.startswith("holds  ")
    assert "over seeds 1-2" in said.out
    strict = tmp_path / "strict.toml"
    strict.write_text(PRESET.replace("tolerance = 0.5", "tolerance = 0.0"), encoding="utf-8")
    said = cllab("check-claims", str(strict), "--quiet", "--reuse", "--json")
    assert said.code == 1
    assert "1 of 1 claims do not hold" in said.err
    verdict = json.loads(said.out)[0]
    assert verdict["n"] == 2
    assert not verdict["holds"]
    # reused, not run again
    assert len(list(store)) == 2


def test_a_table_runs_what_is_missing_once(cllab: Cllab, preset: str, tmp_path: Path, store: RunStore) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'title = "Toys"\nseeds = "1-2"\nreferences = ["published"]\n'
        '[[columns]]\nlabel = "slow"\nset = ["train.lr=0.01"]\n[[columns]]\nlabel = "fast"\nset = ["train.lr=0.1"]\n'
        f'[[rows]]\nlabel = "ER"\npreset = "{preset}"\npublished = "50 ± 1"\n'
        f'[[rows]]\nlabel = "fine-tuning"\npreset = "{preset}"\nset = ["method=finetune"]\ncolumns = ["fast"]\n',
        encoding="utf-8",
    )
    dry = cllab("table", str(plan), "--dry-run")
    assert len(dry.out.splitlines()) == 6
    assert not store.folder.exists()
    said = cllab("table", str(plan), "--quiet")
    assert said.code == 0
    assert len(list(store)) == 6
    lines = said.out.splitlines()
    assert lines[2] == "|  | slow (%) | fast (%) | published (%) | seconds a run |"
    cells = [c.strip() for c in lines[4].strip("|").split("|")]
    assert cells[0] == "ER"
    assert cells[3] == "50 ± 1"
    of_er = [
        r["metrics"]["last_accuracy"]
        for r in (run.result() for run in store)
        if r is not None and r["config"]["method"]["name"] == "er" and r["config"]["train"]["lr"] == 0.01
    ]
    assert cells[1].startswith(f"{50 * sum(of_er):.2f} ± ")
    assert lines[5].startswith("| fine-tuning | - | ")
    again = cllab("table", str(plan), "--out", str(tmp_path / "table.md"))
    assert len(list(store)) == 6
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == said.out
    assert again.out.strip() == str(tmp_path / "table.md")
