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

from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run, RunStore
from cllab.tui.app import CllabApp
from cllab.tui.index import Entry
from cllab.tui.screens.export import ExportScreen
from cllab.tui.screens.quit import ConfirmScreen
from cllab.tui.screens.runs import RunsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import Settings
from cllab.tui.widgets.run_table import BY_KEY, COLUMNS, RunTable, ordered
from cllab.tui.widgets.start_list import StartList
from tests.tui.recorded import make_run
from tests.tui.stories import SIZES, press, shown, tell, until
from tests.tui.test_index import TORN, config, ended, result_of

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


def test_a_filter_that_is_wrong_stays_so_and_says_what_there_is(some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)
        await press(pilot, "slash")
        # what may be asked for is there before anything is typed
        assert "numbers: mem, acc, last, forget" in shown(app)
        field = app.screen.query_one("#filter", Input)
        field.value = "method:er"
        await until(pilot, lambda: len(names(table)) == 1)
        for text, said in (
            ("methd:x", "did you mean 'method'"),
            ("last_acc>3", "no column 'last_acc'"),
            ("métode:er", "no column 'métode'"),
            ("acc>much", "acc is a number"),
        ):
            field.value = text
            await until(pilot, lambda said=said: said in shown(app), said)  # type: ignore[misc]
            assert "! not applied" in shown(app)
            assert "text: state, name" in shown(app)
            # ticks and other news do not take it away
            app.screen.show_entries()  # type: ignore[attr-defined]
            await press(pilot, "enter")
            await pilot.pause(1.3 if said.startswith("did") else 0.1)  # once over a whole tick
            assert said in shown(app)
            await press(pilot, "slash")
        field.value = ""
        await until(pilot, lambda: "3 runs" in shown(app))
        assert "no column" not in shown(app)

    tell(app, story, (120, 36))


def test_keys_typed_before_the_screen_is_up_are_no_filter(some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        # what the framework focuses by itself, before the screen has chosen
        focused = app.screen.query(str(RunsScreen.AUTO_FOCUS)).first()
        assert isinstance(focused, RunTable)
        await press(pilot, "1", "4", "y", "e", "escape")
        await go_to_runs(pilot, 3)
        assert app.screen.query_one("#filter", Input).value == ""

    tell(app, story)


def test_a_click_on_a_title_sorts_by_it(some: RunStore) -> None:
    app = app_of(some.folder)

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)

        async def click(title: str) -> None:
            line = next(row for row in shown(app).splitlines() if " name" in row and "avg %" in row)
            await pilot.click(RunTable, offset=(line.index(title), 1))
            await pilot.pause()

        await click("avg %")
        assert names(table) == ["er", "finetune", "ewc"]
        assert "▾avg %" in shown(app)
        await click("avg %")
        assert names(table) == ["ewc", "finetune", "er"]
        assert "▴avg %" in shown(app)
        await click("method")
        assert names(table) == ["er", "ewc", "finetune"]
        await click("size")
        assert names(table) == ["ewc", "er", "finetune"]
        assert "by size, ascending" in shown(app)
        await press(pilot, "s")
        assert "newest first" in shown(app)

    tell(app, story)


@pytest.mark.parametrize("key", list(BY_KEY))
def test_every_column_sorts_both_ways_with_blanks_last(key: str) -> None:
    full = Entry(
        Run(Path("a")), "done", "", "a", "a", "a", "a", "a", "a", 1, 1, 1,
        average=0.1, last=0.1, forgetting=0.1, started=1.0, updated=2.0,
    )  # fmt: skip
    other = Entry(
        Run(Path("b")), "failed", "", "b", "b", "b", "b", "b", "b", 2, 2, 2,
        average=0.2, last=0.2, forgetting=0.2, started=2.0, updated=1.0,
    )  # fmt: skip
    blank = Entry(Run(Path("c")), "odd", "", "c", "c", "c", "c", "c", "c", None, None, None)
    up = ordered([blank, other, full], key, most_first=False)
    down = ordered([blank, other, full], key, most_first=True)
    assert [e for e in up if e is not blank] == [e for e in reversed(down) if e is not blank]
    if BY_KEY[key].order(blank) is None:
        assert up[-1] is blank
        assert down[-1] is blank


def test_progress_stands_with_the_state_and_never_among_results(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", until_task=2, finished=False, pictures=0)
    with run.config_path.open("a") as file:
        file.write("[scenario]\ntasks = 5\n")
    lock = RunLock(run.lock_path)
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 1)
        entry = table.entries[0]
        assert entry.fraction is not None
        assert 0 < entry.fraction < 1
        assert f"▸ training {100 * entry.fraction:.0f}%" in shown(app)
        for column in COLUMNS:
            if column.key != "state":
                assert "%" not in column.text(entry), column.key

    tell(app, story, (160, 45))
    lock.release()


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
        # a key pressed once too often deletes nothing
        await press(pilot, "d", "enter")
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
        assert isinstance(app.screen, ConfirmScreen)
        assert "memory are kept" in " ".join(shown(app).replace("│", "").split())
        assert "r resumes it" in shown(app)
        await press(pilot, "escape")
        assert not run.control_path.exists()
        await press(pilot, "x", "y")
        assert run.control_path.read_text().split()[-1] == "stop"
        # from then on it says so, here and in the box below, until it has stopped
        await until(pilot, lambda: shown(app).count("■ stopping") == 2, "the wish to be shown")
        assert "training" not in shown(app)
        assert not app.screen.check_action("stop", ())
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


def test_nothing_is_painted_while_nothing_happens(some: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(some.folder)
    painted: list[int] = []
    draw = RunTable.render_line
    monkeypatch.setattr(RunTable, "render_line", lambda table, y: (painted.append(y), draw(table, y))[1])

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 3)
        await pilot.pause(0.5)
        painted.clear()
        await pilot.pause(2.5)
        assert painted == []
        # nor is a refresh asked for again and again behind a question, where nothing is drawn
        await press(pilot, "d")
        assert isinstance(app.screen, ConfirmScreen)
        asked: list[float] = []
        monkeypatch.setattr(table, "refresh", lambda *_args, **_options: asked.append(1.0))
        table._drawn -= 100
        for _ in range(5):
            table.grow_older()
        assert len(asked) == 1
        monkeypatch.undo()
        monkeypatch.setattr(RunTable, "render_line", lambda table, y: (painted.append(y), draw(table, y))[1])
        await press(pilot, "escape")
        painted.clear()
        # but ages are: they are told in minutes
        table.grow_older(every=0.0)
        await until(pilot, lambda: painted, "the ages to be drawn again")

    tell(app, story)


def test_recent_runs_on_set_up_follow_one_that_ends_while_another_screen_is_looked_at(store: RunStore) -> None:
    """The index is shared: what the Runs screen saw first, Set up must draw all the same."""
    chosen = config(name="elsewhere")
    run = store.create(chosen)
    lock = RunLock(run.lock_path)
    sink = run.sink()
    sink(ev.PhaseStarted(phase="loading"))
    app = app_of(store.folder)

    def recent() -> list[str]:
        return [line for line in shown(app).splitlines() if "elsewhere" in line]

    async def story(pilot: Any) -> None:
        table = await go_to_runs(pilot, 1)
        await press(pilot, "1")
        await until(pilot, lambda: any("▸ elsewhere" in line and "training" in line for line in recent()))
        await press(pilot, "4")
        sink(ev.RunEnded(status="done"))
        result = {**result_of(chosen), "metrics": {"average_accuracy": 0.9, "last_accuracy": 0.712}}
        run.result_path.write_text(json.dumps(result))
        lock.release()
        await until(pilot, lambda: table.entries[0].state == "done", "Runs to see it")
        await press(pilot, "1")
        await until(
            pilot, lambda: any("✓ elsewhere" in line and "71.2" in line for line in recent()), "Set up to see it"
        )
        # the number is named, and it is the one that presets make claims about
        heading = next(line for line in shown(app).splitlines() if "recent runs" in line)
        assert "last %" in heading
        assert heading.index("last %") + 6 == recent()[0].index("71.2") + 4
        # the box beside the list follows, too
        start = app.screen.query_one(StartList)
        start.highlighted = start._ids.index(f"run:{run.id}")
        await until(pilot, lambda: "average 90.0 %" in shown(app))
        assert "last 71.2 %" in shown(app)

    tell(app, story)
    sink.close()
