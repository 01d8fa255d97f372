"""Whole screens as exported pictures, compared by what a person sees: their text, and whose colors they use."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.pilot import Pilot

from cllab.record.runs import Run
from cllab.tui.theme import LIGHT, rgb
from tests.tui.stories import golden, make_app, press, rows_of, tell, until


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("live_120x36", (120, 36), ()),
        ("live_focus_160x45", (160, 45), ("f", "f")),
        ("live_matrix_80x24", (80, 24), ("tab", "tab")),
        ("memory_120x36", (120, 36), ("3", "left")),
        ("help_120x36", (120, 36), ("question_mark",)),
    ],
)
def test_screens(finished: Run, name: str, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    app = make_app(finished, theme="cllab-light")
    pictures: list[str] = []

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        await press(pilot, *keys)
        pictures.append(app.export_screenshot(simplify=True))

    tell(app, act, size)
    # frames and fonts of the export change between releases of Textual; the words and their places do not
    golden(f"screen_{name}", "\n".join(rows_of(pictures[0])))
    used = {rgb(c) for c in re.findall(r"fill: (#[0-9a-f]{6})", pictures[0])}
    if name == "live_120x36":
        assert set(LIGHT.series[:5]) <= used
    if name == "live_focus_160x45":
        assert LIGHT.series[1] in used
        assert {LIGHT.dim(LIGHT.series[i]) for i in (0, 2, 3, 4)} <= used


def test_a_change_of_theme_repaints_the_charts(finished: Run) -> None:
    from cllab.tui.theme import CONTRAST, DARK

    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        for theme, palette in (("cllab-dark", DARK), ("cllab-light", LIGHT), ("cllab-contrast", CONTRAST)):
            app.theme = theme
            await pilot.pause()
            used = {rgb(c) for c in re.findall(r"fill: (#[0-9a-f]{6})", app.export_screenshot(simplify=True))}
            assert set(palette.series[:5]) <= used, theme
            assert app.settings.theme == theme

    tell(app, act)
