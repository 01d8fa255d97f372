"""Draws screenshots/ from recorded runs: `python tests/shots.py [RUN]`.

Without an argument two presets are trained first, quickstart and forgetting. Pictures are SVG as Textual exports it;
where Chromium is installed they become PNG too, which shows the thumbnails without seams.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cllab.runs import Run, RunStore
from cllab.tui.app import CllabApp
from cllab.tui.settings import Settings

TARGET = Path(__file__).parent.parent / "screenshots"
SHOTS: tuple[tuple[str, str, tuple[int, int], tuple[str, ...], str], ...] = (
    ("setup", "setup", (120, 36), (), "cllab-dark"),
    ("live", "live", (120, 36), (), "cllab-dark"),
    ("live-light", "live", (120, 36), (), "cllab-light"),
    ("live-80x24", "live", (80, 24), (), "cllab-dark"),
    ("memory", "live", (120, 36), ("3",), "cllab-dark"),
    ("runs", "live", (120, 36), ("4",), "cllab-dark"),
    ("lesson", "lessons", (120, 36), ("down", "space", "space", "z"), "cllab-dark"),
    ("trace", "lessons", (120, 36), (*["down"] * 5, "space", "space", "space"), "cllab-dark"),
)


async def shoot(name: str, mode: str, size: tuple[int, int], keys: Sequence[str], theme: str, run: Run) -> Path:
    """One picture of the app on `run` after `keys`."""
    settings = Settings()
    settings.glyphs = "unicode"
    settings.theme = theme
    app = CllabApp(runs=run.folder.parent, run=run if mode == "live" else None, mode=mode, settings=settings)
    if mode == "lessons":
        # its charts are there at once
        app.animation_level = "none"
    async with app.run_test(size=size, notifications=False) as pilot:
        await pilot.pause(1.0)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(1.0)
        picture = app.export_screenshot(title="cllab", simplify=True)
    target = TARGET / f"{name}.svg"
    target.write_text(picture, encoding="utf-8")
    return target


def to_png(svg: Path) -> None:
    """The picture in pixels, drawn by Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print(f"no Chromium here: {svg.name} stays SVG only", file=sys.stderr)
        return
    head = svg.read_text(encoding="utf-8")[:300]
    box = head.split('viewBox="')[1].split('"')[0].split()
    width, height = (round(float(v)) for v in box[2:])
    subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1.5"),
            *("--default-background-color=00000000", f"--window-size={width},{height}"),
            f"--screenshot={svg.with_suffix('.png')}",
            svg.resolve().as_uri(),
        ],
        check=True,
        capture_output=True,
    )


def trained(store: RunStore) -> Run:
    """Runs of two presets, so that the pictures have something to show; the first of them."""
    from cllab import presets
    from cllab.worker import train

    runs = []
    for name in ("forgetting", "quickstart"):
        runs.append(store.create(presets.load(name).config))
        train(runs[-1])
    return runs[-1]


def main(arguments: Sequence[str]) -> None:
    """Make every picture."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # the runs folder that one has, so that no command line must name it
        os.environ["CLLAB_RUNS"] = str(Path(arguments[0]).parent if arguments else folder)
        run = Run(Path(arguments[0])) if arguments else trained(RunStore(folder))
        for shot in SHOTS:
            svg = asyncio.run(shoot(*shot, run))
            to_png(svg)
            svg.unlink() if svg.with_suffix(".png").exists() else None
            print(svg.stem)


if __name__ == "__main__":
    main(sys.argv[1:])
