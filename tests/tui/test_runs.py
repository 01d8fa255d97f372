"""The list of runs: what it shows, what can be done with each, and how it bears folders that are torn."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.strip import Strip
from textual.widgets import Input

from cllab.runs import Run, RunLock, RunStore
from cllab.tui.app import CllabApp
from cllab.tui.screens.export import ExportScreen
from cllab.tui.screens.quit import ConfirmScreen
from cllab.tui.screens.runs import RunsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import Settings
from cllab.tui.widgets.run_table import RunTable
from tests.tui.recorded import make_run
from tests.tui.stories import SIZES, press, shown, tell, until
from tests.tui.test_index import TORN, config, ended

FAKE = f"{sys.executable} {Path(__file__).with_name('fake_worker.py')}"


def app_of(folder: Path) -> CllabApp:
    settings = Settings()
    settings.glyphs = "unicode"
    return CllabApp(runs=folder, settings=settings, mode="runs")


async def go_to_runs(pilot: Any, n: int) -> RunTable:
    app = pilot.app
    await until(
        pilot,
        lambda: isinstance(app.screen, RunsScreen) and len(app.screen.query_one(RunTable).entries) == n,
        f"{n} runs",
    )
    return app.screen.query_one(RunTable)  # type: ignore[no-any-return]


@pytest.fixture
def some(store: RunStore) -> RunStore:
    """Three runs that ended, with ages in their names."""
    for day, method, capacity, average in ((3, "er", 100, 0.5), (2, "ewc", 0, 0.2), (1, "finetune", 200, 0.3)):
        run = ended(store, config(name=method, method={"name": method}, memory={"capacity": capacity}))
        result = json.loads(run.result_path.read_text())
        run.result_path.write_text(
            json.dumps({**result, "metrics": {"average_accuracy": average, "forgetting": 1 - average}})
        )
        run.folder.rename(store.folder / f"2026010{day}-000000-{method}-s1")
    return store


def names(table: RunTable) -> list[str]:
    return [e.name for e in table.entries]


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_list(size: tuple[int, int], some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)
        assert names(table) == ["er", "ewc", "finetune"]
        text = shown(app)
        for words in ("✓ done", "avg %", "age", "50.0", "digits", "3 runs", "this run"):
            assert words in text, words
        assert ("scenario" in text) == (size[0] >= 100)
        assert all(len(line) <= size[0] + 1 for line in text.splitlines())
        await press(pilot, "down", "down", "down")
        assert table.current is not None
        assert table.current.name == "finetune"
        await press(pilot, "s")
        assert names(table) == ["er", "finetune", "ewc"]

    tell(app, story, size)


def test_the_filter(some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)
        await press(pilot, "slash")
        field = app.screen.query_one("#filter", Input)
        assert app.focused is field
        for text, left in (
            ("method:e acc<0.4", ["ewc", "finetune"]),
            ("mem>=200", ["finetune"]),
            ("-method:er", ["ewc", "finetune"]),
        ):
            field.value = text
            await until(pilot, lambda left=left: names(table) == left, text)  # type: ignore[misc]
        assert "2 of 3 runs" in shown(app)
        field.value = "methd:x"
        await until(pilot, lambda: "did you mean 'method'" in shown(app))
        field.value = "nothing like it"
        await until(pilot, lambda: "no run passes the filter" in shown(app))
        await press(pilot, "enter")
        assert app.focused is table
        await press(pilot, "escape")
        await until(pilot, lambda: len(names(table)) == 3)

    tell(app, story)


def test_open_replay_and_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        await press(pilot, "enter")
        await until(pilot, lambda: app.current == run and app.current_mode == "live")
        assert app.feed is not None
        assert not app.feed.replayed
        await press(pilot, "4", "p")
        await until(pilot, lambda: app.feed is not None and app.feed.replayed and app.current_mode == "live")
        await press(pilot, "4", "n")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await until(pilot, lambda: app.screen.draft.values["dataset.name"] == "cifar10")  # type: ignore[attr-defined]
        assert app.screen.draft.values["memory.capacity"] == 200  # type: ignore[attr-defined]

    tell(app, story)


def test_delete_asks(some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)
        await press(pilot, "d")
        assert isinstance(app.screen, ConfirmScreen)
        await press(pilot, "escape")
        assert len(list(some)) == 3
        await press(pilot, "d", "y")
        await until(pilot, lambda: names(table) == ["ewc", "finetune"])
        assert len(list(some)) == 2

    tell(app, story)


def test_a_run_that_trains_cannot_be_deleted_but_stopped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", until_task=2, finished=False, pictures=0)
    lock = RunLock(run.lock_path)
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        assert "▸ training" in shown(app)
        assert not app.screen.check_action("delete", ())
        assert not app.screen.check_action("resume", ())
        await press(pilot, "d")
        assert isinstance(app.screen, RunsScreen)
        await press(pilot, "x")
        assert run.control_path.read_text().split()[-1] == "stop"
        lock.release()
        await until(pilot, lambda: "✗ lost" in shown(app), "the loss to be noticed")
        assert app.screen.check_action("resume", ())

    tell(app, story)


def test_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4}))
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", until_task=2, status="stopped", pictures=0)
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        await press(pilot, "r")
        await until(pilot, lambda: app.current == run and run.status().state == "done", "the resumed run")

    tell(app, story)


def test_export(tmp_path: Path, finished: Run) -> None:
    app = app_of(finished.folder.parent)
    out = tmp_path / "out"

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        await press(pilot, "e")
        assert isinstance(app.screen, ExportScreen)
        dialog = app.screen
        dialog.query_one(Input).value = str(out)
        await press(pilot, "down", "space", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the dialog to close")

    tell(app, story)
    assert {p.suffix for p in out.iterdir()} == {".csv", ".md"}


def test_export_that_cannot_be_written_says_why(tmp_path: Path, finished: Run) -> None:
    (tmp_path / "file").write_text("")
    app = app_of(finished.folder.parent)

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        await press(pilot, "e")
        app.screen.query_one(Input).value = str(tmp_path / "file" / "below")
        await press(pilot, "enter")
        await until(pilot, lambda: "! " in shown(app), "a reason")
        assert isinstance(app.screen, ExportScreen)

    tell(app, story)


def test_torn_folders_are_listed_and_opened(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for i, files in enumerate(TORN.values()):
        run = folder / f"20260101-0000{i:02}-torn-s1"
        run.mkdir(parents=True)
        for name, content in files.items():
            (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "not a run").mkdir()
    (folder / "file").write_text("")
    app = app_of(folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, len(TORN))
        for _ in TORN:
            await press(pilot, "down")
        for i in (0, len(TORN) // 2, len(TORN) - 1):
            table.cursor = i
            await press(pilot, "enter")
            await until(pilot, lambda: app.current_mode == "live" and app.current is not None)
            await press(pilot, "4", "n", "4")
        assert isinstance(app.screen, RunsScreen)
        assert "torn" in shown(app)

    tell(app, story)


def test_markup_in_names_is_text(store: RunStore) -> None:
    run = ended(store, config(name="[bold]x[/bold] [red"))
    app = app_of(store.folder)

    async def story(pilot: Any) -> None:
        await go_to_runs(pilot, 1)
        assert "[bold]x[/bold] [red" in " ".join(shown(app).split())
        await press(pilot, "d", "escape", "y")
        assert app.clipboard == str(run.folder.resolve())

    tell(app, story, (160, 45))


def test_no_runs_say_what_to_do(tmp_path: Path) -> None:
    app = app_of(tmp_path / "none")

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: "1 sets one up" in shown(app))
        await press(pilot, "enter", "d", "e", "r", "p", "n")
        assert isinstance(app.screen, RunsScreen)

    tell(app, story)


def test_a_key_draws_what_is_in_sight_of_five_hundred(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ended(store, config())
    for i in range(1, 500):
        folder = store.folder / f"20260101-{i:06}-copy-s1"
        folder.mkdir()
        for path in ("config.toml", "events.jsonl", "result.json", "lock"):
            os.link(first.folder / path, folder / path)
    app = app_of(store.folder)
    drawn = 0
    draw = RunTable.render_line

    def counted(table: RunTable, y: int) -> Strip:
        nonlocal drawn
        drawn += 1
        return draw(table, y)

    monkeypatch.setattr(RunTable, "render_line", counted)

    async def story(pilot: Any) -> None:
        nonlocal drawn
        table = await go_to_runs(pilot, 500)
        await press(pilot, "end")
        assert table.cursor == 499
        for key in ("up", "down", "pageup", "pagedown") * 3:
            drawn = 0
            await press(pilot, key)
            # once for the cursor, once for the scrolling; what a key costs is measured by tests/bench/bench_runs.py
            assert 0 < drawn <= 2 * table.size.height, key

    tell(app, story)
