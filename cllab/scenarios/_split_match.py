"""From the file names of split files to the rows of a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from cllab.data._folders import folder_names
from cllab.data.base import Dataset
from cllab.errors import DataError, nearest
from cllab.scenarios._build import Rows
from cllab.scenarios._split_files import Record

SPLITS = ("train", "test")
_NUMBERED = ("mnist", "fashion-mnist", "kmnist")
_IMAGE_FOLDERS = {"train": ("train",), "test": ("test", "val")}


class Matcher:
    """Finds a record's image in a dataset.

    Three ways of naming: MNIST by the image's number in its split; CIFAR by class and a counter inside the class, in
    the order of the official batches; image folders by class folder and file name.
    """

    def __init__(self, dataset: Dataset, counter: str, records: Iterable[Iterable[Record]]) -> None:
        """`counter`: "auto", which looks at the numbers of all `records`, train and test; "zero-based"; "one-based"."""
        self.dataset = dataset
        if dataset.name in _NUMBERED:
            self.naming = "number"
        elif dataset.files is None or dataset.name.startswith("cifar"):
            self.naming = "counter"
        else:
            self.naming = "path"
        self._class_of = folder_names(dataset.classes, digits=self.naming == "number")
        self._labels = [split.labels.cpu().numpy() for split in (dataset.train, dataset.test)]
        self._by_class: list[list[Rows]] = []
        if self.naming == "counter":
            self._by_class = [[np.flatnonzero(of == c) for c in range(dataset.n_classes)] for of in self._labels]
        self._first = {"zero-based": 0, "one-based": 1}.get(counter, 1)
        if self.naming == "counter" and counter == "auto":
            self._first = 0 if any(_number(r) == 0 for part in records for r in part) else 1
        self._paths: list[dict[tuple[str, str], int]] = []
        if self.naming == "path":
            assert dataset.files is not None
            self._paths = [{_ends(name): i for i, name in enumerate(names)} for names in dataset.files]

    @property
    def first_number(self) -> int | None:
        """0 or 1 where files are counted inside a class, else None."""
        return self._first if self.naming == "counter" else None

    def match(self, records: list[Record], split: int) -> tuple[Rows, Rows]:
        """(row, original class) of every record, (N,) each, in split 0 (train) or 1 (test).

        Raises:
            DataError: naming the record whose class or image is not in the dataset.
        """
        found = [self._one(record, split) for record in records]
        both = np.array(found, np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def _one(self, record: Record, split: int) -> tuple[int, int]:
        c = self._class(record, split)
        if self.naming == "number":
            return self._by_number(record, split, c), c
        if self.naming == "counter":
            return self._by_counter(record, split, c), c
        row = self._paths[split].get(_ends(record.file_name))
        if row is None:
            raise DataError(f"{record.where}: '{record.file_name}' is not among the {SPLITS[split]} images of the data")
        return row, c

    def _class(self, record: Record, split: int) -> int:
        parts = PurePosixPath(record.file_name).parts
        if len(parts) >= 3 and parts[-3] in _IMAGE_FOLDERS[SPLITS[1 - split]]:
            raise DataError(f"{record.where}: '{record.file_name}' is in a list of {SPLITS[split]} images")
        named = self._class_of.get(record.klass)
        folder = self._class_of.get(parts[-2]) if len(parts) >= 2 else None
        if named is not None and folder is not None and named != folder:
            raise DataError(f"{record.where}: klass is '{record.klass}', but the file is '{record.file_name}'")
        # ImageNet's lists may call a class by its words; its folder is what the data have
        c = named if named is not None else folder
        if c is None:
            known = self.dataset.classes
            hint = nearest(record.klass, known) or f"; its classes are {', '.join(known[:3])}, ..."
            raise DataError(f"{record.where}: '{self.dataset.name}' has no class '{record.klass}'{hint}")
        return c

    def _by_number(self, record: Record, split: int, c: int) -> int:
        n, labels = _number(record), self._labels[split]
        if n >= len(labels):
            size = len(labels)
            raise DataError(
                f"{record.where}: '{record.file_name}' is out of range: {SPLITS[split]} images are 0 to {size - 1}"
            )
        if labels[n] != c:
            own = self.dataset.classes[labels[n]]
            raise DataError(
                f"{record.where}: '{record.file_name}' is said to be '{record.klass}', but image {n} is '{own}'"
            )
        return n

    def _by_counter(self, record: Record, split: int, c: int) -> int:
        n, rows = _number(record) - self._first, self._by_class[split][c]
        if not 0 <= n < len(rows):
            last = self._first + len(rows) - 1
            raise DataError(
                f"{record.where}: '{record.file_name}' is out of range: {SPLITS[split]} images of "
                f"'{self.dataset.classes[c]}' are {self._first} to {last}"
            )
        return int(rows[n])


def _number(record: Record) -> int:
    stem = PurePosixPath(record.file_name).stem
    if not (stem.isascii() and stem.isdigit()):
        raise DataError(f"{record.where}: '{record.file_name}' is not named by a number")
    return int(stem)


def _ends(name: str) -> tuple[str, str]:
    """(folder, file without suffix): what stays the same wherever the images lie and however they are stored."""
    path = PurePosixPath(name)
    return path.parent.name, path.stem
