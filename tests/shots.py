"""Draws screenshots/ from recorded runs: `python tests/shots.py [RUN]`.

Without an argument two presets are trained first, quickstart and forgetting. Pictures are SVG as Textual exports it;
where Chromium is installed they become PNG too, which shows the thumbnails without seams.

`python tests/shots.py --grid FOLDER RUN...` draws many pictures of every run into FOLDER, which is for looking at and
is not committed: while it trained and at the end of its replay, with the axis whole and fitted, at three sizes, dark,
light, in high contrast and with NO_COLOR. `--only PART` draws those whose name has PART in it (may be given again).
`--train` trains the five runs of `GRID_RUNS` first, into $CLLAB_RUNS; they take some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cllab.record.lock import RunLock
from cllab.record.runs import Run, RunStore
from cllab.tui.app import CllabApp
from cllab.tui.settings import Settings

TARGET = Path(__file__).parent.parent / "screenshots"


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes:
        mode: "live", "replay", "lessons", "setup".
        keys: what is pressed before it is taken.
        no_color: whether NO_COLOR is set, which the app takes out of the environment as soon as it has seen it.
    """

    name: str
    mode: str = "live"
    size: tuple[int, int] = (120, 36)
    keys: tuple[str, ...] = ()
    theme: str = "cllab-dark"
    no_color: bool = False


SHOTS = (
    Shot("setup", "setup"),
    Shot("live"),
    Shot("live-light", theme="cllab-light"),
    Shot("live-80x24", size=(80, 24)),
    Shot("memory", keys=("3",)),
    Shot("runs", keys=("4",)),
    Shot("lesson", "lessons", keys=("down", "space", "space", "z")),
    Shot("trace", "lessons", keys=(*["down"] * 5, "space", "space", "space")),
)
SIZES = ((80, 24), (120, 36), (200, 55))
LOOKS = {"dark": "cllab-dark", "light": "cllab-light", "contrast": "cllab-contrast", "nocolor": "cllab-dark"}
SCREENS: dict[str, tuple[str, ...]] = {
    "live": (),
    "fitted": ("y",),
    "forgetting": ("tab", "z", "y"),
    "memory": ("3",),
}
"""Keys that lead to what is looked at, from a run that was just opened."""
GRID_RUNS: dict[str, tuple[str, ...]] = {
    "quickstart": (),
    "rm-mnist-blurry10": (),
    "gem-permuted20": (),
    "bcl-dual-rotated20": (),
    "er-ring-cifar100-cl17": (
        *("scenario.part=all", "scenario.cv_tasks=0", "model.name=mlp", "memory.capacity=2000"),
        *("train.batch_size=64", "train.lr=0.05"),
    ),
}
"""Presets and what is changed in them: CIFAR-100 is learned in all of its 20 tasks, by a network that takes seconds."""


async def shoot(shot: Shot, run: Run, folder: Path) -> Path:
    """One picture of the app on `run`, in `folder`."""
    settings = Settings()
    settings.glyphs = "unicode"
    settings.theme = shot.theme
    opened = run if shot.mode in ("live", "replay") else None
    os.environ.update({"NO_COLOR": "1"} if shot.no_color else {}, COLORTERM="truecolor")
    app = CllabApp(runs=run.folder.parent, run=opened, mode=shot.mode, settings=settings)
    if shot.mode == "lessons":
        # its charts are there at once
        app.animation_level = "none"
    async with app.run_test(size=shot.size, notifications=False) as pilot:
        await pilot.pause(1.0)
        for key in (*(("end",) if shot.mode == "replay" else ()), *shot.keys):
            await pilot.press(key)
            await pilot.pause(1.0)
        picture = app.export_screenshot(title="cllab", simplify=True)
    target = folder / f"{shot.name}.svg"
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


def draw(shots: Sequence[Shot], run: Run, folder: Path) -> None:
    """Pictures of `run`, as PNG where that can be."""
    for shot in shots:
        svg = asyncio.run(shoot(shot, run, folder))
        to_png(svg)
        svg.unlink() if svg.with_suffix(".png").exists() else None
        print(shot.name)


def trained(store: RunStore, wanted: dict[str, tuple[str, ...]], trace: int = 0) -> list[Run]:
    """Runs of presets with settings changed, that trace so many steps of every task."""
    from cllab.settings import presets
    from cllab.worker import train

    runs = []
    for name, changes in wanted.items():
        runs.append(store.create(presets.load(name).config.override(changes)))
        train(runs[-1], trace=trace)
    return runs


@contextmanager
def in_training(run: Run, folder: Path, share: float = 0.6) -> Iterator[Run]:
    """A copy of `run` as it was when `share` of its log was written: locked, as if its process lived."""
    copy = Run(folder / run.id)
    shutil.copytree(run.folder, copy.folder, ignore=shutil.ignore_patterns("checkpoint*", "result.json", "lock"))
    lines = run.events_path.read_bytes().splitlines(keepends=True)
    copy.events_path.write_bytes(b"".join(lines[: round(share * len(lines))]))
    lock = RunLock(copy.lock_path)
    try:
        yield copy
    finally:
        lock.release()


def grid(runs: Sequence[Run], folder: Path, only: Sequence[str]) -> None:
    """Every run, as it trained and replayed, in every look and at every size."""
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        with tempfile.TemporaryDirectory() as place, in_training(run, Path(place)) as training:
            name = run.id.split("-", 2)[2]
            for look, theme in LOOKS.items():
                for mode, which in (("live", training), ("replay", run)):
                    shots = [
                        Shot(f"{name}-{mode}-{screen}-{look}-{w}x{h}", mode, (w, h), keys, theme, look == "nocolor")
                        for w, h in SIZES
                        for screen, keys in SCREENS.items()
                    ]
                    draw([s for s in shots if all(part in s.name for part in only)], which, folder)


def main(arguments: Sequence[str]) -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--grid", type=Path, metavar="FOLDER", help="draw the grid of pictures into FOLDER")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="pictures with PART in the name")
    parser.add_argument("--train", action="store_true", help="train the runs of the grid first")
    chosen = parser.parse_args(arguments)
    if chosen.grid is not None:
        runs = [Run(path) for path in chosen.runs]
        if chosen.train:
            runs += trained(RunStore(os.environ.get("CLLAB_RUNS", "runs")), GRID_RUNS, trace=3)
        grid(runs, chosen.grid, chosen.only)
        return
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # the runs folder that one has, so that no command line must name it
        os.environ["CLLAB_RUNS"] = str(chosen.runs[0].parent if chosen.runs else folder)
        given = [Run(chosen.runs[0])] if chosen.runs else []
        run = (given or trained(RunStore(folder), {"forgetting": (), "quickstart": ()}))[-1]
        draw(SHOTS, run, TARGET)


if __name__ == "__main__":
    main(sys.argv[1:])
