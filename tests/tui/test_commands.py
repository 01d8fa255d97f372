"""The palette offers what makes sense now; the settings screen is made from declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandList, CommandPalette
from textual.geometry import Region
from textual.widgets.option_list import Option

from cllab.tui.app import CllabApp
from cllab.tui.commands import LabCommands
from cllab.tui.form import Form
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.settings import SettingsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import FIELDS, Settings
from tests.tui.recorded import make_run
from tests.tui.stories import press, shown, tell, until


def app_of(folder: Path) -> CllabApp:
    settings = Settings.load()
    settings.glyphs = "unicode"
    return CllabApp(runs=folder, settings=settings)


async def offered(app: CllabApp, query: str = "") -> list[str]:
    """What the palette would list."""
    provider = LabCommands(app.screen)
    if query:
        return [str(hit.text if hit.text else hit.match_display) async for hit in provider.search(query)]
    return [str(hit.display) async for hit in provider.discover()]


def test_what_is_offered_depends_on_where_one_is(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen) and app.screen.index.entries)
        here = await offered(app)
        assert {"Run", "Save", "Copy", "Presets", "All runs", "Settings"} <= set(here)
        # what one can do here comes before what one can do everywhere
        assert here.index("Run") < here.index("All runs") < here.index("Quit")
        assert "Watch the run" not in here
        assert "Download" not in here
        assert any("Open run 20261120" in title for title in await offered(app, "open er-cifar"))
        assert any("Start preset quickstart" in title for title in await offered(app, "start quick"))
        assert any("Explain ewc" in title for title in await offered(app, "explain ewc"))
        await press(pilot, "4")
        await until(pilot, lambda: app.current_mode == "runs" and app.screen.query_one("RunTable").entries)  # type: ignore[attr-defined]
        there = await offered(app)
        assert {"Open", "Replay", "Delete", "Filter", "Set up a run"} <= set(there)
        assert "Resume" not in there
        assert "Run" not in there

    tell(app, story)


def test_a_command_is_found_by_typing(tmp_path: Path) -> None:
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await press(pilot, "colon")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await press(pilot, *"explain", "space", *"rwalk")
        await until(pilot, lambda: "Explain rwalk" in shown(app), "the command")
        await press(pilot, "enter")
        await until(
            pilot, lambda: isinstance(app.screen, ExplainScreen) and app.screen.page and app.screen.page.name == "rwalk"
        )

    tell(app, story)


def test_settings_show_at_once_and_are_kept(tmp_path: Path) -> None:
    app = app_of(tmp_path / "runs")

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        app.push_screen(SettingsScreen())
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        form = app.screen.query_one(Form)
        assert form.keys == tuple(f.name for f in FIELDS)
        await press(pilot, "right")
        await until(pilot, lambda: app.theme != "cllab-dark")
        form.row("rate").control.value = "99"
        await until(pilot, lambda: form.errors.get("rate"))
        form.row("rate").control.value = "3"
        await until(pilot, lambda: app.settings.rate == 3)
        assert app.rate == 3
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))

    tell(app, story)
    again = Settings.load()
    assert (again.theme, again.rate) == (app.theme, 3.0)


def test_a_page_of_a_list_of_commands_that_is_not_laid_out_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys typed ahead of the palette's first picture: the framework would look for lines that it has not made."""

    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        app.action_command_palette()
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        found = app.screen.query_one(CommandList)
        found.add_options([Option("one"), Option("two")])
        found._line_cache.clear()
        monkeypatch.setattr(CommandList, "scrollable_content_region", Region())  # as before its first layout
        for action in ("page_up", "page_down"):
            app.screen._action_command_list(action)  # type: ignore[attr-defined]

    tell(app, story)
