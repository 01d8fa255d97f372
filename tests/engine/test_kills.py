"""Sixty kills of real worker processes at random moments: every run goes on to the numbers of one never killed.

`pytest -n 0 -m slow -s tests/engine/test_kills.py` (five minutes on an idle core) prints where each kill fell. The
moments are drawn with a kept seed: the first of a chain in the first 100 ms of a process, the others anywhere in the
time that a whole run takes.
"""

from __future__ import annotations

import random
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from tests.conftest import toy

KILLS, SEED = 60, 20261121
METHODS: dict[str, dict[str, Any]] = {
    "rm": {"train": {"memory_epochs": 60, "augment": ["crop"]}, "evaluate": {"every": 100}},
    "icarl": {"train": {"memory_epochs": 60}, "evaluate": {"epochs": True}},
    "ewc": {"scenario": {"stream": "offline"}, "train": {"epochs": 12}},
    "bic": {"train": {"memory_epochs": 40}},
    "gdumb": {"train": {"memory_epochs": 120}},
    "gem": {"memory": {"name": "ring"}},
    "bcl-dual": {"memory": {"name": "ring"}, "evaluate": {"future": True}},
}
COMMON: dict[str, dict[str, Any]] = {
    "dataset": {"per_class": 250},
    "scenario": {"tasks": 4},
    "train": {"checkpoint_seconds": 1},
}


def config_of(method: str) -> Any:
    own = METHODS[method]
    return toy(method, **{k: {**COMMON.get(k, {}), **own.get(k, {})} for k in {*COMMON, *own}})


def told(run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = run.result()
    assert result is not None, run.log_tail()
    events = [e for e in run.events() if not isinstance(e, (ev.Resumed, *ev.BY_CLOCK))]
    assert all(ev.from_line(line) is not None for line in run.events_path.read_bytes().splitlines())
    return {k: v for k, v in result.items() if k != "seconds"}, [ev.without_times(e) for e in events]


def where(run: Run) -> str:
    last = run.last_event()
    kept = "a checkpoint" if run.checkpoint_path.exists() else "no checkpoint"
    if last is None:
        return f"before the first record, {kept}"
    phase = getattr(last, "phase", "") or type(last).__name__
    return f"task {getattr(last, 'task', -1) + 1}, {phase}, {kept}"


def whole_run(store: RunStore, method: str) -> tuple[Run, float]:
    run = store.create(config_of(method))
    began = time.monotonic()
    assert run.start_worker().wait(timeout=600) == 0, run.log_tail()
    return run, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sixty_kills_over_seven_methods_change_no_number(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # checkpoints come by the clock, at most once a second, which is as long as these runs train
    monkeypatch.setenv("CLLAB_WORKER_CMD", f"{shlex.quote(sys.executable)} -m tests.engine.hasty_worker")
    monkeypatch.chdir(Path(__file__).parents[2])
    draw = random.Random(SEED)
    whole = {method: whole_run(store, method) for method in METHODS}
    kills = early = without = chains = 0
    while kills < KILLS:
        method = list(METHODS)[chains % len(METHODS)]
        chains += 1
        reference, seconds = whole[method]
        run = store.create(config_of(method))
        for turn in range(4):
            # every second of the later ones not before it trains: a process takes half of the time to come up
            first = 0.5 * seconds if chains > 2 * len(METHODS) and chains % 2 else 0.0
            moment = (
                draw.uniform(0, 0.1) if turn == 0 and chains <= 2 * len(METHODS) else draw.uniform(first, 1.1 * seconds)
            )
            process = run.start_worker(resume=turn > 0)
            time.sleep(moment)
            if process.poll() is not None:
                break  # done before its time
            process.send_signal(signal.SIGKILL)
            if process.wait(timeout=60) == 0:
                break  # done in that very moment
            assert process.returncode == -signal.SIGKILL
            if run.result() is not None and isinstance(run.last_event(), ev.RunEnded):
                break  # killed while it ended
            kills, early = kills + 1, early + (moment < 0.1)
            without += not run.checkpoint_path.exists()
            print(f"kill {kills:2} {method:8} after {moment:6.2f} s of {seconds:5.1f}: {where(run)}")
        if run.status().state != "done":
            assert run.start_worker(resume=True).wait(timeout=600) == 0, run.log_tail()
        assert told(run) == told(reference), f"{method}, chain {chains}"
    print(f"{kills} kills in {chains} runs, {early} in the first 100 ms, {without} before a first checkpoint")
    assert early >= 10
    assert kills - without >= 20, "killed between checkpoints"
