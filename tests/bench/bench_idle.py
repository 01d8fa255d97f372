"""What the app costs while nobody touches it, screen by screen, among 300 runs; measured from outside in a
pseudo-terminal.

    python tests/bench/bench_idle.py            20 seconds a screen at 120x36
    python tests/bench/bench_idle.py 60 500     60 seconds a screen, 500 runs

CPU seconds of the whole process (every thread, from /proc) over seconds that passed: under 1 % of a core on every
screen. A screen is entered by its key, and given a moment to settle.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench_runs import many  # noqa: E402
from tests.bench.bench_tui import Viewer, report  # noqa: E402

MOST = 1.0
"""Percent of one core."""
QUIET = 3.0
"""A screen has settled when for so many seconds nothing is painted and next to nothing computed."""
ESCAPE, DOWN, TAB = b"\x1b", b"\x1b[B", b"\t"
SCREENS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("Live, a run that ended", ()),
    ("Memory", (b"3",)),
    ("Set up", (b"1",)),
    ("Set up, in the form", (TAB, DOWN, DOWN)),
    ("Set up, typing a number", (DOWN,)),
    ("Runs", (b"4",)),
    ("Runs, typing a filter", (b"/",)),
    ("Runs, a question", (ESCAPE, b"d")),
    ("Explain", (ESCAPE, b"5")),
    ("Lessons", (b"6",)),
    ("a lesson", (b" ",)),
    ("Help", (b"?",)),
    ("Commands", (ESCAPE, b"\x10")),
    ("Live, a replay at its end", (ESCAPE, b"4", b"p", b"\x1b[F")),
    ("Memory, a replay at its end", (b"3",)),
)
"""A name, and the keys that lead there from the one before."""


def settle(viewer: Viewer, most: float = 90.0) -> None:
    """Wait until the screen has drawn itself and read what it shows, which on a busy machine takes its time."""
    end = time.monotonic() + most
    while time.monotonic() < end:
        cpu = viewer.cpu
        if not viewer.drain(QUIET) and viewer.cpu - cpu < 0.03 * QUIET:
            return
    # what never comes to rest is what is looked for


def measure(seconds: float, n_runs: int, size: tuple[int, int] = (120, 36)) -> dict[str, float]:
    """Percent of a core by screen."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = many(Path(folder) / "runs", n_runs)
        viewer = Viewer(next(iter(store)), size, CLLAB_RUNS=str(store.folder))
        viewer.until(b"accuracy")
        for name, keys in SCREENS:
            for key in keys:
                viewer.press(key)
                viewer.drain(0.6)
            settle(viewer)
            cpu, began = viewer.cpu, time.monotonic()
            painted = viewer.drain(seconds)
            found[name] = 100 * (viewer.cpu - cpu) / (time.monotonic() - began)
            print(f"{name:<32}{found[name]:8.2f} %  {painted / seconds:8.0f} B/s painted", file=sys.stderr, flush=True)
        viewer.end()
    return found


def main() -> int:
    """Print the percentages; 1 when a screen takes more than its budget."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    n_runs = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    found = measure(seconds, n_runs)
    return report(f"cllab app, idle at 120x36 with {n_runs} runs, % of a core", found, dict.fromkeys(found, MOST))


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    sys.exit(main())
