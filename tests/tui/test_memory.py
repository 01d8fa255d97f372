"""The Memory screen: pictures in groups, the tasks scrubbed with the arrow keys, what came and went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.tui.glyphs import sharp_pixels
from cllab.tui.screens.memory import MemoryScreen
from cllab.tui.screens.picture import PictureScreen
from cllab.tui.snapshots import changes, load
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.memory_bar import MemoryBar
from cllab.tui.widgets.thumbs import ThumbGrid
from tests.tui.recorded import make_run
from tests.tui.stories import TWO_QUICK, make_app, press, shown, tell, until


async def open_memory(pilot: Pilot[Any], app: Any) -> MemoryScreen:
    await until(pilot, lambda: app.feed and app.feed.state.is_over, "the end of the log")
    await press(pilot, "3")
    await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
    assert isinstance(app.screen, MemoryScreen)
    return app.screen


@pytest.mark.parametrize("size", TWO_QUICK)
def test_pictures_policy_bytes_and_scrubbing(finished: Run, size: tuple[int, int]) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        text = shown(app)
        assert "[T5]" in text
        assert "reservoir" in text
        assert "200 of 200" in text
        assert "kB" in text
        assert "airplane: " in text
        assert "▀" in text
        grid = screen.query_one(ThumbGrid)
        assert app.focused is grid
        truth = load(finished.memory_folder / "after_task_05.npz")
        assert truth is not None
        assert sum(len(s.items) for s in grid.sections) == len(truth) == 200
        assert [len(s.items) for s in grid.sections] == np.bincount(truth.labels, minlength=10).tolist()
        # through the tasks, with the arrow keys
        for task in (4, 3, 2, 1, 1):
            await press(pilot, "left")
            assert f"[T{task}]" in shown(app)
        assert [s.title for s in grid.sections] == ["airplane: 110", "automobile: 90"] or len(grid.sections) == 2
        assert "+200 entered" in shown(app)
        await press(pilot, "right")
        assert "[T2]" in shown(app)
        assert "new" in grid.sections[2].title
        # one pane at a time when small
        if size[0] < 100:
            assert not screen.query_one("#amounts").display
            await press(pilot, "tab")
            assert screen.query_one("#amounts").display
            assert "airplane" in shown(app)
            await press(pilot, "tab")
        assert "age in steps" in shown(app)
        assert "uncertainty" in shown(app)
        assert "images: 614 kB" in shown(app)

    tell(app, act, size)


def test_bars_keep_their_scale_from_task_to_task(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        strip = screen.query_one("#amounts", HeatStrip)
        now = screen.lab.feed.state.memory  # type: ignore[union-attr]
        for group in ("class", "task"):
            most = max(n for record in now for n in (record.per_class if group == "class" else record.per_task))
            tops = set()
            for _ in range(5):
                tops.add(strip.top)
                await press(pilot, "left")
            assert tops == {float(most)}
            await press(pilot, *["right"] * 5, "g")

    tell(app, act)


@pytest.mark.parametrize("mode", [pytest.param("live", marks=pytest.mark.slow), "replay"])
def test_a_click_on_a_task_shows_its_memory(finished: Run, mode: str) -> None:
    app = make_app(finished, mode=mode, rate=20.0)

    async def act(pilot: Pilot[Any]) -> None:
        if mode == "replay":
            await until(pilot, lambda: app.feed.loaded)
            await press(pilot, "space", "end")
        screen = await open_memory(pilot, app)
        bar = screen.query_one(MemoryBar)
        await until(pilot, lambda: bar.index == 4)

        async def click(word: str, index: int) -> None:
            line = "".join(part for part, _ in bar.draw(bar.size.width, 2)[0])
            await pilot.click(bar, offset=(1 + line.index(word), 0))
            await until(pilot, lambda: bar.index == index, f"a click on {word}")

        await click("T2", 1)
        await click("\u25c2", 0)
        await pilot.click(bar, offset=(1 + len("memory after "), 0))
        assert bar.index == 0
        await click("\u25b8", 1)
        await click("T4" if mode == "live" else "T2", 3 if mode == "live" else 1)

    tell(app, act)


def test_only_keys_that_change_what_is_seen_are_offered(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await open_memory(pilot, app)
        keys = lambda: shown(app).splitlines()[-1]  # noqa: E731
        assert "What changed" in keys()
        assert "tab: the next" in shown(app)
        await press(pilot, "tab")
        await until(pilot, lambda: "What changed" not in keys())
        assert "Sort" not in keys()
        assert "By class/task" in keys()
        await press(pilot, "shift+tab")
        await until(pilot, lambda: "What changed" in keys())

    tell(app, act, (80, 24))


def test_what_entered_and_what_left(finished: Run) -> None:
    app = make_app(finished)
    before, now = (load(finished.memory_folder / f"after_task_0{n}.npz") for n in (2, 3))
    assert before is not None
    assert now is not None
    entered, left = set(now.ids) - set(before.ids), set(before.ids) - set(now.ids)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        await press(pilot, "left", "left", "d")
        grid = screen.query_one(ThumbGrid)
        assert "[T3]" in shown(app)
        assert "what entered and what left" in shown(app)
        assert {i.key for i in grid.sections[0].items} == entered
        assert all(i.mark == "new" for i in grid.sections[0].items)
        assert {i.key for i in grid.sections[1].items} == left
        assert all(i.mark == "left" for i in grid.sections[1].items)
        assert f"{len(entered)} entered since the task before" in shown(app)
        await press(pilot, "d")
        assert len(grid.sections) > 2

    tell(app, act)


def test_groups_order_selection_and_the_large_picture(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        grid = screen.query_one(ThumbGrid)
        await press(pilot, "g")
        assert [s.title.split(":")[0] for s in grid.sections] == ["T1", "T2", "T3", "T4", "T5"]
        assert screen.query_one("#amounts", HeatStrip).border_title == "per task of origin"
        await press(pilot, "s", "s")
        assert screen.sort == "score"
        truth = load(finished.memory_folder / "after_task_05.npz")
        assert truth is not None
        score = dict(zip(truth.ids.tolist(), truth.scores.tolist(), strict=True))
        shown_scores = [score[i.key] for i in grid.sections[0].items]
        assert shown_scores == sorted(shown_scores, reverse=True)
        # the sentence follows the selection
        first = str(screen.query_one("#sentence").content)
        await press(pilot, "full_stop")
        second = str(screen.query_one("#sentence").content)
        assert first != second
        assert "uncertainty" in second
        assert "from task 1" in second
        await press(pilot, "comma")
        assert str(screen.query_one("#sentence").content) == first
        await press(pilot, "pageup", "pageup", "pageup", "pageup")
        at = grid.selected
        await press(pilot, "down")
        assert grid.selected == at + (grid.size.width + 1) // (grid.pixels + 1)
        await pilot.click(grid, offset=(2 + (grid.pixels + 1) * 2, 3))
        await until(pilot, lambda: grid.selected == 2, "a click on the third picture")
        # sizes go around
        sizes = set()
        for _ in range(6):
            await press(pilot, "z")
            sizes.add(grid.pixels)
        assert len(sizes) >= 3
        while grid.item is not None and grid.item.picture is None:
            await press(pilot, "full_stop")
        await press(pilot, "i")
        assert isinstance(app.screen, PictureScreen)
        await until(pilot, lambda: "32x32" in shown(app), "the size, when no toast lies over it")
        await press(pilot, "escape")
        assert isinstance(app.screen, MemoryScreen)

    tell(app, act)


def test_a_hundred_classes_become_a_strip(hundred: Run) -> None:
    app = make_app(hundred)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        strip = screen.query_one("#amounts", HeatStrip)
        strip.focus()
        await press(pilot, "down")
        await press(pilot, "right")
        assert strip.cursor > 10
        assert f"{strip.cursor} class {strip.cursor:03}" in shown(app)
        assert f"█ {max(strip.values):.0f} samples" in shown(app), "what a full cell stands for"
        assert len(screen.query_one(ThumbGrid).sections) <= 100

    tell(app, act)


def test_a_memory_of_latents_shows_them(tmp_path: Path) -> None:
    run = make_run(tmp_path / "20261120-101112-ar1-s1", n_tasks=2, n_classes=4, capacity=20, pictures=2, latents=True)
    app = make_app(run)

    async def act(pilot: Pilot[Any]) -> None:
        screen = await open_memory(pilot, app)
        items = [i for s in screen.query_one(ThumbGrid).sections for i in s.items]
        assert all(i.picture is not None for i in items)
        assert {i.picture.shape[0] for i in items if i.picture is not None} == {8, 32}

    tell(app, act)


def test_a_run_without_memory_and_one_with_torn_snapshots(tmp_path: Path) -> None:
    runs = {}
    for damage in ("none", "missing", "torn", "wrong", "outside"):
        run = make_run(tmp_path / f"20261120-101112-{damage}-s1", n_tasks=2, n_classes=4, capacity=20, pictures=4)
        runs[damage] = run
        if damage == "none":
            lines = [x for x in run.events_path.read_text().splitlines() if '"MemoryUpdated"' not in x]
            run.events_path.write_text("\n".join(lines) + "\n")
        for path in run.memory_folder.glob("*.npz"):
            if damage == "missing":
                path.unlink()
            elif damage == "torn":
                path.write_bytes(path.read_bytes()[:500])
            elif damage == "wrong":
                index = np.array([-4, 99])
                np.savez(path, ids=np.arange(3), labels=np.arange(9), thumbs=np.zeros((2, 5)), thumb_index=index)
        if damage == "outside":
            text = run.events_path.read_text().replace("after_task_02.npz", "../../../etc/passwd")
            run.events_path.write_text(text)
    app = make_app(runs["none"])

    async def act(pilot: Pilot[Any]) -> None:
        for damage, run in runs.items():
            app.open_run(run)
            await open_memory(pilot, app)
            said = {"none": "reported when a task ends", "wrong": "#0"}.get(damage, "missing or cannot be read")
            assert said in " ".join(shown(app).split()), damage
            await press(pilot, "left", "d", "g", "enter", "escape", "d", "g", "2")

    tell(app, act)


def test_snapshots_are_read_as_they_were_written(finished: Run) -> None:
    first, second = (load(finished.memory_folder / f"after_task_0{n}.npz") for n in (1, 2))
    assert first is not None
    assert second is not None
    assert len(first) == 200
    assert first.thumbs.shape == (60, 32, 32, 3)
    assert first.score_name == "uncertainty"
    assert (np.flatnonzero(first.pictures >= 0) == np.unique(np.linspace(0, 199, 60).astype(int))).all()
    fresh, gone = changes(second, first)
    record = [e for e in finished.events() if isinstance(e, ev.MemoryUpdated)][1]
    assert (fresh.sum(), gone.sum()) == (record.added, record.evicted)
    everything, nothing = changes(first, None)
    assert everything.all()
    assert not len(nothing)


def test_the_terminals_own_pixels_are_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert sharp_pixels("auto")
    assert sharp_pixels("kitty")
    assert not sharp_pixels("cells")
    monkeypatch.setenv("SSH_CONNECTION", "1")
    assert not sharp_pixels("auto")
    assert sharp_pixels("sixel")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not sharp_pixels("sixel")
