"""Whatever is wrong with the input: one line on stderr, nothing on stdout, the right exit code, nothing created."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cllab.errors import EXIT_DATA, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from cllab.record.runs import RunStore
from tests.cli.conftest import Cllab
from tests.recorded import config, write_run

PRESET = """name = "small"

[dataset]
name = "blobs"

[scenario]
name = "disjoint"
tasks = 5

[method]
name = "finetune"
"""

EXPECT = 'name = "finetune"\n[[expect]]\n'


def one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("cllab: ")
    assert "Traceback" not in text
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nonsense",), "nonsense"),
        (("rn",), "run"),
        (("run",), "PRESET"),
        (("run", "quickstart", "--headles"), "--headless"),
        (("run", "quickstrat", "--headless"), "did you mean 'quickstart'?"),
        (("run", "missing.toml", "--headless"), "no preset file 'missing.toml'"),
        (("run", "quickstart", "--headless", "--set", "tasks"), "expected KEY=VALUE"),
        (("run", "quickstart", "--headless", "--set", "train.lrr=1"), "did you mean 'lr'?"),
        (("run", "quickstart", "--headless", "--set", "train.lr=fast"), "train.lr must be a number"),
        (("run", "quickstart", "--headless", "--set", "scenario.tasks=50"), "more than the 10 classes"),
        (("run", "quickstart", "--headless", "--set", "memory.capacity=999999"), "larger than the data"),
        (("run", "quickstart", "--headless", "--set", "trian.lr=1"), "did you mean 'train'?"),
        (("run", "quickstart", "--headless", "--set", "method.name=ewcc"), "did you mean 'ewc'?"),
        (("run", "quickstart", "--headless", "--seeds", "1-"), "--seeds must be seeds such as"),
        (("run", "quickstart", "--headless", "--seeds", "3-1"), "--seeds must rise"),
        (("run", "quickstart", "--headless", "--seeds", "1-2", "--set", "seed=3"), "both choose the seed"),
        (("run", "quickstart"), "not a terminal; use: cllab run --headless PRESET"),
        ((), "not a terminal; use: cllab run --headless PRESET"),
        (("list", "metods"), "did you mean 'methods'?"),
        (("explain", "blury"), "did you mean 'blurry'?"),
        (("explain", "rm", "--set", "tasks=3"), "varies a scenario or a preset"),
        (("explain", "disjoint", "--set", "tasks=0"), "tasks must be"),
        (("explain", "disjoint", "--set", "tasks=30"), "30"),
        (("explain", "disjoint", "--dataset", "mnst"), "did you mean 'mnist'?"),
        (("data", "mnst"), "did you mean 'mnist'?"),
        (("data", "--download"), "name the dataset"),
        (("show", "nothing"), "there are no runs"),
        (("attach", "nothing"), "there are no runs"),
        (("resume", "nothing"), "there are no runs"),
        (("stop", "nothing"), "there are no runs"),
        (("compare", "nothing"), "there are no runs"),
        (("compare", "nothing", "--metric", "forgeting"), "did you mean 'forgetting'?"),
        (("export", "nothing"), "name a format"),
        (("table", "nothing"), "no plan 'nothing'"),
        (("check-claims", "quickstrat"), "did you mean 'quickstart'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(cllab: Cllab, arguments: tuple[str, ...], says: str) -> None:
    said = cllab(*arguments)
    assert said.code == EXIT_USAGE
    assert says in one_line(said.err)
    assert said.out == ""
    assert not Path(os.environ["CLLAB_RUNS"]).exists()


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("tasks = 5", "taks = 5"), 8, "did you mean 'tasks'?"),
        (("tasks = 5", "tasks = 11"), 8, "more than the 10 classes"),
        (("tasks = 5", 'tasks = "many"'), 8, "whole number"),
        (('name = "finetune"', 'name = "finetun"'), 11, "did you mean 'finetune'?"),
        (('name = "finetune"', 'name = "rm"\n[memory]\ncapacity = -1'), 13, "at least 0"),
        (("[method]", "[metod]"), None, "did you mean 'method'?"),
        (("tasks = 5", "tasks = "), None, "not TOML"),
        (('name = "finetune"', EXPECT + 'metric = "last_acuracy"\nvalue=0\ntolerance=0'), 13, "last_accuracy"),
        (('name = "finetune"', EXPECT + 'metric = "forgetting"\ntolerance = 0.1'), 12, "value: is missing"),
        (
            ('name = "finetune"', EXPECT + 'metric = "forgetting"\nvalue = 93.2\ntolerance = 0.1'),
            14,
            "a fraction",
        ),
        (
            ('name = "finetune"', EXPECT + 'metric = "forgetting"\nvalue = 0.2\ntolerance = 0.1\nseed = 1'),
            16,
            "did you mean 'seeds'?",
        ),
    ],
)  # fmt: skip
def test_a_preset_error_names_file_and_line(
    cllab: Cllab, tmp_path: Path, change: tuple[str, str], line: int | None, says: str
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(PRESET.replace(*change), encoding="utf-8")
    said = cllab("run", str(path), "--headless")
    assert said.code == EXIT_USAGE
    text = one_line(said.err)
    assert f"{path}{f':{line}' if line else ''}" in text
    assert says in text
    assert not Path(os.environ["CLLAB_RUNS"]).exists()


def test_missing_data_is_exit_3(cllab: Cllab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path / "none"))
    said = cllab("run", "rm-mnist-blurry10", "--headless", "--quiet")
    assert said.code == EXIT_DATA
    assert "mnist" in one_line(said.err)
    assert not Path(os.environ["CLLAB_RUNS"]).exists()
    said = cllab("data", "mnist")
    assert (said.code, said.err) == (EXIT_DATA, "")
    assert "nothing found" in said.out


def test_what_is_over_is_neither_stopped_nor_resumed(cllab: Cllab, store: RunStore) -> None:
    run = write_run(store, config())
    assert "is done" in one_line(cllab("resume", run.id).err)
    said = cllab("stop", run.id)
    assert said.code == EXIT_USAGE
    assert "is not being trained; it is done" in one_line(said.err)


def test_an_unwritable_place_is_one_line(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    run = write_run(store, config())
    said = cllab("export", run.id, "--csv", "--out", str(tmp_path / "no" / "where.csv"))
    assert said.code == EXIT_USAGE
    assert "there is no folder" in one_line(said.err)
    (tmp_path / "file").write_text("")
    said = cllab("export", run.id, "--json", "--out", str(tmp_path / "file" / "x") + "/")
    assert said.code == EXIT_FAILED
    one_line(said.err)


def test_an_interrupt_is_130(cllab: Cllab, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cllab.settings.presets.load", interrupted)
    said = cllab("run", "quickstart", "--headless")
    assert said.code == EXIT_INTERRUPTED
    assert "Traceback" not in said.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = f"{sys.executable} -m cllab list presets | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "cllab", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("cllab ")
    assert done.returncode == 0
