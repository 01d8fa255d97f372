"""The Runs screen among 500 runs, and what a worker's death costs a viewer, measured from outside in a pseudo-terminal.

    python tests/bench/bench_runs.py [RUNS]

Key to paint under 50 ms at the 95th percentile; a second look at all folders under 150 ms of CPU time; the death of a
training process on the screen within a second.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cllab.record.runs import RunStore  # noqa: E402
from cllab.tui.index import RunIndex  # noqa: E402
from tests.bench.bench_tui import Viewer, report  # noqa: E402
from tests.tui.recorded import make_run  # noqa: E402

BUDGET = {"key to paint, p95 ms": 50, "second look, CPU ms": 150, "death on the screen, s": 1.0}


def many(folder: Path, n: int) -> RunStore:
    """A runs folder with `n` runs that share one recorded run's files."""
    first = make_run(folder / "20260101-000000-first-s1", pictures=0)
    for i in range(1, n):
        copy = folder / f"20260101-{i:06}-copy-s1"
        copy.mkdir()
        for path in first.folder.iterdir():
            if path.is_file():
                os.link(path, copy / path.name)
    return RunStore(folder)


def second_look(store: RunStore) -> float:
    """CPU milliseconds of looking at all folders again when nothing has changed; the best of five."""
    index = RunIndex(store)
    index.refresh()
    spent = []
    for _ in range(5):
        began = time.process_time()
        index.refresh()
        spent.append(time.process_time() - began)
    return 1000 * min(spent)


def keys(store: RunStore, presses: int = 60) -> dict[str, float]:
    """Milliseconds from a key that moves the cursor to the number of the run that it is on."""
    run = next(iter(store))
    viewer = Viewer(run, (120, 36), CLLAB_RUNS=str(store.folder))
    viewer.until(b"accuracy")
    viewer.press(b"4")
    viewer.until(b"copy")
    viewer.drain(1.5)
    viewer.press(b"\x1b[F")  # end
    viewer.drain(1.0)
    waits = []
    for i in range(presses):
        began = time.monotonic()
        viewer.press(b"\x1b[A" if i % 2 == 0 else b"\x1b[B")
        while not viewer.read(5.0):
            raise TimeoutError("a key was not answered within 5 s")
        waits.append(time.monotonic() - began)
        viewer.drain(0.1)
    viewer.end()
    return {
        "key to paint, median ms": 1000 * float(np.percentile(waits, 50)),
        "key to paint, p95 ms": 1000 * float(np.percentile(waits, 95)),
    }


def death(folder: Path, rounds: int = 5) -> float:
    """Seconds from the kill of a training process to the sentence that names it; the worst of `rounds`."""
    worst = 0.0
    for _ in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        run = make_run(folder / "20260101-000000-first-s1", n_tasks=1, n_classes=2, steps=1, pictures=0)
        run.events_path.write_bytes(b"")
        run.lock_path.unlink()
        run.result_path.unlink()
        story = '{"rate": 40, "pictures": 0, "steps": 1000}'
        worker = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/tui/fake_worker.py"), str(run.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "CLLAB_FAKE": story},
        )
        viewer = Viewer(run, (120, 36))
        viewer.until(b"training")
        viewer.drain(1.0)
        worker.send_signal(signal.SIGKILL)
        worst = max(worst, viewer.until(b"The training process is gone"))
        worker.wait()
        viewer.end()
    return worst


def main() -> int:
    """Print the numbers; 1 when a budget is exceeded."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        store = many(Path(folder) / "runs", n)
        found = {"second look, CPU ms": second_look(store), **keys(store)}
        found["death on the screen, s"] = death(Path(folder) / "dying")
    return report(f"cllab app at 120x36 with {n} runs", found, BUDGET)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    sys.exit(main())
