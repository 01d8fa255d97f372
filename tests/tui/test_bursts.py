"""Bursts of keys, clicks, pastes and other sizes at every screen: nothing breaks, nothing that was there is lost."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from cllab.record.runs import Run, RunStore
from cllab.settings import presets
from cllab.tui.app import CllabApp
from cllab.tui.screens.download import DownloadScreen
from cllab.tui.screens.export import ExportScreen
from cllab.tui.screens.help import HelpScreen
from cllab.tui.screens.log import LogScreen
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.screens.quit import QuitScreen
from cllab.tui.screens.save_preset import SavePresetScreen
from cllab.tui.screens.settings import SettingsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import Settings
from tests.tui.bursts import Bursts, settle
from tests.tui.recorded import make_run
from tests.tui.stories import burst, shown, tell, until
from tests.tui.test_setup import FAKE, field, ready, setup_of

SEED = 20261121
MANY = int(os.environ.get("CLLAB_BURSTS", "2000"))
"""Bursts of the slow test, over all places together."""


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 30, "pictures": 4, "steps": 20}))
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def world(folder: Path) -> Run:
    """A folder with runs in many states; the first of them is returned."""
    runs = folder / "runs"
    first = make_run(runs / "20261120-101112-er-cifar10-s1", pictures=12, steps=10)
    make_run(runs / "20261120-101113-er-cifar100-s1", n_tasks=20, n_classes=100, pictures=4, steps=4, channels=1)
    make_run(runs / "20261120-101114-er-broken-s1", until_task=2, status="failed", reason="a reason", pictures=2)
    make_run(runs / "20261120-101115-er-stopped-s1", until_task=1, status="stopped", pictures=0)
    (runs / "20261120-101116-torn").mkdir()
    RunStore(runs).create(presets.load("quickstart").config)
    return first


def app_at(folder: Path, mode: str) -> CllabApp:
    run = world(folder)
    settings = Settings.load()
    settings.glyphs = "unicode"
    opened = run if mode in ("live", "replay", "memory") else None
    app = CllabApp(runs=run.folder.parent, run=opened, mode="replay" if mode == "replay" else mode, settings=settings)
    app.animation_level = "none"
    return app


Push = Callable[[CllabApp], Any]
DIALOGS: dict[str, Push] = {
    "pick": lambda app: PickScreen(
        "Which", [Pick(f"name-{i}", f"Title {i}", "about " * i) for i in range(40)], "name-3"
    ),
    "settings": lambda app: SettingsScreen(),
    "save": lambda app: SavePresetScreen(setup_of(app).draft),
    "export": lambda app: ExportScreen(next(iter(app.store))),
    "help": lambda app: HelpScreen.of(app.screen),
    "log": lambda app: LogScreen(next(iter(app.store))),
    "quit": lambda app: QuitScreen(next(iter(app.store)), next(iter(app.store)).state()),
    "download": lambda app: DownloadScreen("x", "data", 1000, [sys.executable, "-c", "import time; time.sleep(600)"]),
}
PLACES = ("setup", "live", "replay", "memory", "runs", "explain", "lessons", *DIALOGS)


@pytest.fixture(autouse=True)
def _nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may lead to a download and begin it; none gets anywhere."""
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")


def fire(place: str, n: int, folder: Path, seed: int = SEED) -> None:
    """`n` bursts at a place; wherever they lead, every few of them begin there again.

    Raises:
        AssertionError: naming the number of the burst and what it was, so that it can be played again.
    """
    mode = place if place not in DIALOGS else "setup"
    app = app_at(folder, mode)

    async def bare(pilot: Any) -> None:
        """Until nothing lies over the mode's own screen."""
        for _ in range(50):
            if len(app.screen_stack) == 1:
                return
            app.pop_screen()
            await settle(pilot)
        raise AssertionError(f"one dialog opens the next for ever:\n{shown(app)}")

    async def home(pilot: Any) -> None:
        burst(app, "escape", "escape", "escape")
        await settle(pilot)
        await bare(pilot)
        assert app._driver is not None
        await pilot.resize_terminal(120, 36)
        if mode in ("live", "replay", "memory"):
            app.open_run(next(r for r in app.store if "er-cifar10-s1" in r.id), replay=mode == "replay")
            await pilot.pause()
        if mode != "replay":
            app.switch_mode(mode)
            await pilot.pause()
        if place in DIALOGS:
            # an answer that was given before may only now open the next question
            await until(pilot, lambda: isinstance(app.screen_stack[0], SetupScreen))
            await bare(pilot)
            await app.push_screen(DIALOGS[place](app))

    async def story(pilot: Any) -> None:
        bursts = Bursts(app, seed)
        for i in range(n):
            if i % 6 == 0:
                await home(pilot)
            try:
                await bursts.one(pilot)
                failure = ""
            except AssertionError as error:
                failure = f"{error}\n{shown(app)}" if app.screen_stack else str(error)
            if app._exception is not None:
                failure = "".join(traceback.format_exception(app._exception))
            assert not failure, f"{place}, burst {i} ({bursts.said}): {failure}"
        for feed in [app.feed] if app.feed else []:
            feed.run.kill()
        assert not app._troubles, app._troubles

    tell(app, story)


@pytest.mark.parametrize("place", ["setup", "runs", "pick", "live"])
def test_a_few_bursts(place: str, tmp_path: Path) -> None:
    fire(place, 6, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_many_bursts(place: str, tmp_path: Path) -> None:
    fire(place, -(-MANY // len(PLACES)), tmp_path)


def test_typing_quickly_into_the_form_loses_no_letter(tmp_path: Path) -> None:
    """What the form answers to the first letter does not take the place of the others."""
    app = app_at(tmp_path, "setup")

    async def story(pilot: Any) -> None:
        await ready(pilot)
        for key, typed, wanted in (("memory.capacity", "1234", 1234), ("train.epochs", "17", 17), ("seed", "1-12", 1)):
            control: Input = field(app, key)
            control.focus()
            await pilot.pause()
            burst(app, *typed)
            await until(pilot, lambda control=control, typed=typed: control.value == typed, f"{typed} in {key}")
            await settle(pilot)
            assert control.value == typed
            assert setup_of(app).draft.values[key] == wanted
        # a letter that comes while the answer to the former is on its way
        control = field(app, "memory.capacity")
        control.focus()
        await pilot.pause()
        control.value = "5"
        control.set_value(4321)
        assert control.value == "5"
        await until(pilot, lambda: setup_of(app).draft.values["memory.capacity"] == 5)

    tell(app, story)


def test_a_held_arrow_goes_as_far_as_it_was_held(tmp_path: Path) -> None:
    app = app_at(tmp_path, "setup")

    async def story(pilot: Any) -> None:
        await ready(pilot)
        control = field(app, "method.name")
        control.focus()
        await pilot.pause()
        free = [p.name for p in control.picks("method.name") if not p.reason]
        here = free.index(control.value)
        burst(app, *["right"] * 5)
        await settle(pilot)
        assert control.value == setup_of(app).draft.values["method.name"] == free[(here + 5) % len(free)]

    tell(app, story)
