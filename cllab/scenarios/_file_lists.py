"""CORe50's published file lists: exactly the tasks of a stream, image by image.

`<scenario>/run{0..9}/train_batch_{b}_filelist.txt`, a line an image: `s1/o1/C_01_01_000.png 0`. Which images are tested
on is the dataset's to say (sessions 3, 7 and 10), and the label is the image's; what the lists call it (in NC, it is
counted in the order of the run) must only be the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cllab.data.base import Dataset
from cllab.errors import DataError, UsageError
from cllab.io.files import expand
from cllab.scenarios._build import Rows
from cllab.scenarios._units import PUBLISHED
from cllab.text import shown

_BATCH = re.compile(r"train_batch_(\d{1,6})_filelist\.txt")
_INSIDE = ("", "batches_filelists", "batches_filelists_NICv2", "batch_filelists")
"""Folders that the published archives and checkouts have around the scenarios'."""


def find(folder: str, names: Sequence[str], order: int) -> list[Path]:
    """The lists of a stream's tasks, in their order.

    Args:
        folder: what the user names: the scenarios' folders, one of them, or what holds them.
        names: what the scenario's folder may be called.
        order: which stream; there are ten, and others begin with the first again.

    Raises:
        UsageError: where there is no such folder.
        DataError: where a list is missing.
    """
    at = expand(folder)
    run = f"run{order % PUBLISHED}"
    places = [at / inside / name / run for inside in _INSIDE for name in names]
    places += [at / run] if at.name in names else []
    place = next((p for p in places if p.is_dir()), None)
    if place is None:
        raise UsageError(f"no folder {names[0]}/{run} of file lists in {at}")
    found = {int(m[1]): path for path in place.iterdir() if (m := _BATCH.fullmatch(path.name))}
    gap = next((b for b in range(max(found, default=0) + 1) if b not in found), None)
    if gap is not None:
        raise DataError(f"{place / f'train_batch_{gap:02d}_filelist.txt'} is missing")
    return [found[b] for b in sorted(found)]


def rows(paths: Sequence[Path], dataset: Dataset) -> list[Rows]:
    """The training images of every list, in its order.

    Raises:
        DataError: naming the first line that is no image of the dataset, or that contradicts another.
    """
    if dataset.files is None:
        raise UsageError(f"scenario.lists names image files, and '{dataset.name}' has none")
    place = {name: i for i, name in enumerate(dataset.files[0])}
    labels = dataset.train.labels.cpu().tolist()
    called: dict[int, tuple[int, str]] = {}
    taken: dict[int, str] = {}
    out = []
    for path in paths:
        found = []
        for where, name, label in _lines(path):
            row = place.get(name)
            if row is None:
                tested = name in set(dataset.files[1])
                reason = "is an image to test" if tested else "is not among the images"
                raise DataError(f"{where}: {shown(name)} {reason} of '{dataset.name}'")
            if row in taken:
                raise DataError(f"{where}: {shown(name)} is also in {taken[row]}")
            taken[row] = where
            known, before = called.setdefault(label, (labels[row], where))
            if known != labels[row]:
                names = dataset.classes
                raise DataError(
                    f"{where}: label {label} is '{names[labels[row]]}' here, but '{names[known]}' in {before}"
                )
            found.append(row)
        if not found:
            raise DataError(f"{path}: no images")
        out.append(np.array(found, np.int64))
    if rest := [name for i, name in enumerate(dataset.files[0]) if i not in taken]:
        count = f"{len(rest):,} images to learn of '{dataset.name}'"
        raise DataError(f"{paths[0].parent}: {count} are in none of its lists, {rest[0]} the first")
    return out


def _lines(path: Path) -> list[tuple[str, str, int]]:
    """(where, image, label) of every line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise DataError(f"{path}: {reason}") from error
    out = []
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal() or len(label) > 6:
            raise DataError(f"{path}:{n}: expected an image and its label, found {shown(line.strip())}")
        out.append((f"{path}:{n}", name.strip(), int(label)))
    return out
