"""GEM's benchmark files and raw tensors: reading them safely, checking them, writing them."""

from __future__ import annotations

import math
import os
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cllab.data.base import Dataset, Split, Stream, Task, TensorImages
from cllab.data.info import DatasetInfo
from cllab.errors import DataError, UsageError


@dataclass(frozen=True)
class Part:
    """One split of one task: pixels (n, C, H, W) uint8 and labels (n,) long."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Benchmark:
    """A file: per task its descriptor, training and test part; `rounded` when its values were no 8-bit pixels."""

    path: Path
    descriptors: tuple[Any, ...]
    train: tuple[Part, ...]
    test: tuple[Part, ...]
    rounded: bool


def load(path: Path) -> Any:
    """What is in a `.pt` file, when that is tensors, text, numbers and containers of them.

    Raises:
        DataError: for anything else; nothing of the file is run.
    """
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # written by a torch before 1.6: not a zip archive, so it cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise DataError(
            f"{path}: refused: holds more than tensors, text and numbers{what}; it could run code"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise DataError(f"{path}: not a readable .pt file ({type(error).__name__})") from error


def read(path: Path) -> Benchmark:
    """The benchmark or the raw tensors in `path`, checked.

    Raises:
        DataError: naming the task and what is wrong with it.
    """
    data = load(path)
    if isinstance(data, tuple) and data and all(isinstance(item, Tensor) for item in data):
        data = _raw(path, data)
    if not (isinstance(data, (list, tuple)) and len(data) == 2 and all(isinstance(h, (list, tuple)) for h in data)):
        raise DataError(f"{path}: expected a list of training tasks and a list of test tasks, found {_kind(data)}")
    if not data[0] or len(data[0]) != len(data[1]):
        raise DataError(f"{path}: {len(data[0])} training tasks and {len(data[1])} test tasks")
    shape: tuple[int, int, int] | None = None
    rounded = False
    halves: list[list[Part]] = [[], []]
    for kind, half, out in zip(("training", "test"), data, halves, strict=True):
        for t, entry in enumerate(half):
            where = f"{path}: {kind} task {t + 1}"
            part, exact = _part(where, entry)
            shape = shape or _shape(part)
            if _shape(part) != shape:
                raise DataError(f"{where}: images are {_side(_shape(part))}, but {_side(shape)} in training task 1")
            rounded |= not exact
            out.append(part)
    for t, (train, test) in enumerate(zip(*halves, strict=True)):
        strange = sorted(set(test.labels.unique().tolist()) - set(train.labels.unique().tolist()))
        if strange:
            raise DataError(f"{path}: test task {t + 1}: label {strange[0]} does not occur in its training task")
    return Benchmark(path, tuple(entry[0] for entry in data[0]), tuple(halves[0]), tuple(halves[1]), rounded)


def to_dataset(name: str, info: DatasetInfo, found: Benchmark, device: torch.device | str) -> Dataset:
    """All tasks' images one behind the other; `notes["benchmark"]` says which rows are whose."""
    n_classes = 1 + max(int(part.labels.max()) for part in (*found.train, *found.test))
    splits = []
    spans: list[list[tuple[int, int]]] = []
    for parts in (found.train, found.test):
        pixels = torch.cat([p.pixels for p in parts]).to(device)
        labels = torch.cat([p.labels for p in parts]).to(device)
        splits.append(Split(TensorImages(pixels), torch.arange(len(labels), device=device), labels))
        ends = torch.tensor([len(p.labels) for p in parts]).cumsum(0).tolist()
        spans.append(list(zip([0, *ends], ends, strict=False)))
    train, test = splits
    c, h, w = train.shape
    actual = replace(info, n_classes=n_classes, shape=(c, h, w), n_train=len(train), n_test=len(test))
    names = [_named(d, t) for t, d in enumerate(found.descriptors)]
    notes = {"benchmark": {"path": str(found.path), "names": names, "train": spans[0], "test": spans[1]}}
    classes = tuple(str(c) for c in range(n_classes))
    return Dataset(name, actual, classes, train, test, None, {**notes, "rounded": found.rounded})


def counts(found: Benchmark) -> list[list[int]]:
    """Training images of every class in every task; classes in the order in which tasks bring them."""
    n_classes = 1 + max(int(part.labels.max()) for part in found.train)
    tables = [torch.bincount(part.labels, minlength=n_classes).tolist() for part in found.train]
    order = dict.fromkeys(c for table in tables for c in range(n_classes) if table[c])
    return [[table[c] for c in order] for table in tables]


def write(stream: Stream, path: Path, cv: int, flat: bool) -> list[Path]:
    """See `cllab.data.benchmark_file.write_benchmark`."""
    if not 0 <= cv < stream.n_tasks:
        raise UsageError(f"cv = {cv} leaves nothing of {stream.n_tasks} tasks")
    _writable(stream)
    parts = [("", stream.tasks)]
    if cv:
        parts = [("-val", stream.tasks[:cv]), ("-cl", stream.tasks[cv:])]
    shared = len({task.classes for task in stream.tasks}) == 1
    angles = stream.notes.get("angles")
    written = []
    for suffix, tasks in parts:
        first = 0 if shared else min(c for task in tasks for c in task.classes)
        halves = []
        for which in ("train", "test"):
            entries = []
            for task in tasks:
                angle = None if angles is None else float(angles[task.index])
                split = getattr(task, which)
                raw = split.fetch(torch.arange(len(split), device=split.device)).cpu()
                x = raw.float().div_(255)
                y = split.labels.cpu().clone() - first
                entries.append((_descriptor(task, first, shared, angle), x.flatten(1) if flat else x, y))
            halves.append(entries)
        target = path.with_name(f"{path.stem}{suffix}{path.suffix or '.pt'}")
        _save(halves, target)
        written.append(target)
    return written


def _writable(stream: Stream) -> None:
    """What the format can hold: tasks that share all labels or none, each with training images of its own classes.

    Raises:
        UsageError: for other streams, which could not be read back.
    """
    owner: dict[int, int] = {}
    shared = len({task.classes for task in stream.tasks}) == 1
    for task in stream.tasks:
        met = set(task.train.labels.tolist())
        lacking = sorted(set(task.classes) - met)
        if lacking:
            name = stream.class_names[lacking[0]]
            raise UsageError(f"task {task.index + 1} has no training image of class '{name}'; raise scenario.samples")
        other = next((owner[c] for c in met if c in owner), None)
        if other is not None and not shared:
            raise UsageError(
                f"tasks {other + 1} and {task.index + 1} share some classes but not all; "
                "the tasks of a benchmark file share all or none"
            )
        owner.update(dict.fromkeys(met, task.index))


def write_raw(dataset: Dataset, folder: Path) -> list[Path]:
    """See `cllab.data.benchmark_file.write_raw`."""
    columns = []
    for split in (dataset.train, dataset.test):
        raw = split.fetch(torch.arange(len(split), device=split.device)).cpu()
        columns.append((raw, split.labels.cpu().clone()))
    (x, y), (x_test, y_test) = columns
    folder.mkdir(parents=True, exist_ok=True)
    if dataset.shape[0] == 1:
        paths = [folder / f"{dataset.name}_{half}.pt" for half in ("train", "test")]
        _save((x.squeeze(1), y), paths[0])
        _save((x_test.squeeze(1), y_test), paths[1])
        return paths
    _save((x.flatten(1), y, x_test.flatten(1), y_test), folder / f"{dataset.name}.pt")
    return [folder / f"{dataset.name}.pt"]


def _save(value: Any, path: Path) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        torch.save(value, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _raw(path: Path, data: tuple[Tensor, ...]) -> Any:
    """Raw tensors as a benchmark of one task."""
    if len(data) == 2:
        if not path.name.endswith("_train.pt"):
            raise DataError(f"{path}: holds one split only; name the file that ends in _train.pt")
        other = path.with_name(path.name.replace("_train.pt", "_test.pt"))
        if not other.is_file():
            raise DataError(f"{path}: its test images are missing: no file '{other.name}' beside it")
        test = load(other)
        if not (isinstance(test, tuple) and len(test) == 2):
            raise DataError(f"{other}: expected (x, y), found {_kind(test)}")
        data = (*data, *test)
    if len(data) != 4:
        raise DataError(f"{path}: expected (x, y, x of test, y of test), found {len(data)} tensors")
    x, y, x_test, y_test = data
    return [[("all", x, y)], [("all", x_test, y_test)]]


def _part(where: str, entry: Any) -> tuple[Part, bool]:
    """A checked task, and whether its values were 8-bit pixels."""
    if not (isinstance(entry, (list, tuple)) and len(entry) == 3):
        raise DataError(f"{where}: expected (descriptor, x, y), found {_kind(entry)}")
    _, x, y = entry
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise DataError(f"{where}: x and y must be tensors, found {_kind(x)} and {_kind(y)}")
    if y.dim() != 1 or y.is_floating_point() or y.is_complex():
        raise DataError(f"{where}: y must be whole numbers (n,), found {_shown(y)}")
    if len(x) != len(y) or not len(y):
        raise DataError(f"{where}: {len(x)} images and {len(y)} labels")
    if int(y.min()) < 0:
        raise DataError(f"{where}: label {int(y.min())} is negative")
    size = _image_shape(where, x)
    if x.dtype == torch.uint8:
        return Part(x.reshape(len(x), *size).contiguous(), y.long().clone()), True
    if not x.is_floating_point():
        raise DataError(f"{where}: x must be numbers in 0..1 or uint8, found {_shown(x)}")
    low, high = (float(v) for v in torch.aminmax(x))
    if not (low >= 0 and high <= 1):  # also for what is not a number
        raise DataError(f"{where}: x must lie in 0..1, found {low:g} to {high:g}")
    scaled = x * 255
    pixels = scaled.round()
    exact = float((scaled - pixels).abs().max()) < 1e-2
    return Part(pixels.to(torch.uint8).reshape(len(x), *size), y.long().clone()), exact


def _image_shape(where: str, x: Tensor) -> tuple[int, int, int]:
    """(C, H, W) of (n, d), (n, H, W) or (n, C, H, W) images."""
    if x.dim() == 4 and x.shape[1] in (1, 3):
        return int(x.shape[1]), int(x.shape[2]), int(x.shape[3])
    if x.dim() == 3:
        return 1, int(x.shape[1]), int(x.shape[2])
    if x.dim() == 2:
        for channels in (1, 3):
            side = math.isqrt(x.shape[1] // channels)
            if channels * side * side == x.shape[1]:
                return channels, side, side
    raise DataError(f"{where}: x must be (n, C, H, W) or flat square images of 1 or 3 channels, found {_shown(x)}")


def _descriptor(task: Task, first: int, shared: bool, angle: float | None) -> Any:
    if angle is not None:
        return angle
    return "random permutation" if shared else (task.classes[0] - first, task.classes[-1] + 1 - first)


def _named(descriptor: Any, t: int) -> str:
    if isinstance(descriptor, (int, float)) and not isinstance(descriptor, bool):
        return f"rotated {descriptor:.0f}°"
    if isinstance(descriptor, (tuple, list)) and len(descriptor) == 2:
        return f"classes {descriptor[0]} to {int(descriptor[1]) - 1}"
    return f"{descriptor} {t + 1}" if isinstance(descriptor, str) and descriptor != "all" else f"task {t + 1}"


def _shape(part: Part) -> tuple[int, int, int]:
    _, c, h, w = part.pixels.shape
    return c, h, w


def _side(shape: Sequence[int]) -> str:
    return f"{shape[2]}x{shape[1]} with {shape[0]} channel{'s' if shape[0] > 1 else ''}"


def _shown(x: Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {_shown(value)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
