"""Benchmark files from the command line: written, read again, drawn, and refused when they hold what they must not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cllab.engine.writing import stream_of
from cllab.record.runs import RunStore
from cllab.settings import presets
from cllab.settings.config import RunConfig
from tests.cli.conftest import Cllab

PRESET = """name = "toy"
seed = 3

[dataset]
name = "blobs"

[scenario]
name = "{}"
tasks = 5
{}

[model]
name = "mlp"

[method]
name = "single"
"""
READER = """[dataset]
name = "benchmark-file"
file = "{}"

[scenario]
name = "benchmark-file"

[model]
name = "mlp"

[method]
name = "single"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def preset(scenario: str = "permuted", more: str = "samples = 100") -> str:
    Path("toy.toml").write_text(PRESET.format(scenario, more))
    return "toy.toml"


def reader(file: str) -> str:
    Path("reader.toml").write_text(READER.format(file))
    return "reader.toml"


def assert_same(one: RunConfig, other: RunConfig, tasks: slice = slice(None)) -> None:
    """Both streams show the same pixels under the same labels, label numbers from the first."""
    ours, theirs = stream_of(one).tasks[tasks], stream_of(other).tasks
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for split, again in ((a.train, b.train), (a.test, b.test)):
            every = torch.arange(len(split))
            assert torch.equal(split.fetch(every), again.fetch(every))
            first = min(ours[0].classes)
            assert torch.equal(split.labels - first, again.labels)


@pytest.mark.parametrize(("scenario", "more"), [("permuted", "samples = 100"), ("task-incremental", "")])
@pytest.mark.parametrize("square", [False, True])
def test_what_is_written_is_the_presets_own_stream(cllab: Cllab, scenario: str, more: str, square: bool) -> None:
    name = preset(scenario, more)
    said = cllab("write-data", name, "toy.pt", *(["--square"] if square else []))
    assert (said.code, said.out) == (0, "toy.pt\n")
    assert_same(presets.load(name).config, presets.load(reader("toy.pt")).config)
    x = torch.load("toy.pt", weights_only=True)[0][0][1]
    assert x.dim() == (4 if square else 2)


def test_the_first_tasks_get_a_file_of_their_own(cllab: Cllab) -> None:
    name = preset("task-incremental", "")
    said = cllab("write-data", name, "toy.pt", "--cv", "2")
    assert said.out.split() == ["toy-val.pt", "toy-cl.pt"]
    config = presets.load(name).config
    assert_same(config, presets.load(reader("toy-val.pt")).config, slice(0, 2))
    assert_same(config, presets.load(reader("toy-cl.pt")).config, slice(2, None))
    # the scenario's own parts are the same tasks
    part = config.override(["scenario.cv_tasks=2", "scenario.part=cl"])
    assert_same(part, presets.load(reader("toy-cl.pt")).config)


def test_raw_tensors(cllab: Cllab) -> None:
    said = cllab("data", "blobs", "--raw", "raw")
    assert said.out.split() == ["raw/blobs_train.pt", "raw/blobs_test.pt"]
    x, y = torch.load("raw/blobs_train.pt", weights_only=True)
    assert (x.dtype, x.dim(), y.dtype) == (torch.uint8, 3, torch.int64)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("toy.toml", "toy.txt"), "ends in .pt, not 'toy.txt'"),
        (("toy.toml", "missing/toy.pt"), "there is no folder 'missing'"),
        (("toy.toml", "there.pt"), "'there.pt' is there already; --force overwrites it"),
        (("toy.toml", "toy.pt", "--cv", "5"), "cv = 5 leaves nothing of 5 tasks"),
        (("toy.toml", "toy.pt", "--set", "scenario.samples=5"), "no training image of class"),
        (("toy.toml", "toy.pt", "--set", "scenario=blurry"), "tasks 1 and 2 share some classes but not all"),
        (("toy.toml", "toy.pt", "--set", "scenario.sample=5"), "did you mean 'samples'?"),
        (("quickstrat", "toy.pt"), "did you mean 'quickstart'?"),
    ],
)
def test_what_cannot_be_written_is_one_line(cllab: Cllab, arguments: tuple[str, ...], says: str) -> None:
    preset()
    Path("there.pt").write_bytes(b"mine")
    said = cllab("write-data", *arguments, "--quiet")
    assert (said.code, said.out) == (2, "")
    assert len(said.err.strip().splitlines()) == 1
    assert says in said.err
    assert Path("there.pt").read_bytes() == b"mine"
    assert not list(Path().glob("toy*.pt"))


class _Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("code-was-run",)


def entry(label: int = 0, side: int = 4) -> Any:
    return ("all", torch.rand(20, side * side), torch.arange(20) % 2 + label)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([[("x", _Code(), 1)], []], "refused: holds more than tensors, text and numbers"),
        ([[entry(), entry(side=5)], [entry(), entry()]], "training task 2: images are 5x5"),
        ([[entry()], [entry(label=1)]], "test task 1: label 2 does not occur in its training task"),
        ([[entry(), entry(1)], [entry(), entry(1)]], "tasks 1 and 2 share label 1 but not all labels"),
    ],
)
def test_a_file_that_must_not_be_read_is_refused(cllab: Cllab, data: Any, says: str, store: RunStore) -> None:
    torch.save(data, "bad.pt")
    said = cllab("run", reader("bad.pt"), "--headless", "--quiet")
    assert (said.code, said.out) == (3, "")
    assert len(said.err.strip().splitlines()) == 1
    assert says in said.err
    assert not Path("code-was-run").exists()


def test_explain_draws_the_tasks_of_a_file(cllab: Cllab) -> None:
    name = preset("task-incremental", "")
    assert cllab("write-data", name, "toy.pt", "--quiet").code == 0
    said = cllab("explain", "benchmark-file", "--set", "dataset.file=toy.pt")
    assert said.code == 0
    assert "which task gets how much of which class (toy.pt, 10 classes)" in said.out
    rows = [line for line in said.out.splitlines() if line.startswith("task ")]
    assert len(rows) == 5
    # two classes each, whole; the diagonal
    for t, row in enumerate(rows):
        cells = row[8:68].ljust(60)
        assert [c for c in range(10) if "100" in cells[6 * c : 6 * c + 6]] == [2 * t, 2 * t + 1]
    fewer = cllab("explain", "benchmark-file", "--set", "dataset.file=toy.pt", "--set", "tasks=2")
    assert "(toy.pt, 4 classes)" in fewer.out
    assert "--set dataset.file=FILE.pt draws it" in cllab("explain", "benchmark-file").out
    assert "(toy.pt, 10 classes)" in cllab("explain", reader("toy.pt")).out
    missing = cllab("explain", "benchmark-file", "--set", "dataset.file=no.pt")
    assert (missing.code, missing.out) == (3, "")
    assert "no file 'no.pt'" in missing.err
