"""How true the time left was: `python tests/bench/replay_left.py RUN...` replays the records of finished runs.

For every tenth of a run's time of work (from its first record on, without pauses and the time between two processes)
it prints the time left that the app and the console showed then, what it then took, and how far off that was.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.record.state import RunState


def tenths(run: Run) -> list[tuple[int, float, float | None, float]]:
    """(tenth, seconds behind, seconds left as shown, seconds left in truth), at the first record in each tenth."""
    state, seen = RunState(), []
    for event in run.events():
        if isinstance(event, ev.RunEnded):
            break
        state = state.apply(event)
        if state.started is not None:
            seen.append((state.pace.spent, state.seconds_left, state.fraction))
    total = seen[-1][0]
    found = []
    for k in range(1, 10):
        spent, left, _ = next(item for item in seen if item[0] >= total * k / 10)
        found.append((k, spent, left, total - spent))
    return found


def main(paths: list[str]) -> int:
    worst = 0.0
    for path in paths:
        run = Run(Path(path))
        print(f"{run.id}\n  tenth   behind     shown     truth      off")
        for k, spent, left, truth in tenths(run):
            off = None if left is None else left / truth - 1
            worst = max(worst, abs(off) if off is not None else 9.0)
            shown = "   unknown" if left is None else f"{left:8.1f} s"
            print(f"  {k:5} {spent:7.1f} s {shown} {truth:7.1f} s {100 * (off or 0):+7.1f} %")
    print(f"worst: {100 * worst:.1f} %")
    return int(worst > 0.25)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
