"""Whether watching slows training down: one preset, trained in turn alone and with the app attached in a
pseudo-terminal.

    python tests/bench/bench_attached.py [ROUNDS]

The figure is the training seconds without the app over those with it, the median of rounds; at least 0.97.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cllab.record.runs import Run, RunStore  # noqa: E402
from cllab.settings import presets  # noqa: E402
from tests.bench.bench_tui import Viewer  # noqa: E402

SETTINGS = ("train.memory_epochs=400", "train.threads=1", "evaluate.every=0", "device=cpu")


def trained(store: RunStore, *, attached: bool) -> float:
    """Seconds of training in a worker, with or without the app on it."""
    run: Run = store.create(presets.load("quickstart").config.override(SETTINGS))
    worker = run.start_worker()
    if not attached:
        worker.wait()
    else:
        viewer = Viewer(run, (120, 36))
        over = threading.Event()

        def drain() -> None:
            while not over.is_set():
                viewer.read(0.1)

        reader = threading.Thread(target=drain)
        reader.start()
        worker.wait()
        over.set()
        reader.join()
        viewer.end()
    result = run.result()
    if result is None or result["status"] != "done":
        raise RuntimeError(f"the run did not end well: {run.status().reason}")
    return float(result["seconds"]["train"])


def main() -> int:
    """Print the ratio; 1 when it is below the budget."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        trained(store, attached=False)  # warms caches
        pairs = [(trained(store, attached=False), trained(store, attached=True)) for _ in range(rounds)]
    ratios = [alone / watched for alone, watched in pairs]
    for alone, watched in pairs:
        print(f"alone {alone:6.2f} s   with the app {watched:6.2f} s   {alone / watched:.3f}")
    middle = statistics.median(ratios)
    print(f"training with the app attached runs at {100 * middle:.1f} % of its speed alone (budget 97 %)")
    return int(middle < 0.97)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    sys.exit(main())
