"""Telling a story to the app, and reading what it shows."""

from __future__ import annotations

import asyncio
import html
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual._context import active_app
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot

from cllab.record.runs import Run
from cllab.tui.app import CllabApp
from cllab.tui.settings import Settings

SIZES = ((80, 24), (120, 36), (160, 45))
TWO_QUICK = [
    pytest.param(size, id=f"{size[0]}x{size[1]}", marks=[pytest.mark.slow] if size == SIZES[2] else [])
    for size in SIZES
]
"""The sizes for long stories: the largest, whose layout others look at, with the slow tests."""
LOOK = 0.003
"""Seconds between two looks at whether an app rests."""
GOLDEN = Path(__file__).with_name("golden")


def make_app(run: Run | None = None, mode: str = "live", **settings: Any) -> CllabApp:
    """An app that starts from the default settings."""
    chosen = Settings()
    for name, value in {"glyphs": "unicode", **settings}.items():
        setattr(chosen, name, value)
    return CllabApp(runs=run.folder.parent if run else None, run=run, mode=mode, settings=chosen)


def tell(app: CllabApp, act: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (120, 36)) -> None:
    """Run `app` headless at `size` while `act` presses keys."""

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await act(pilot)

    asyncio.run(go())


async def until(pilot: Pilot[Any], condition: Callable[[], object], what: str = "", seconds: float = 45.0) -> None:
    """Wait for a state; fail with what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what or condition}; the screen shows:\n{shown(pilot.app)}")
        await pilot.pause(0.005)
    await pilot.pause()


async def rest(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until the app rests: all is drawn, and its process computes a tenth of the time; `max_sleep` s at most.

    Stands in for Textual's own wait after every key (conftest.py), which looks fifty times a second and therefore takes
    longer than most keys do.
    """
    began = time.monotonic()
    while time.monotonic() - began < max_sleep:
        computed = time.process_time()
        await asyncio.sleep(LOOK)
        if time.process_time() - computed < LOOK / 10 and time.monotonic() - began >= min_sleep and not _drew():
            return


def _drew() -> bool:
    """Draw what a screen has put off until its next frame; whether there was anything."""
    app = active_app.get()
    screen = app.screen_stack[-1] if app._screen_stack else None
    if screen is None or not screen._update_timer._active.is_set():
        return False
    screen._on_timer_update()
    return True


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys and let what they caused be drawn."""
    await pilot.press(*keys)
    await pilot.pause()


def burst(app: App[Any], *keys: str) -> None:
    """Keys at once, as a paste or a held key sends them: the next one does not wait for what the last one caused."""
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
        character = key if len(key) == 1 else " " if key == "space" else None
        event = events.Key(name, character)
        event.set_sender(app)
        app.post_message(event)


def rows_of(svg: str) -> list[str]:
    """The text of a picture that Textual exported, row by row."""
    width = max(1, round(float(re.findall(r'textLength="([\d.]+)"', svg)[-1])))
    found = re.findall(r'<text[^>]*?x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>(.*?)</text>', svg, re.S)
    cell = (
        min(float(length) / max(1, len(html.unescape(text))) for _, _, length, text in found if text.strip()) or width
    )
    lines: dict[float, str] = {}
    for x, y, _, text in found:
        at = round(float(x) / cell)
        lines[float(y)] = lines.get(float(y), "").ljust(at) + html.unescape(text).replace("\u00a0", " ")
    return [lines[y].rstrip() for y in sorted(lines)]


def shown(app: Any) -> str:
    """What is on the screen, as text."""
    return "\n".join(rows_of(app.export_screenshot(simplify=True)))


def golden(name: str, text: str) -> None:
    """Compare with `golden/NAME.txt`; `CLLAB_GOLDEN=write` writes it."""
    path = GOLDEN / f"{name}.txt"
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("CLLAB_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), (
        f"no golden text {path.name}; write it with CLLAB_GOLDEN=write pytest {Path(__file__).parent.name}"
    )
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; look at it, then CLLAB_GOLDEN=write"
