"""PNG folders of datasets whose samples are numbered: `{train,test}/<class>/<number>.png`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from cllab.data._cache import SPLITS, Content, Files, Half, Labels
from cllab.data._decode import Rule
from cllab.data._scan import Listing
from cllab.errors import DataError


@dataclass(frozen=True)
class Layout:
    """What the folders of a dataset must hold.

    Attributes:
        name: the dataset.
        classes: names, in label order.
        folders: folder name to label; several names may have one label.
        counts: images of the train and of the test split.
        rule: what every image must be.
        numbered_by_class: True when every class counts from 0 or 1, False when a split counts from 0 over all classes.
    """

    name: str
    classes: tuple[str, ...]
    folders: Mapping[str, int]
    counts: tuple[int, int]
    rule: Rule
    numbered_by_class: bool


def read_folders(layout: Layout, listing: Listing) -> Content:
    """The samples in the dataset's own order: by number, or by class and number.

    Raises:
        DataError: naming the first file or folder that is missing, superfluous or misnamed.
    """
    halves, files = [], []
    for split, count in zip(SPLITS, layout.counts, strict=True):
        names, labels = _split(layout, listing, split, count)
        halves.append(Half(Files(listing.folder, names, layout.rule), labels))
        files.append(names)
    return Content(layout.classes, halves[0], halves[1], (files[0], files[1]))


def _split(layout: Layout, listing: Listing, split: str, count: int) -> tuple[list[str], Labels]:
    folder_of = _class_folders(layout, listing, split)
    names = [name for name in listing.names if name.startswith(f"{split}/")]
    labels = np.empty(len(names), np.int64)
    numbers = np.empty(len(names), np.int64)
    for i, name in enumerate(names):
        _, folder, file = name.split("/")
        stem = file.rpartition(".")[0]
        if not (stem.isascii() and stem.isdigit() and len(stem) <= 9):
            raise DataError(f"{layout.name}: {listing.folder / name} is not named by a number")
        labels[i], numbers[i] = layout.folders[folder], int(stem)
    for label, folder in folder_of.items():
        if not (labels == label).any():
            raise DataError(f"{layout.name}: {listing.folder / split / folder} has no images")
    # counters of classes start at 0 or at 1, and all of a split at the same
    first = min(int(numbers.min()), 1) if layout.numbered_by_class else 0
    each = count // len(layout.classes) if layout.numbered_by_class else count
    slots = numbers - first + (labels * each if layout.numbered_by_class else 0)
    order = np.lexsort((numbers, labels)) if layout.numbered_by_class else np.argsort(numbers, kind="stable")
    ordered = [names[i] for i in order]
    # superfluous files first, then doubles: either makes another file seem to be missing
    for i in np.flatnonzero((numbers < first) | (numbers >= first + each)).tolist():
        whose = "a class" if layout.numbered_by_class else "the split"
        last = first + each - 1
        raise DataError(f"{layout.name}: {listing.folder / names[i]} is too many: {whose} has {first} to {last}")
    for i in np.flatnonzero(np.diff(slots[order]) == 0).tolist():
        raise DataError(f"{layout.name}: {listing.folder / ordered[i]} and {ordered[i + 1]} have the same number")
    for gap in np.setdiff1d(np.arange(count), slots).tolist():
        digits = len(PurePosixPath(ordered[0]).stem)
        folder, number = (folder_of[gap // each], gap % each + first) if layout.numbered_by_class else ("*", gap)
        missing = listing.folder / split / folder / f"{number:0{digits}d}.png"
        raise DataError(f"{layout.name}: {missing} is missing ({len(names):,} of {count:,} {split} images found)")
    return ordered, labels[order]


def _class_folders(layout: Layout, listing: Listing, split: str) -> dict[int, str]:
    """Label to folder name; every class has exactly one."""
    found: dict[int, str] = {}
    for path in listing.folders:
        parts = path.split("/")
        if parts[0] != split or len(parts) == 1:
            continue
        if len(parts) > 2:
            raise DataError(
                f"{layout.name}: {listing.folder / path} is a folder inside a class; images are expected there"
            )
        label = layout.folders.get(parts[1])
        if label is None:
            raise DataError(f"{layout.name}: {listing.folder / path} is none of its {len(layout.classes)} classes")
        if label in found:
            raise DataError(f"{layout.name}: {listing.folder / path} and {found[label]} are the same class")
        found[label] = parts[1]
    for label, name in enumerate(layout.classes):
        if label not in found:
            folder = next((f for f, k in layout.folders.items() if k == label), name)
            raise DataError(f"{layout.name}: {listing.folder / split / folder} is missing (class {name})")
    loose = next((n for n in listing.names if n.startswith(f"{split}/") and n.count("/") == 1), None)
    if loose is not None:
        raise DataError(f"{layout.name}: {listing.folder / loose} is in no class folder")
    return found


def folder_names(classes: Sequence[str], *, digits: bool) -> dict[str, int]:
    """Folder names that stand for a class: its number where `digits`, its name, and that with underscores."""
    names = {str(k): k for k in range(len(classes))} if digits else {}
    for k, name in enumerate(classes):
        for spelling in (name, name.replace("/", "_").replace(" ", "_")):
            names.setdefault(spelling, k)
    return names
