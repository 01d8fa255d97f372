"""Many runs at once, and what kills them: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cllab.cli import many
from cllab.cli import run as commands
from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE
from cllab.record.lock import is_locked
from cllab.record.runs import Run, RunStore
from tests.cli.conftest import Cllab
from tests.cli.test_tune import PRESET, matrices, wait
from tests.recorded import config, write_run

ROOT = Path(__file__).parents[2]
PLAN = 'title = "Toys"\nseeds = "{seeds}"\n[[rows]]\nlabel = "ER"\npreset = "{preset}"\n'
WRAPPER = """import sys
from cllab.cli import many
many.POLL_SECONDS, many.PATIENCE_SECONDS = {poll}, {patience}
if {light}:  # whose workers are made up need not open the data, for which torch is imported
    from cllab.cli import run
    run.check_all = lambda *_, **__: None
from cllab.__main__ import main
sys.argv[0] = "cllab"
main()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Command:
    """A `cllab` in a process of its own."""

    def __init__(self, *arguments: str, fake: dict[int, str] | None, poll: float = 0.02, patience: float = 60) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if fake is not None:
            environment["CLLAB_WORKER_CMD"] = f"{sys.executable} {Path(__file__).with_name('fake_worker.py')}"
            environment["FAKE"] = json.dumps(fake)
        self.said = Path("stderr.txt")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    WRAPPER.format(poll=poll, patience=patience, light=fake is not None),
                    *arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=environment,
            )

    def end(self, timeout: float = 60) -> tuple[int, str, str]:
        out, _ = self.process.communicate(timeout=timeout)
        err = self.said.read_text()
        assert "Traceback" not in err
        return self.process.returncode, out, err


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: RunStore) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(PRESET)
    yield
    for run in store:  # nothing of a test that failed trains on
        run.kill()


def plan(seeds: str) -> str:
    Path("plan.toml").write_text(PLAN.format(seeds=seeds, preset="toy.toml"))
    return "plan.toml"


def training(store: RunStore, n: int) -> bool:
    return [run.status().state for run in store].count("training") == n


def go(store: RunStore) -> None:
    for run in store:
        (run.folder / "go").touch()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_runs_that_outlived_their_command_are_waited_for(store: RunStore, jobs: str) -> None:
    fake = {1: "wait", 2: "wait"}
    first = Command("table", plan("1-2"), "--jobs", "2", fake=fake)
    wait(lambda: training(store, 2))
    first.process.kill()
    first.process.wait()
    orphans = [run.status().pid for run in store]
    again = Command("table", plan("1-2"), "--jobs", jobs, fake=fake)
    wait(lambda: again.said.read_text().count("trains already in process") == int(jobs))
    assert [run.status().pid for run in store] == orphans
    go(store)
    code, out, err = again.end()
    assert (code, len(list(store))) == (EXIT_DONE, 2), err
    assert "| ER | 65.00 ± 0.00 |" in out, "both seeds"
    assert all(run.status().state == "done" for run in store)


@pytest.mark.slow
def test_orphans_of_a_killed_command_give_the_numbers_they_would_have_given(cllab: Cllab, store: RunStore) -> None:
    path = plan("1-2")
    assert cllab("table", path, "--runs", "whole", "--quiet").code == EXIT_DONE
    first = Command("table", path, "--jobs", "2", fake=None)
    wait(lambda: sum(run.log_path.exists() for run in store) == 2)
    for run in store:
        run.command("pause")
    wait(lambda: all(run.status().state == "paused" for run in store))
    first.process.kill()
    first.process.wait()
    again = Command("table", path, "--jobs", "2", fake=None)
    wait(lambda: again.said.read_text().count("it is paused") == 2)
    for run in store:
        run.command("resume")
    assert again.end()[0] == EXIT_DONE
    assert len(list(store)) == 2
    assert matrices(store) == matrices(RunStore("whole"))


def test_only_folders_in_which_something_happens_are_asked_again(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1, 21):
        write_run(store, config(seed=seed))
    stopped = write_run(store, config(seed=21), status="stopped", result=False)
    asked: list[str] = []
    status = Run.status
    monkeypatch.setattr(Run, "status", lambda run: asked.append(run.id) or status(run))  # type: ignore[func-returns-value]

    def calls(of: int = 21) -> tuple[Run | None, bool, int]:
        asked.clear()
        return *begun.find(config(seed=of)), len(asked)

    begun = many._Begun(store)
    assert len(asked) == 21
    assert [calls(seed) for seed in (3, 99, 21)] == [(None, False, 0), (None, False, 0), (stopped, False, 0)]
    # whatever lives may die without a trace: it alone is asked every time
    lock = stopped.take()
    assert [calls() for _ in range(3)] == [(stopped, True, 1)] * 3
    lock.release()
    assert [calls() for _ in range(3)] == [(stopped, False, 1), (stopped, False, 0), (stopped, False, 0)]
    new = store.create(config(seed=30))
    new.take().release()
    assert [calls(30) for _ in range(2)] == [(new, False, 1), (new, False, 0)]
    stopped.delete()
    assert calls() == (None, False, 0)


def test_an_orphan_that_dies_is_begun_again_in_its_folder(store: RunStore) -> None:
    first = Command("table", plan("1"), "--jobs", "2", fake={1: "wait"})
    wait(lambda: training(store, 1))
    first.process.kill()
    first.process.wait()
    again = Command("table", plan("1"), "--jobs", "2", fake={1: "done"})
    wait(lambda: "trains already" in again.said.read_text())
    (run,) = store
    assert run.kill()
    code, out, err = again.end()
    assert (code, [r.id for r in store]) == (EXIT_DONE, [run.id]), err
    assert "| ER | 65.00 |" in out


def test_ctrl_c_while_waiting_for_an_orphan_stops_it_with_a_checkpoint(store: RunStore) -> None:
    first = Command("table", plan("1"), "--jobs", "2", fake={1: "wait"})
    wait(lambda: training(store, 1))
    first.process.kill()
    first.process.wait()
    again = Command("table", plan("1"), fake={1: "wait"})
    wait(lambda: "trains already" in again.said.read_text())
    again.process.send_signal(signal.SIGINT)
    code, _, err = again.end()
    (run,) = store
    assert (code, run.status().state) == (EXIT_INTERRUPTED, "stopped"), err
    assert run.checkpoint_path.read_bytes() == b"whole"


def test_a_second_signal_in_the_same_moment_ends_the_workers_at_once(store: RunStore) -> None:
    # whoever polls once a second meets both signals at the same look
    table = Command("table", plan("1-2"), "--jobs", "2", fake={1: "slow 600", 2: "slow 600"}, poll=1.0)
    wait(lambda: training(store, 2))
    began = time.monotonic()
    table.process.send_signal(signal.SIGINT)
    table.process.send_signal(signal.SIGTERM)
    code, _, err = table.end()
    assert time.monotonic() - began < 50
    assert code == EXIT_INTERRUPTED, err
    assert [run.status().state for run in store] == ["lost", "lost"]
    assert not any(is_locked(run.lock_path) for run in store)
    assert not any(run.checkpoint_path.exists() for run in store)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_that_fails_does_not_hold_up_the_others(
    cllab: Cllab, store: RunStore, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    fake = {1: "exit 3", 2: "exit 2", 3: "kill", 4: "exit 1", 5: "done"}
    if jobs == "1":

        def here(config: Any, store: RunStore, **_: Any) -> tuple[Run, int]:
            made = store.create(config)
            worker = [sys.executable, str(Path(__file__).with_name("fake_worker.py")), str(made.folder)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "FAKE": json.dumps(fake)}
            return made, subprocess.run(worker, env=environment, check=False).returncode

        monkeypatch.setattr(commands, "train_here", here)
        said = cllab("table", plan("1-5"))
        code, out, err = said.code, said.out, said.err
        assert code == EXIT_DATA, "the first that is not 0"
    else:
        code, out, err = Command("table", plan("1-5"), "--jobs", "2", fake=fake).end()
        assert code in (EXIT_DATA, EXIT_USAGE)
        for seed in (1, 2, 3, 4):
            assert f"toy seed {seed}: lost" in err
    assert len(list(store)) == 5
    assert "| ER | 65.00 (n = 1) |" in out, "the last one was trained all the same"


def test_tune_counts_the_runs_that_end_while_it_stops(store: RunStore) -> None:
    command = ("tune", "toy.toml", "--grid", "train.lr=0.05", "--seeds", "1-2", "--jobs", "2")
    tune = Command(*command, fake={1: "finish", 2: "wait"})
    wait(lambda: training(store, 2))
    tune.process.send_signal(signal.SIGINT)
    code, _, err = tune.end()
    assert code == EXIT_INTERRUPTED
    assert sorted(run.status().state for run in store) == ["done", "stopped"]
    assert "1 of 2 runs are finished; the same command goes on with the others" in err


def test_a_slow_checkpoint_is_waited_for_and_said(store: RunStore) -> None:
    table = Command("table", plan("1-2"), "--jobs", "2", fake={1: "slow 2", 2: "wait"}, patience=0.5)
    wait(lambda: training(store, 2))
    table.process.send_signal(signal.SIGINT)
    code, _, err = table.end()
    assert code == EXIT_INTERRUPTED
    assert all(run.status().state == "stopped" and run.checkpoint_path.read_bytes() == b"whole" for run in store)
    slow = next(run for run in store if run.config().seed == 1)
    assert f"still waiting for the checkpoint of {slow.id}\n" in err
