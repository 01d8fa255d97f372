"""The set-up side with the mouse alone: whatever keys do there, a click does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Offset
from textual.widgets import Input, OptionList

from cllab.tui.app import CllabApp
from cllab.tui.screens.dialog import Dialog
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.export import ExportScreen
from cllab.tui.screens.help import HelpScreen
from cllab.tui.screens.pick import PickScreen
from cllab.tui.screens.runs import RunsScreen
from cllab.tui.screens.save_preset import SavePresetScreen
from cllab.tui.screens.settings import SettingsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.screens.starting import StartScreen
from cllab.tui.settings import Settings
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.start_list import StartList
from tests.tui.recorded import make_run
from tests.tui.stories import shown, tell, until
from tests.tui.test_setup import FAKE, field, ready, setup_of


@pytest.fixture(autouse=True)
def _fake_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4}))
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


async def key_of_bar(pilot: Any, words: str) -> None:
    """Click a key in the bar of the screen that is on top."""
    bar = pilot.app.screen.query_one(KeyBar)
    await until(pilot, lambda: words in {said for _, said, *_ in bar.keys} and bar._spans, f"{words} in the key bar")
    bar.draw(bar.size.width, 1)
    key = next(key for _, said, key, _ in bar.keys if said == words)
    at = next(start for start, _, name in bar._spans if name == key)
    await pilot.click(KeyBar, offset=(at + 1, 0))
    await pilot.pause()


async def line_of(pilot: Any, options: OptionList, index: int) -> None:
    """Click a line of a list."""
    await pilot.click(options, offset=(4, index + options.gutter.top - options.scroll_offset.y))
    await pilot.pause()


async def text_on(pilot: Any, words: str) -> None:
    """Click where `words` stand."""
    for y, line in enumerate(shown(pilot.app).splitlines()):
        if words in line:
            x = line.index(words)
            await pilot.click(offset=Offset(x + 1, y))
            await pilot.pause()
            return
    raise AssertionError(f"{words!r} is not on the screen:\n{shown(pilot.app)}")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 36), marks=pytest.mark.slow)], ids=["80x24", "120x36"])
def test_an_hour_with_the_mouse(size: tuple[int, int], tmp_path: Path) -> None:
    settings = Settings.load()
    settings.glyphs = "unicode"
    app = CllabApp(runs=tmp_path / "runs", settings=settings)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        # the quick look
        await line_of(pilot, app.screen.query_one(StartList), 0)
        await until(pilot, lambda: app.current is not None and app.current_mode == "live")
        await until(pilot, lambda: app.feed is not None and app.feed.state.is_over)
        app.switch_mode("setup")
        await ready(pilot)
        # again: it is said, and a click goes back
        await line_of(pilot, app.screen.query_one(StartList), 0)
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        await text_on(pilot, "back to the form")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        # choosing a method: the middle of its control opens the list
        control = field(app, "method.name")
        await pilot.click(control, offset=(8, 0))
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        options = app.screen.query_one(OptionList)
        names = [line.pick.name for line in options.options]  # type: ignore[attr-defined]
        await line_of(pilot, options, names.index("ewc"))
        await until(pilot, lambda: isinstance(app.screen, SetupScreen) and control.value == "ewc")
        # presets, from the key bar, and out again by its Back
        await key_of_bar(pilot, "Presets")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await key_of_bar(pilot, "Back")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        # saving
        await key_of_bar(pilot, "Save")
        await until(pilot, lambda: isinstance(app.screen, SavePresetScreen))
        await key_of_bar(pilot, "Save")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert list(tmp_path.glob("*.toml"))
        # help and settings
        await key_of_bar(pilot, "Help")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await key_of_bar(pilot, "Close")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await app.push_screen(SettingsScreen())
        await key_of_bar(pilot, "Back")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        # the runs, and exporting one
        bar = app.screen.query_one(ModeBar)
        start = next(start for start, _, mode in bar._spans if mode == "runs")
        await pilot.click(ModeBar, offset=(start + 2, 0))
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.entry is not None)
        await key_of_bar(pilot, "Export")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await key_of_bar(pilot, "Write")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the end of the export")
        assert list((tmp_path / "runs").rglob("*.csv"))
        # the pages
        bar = app.screen.query_one(ModeBar)
        start = next(start for start, _, mode in bar._spans if mode == "explain")
        await pilot.click(ModeBar, offset=(start + 2, 0))
        await until(pilot, lambda: isinstance(app.screen, ExplainScreen) and app.screen.page is not None)
        await key_of_bar(pilot, "Search")
        assert isinstance(app.focused, Input)
        await key_of_bar(pilot, "List")
        assert isinstance(app.focused, OptionList)

    tell(app, story, size)


def test_every_dialog_says_its_keys_where_they_can_be_clicked(tmp_path: Path) -> None:
    from tests.tui.test_bursts import DIALOGS

    make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = CllabApp(runs=tmp_path / "runs", settings=Settings())

    async def story(pilot: Any) -> None:
        await ready(pilot)
        for name, make in DIALOGS.items():
            screen = make(app)
            assert isinstance(screen, Dialog), name
            await app.push_screen(screen)
            bar = screen.query_one(KeyBar)
            await until(pilot, lambda bar=bar: bar.keys, f"the keys of {name}")
            # the way out is among them
            out = next(said for _, said, key, _ in bar.keys if key == "escape")
            await key_of_bar(pilot, out)
            await until(pilot, lambda: isinstance(app.screen, SetupScreen), f"{name} to close")
        assert setup_of(app).draft.name == "quickstart"

    tell(app, story, (80, 24))
