"""How many images go from which task to which, so that every task has its exact share of others' images.

NumPy only: also used to draw a scenario before anything is loaded.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def exchange(pools: Counts, share: float) -> Counts:
    """(T, T) images that pool a gives to task b; the diagonal is what stays.

    Every image goes to exactly one task, `share` of every task (rounded to whole images) comes from others, a task is
    as large as its pool, and others give as equally as these sums allow. Only where one pool is so large that the
    others cannot take what it should give does its task grow, by as little as possible.

    Args:
        pools: (T,) images that each task owns, T >= 2.
        share: fraction of a task that comes from others, 0..1.

    Raises:
        ValueError: when no sizes at all give every task that share.
    """
    received = np.rint(share * pools).astype(np.int64)
    if 2 * received.max() > received.sum():
        return _around_largest(pools, share)
    flow = _off_diagonal(received, received)
    flow[np.diag_indices(len(pools))] = pools - received
    return flow


def _around_largest(pools: Counts, share: float) -> Counts:
    # the largest gives to all others and they give to it alone, so its size s follows from
    # given = pool - (1 - share) s = share (total - s)
    total, big = int(pools.sum()), int(pools.argmax())
    others = np.arange(len(pools)) != big
    if share >= 0.5 or total - pools[big] <= share * total:
        raise ValueError(f"one task owns {100 * pools[big] / total:.0f} % of the images")
    ideal = round((pools[big] - share * total) / (1 - 2 * share))
    best: tuple[float, Counts] | None = None
    for size in range(max(1, ideal - len(pools) - 2), min(total, ideal + len(pools) + 3)):
        sizes = _apportion(pools * others, total - size)
        sizes[big] = size
        received = np.rint(share * sizes).astype(np.int64)
        flow = np.zeros((len(pools), len(pools)), np.int64)
        flow[big] = received * others
        flow[:, big] = (pools - sizes + received) * others
        error = abs(int(flow[:, big].sum()) - share * size)
        flow[np.diag_indices(len(pools))] = pools - flow.sum(1)
        if flow.min() >= 0 and (best is None or error < best[0]):
            best = (error, flow)
    if best is None:
        raise ValueError("too few images")
    return best[1]


def _apportion(weights: NDArray[np.float64] | Counts, total: int) -> Counts:
    """Whole numbers in proportion to `weights`, the largest remainders rounded up; their sum is `total`."""
    exact = weights * (total / weights.sum())
    whole: Counts = np.floor(exact).astype(np.int64)
    up = np.argsort(whole - exact, kind="stable")[: total - whole.sum()]
    whole[up] += 1
    return whole


def _off_diagonal(given: Counts, received: Counts) -> Counts:
    """Whole numbers (T, T) with these row and column sums and a zero diagonal, as equal as possible."""
    n = len(given)
    ideal = np.ones((n, n)) - np.eye(n)
    for _ in range(200):  # proportional fitting: equal entries, bent to the sums
        ideal *= (given / np.maximum(ideal.sum(1), 1e-300))[:, None]
        ideal *= received / np.maximum(ideal.sum(0), 1e-300)
    flow = np.zeros((n, n), np.int64)
    for b in np.flatnonzero(received):
        flow[:, b] = _apportion(ideal[:, b], int(received[b]))
    # columns are exact; rows are mended by handing single images from a row to another within a column
    excess = flow.sum(1) - given
    while excess.max() > 0:
        path = _mending_path(flow, excess)
        for i, c, k in path:
            flow[i, c] -= 1
            flow[k, c] += 1
        excess = flow.sum(1) - given
    return flow


def _mending_path(flow: Counts, excess: Counts) -> list[tuple[int, int, int]]:
    """The shortest chain of (row, column, row) hand-overs from a row with too much to one with too little."""
    came: dict[int, tuple[int, int]] = {int(i): (-1, -1) for i in np.flatnonzero(excess > 0)}
    queue = deque(came)
    while queue:
        i = queue.popleft()
        for c in np.argsort(-flow[i], kind="stable"):
            if flow[i, c] == 0:
                break
            for k in np.argsort(excess, kind="stable"):
                if k == c or int(k) in came:
                    continue
                came[int(k)] = (i, int(c))
                queue.append(int(k))
                if excess[k] < 0:
                    path = []
                    row = int(k)
                    while came[row][0] >= 0:
                        before, column = came[row]
                        path.append((before, column, row))
                        row = before
                    return path[::-1]
    raise ValueError("no whole numbers with these sums")
