"""Several runs one after another, in a process of their own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cllab.record.runs import Run, RunStore
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.study.queue import main, start_queue, work

FAKE = f"{sys.executable} {Path(__file__).with_name('fake_worker.py')}"


@pytest.fixture(autouse=True)
def _fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4}))


def runs_of(store: RunStore, n: int) -> list[Run]:
    data = {"method": {"name": "finetune"}, "dataset": {"name": "digits"}}
    return [store.create(RunConfig.from_dict({**data, "seed": seed}, load())) for seed in range(n)]


def wait(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_one_after_another(store: RunStore) -> None:
    runs = runs_of(store, 3)
    assert work(runs) == 0
    assert [run.status().state for run in runs] == ["done"] * 3
    for before, after in itertools.pairwise(runs):
        assert max(e.t for e in before.events()) <= min(e.t for e in after.events())


def test_a_run_that_fails_does_not_hold_up_the_next(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4, "exit": 7}))
    runs = runs_of(store, 2)
    assert work(runs) == 7
    assert all(run.events_path.stat().st_size for run in runs)


def test_a_deleted_run_is_passed_over(store: RunStore) -> None:
    runs = runs_of(store, 3)
    runs[1].delete()
    assert work(runs) == 0
    assert [r.status().state for r in (runs[0], runs[2])] == ["done", "done"]
    assert not runs[1].folder.exists()


def test_waiting_runs_say_so_and_are_lost_when_the_queue_dies(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 20, "pictures": 0}))
    runs = runs_of(store, 2)
    process = start_queue(runs)
    assert runs[1].status().state == "queued"
    wait(lambda: runs[0].status().state == "training", "the first to train")
    old = time.time() - 3600
    os.utime(runs[1].queued_path, (old, old))
    assert runs[1].status().state == "queued"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    os.utime(runs[1].folder, (old, old))
    wait(lambda: runs[1].status().state == "lost", "the loss to be seen")
    assert runs[0].status().state == "training"
    runs[0].command("stop")
    wait(lambda: runs[0].status().state == "stopped", "the first to stop")


def test_a_queue_that_is_slow_to_come_up_holds_its_runs(store: RunStore) -> None:
    runs = runs_of(store, 3)
    process = start_queue(runs)
    os.kill(process.pid, signal.SIGSTOP)
    old = time.time() - 3600
    for run in runs[1:]:
        os.utime(run.queued_path, (old, old))
    assert [run.status().state for run in runs[1:]] == ["queued", "queued"]
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait(20) == 0
    assert [run.status().state for run in runs] == ["done"] * 3


def test_a_run_that_somebody_else_has_begun_is_theirs(store: RunStore) -> None:
    runs = runs_of(store, 2)
    theirs = runs[1].take()
    assert work(runs) == 0
    assert runs[0].status().state == "done"
    assert not runs[1].events_path.exists()
    theirs.release()


def test_a_run_that_cannot_be_started_does_not_hold_up_the_next(store: RunStore) -> None:
    runs = runs_of(store, 2)
    runs[0].log_path.mkdir()
    assert work(runs) == 1
    assert runs[1].status().state == "done"


def test_the_queue_survives_its_starter(store: RunStore) -> None:
    runs = runs_of(store, 2)
    process = start_queue(runs)
    assert os.getsid(process.pid) == process.pid
    wait(lambda: all(run.status().state == "done" for run in runs), "both runs")
    assert process.wait(10) == 0


def test_nonsense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2
    assert "usage" in capsys.readouterr().err
