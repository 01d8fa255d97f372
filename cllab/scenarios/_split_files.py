"""Finds and reads Rainbow Memory's split files: `<data>_train_<experiment>_rand<seed>_cls<n>_task<t>.json`.

Plain Python: nothing here needs the data itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllab.errors import DataError, UsageError, nearest
from cllab.io.files import expand

KNOWN = ("mnist", "cifar10", "cifar100", "imagenet")
_NAME = re.compile(
    r"(?P<data>.+?)_(?P<split>train|test)(?:_(?P<exp>.+))?_rand(?P<seed>\d+)_cls(?P<n>\d+)_task(?P<t>\d+)\.json"
)


class AmbiguousError(UsageError):
    """Several series of files fit; knowing the dataset may tell them apart."""


@dataclass(frozen=True)
class SplitFiles:
    """The files of one stream.

    Attributes:
        data: the dataset in their names.
        n: classes of a task.
        train: one file a task.
        test: one file a task.
    """

    data: str
    n: int
    train: tuple[Path, ...]
    test: tuple[Path, ...]


@dataclass(frozen=True)
class Record:
    """One image of a list: `where` it stands, for messages, and what it says."""

    where: str
    klass: str
    file_name: str
    label: int


@dataclass(frozen=True)
class _Found:
    path: Path
    data: str
    split: str
    experiment: str
    seed: int
    n: int
    task: int


def find(folder: str, experiment: str, seed: int | None, tasks: int, data: str | None = None) -> SplitFiles:
    """The split files in `folder`, its `<data>/`, or its `collections/<data>/`.

    Args:
        folder: what the user named.
        experiment: as in the names: "disjoint", "blurry10".
        seed: the run's; None for the smallest there is.
        tasks: how many tasks, 0 for as many as there are files.
        data: the dataset in the names; None for whichever is there.

    Raises:
        UsageError: when the folder has files, but none for this experiment, seed and number of tasks.
        AmbiguousError: when it has several series of them.
        DataError: when there are no such files, or one of a series is missing.
    """
    if not folder:
        raise UsageError("folder is missing: name the folder of the split files, such as rainbow-memory/collections")
    root = expand(folder)
    if not root.is_dir():
        raise DataError(f"folder = '{folder}' does not exist or is not a folder")
    found = list(_list(root, data))
    train = [f for f in found if f.split == "train" and data in (None, f.data)]
    if not train:
        what = f"{data or '<data>'}_train_<experiment>_rand<seed>_cls<n>_task<t>.json"
        raise DataError(f"folder = '{folder}' holds no files named {what}")
    experiments = sorted({f.experiment for f in train})
    train = [f for f in train if f.experiment == experiment]
    if not train:
        known = ", ".join(experiments)
        raise UsageError(
            f"no split files of experiment '{experiment}'{nearest(experiment, experiments)}; there are: {known}"
        )
    seeds = sorted({f.seed for f in train})
    seed = seeds[0] if seed is None else seed
    train = [f for f in train if f.seed == seed]
    if not train:
        known = ", ".join(map(str, seeds))
        raise UsageError(f"no split files of '{experiment}' for seed {seed}; there are files for seed {known}")
    series: dict[tuple[str, int], list[_Found]] = {}
    for f in train:
        series.setdefault((f.data, f.n), []).append(f)
    lengths = {key: 1 + max(f.task for f in files) for key, files in series.items()}
    if tasks:
        fitting = [key for key, length in lengths.items() if length == tasks]
        if not fitting:
            known = ", ".join(map(str, sorted(set(lengths.values()))))
            raise UsageError(f"no split files of '{experiment}' for tasks = {tasks}; there are files for {known} tasks")
        series = {key: series[key] for key in fitting}
    if len(series) > 1:
        choices = ", ".join(f"{name} with {n} classes a task" for name, n in sorted(series))
        raise AmbiguousError(
            f"folder = '{folder}' holds several series: {choices}; set tasks, or name the inner folder"
        )
    (name, n), files = next(iter(series.items()))
    test = [f for f in found if f.split == "test" and (f.data, f.seed, f.n) == (name, seed, n)]
    length = lengths[name, n]
    middle = f"_rand{seed}_cls{n}_task"
    return SplitFiles(
        name,
        n,
        _complete(files, length, files[0].path.parent, f"{name}_train_{experiment}{middle}"),
        _complete(test, length, files[0].path.parent, f"{name}_test{middle}"),
    )


def datasets(folder: str) -> set[str]:
    """Names of the datasets that the folder's files are about."""
    return {found.data for found in _list(expand(folder), None)}


def _list(root: Path, data: str | None) -> Iterable[_Found]:
    names = (data,) if data else KNOWN
    for folder in (root, *(at / name for at in (root, root / "collections") for name in names)):
        for path in sorted(folder.glob("*_task*.json")):
            match = _NAME.fullmatch(path.name)
            if match:
                got = match.groupdict()
                yield _Found(
                    path, got["data"], got["split"], got["exp"] or "", *(int(got[k]) for k in ("seed", "n", "t"))
                )


def _complete(files: Iterable[_Found], length: int, folder: Path, stem: str) -> tuple[Path, ...]:
    by_task = {f.task: f.path for f in files}
    for t in range(length):
        if t not in by_task:
            raise DataError(f"{folder / f'{stem}{t}.json'} is missing")
    return tuple(by_task[t] for t in range(length))


def read(path: Path) -> list[Record]:
    """The records of one file.

    Raises:
        DataError: naming the file, and the first record that is not one.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not even text
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(raw, list):
        raise DataError(f"{path}: must be an array of records")
    if not raw:
        raise DataError(f"{path}: no records")
    return [_record(path, i, item) for i, item in enumerate(raw)]


def _record(path: Path, i: int, item: Any) -> Record:
    where = f"{path}: record {i}"
    if not isinstance(item, dict):
        raise DataError(f"{where} must have the keys klass, file_name and label")
    for key in ("klass", "file_name", "label"):
        if key not in item:
            raise DataError(f"{where} has no key '{key}'")
    klass, file_name, label = item["klass"], item["file_name"], item["label"]
    if isinstance(klass, bool) or not isinstance(klass, (str, int)):
        raise DataError(f"{where}: klass must be a class name, not {klass!r}")
    if not isinstance(file_name, str):
        raise DataError(f"{where}: file_name must be text, not {file_name!r}")
    if isinstance(label, bool) or not isinstance(label, int) or label < 0:
        raise DataError(f"{where}: label must be a whole number of at least 0, not {label!r}")
    return Record(where, str(klass), file_name, label)
