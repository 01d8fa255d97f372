"""Which task gets how much of which class, as numbers and as a picture made of text.

NumPy only, so that listings and forms can show a scenario without loading anything.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cllab.errors import CllabError, UsageError
from cllab.scenarios import _split_files as split_files
from cllab.scenarios import _units as units
from cllab.scenarios._mix import exchange
from cllab.scenarios._order import class_order
from cllab.scenarios._parts import equal_parts, half_parts, kept_tasks, no_half, too_many

Shares = NDArray[np.float64]

LEVELS = (0.75, 0.25, 0.05, 0.0)
"""A class's share in a task is drawn by the first of these that it reaches; 0 only when more than that."""
_BLOCKS, _ASCII = "█▓▒░", "#+-."
_CELL = 6
_NICE = frozenset(m * 10**e for m in (1, 2, 5, 25) for e in range(7))
_NOTHING = 1e-9
_EACH = 10_000
"""Images of a class in the picture; enough to make rounding invisible."""


def shares(name: str, config: Mapping[str, Any], n_classes: int, n_sessions: int = 0) -> Shares:
    """(E, K) expected fraction of every class's training images that each task gets, classes in stream order.

    Args:
        name: the scenario.
        config: its complete values; the run's seed may be among them.
        n_classes: classes of the dataset, taken to be of equal size.
        n_sessions: its training sessions, taken to be of equal size; 0 where only the data tell.

    Raises:
        UsageError: when the scenario cannot be made of so many classes, or is not known.
    """
    if name in units.SCENARIOS:
        return _units(_planned(name, config, n_classes, n_sessions), n_classes, n_sessions or units.USUAL)
    tasks = int(config["tasks"])
    if name in ("permuted", "rotated"):
        return np.ones((tasks, n_classes))
    if name == "disjoint":
        _refuse(too_many(tasks, n_classes))
        return _own(equal_parts(n_classes, tasks), n_classes)
    if name == "task-incremental":
        kept, reason = kept_tasks(tasks, int(config["cv_tasks"]), str(config["part"]))
        _refuse(reason or too_many(tasks, n_classes))
        assert kept is not None
        everything = _own(equal_parts(n_classes, tasks), n_classes)[kept.start : kept.stop]
        return everything[:, everything.sum(0) > 0]
    if name == "base-half":
        _refuse(no_half(tasks, n_classes))
        return _own(half_parts(n_classes, tasks), n_classes)
    if name == "blurry":
        _refuse(too_many(tasks, n_classes))
        return _blurry(equal_parts(n_classes, tasks), float(config["percent"]) / 100, str(config["construction"]))
    if name == "splits-file":
        return _split_files(config, n_classes)
    raise UsageError(f"no picture of scenario '{name}'")


def classes(
    name: str, config: Mapping[str, Any], n_classes: int, dataset: str, seed: int, n_sessions: int = 0
) -> list[int] | None:
    """The dataset's class behind every column of `shares`, None where only the data tell (published split files).

    Args:
        name: the scenario.
        config: its complete values.
        n_classes: classes of the dataset.
        dataset: its name; CIFAR's order is published by class.
        seed: of the run.
        n_sessions: training sessions of the dataset; 0 where only the data tell.
    """
    if name in units.SCENARIOS:
        return units.appearance(_planned(name, {**config, "seed": seed}, n_classes, n_sessions))
    if name in ("permuted", "rotated"):
        return list(range(n_classes))
    if "class_order" not in config:
        return None
    order = [int(c) for c in class_order(str(config["class_order"]), dataset, n_classes, seed)]
    if name == "task-incremental":
        kept, _ = kept_tasks(int(config["tasks"]), int(config["cv_tasks"]), str(config["part"]))
        if kept:
            parts = equal_parts(n_classes, int(config["tasks"]))
            return order[parts[kept.start].start : parts[kept.stop - 1].stop]
    return order


def draw(
    shares: Shares,
    width: int = 80,
    *,
    classes: Sequence[int] | None = None,
    ascii: bool = False,
    max_rows: int = 30,
    grouped: bool = False,
) -> str:
    """A picture of `shares` (E, K), one line a task, at most `width` columns wide.

    `classes` are the dataset's classes of the columns; where they are not known, or several out of order share a cell,
    the columns are numbered as places in the order in which the classes come.

    Classes stand side by side, several to a cell where there are more than fit; a cell's shade, and where there is room
    its number, is the share of those classes' images that the task gets. The last column is the task's share of all
    images. More than `max_rows` tasks are shown without those in the middle or, with `grouped`, several to a line.
    """
    n_tasks, n_classes = shares.shape
    labels = [f"task {t + 1}" for t in range(n_tasks)]
    if grouped and n_tasks > max_rows:
        each = -(-n_tasks // max_rows)
        first = np.arange(0, n_tasks, each)
        shares = np.add.reduceat(shares, first, axis=0)
        ends = [(t + 1, min(t + each, n_tasks)) for t in first.tolist()]
        labels = [f"tasks {a}-{b}" if a < b else f"task {a}" for a, b in ends]
        n_tasks = len(labels)
    left = max(len(label) for label in labels) + 2
    right = 7 if width >= 48 else 0
    group = _group(shares, max(1, width - left - right))
    starts = np.arange(0, n_classes, group)
    sizes = np.diff([*starts, n_classes])
    cells = np.add.reduceat(shares, starts, axis=1) / sizes
    cell = max(1, min(_CELL, (width - left - right) // len(starts)))
    blocks = _ASCII if ascii else _BLOCKS
    named = classes is not None and (group == 1 or list(classes) == list(range(n_classes)))
    numbers = [classes[i] if named and classes is not None else i for i in starts.tolist()]
    lines = [_axis("class" if named else "place", numbers, group, cell, left, width)]
    for t in _rows(n_tasks, max_rows):
        if t is None:
            lines.append(" " * (left - 3) + ":" if ascii else " " * (left - 3) + "⋮")
            continue
        row = "".join(_cell(value, blocks, cell) for value in cells[t])
        total = f"{100 * shares[t].mean():5.3g} %" if right else ""
        lines.append(f"{labels[t]:<{left}}{row}{total}".rstrip())
    lines += ["", _legend(cells, blocks, group, width, named)]
    return "\n".join(lines)


def _planned(name: str, config: Mapping[str, Any], n_classes: int, n_sessions: int) -> units.Tasks:
    if config.get("lists"):
        raise UsageError("the tasks are those of the published file lists")
    has = np.ones((n_classes, n_sessions or units.USUAL), bool)
    return units.planned(name, config, has, int(config.get("seed", 1)))


def _units(tasks: units.Tasks, n_classes: int, n_sessions: int) -> Shares:
    """(E, K) with the classes in the order in which they are first seen."""
    place = {c: i for i, c in enumerate(units.appearance(tasks))}
    out = np.zeros((len(tasks), n_classes))
    for t, held in enumerate(tasks):
        for c, _ in held:
            out[t, place[c]] += 1 / n_sessions
    return out


def _refuse(reason: str | None) -> None:
    if reason:
        raise UsageError(reason)


def _own(parts: list[range], n_classes: int) -> Shares:
    out = np.zeros((len(parts), n_classes))
    for t, part in enumerate(parts):
        out[t, part.start : part.stop] = 1
    return out


def _blurry(parts: list[range], share: float, construction: str) -> Shares:
    n, sizes = len(parts), np.array([len(part) for part in parts])
    if construction == "official":  # leftovers of all are cut into equal parts
        flow = np.full((n, n), share / n) + np.eye(n) * (1 - share)
    elif construction == "notebook":
        flow = np.full((n, n), share / (n - 1))
        np.fill_diagonal(flow, 1 - share)
    else:
        pools = sizes * _EACH
        try:
            flow = exchange(pools, share) / pools[:, None]
        except ValueError as error:
            raise UsageError(f"percent = {100 * share:g} is not possible: {error}") from None
    return np.repeat(flow.T, sizes, axis=1)


def _split_files(config: Mapping[str, Any], n_classes: int) -> Shares:
    """What the names of the files tell; the usual five tasks when there are none yet."""
    experiment, tasks = str(config["experiment"]), int(config["tasks"])
    try:
        files = split_files.find(str(config["folder"]), experiment, config.get("seed"), tasks)
        tasks = len(files.train)
    except CllabError:
        tasks = tasks or min(5, n_classes)
    _refuse(too_many(tasks, n_classes))
    percent = experiment.removeprefix("blurry")
    share = int(percent) / 100 if percent.isdigit() and int(percent) <= 100 else 0.0
    return _blurry(equal_parts(n_classes, tasks), share, "official")


def _group(shares: Shares, room: int) -> int:
    """Classes of a cell: as few as fit, rather a few more than a border of tasks inside a cell."""
    n_classes = int(shares.shape[1])
    least = -(-n_classes // room)
    borders: NDArray[np.int64] = 1 + np.flatnonzero((shares[:, 1:] != shares[:, :-1]).any(axis=0))
    for group in range(least, min(4 * least, n_classes) + 1):
        if not (borders % group).any():
            return group
    return least


def _rows(n_tasks: int, max_rows: int) -> list[int | None]:
    if n_tasks <= max_rows:
        return list(range(n_tasks))
    top = max(1, max_rows // 2)
    bottom = max(1, max_rows - top - 1)
    return [*range(top), None, *range(n_tasks - bottom, n_tasks)]


def _cell(value: float, blocks: str, width: int) -> str:
    shade = _shade(value, blocks)
    if width < _CELL:
        # a gap between cells where there is room for one, so that classes can be counted
        return shade * (width - 1) + " " if width > 2 else shade * width
    number = f"{100 * value:.3g}" if value > _NOTHING else ""
    return f"{shade * 2}{number[:4]:<4}"


def _shade(value: float, blocks: str) -> str:
    if value <= _NOTHING:
        return " "
    return next(block for block, level in zip(blocks, LEVELS, strict=True) if value >= level - _NOTHING)


def _axis(word: str, numbers: Sequence[int], group: int, cell: int, left: int, width: int) -> str:
    """Class numbers above the cells, at steps that read easily and leave room for the last."""
    digits, n_cells = len(str(max(numbers) + group - 1)), len(numbers)
    least = -(-(digits + 1) // cell)
    step = next((s for s in range(least, 5 * least + 1) if group * s in _NICE), least)
    line = [" "] * (left + n_cells * cell + digits)
    for i in (*range(0, n_cells - least, step), n_cells - 1):
        text, at = str(numbers[i]), left + i * cell
        if at + len(text) <= width:
            line[at : at + len(text)] = text
    line[:5] = word
    return "".join(line).rstrip()


def _legend(cells: Shares, blocks: str, group: int, width: int, named: bool) -> str:
    """What the shades that occur mean."""
    used = {_shade(value, blocks) for value in cells.flat}
    low = [f"{100 * level:.0f}" for level in LEVELS]
    ranges = (f"{low[0]}-100 %", f"{low[1]}-{low[0]} %", f"{low[2]}-{low[1]} %", f"below {low[2]} %")
    shades = "  ".join(f"{block} {text}" for block, text in zip(blocks, ranges, strict=True) if block in used)
    of = f"of a class's images{'' if group == 1 else f', {group} classes a cell'}"
    of += "" if named else "; places: in the order of the classes"
    pieces = [shades, of, *(["right: of all images"] if width >= 48 else [])]
    for joined in (f"{shades}  {'; '.join(pieces[1:])}", f"{shades}\n{'; '.join(pieces[1:])}"):
        if max(map(len, joined.splitlines())) <= width:
            return joined
    return "\n".join(line for piece in pieces for line in textwrap.wrap(piece, width))
