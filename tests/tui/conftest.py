"""Recorded runs, an app that remembers nothing, and stories told to it: press, wait for a state, look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cllab.record.runs import Run
from tests.tui.recorded import make_run
from tests.tui.stories import rest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The app never imports torch, so neither do its tests."""


@pytest.fixture(scope="session", autouse=True)
def _no_longer_than_it_takes() -> Iterator[None]:
    """A key is waited for until the app rests, and no longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", rest)
        patch.setattr("textual.pilot.wait_for_idle", rest)
        yield


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "SSH_CONNECTION", "COLORTERM", "CLLAB_WORKER_CMD", "CLLAB_FAKE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five tasks of two classes, done."""
    return make_run(tmp_path_factory.mktemp("runs") / "20261120-101112-er-cifar10-s1", pictures=60)


@pytest.fixture(scope="session")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Ten tasks of ten classes, gray pictures, done."""
    return make_run(
        tmp_path_factory.mktemp("runs") / "20261120-101112-er-cifar100-s1",
        n_tasks=10,
        n_classes=100,
        pictures=30,
        channels=1,
    )


@pytest.fixture(scope="session")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Failed in the third task."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "20261120-101112-er-broken-s1",
        until_task=2, status="failed", reason="the loss is not a number since step 1010", pictures=10,
    )  # fmt: skip
    with run.log_path.open("a") as log:
        log.write("Traceback (most recent call last):\nTrainingError: the loss is not a number [nan]\n")
    return run


def live_run(folder: Path) -> Run:
    """An empty run folder, whose log a test writes itself."""
    run = make_run(folder, n_tasks=1, n_classes=2, steps=1, evaluations=0, pictures=0)
    run.events_path.write_bytes(b"")
    run.result_path.unlink(missing_ok=True)
    return run
