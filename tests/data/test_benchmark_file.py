"""GEM's benchmark files: round trips, what a foreign file may look like, and what is refused, by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cllab.data import benchmark_file
from cllab.data._benchmark import read
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import DataError, UsageError
from cllab.settings.config import RunConfig
from tests.conftest import Record, toy


def opened(path: Path, **scenario: Any) -> Session:
    data = {
        "device": "cpu",
        "dataset": {"name": "benchmark-file", "file": str(path)},
        "scenario": {"name": "benchmark-file", **scenario},
        "model": {"name": "mlp"},
        "memory": {"capacity": 0},
        "method": {"name": "single"},
        "train": {"batch_size": 10},
    }
    return Session(RunConfig.from_dict(data), Record(), Control())


def entries(n_tasks: int = 2, n: int = 20, labels: int = 4, d: int = 16, *, shared: bool = True) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    halves: list[Any] = []
    for size in (n, n // 2):
        tasks = []
        for t in range(n_tasks):
            x = torch.randint(0, 256, (size, d), generator=generator).float() / 255
            y = torch.arange(size) % labels + (0 if shared else labels * t)
            tasks.append(["random permutation" if shared else (labels * t, labels * t + labels), x, y])
        halves.append(tasks)
    return halves


def saved(tmp_path: Path, data: Any, name: str = "b.pt") -> Path:
    torch.save(data, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    "scenario",
    [
        {"name": "permuted", "tasks": 3, "samples": 40},
        {"name": "rotated", "tasks": 4, "samples": 40},
        {"name": "task-incremental", "tasks": 5},
    ],
)
def test_what_is_written_is_read_again_pixel_by_pixel(tmp_path: Path, scenario: dict[str, Any]) -> None:
    session = Session(toy("single", scenario=scenario), Record(), Control())
    (path,) = benchmark_file.write_benchmark(session.stream, tmp_path / "s.pt")
    again = opened(path).stream
    assert again.n_tasks == session.stream.n_tasks
    assert again.online
    for a, b in zip(session.stream.tasks, again.tasks, strict=True):
        for one, other in ((a.train, b.train), (a.test, b.test)):
            every = torch.arange(len(one))
            assert torch.equal(one.fetch(every), other.fetch(every))
            assert torch.equal(one.labels, other.labels)
        assert a.classes == b.classes


def test_the_layout_is_the_published_one(tmp_path: Path) -> None:
    session = Session(toy("single", scenario={"name": "task-incremental", "tasks": 5}), Record(), Control())
    val, cl = benchmark_file.write_benchmark(session.stream, tmp_path / "blobs.pt", cv=3)
    assert (val.name, cl.name) == ("blobs-val.pt", "blobs-cl.pt")
    train, test = torch.load(cl, weights_only=True)
    assert len(train) == len(test) == 2
    descriptor, x, y = train[0]
    assert tuple(descriptor) == (0, 2)
    assert x.dtype == torch.float32
    assert x.shape[1] == 36
    assert 0 <= x.min() <= x.max() <= 1
    assert y.dtype == torch.int64
    assert set(y.tolist()) == {0, 1}
    assert set(train[1][2].tolist()) == {2, 3}
    assert len(torch.load(val, weights_only=True)[0]) == 3
    with pytest.raises(UsageError, match=r"cv = 5 leaves nothing of 5 tasks"):
        benchmark_file.write_benchmark(session.stream, tmp_path / "blobs.pt", cv=5)


def test_heads_come_from_labels(tmp_path: Path) -> None:
    stream = opened(saved(tmp_path, entries(3, shared=False))).stream
    assert [t.classes for t in stream.tasks] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
    assert stream.tasks[1].name == "classes 4 to 7"
    two = opened(tmp_path / "b.pt", tasks=2)
    assert two.stream.n_classes == 8
    assert two.learner.heads is not None
    assert two.learner.heads.width == 4


def test_a_run_on_a_file(tmp_path: Path) -> None:
    session = opened(saved(tmp_path, entries(2)), samples=10)
    session.start()
    session.walk()
    assert len(session.scores.rows) == 2
    assert len(session.stream.tasks[0].train) == 10


def test_raw_tensors(tmp_path: Path) -> None:
    x, y = torch.randint(0, 256, (30, 8, 8), dtype=torch.uint8), torch.arange(30) % 3
    saved(tmp_path, (x[:10], y[:10]), "mnist_test.pt")
    found = read(saved(tmp_path, (x, y), "mnist_train.pt"))
    assert torch.equal(found.train[0].pixels[:, 0], x)
    assert len(found.test[0].labels) == 10
    planes = torch.randint(0, 256, (12, 3 * 64), dtype=torch.uint8)
    found = read(saved(tmp_path, (planes, y[:12], planes[:6], y[:6]), "cifar100.pt"))
    assert torch.equal(found.train[0].pixels[:, 1], planes[:, 64:128].view(-1, 8, 8))
    with pytest.raises(DataError, match=r"name the file that ends in _train.pt"):
        read(tmp_path / "mnist_test.pt")
    (tmp_path / "mnist_test.pt").unlink()
    with pytest.raises(DataError, match=r"no file 'mnist_test.pt' beside it"):
        read(tmp_path / "mnist_train.pt")


def test_raw_writer_is_read_by_the_reader(tmp_path: Path) -> None:
    session = Session(toy("single"), Record(), Control())
    paths = benchmark_file.write_raw(session.dataset, tmp_path)
    assert [p.name for p in paths] == ["blobs_train.pt", "blobs_test.pt"]
    found = read(paths[0])
    every = torch.arange(len(session.dataset.train))
    assert torch.equal(found.train[0].pixels, session.dataset.train.fetch(every))


class _Code:
    def __reduce__(self) -> Any:
        return os.mkdir, (str(Path(os.environ["CLLAB_RUNS"]) / "code-was-run"),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_code_is_refused_unrun(tmp_path: Path, legacy: bool) -> None:
    Path(os.environ["CLLAB_RUNS"]).mkdir(parents=True, exist_ok=True)
    path = tmp_path / "evil.pt"
    torch.save([[("x", _Code(), 1)], []], path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError) as refused:
        opened(path)
    assert "refused: holds more than tensors, text and numbers" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (Path(os.environ["CLLAB_RUNS"]) / "code-was-run").exists()


def test_an_old_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save(entries(), path, _use_new_zipfile_serialization=False)
    assert len(read(path).train) == 2


def change(half: int, task: int, position: int, value: Any) -> list[Any]:
    data = entries()
    data[half][task][position] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "expected a list of training tasks and a list of test tasks, found a dict"),
        ([entries()[0], entries()[1][:1]], "2 training tasks and 1 test tasks"),
        ([[], []], "0 training tasks and 0 test tasks"),
        ([[1, 2], [1, 2]], "training task 1: expected (descriptor, x, y), found a int"),
        (change(0, 1, 1, torch.rand(20, 15)), "training task 2: x must be (n, C, H, W) or flat square images"),
        (change(0, 1, 1, torch.rand(20, 25)), "training task 2: images are 5x5 with 1 channel, but 4x4 with 1 channel"),
        (change(1, 0, 1, torch.rand(9, 16)), "test task 1: 9 images and 10 labels"),
        (change(0, 0, 1, torch.rand(20, 16) * 2 - 1), "training task 1: x must lie in 0..1, found -"),
        (change(0, 0, 1, torch.full((20, 16), float("nan"))), "training task 1: x must lie in 0..1, found nan to nan"),
        (change(0, 0, 2, torch.rand(20)), "training task 1: y must be whole numbers (n,), found (20,) float32"),
        (change(0, 0, 2, torch.arange(20) % 4 - 1), "training task 1: label -1 is negative"),
        (change(1, 1, 2, torch.arange(10)), "test task 2: label 4 does not occur in its training task"),
        (
            change(0, 1, 2, "labels"),
            "training task 2: x and y must be tensors, found a tensor (20, 16) float32 and a str",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, data: Any, message: str) -> None:
    path = saved(tmp_path, data)
    with pytest.raises(DataError) as refused:
        opened(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_tasks_that_share_some_labels_are_refused(tmp_path: Path) -> None:
    data = entries()
    for half in data:
        half[1][2] = half[1][2] + 2
    with pytest.raises(DataError, match=r"tasks 1 and 2 share label 2 but not all labels"):
        opened(saved(tmp_path, data))


def test_torn_and_missing_files(tmp_path: Path) -> None:
    path = saved(tmp_path, entries())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"not a readable .pt file"):
        opened(path)
    with pytest.raises(DataError, match=r"no file 'gone.pt'"):
        opened(Path("gone.pt"))
    with pytest.raises(DataError, match=r"dataset.file must name a .pt file"):
        benchmark_file.BenchmarkFile.open()


def test_values_that_are_no_pixels_are_rounded_and_noted(tmp_path: Path) -> None:
    session = opened(saved(tmp_path, change(0, 0, 1, torch.rand(20, 16))))
    assert session.stream.notes["rounded"] is True
    assert opened(saved(tmp_path, entries())).stream.notes["rounded"] is False


def test_the_scenario_wants_its_dataset() -> None:
    with pytest.raises(UsageError, match=r"reads the tasks of dataset.name = 'benchmark-file'"):
        Session(toy("single", scenario={"name": "benchmark-file", "tasks": 2}), Record(), Control())
