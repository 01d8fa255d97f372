"""One torch thread, toy streams, and a run store in a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.settings.config import RunConfig, dump_toml
from cllab.settings.spec import ComponentSpec

OWN_METHODS = [str(Path(__file__).parent / name) for name in ("my_method.py", "sketches/der_plus_plus.py")]
"""Methods in files of their own, as users write them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--method-file",
        action="append",
        default=[],
        help="also hold the method in this file to the general checks (tests/every)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where the real data is required, its absence is a failure and not a skip."""
    if os.environ.get("CLLAB_REQUIRE_DATA"):
        from cllab.data.where import dataset_status

        for name in ("mnist", "cifar100"):
            if not dataset_status(name, scan=False).found:
                raise pytest.UsageError(f"CLLAB_REQUIRE_DATA is set, but {name} is not in $CLLAB_DATA")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`method` in tests/every: every method of the catalogue, the README's own, and those given by file."""
    if "method" in metafunc.fixturenames and "every" in metafunc.definition.path.parts:
        from cllab.settings import catalog

        files = [*OWN_METHODS, *metafunc.config.getoption("--method-file")]
        methods = [*catalog.load().names("method"), *files]
        metafunc.parametrize("method", methods, ids=[Path(m).stem for m in methods])


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of all processes: to describe a method file takes seconds, to decode a real dataset more."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    """No test reads or writes a user's runs, settings or cache of descriptions."""
    monkeypatch.setenv("CLLAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CLLAB_CONFIG", str(tmp_path / "config"))
    if "CLLAB_CACHE" not in os.environ:
        monkeypatch.setenv("CLLAB_CACHE", str(_cache))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """On two cores torch's default thread pool makes tiny networks ten times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


Config = Callable[..., RunConfig]


def method_spec(method: str) -> ComponentSpec:
    """A built-in method by its name, or one of your own by its file."""
    from cllab.settings import catalog

    return catalog.describe_file(Path(method)) if method.endswith(".py") else catalog.load().get("method", method)


def toy(method: str = "finetune", /, **tables: dict[str, Any]) -> RunConfig:
    """A run on the toy stream: five tasks of two blob classes that forget when nothing is done about it."""
    spec = method_spec(method)
    needs_memory = "memory" in spec.facts["needs"]
    data: dict[str, Any] = {
        "name": f"toy-{spec.name}",
        "device": "cpu",
        "dataset": {"name": "blobs"},
        "scenario": {"name": "disjoint", "tasks": 5, "stream": "online"},
        "model": {"name": "mlp", "width": 32, "layers": 1, "norm": True},
        "memory": {"capacity": 60 if needs_memory else 0},
        "method": {"file": method} if method.endswith(".py") else {"name": method},
        "train": {"batch_size": 16, "lr": 0.05, "memory_epochs": 30 if spec.facts["memory_only"] else 3 * needs_memory},
    }
    for table, values in tables.items():
        data[table] = {**data.get(table, {}), **values} if isinstance(values, dict) else values
    return RunConfig.from_dict(data)


@pytest.fixture
def toy_config() -> Config:
    return toy


def toy_preset(method: str = "er", /, **tables: Mapping[str, Any]) -> str:
    """The text of a preset that trains in a second: two tasks of blobs; `tables` add to its own."""
    data: dict[str, Any] = {
        "dataset": {"name": "blobs"},
        "scenario": {"name": "disjoint", "tasks": 2, "stream": "online"},
        "model": {"name": "mlp", "width": 16},
        "memory": {"capacity": 20},
        "method": {"name": method},
    }
    merged = {table: {**data.get(table, {}), **tables.get(table, {})} for table in {**data, **tables}}
    return dump_toml({"name": "toy", "device": "cpu", **merged})


class Record:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []

    def __call__(self, event: ev.Event) -> None:
        self.events.append(event)

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    def lines(self) -> list[dict[str, Any]]:
        return [ev.without_times(e) for e in self.events if not isinstance(e, ev.BY_CLOCK)]


@pytest.fixture
def record() -> Record:
    return Record()
