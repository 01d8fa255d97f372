"""Commands that open the app: what they start before it, and what they refuse without a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cllab.cli import tui
from cllab.errors import EXIT_DATA
from cllab.record.runs import RunStore
from tests.cli.conftest import Cllab
from tests.recorded import config, write_run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the app was called with; it ends at once with exit code 7."""
    calls: list[dict[str, Any]] = []

    def run_app(**asked: Any) -> int:
        calls.append(asked)
        return 7

    monkeypatch.setattr("cllab.tui.app.run_app", run_app)
    monkeypatch.setattr(tui, "_check_terminal", lambda: None)
    monkeypatch.setenv("CLLAB_WORKER_CMD", f'{sys.executable} -c "import sys; print(sys.argv[1])"')
    return calls


def test_alone_it_opens_the_app(cllab: Cllab, opened: list[dict[str, Any]]) -> None:
    assert cllab("--runs", "here").code == 7
    assert opened == [{"runs": "here", "run": None, "mode": "setup"}]


def test_run_starts_a_worker_and_watches_it(cllab: Cllab, opened: list[dict[str, Any]], store: RunStore) -> None:
    assert cllab("run", "quickstart", "--set", "train.lr=0.01").code == 7
    run = next(iter(store))
    assert run.config().train.lr == 0.01
    assert opened == [{"runs": None, "run": run, "mode": "live"}]
    assert run.log_path.exists()


def test_several_seeds_are_queued(
    cllab: Cllab, opened: list[dict[str, Any]], store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Any] = []
    monkeypatch.setattr("cllab.study.queue.start_queue", queued.append)
    assert cllab("run", "quickstart", "--seeds", "4-6").code == 7
    assert [r.config().seed for r in queued[0]] == [4, 5, 6]
    assert opened[0]["run"] == queued[0][0]


def test_missing_data_are_refused_before_anything_starts(
    cllab: Cllab, opened: list[dict[str, Any]], store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path))
    said = cllab("run", "rm-mnist-blurry10")
    assert said.code == EXIT_DATA
    assert "mnist: nothing found" in said.err
    assert not opened
    assert not store.folder.exists()


@pytest.mark.parametrize(("command", "mode"), [("attach", "live"), ("replay", "replay")])
def test_attach_and_replay_open_a_run(
    cllab: Cllab, opened: list[dict[str, Any]], store: RunStore, command: str, mode: str
) -> None:
    run = write_run(store, config())
    for name in ((), (run.id,), (str(run.folder),)):
        assert cllab(command, *name).code == 7
    assert [(o["run"].id, o["mode"]) for o in opened] == [(run.id, mode)] * 3
