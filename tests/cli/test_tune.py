"""cllab tune, and many runs at once: what is tried, reused, stopped, gone on with and written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cllab.cli import run as commands
from cllab.errors import EXIT_INTERRUPTED
from cllab.record.runs import Run, RunStore
from cllab.settings import presets
from cllab.study.tune import SEEDS_APART
from tests.cli.conftest import Cllab
from tests.conftest import toy_preset

PRESET = toy_preset(
    scenario={"name": "permuted", "tasks": 5, "samples": 100, "stream": None},
    model={"layers": 1},
    memory={"capacity": 50},
    train={"batch_size": 10, "lr": 0.05},
)
GRID = ("--grid", "train.lr=0.0001,0.05,100")
PLAN = 'title = "Toys"\nseeds = "1-2"\n[[rows]]\nlabel = "ER"\npreset = "{}"\n'


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "toy.toml"
    path.write_text(PRESET, encoding="utf-8")
    return str(path)


@pytest.fixture
def plan(preset: str, tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(preset), encoding="utf-8")
    return str(path)


def test_tune_writes_the_best_preset_and_reuses_trials(
    cllab: Cllab, preset: str, tmp_path: Path, store: RunStore
) -> None:
    dry = cllab("tune", preset, *GRID, "--seeds", "1-2", "--dry-run")
    assert len(dry.out.splitlines()) == 6
    assert all(line.endswith("missing") for line in dry.out.splitlines())
    assert not store.folder.exists()

    said = cllab("tune", preset, *GRID, "--seeds", "1-2")
    assert said.code == 0
    runs = list(store)
    assert {run.config().seed for run in runs} == {SEEDS_APART + 1, SEEDS_APART + 2}
    assert all(run.config().scenario.values["tasks"] == 3 for run in runs)
    assert any("train-lr-0-0001" in run.id for run in runs)
    lines = said.out.splitlines()
    assert lines[0].split() == ["train.lr", "task_accuracy", "(%)", "time"]
    chosen = [line for line in lines[1:4] if line.endswith("chosen")]
    of_best = [r["metrics"]["task_accuracy"] for r in map(Run.result, runs) if r and r["config"]["train"]["lr"] == 0.05]
    assert chosen[0].split()[0] == "0.05"
    assert f"{50 * sum(of_best):.2f} ±" in chosen[0]
    assert lines[-2:] == ["chosen  train.lr=0.05", "toy-tuned.toml"]

    made = presets.load("toy-tuned.toml")
    assert made.config.train.lr == 0.05
    assert made.config.scenario.values["tasks"] == 5
    assert sum("train.lr=" in line for line in made.comment.splitlines()) == 4  # the best, and all three
    assert cllab("run", "toy-tuned.toml", "--headless", "--quiet").code == 0

    before = len(list(store))
    again = cllab("tune", preset, *GRID, "--seeds", "1-2", "--json", "--out", str(tmp_path / "other.toml"), "--quiet")
    # a learning rate at which training fails is tried again, what ended well is not
    failed = 6 - sum(run.status().state == "done" for run in runs)
    assert len(list(store)) == before + failed
    found = json.loads(again.out)
    assert found["chosen"] == 1
    assert sorted(found["trials"][1]["values"]) == sorted(of_best)
    assert (tmp_path / "other.toml").read_text() == (tmp_path / "toy-tuned.toml").read_text()


def test_trials_that_fail_are_never_chosen(cllab: Cllab, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = commands.train_here

    def fails_at_a_high_rate(config: Any, *rest: Any, **named: Any) -> Any:
        made, code = real(config, *rest, **named)
        if config.train.lr > 0.01:
            return made, 1
        return made, code

    monkeypatch.setattr(commands, "train_here", fails_at_a_high_rate)
    said = cllab("tune", preset, "--grid", "train.lr=0.0001,0.05")
    assert said.code == 0
    assert said.out.splitlines()[2].split()[:2] == ["0.05", "failed"]
    assert "chosen  train.lr=0.0001" in said.out
    assert "train.lr=0.05: failed" in Path("toy-tuned.toml").read_text()
    assert "at the edge of the grid: train.lr=0.0001" in said.err
    none = cllab("tune", preset, "--grid", "train.lr=0.05", "--force", "--runs", "other")
    assert (none.code, none.out) == (2, "")
    assert "no trial of 'toy' ended well" in none.err


def test_an_interrupted_tune_goes_on(
    cllab: Cllab, preset: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = commands.train_here
    calls = []

    def interrupted(config: Any, *rest: Any, **named: Any) -> Any:
        calls.append(config.train.lr)
        if len(calls) == 2:
            run = store.create(config)
            os.utime(run.folder, (0, 0))  # else it might just be starting
            return run, EXIT_INTERRUPTED
        return real(config, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(commands, "train_here", interrupted)
        said = cllab("tune", preset, "--grid", "train.lr=0.01,0.05")
    assert (said.code, said.out) == (EXIT_INTERRUPTED, "")
    assert "1 of 2 runs are finished" in said.err
    assert not Path("toy-tuned.toml").exists()
    assert cllab("tune", preset, "--grid", "train.lr=0.01,0.05").code == 0
    assert calls == [0.01, 0.05]
    assert sum(run.status().state == "done" for run in store) == 2


def test_a_metric_that_the_runs_do_not_give_ends_it_after_one(
    cllab: Cllab, preset: str, tmp_path: Path, store: RunStore
) -> None:
    ended = cllab("tune", preset, "--grid", "train.lr=0.01,0.05,0.1", "--metric", "stream_area")
    assert ended.code == 2
    assert "a run of 'toy' gives no stream_area; choose another metric" in ended.err
    assert len(list(store)) == 1
    assert not (tmp_path / "toy-tuned.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--metric", "task_acuracy"), "--metric: no metric 'task_acuracy'; did you mean 'task_accuracy'?"),
        (("--grid", "train.lr"), "expected KEY=VALUE,VALUE"),
        (("--grid", "train.lrr=1,2"), "did you mean 'lr'?"),
        (("--grid", "train.lr=0.1", "--grid", "train.lr=0.2"), "has its values already"),
        (("--grid", "seed=1,2"), "see --seeds"),
        (("--seeds", "3-1"), "--seeds must rise"),
        (("--set", "scenario=benchmark-file"), "has nothing to set aside"),
        (("--out", "missing/x.toml"), "there is no folder 'missing'"),
        (("--out", "x.yaml"), "ends in .toml"),
        (("--out", "toy.toml"), "'toy.toml' is there already; --force overwrites it"),
        (("--jobs", "0"), "jobs"),
    ],
)
def test_bad_input_is_one_line(
    cllab: Cllab, preset: str, store: RunStore, arguments: tuple[str, ...], says: str
) -> None:
    said = cllab("tune", preset, *arguments)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.strip().splitlines()) == 1
    assert says in said.err
    assert not store.folder.exists()


def matrices(store: RunStore) -> dict[int, Any]:
    return {r["seed"]: r["accuracy_matrix"] for r in (run.result() for run in store) if r and r["status"] == "done"}


@pytest.mark.slow
def test_runs_at_once_are_the_runs_one_after_another(cllab: Cllab, plan: str, store: RunStore, tmp_path: Path) -> None:
    one = cllab("table", plan, "--runs", str(tmp_path / "one"), "--quiet")
    two = cllab("table", plan, "--jobs", "2")
    assert (one.code, two.code) == (0, 0)
    assert matrices(store) == matrices(RunStore(tmp_path / "one"))
    assert sorted(matrices(store)) == [1, 2]
    told = [line for line in two.err.splitlines() if " of 2  toy seed " in line]
    assert len(told) == 2
    assert told[0].startswith("1 of 2")
    assert "left" in told[0]
    assert "left" not in told[1]
    assert one.out.splitlines()[4].split("|")[:3] == two.out.splitlines()[4].split("|")[:3]


def wait(what: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ctrl_c_stops_every_worker_with_a_checkpoint(cllab: Cllab, plan: str, store: RunStore, tmp_path: Path) -> None:
    whole = cllab("table", plan, "--runs", str(tmp_path / "whole"), "--quiet")
    table = subprocess.Popen(
        [sys.executable, "-m", "cllab", "table", plan, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    # a worker's log is there when whatever is asked from then on is asked of that worker
    wait(lambda: sum(run.log_path.exists() for run in store) == 2)
    for run in store:
        run.control_path.write_text(f"{time.time_ns()} pause\n")
    wait(lambda: all(run.status().state == "paused" for run in store))
    table.send_signal(signal.SIGINT)
    _, err = table.communicate(timeout=60)
    assert table.returncode == EXIT_INTERRUPTED, err
    assert "Traceback" not in err
    assert all(run.status().state == "stopped" and run.checkpoint_path.is_file() for run in store)
    before = len(list(store))
    again = cllab("table", plan, "--quiet")
    assert again.code == 0
    # each goes on from its checkpoint to the numbers of the run that was never stopped
    assert len(list(store)) == before
    assert matrices(store) == matrices(RunStore(tmp_path / "whole"))
    assert again.out.splitlines()[4].split("|")[:3] == whole.out.splitlines()[4].split("|")[:3]
