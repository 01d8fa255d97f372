"""What the memory held after a task, from the run folder; and what changed between two tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cllab.io.files import open_regular
from cllab.text import clean


@dataclass(frozen=True)
class Snapshot:
    """The memory after one task.

    Attributes:
        ids, labels, tasks, entered: (n,) sample, class, task of origin, step of entry.
        scores: (n,) the policy's score, NaN without one; `score_name` says what it is.
        pictures: row of `thumbs` per sample, -1 for one without.
        thumbs: (m, h, w, 3) RGB.
        columns: further arrays of the file with one row per sample (latents, codes).
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    tasks: NDArray[np.int64]
    entered: NDArray[np.int64]
    scores: NDArray[np.float64]
    score_name: str
    pictures: NDArray[np.int64]
    thumbs: NDArray[np.uint8]
    columns: dict[str, NDArray[np.generic]]

    def __len__(self) -> int:
        return len(self.ids)


def load(path: Path) -> Snapshot | None:
    """The snapshot in `path`; None when it is missing, half-written or not one."""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as data:
            files = {name: data[name] for name in data.files}
        ids = files.pop("ids").astype(np.int64).reshape(-1)
        n = len(ids)
        known = {name: _column(files.pop(name, None), n) for name in ("labels", "tasks", "entered")}
        scores = files.pop("scores", None)
        name = clean(str(files.pop("score_name", "")))
        index = np.asarray(files.pop("thumb_index", np.zeros(0, np.int64)), np.int64).reshape(-1)
        thumbs = _rgb(files.pop("thumbs", np.zeros((0, 1, 1, 1), np.uint8)))
    except Exception:  # of a torn archive, zipfile, zlib and NumPy raise a dozen kinds; see `cllab.record.traces`
        return None
    k = min(len(index), len(thumbs))
    valid = np.flatnonzero((index[:k] >= 0) & (index[:k] < n))
    pictures = np.full(n, -1, np.int64)
    pictures[index[valid]] = valid
    values = scores.astype(float).reshape(-1) if scores is not None and scores.size == n else np.full(n, np.nan)
    rest = {key: column for key, column in files.items() if column.ndim and len(column) == n}
    return Snapshot(ids, known["labels"], known["tasks"], known["entered"], values, name, pictures, thumbs, rest)


def _column(values: NDArray[np.generic] | None, n: int) -> NDArray[np.int64]:
    if values is None or values.size != n:
        return np.full(n, -1, np.int64)
    return values.astype(np.int64).reshape(-1)


def _rgb(thumbs: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(m, C, h, w) with one or three channels as (m, h, w, 3)."""
    if thumbs.ndim != 4 or thumbs.shape[1] not in (1, 3):
        return np.zeros((0, 1, 1, 3), np.uint8)
    moved = np.moveaxis(thumbs.astype(np.uint8), 1, 3)
    return np.repeat(moved, 3, axis=3) if moved.shape[3] == 1 else moved


def changes(now: Snapshot, before: Snapshot | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples of `now` are new, and which of `before` have left."""
    if before is None:
        return np.ones(len(now), bool), np.zeros(0, bool)
    return ~np.isin(now.ids, before.ids), ~np.isin(before.ids, now.ids)
