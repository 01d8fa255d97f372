"""What an update of a memory costs that is offered every batch.

    python tests/bench/bench_memory.py [--quick]

20,000 stored RGB images of 32x32, batches of 10: a step that takes longer than 3 ms ends the program with an error.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.memory.stores import make_learner, make_memory, split_of

CAPACITY, BATCH, SHAPE, MOST = 20_000, 10, (3, 32, 32), 3.0


def update(policy: str, rounds: int) -> float:
    """Median milliseconds of an update of a full memory; of the ring, of four tasks' rings in their last."""
    memory = make_memory(policy, CAPACITY, SHAPE)
    learner = make_learner(memory, shape=SHAPE)
    learner.n_tasks = 4
    for task in range(4):
        learner.task = task
        memory.update(split_of(torch.arange(CAPACITY // 4) % 10, first=task * CAPACITY, shape=SHAPE), learner)
    assert len(memory) == CAPACITY
    times = []
    generator = torch.Generator().manual_seed(0)
    for i in range(rounds):
        batch = split_of(torch.arange(BATCH) % 10, first=10**6 + BATCH * i, shape=SHAPE)
        began = time.perf_counter()
        memory.update(batch, learner)
        times.append(1e3 * (time.perf_counter() - began))
        memory.retrieve(BATCH, generator)
    middle = statistics.median(times)
    print(f"{policy:12} {CAPACITY} RGB images of 32x32, batch {BATCH}: {middle:7.3f} ms an update")
    return middle


def main() -> None:
    """Print every figure."""
    torch.set_num_threads(1)
    rounds = 50 if "--quick" in sys.argv else 500
    slow = [policy for policy in ("reservoir", "ring") if update(policy, rounds) > MOST]
    if slow:
        sys.exit(f"more than {MOST} ms an update: {', '.join(slow)}")


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    main()
