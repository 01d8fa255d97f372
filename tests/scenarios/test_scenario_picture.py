"""What `explain` draws: the shares against real streams, and the drawing itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scenario_toys import dataset, stream

from cllab.errors import UsageError
from cllab.scenarios.picture import classes, draw, shares
from cllab.settings.registry import component


def values(name: str, **given: Any) -> dict[str, Any]:
    return dict(vars(component("scenario", name).Config(**given)))


@pytest.mark.parametrize(
    ("name", "given", "n_classes"),
    [
        ("disjoint", {}, 10),
        ("disjoint", {"tasks": 4}, 11),
        ("base-half", {}, 10),
        ("base-half", {"tasks": 4}, 7),
        ("task-incremental", {"tasks": 5}, 10),
        ("task-incremental", {"tasks": 6, "cv_tasks": 2, "part": "cl"}, 20),
        ("task-incremental", {"tasks": 6, "cv_tasks": 2, "part": "cv"}, 20),
        ("permuted", {"tasks": 3}, 10),
        ("rotated", {"tasks": 3}, 10),
    ],
)
def test_shares_are_those_of_the_stream(name: str, given: dict[str, Any], n_classes: int) -> None:
    made = stream(name, dataset(train=10, test=1, n_classes=n_classes), **given)
    assert np.allclose(shares(name, values(name, **given), n_classes), made.counts.numpy() / 10)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("order", ["rainbow-memory", "seed-1993", "bilevel", "natural", "random"])
@pytest.mark.parametrize(
    ("name", "given", "n_classes"),
    [
        ("disjoint", {}, 10),
        ("blurry", {}, 10),
        ("base-half", {}, 10),
        ("task-incremental", {"tasks": 6, "cv_tasks": 2, "part": "cl"}, 20),
        ("task-incremental", {"tasks": 6, "cv_tasks": 2, "part": "cv"}, 20),
    ],
)
def test_classes_are_those_that_the_run_trains(
    name: str, given: dict[str, Any], n_classes: int, order: str, seed: int
) -> None:
    data = dataset(train=20, test=1, n_classes=n_classes, name="cifar10")
    made = stream(name, data, seed, class_order=order, **given)
    told = classes(name, values(name, class_order=order, **given), n_classes, "cifar10", seed)
    assert told == list(made.class_order)


def test_the_axis_names_the_classes_in_the_order_of_the_run() -> None:
    told = classes("disjoint", values("disjoint"), 10, "mnist", 1)
    found = shares("disjoint", values("disjoint"), 10)
    axis, first = draw(found, 40, classes=told).splitlines()[:2]
    assert axis.split() == ["class", *"2964031785"]
    # the first task owns the first two of them
    assert [axis[i] for i, cell in enumerate(first) if cell == "█" and axis[i] != " "] == ["2", "9"]
    # where they are not known, or do not fit, nothing is called a class that is none
    assert draw(found, 40).startswith("place ")
    assert draw(shares("disjoint", values("disjoint"), 100), 40, classes=[99, *range(99)]).startswith("place ")
    assert draw(shares("disjoint", values("disjoint"), 100), 40, classes=range(100)).startswith("class ")
    assert classes("permuted", values("permuted"), 10, "mnist", 1) == list(range(10))
    assert classes("splits-file", values("splits-file"), 10, "mnist", 1) is None


def test_blurry_shares() -> None:
    clean = shares("blurry", values("blurry", percent=10.0), 10)
    official = shares("blurry", values("blurry", percent=10.0, construction="official"), 10)
    notebook = shares("blurry", values("blurry", percent=10.0, construction="notebook"), 10)
    assert np.allclose(clean[0], [0.9, 0.9] + [0.025] * 8)
    assert np.allclose(official[0], [0.92, 0.92] + [0.02] * 8)
    assert np.allclose(notebook[1], [0.025] * 2 + [0.9, 0.9] + [0.025] * 6)
    assert np.allclose(clean.sum(0), 1)
    assert np.allclose(shares("splits-file", values("splits-file"), 10), official)
    disjoint = shares("splits-file", values("splits-file", experiment="disjoint", tasks=2), 10)
    assert np.array_equal(disjoint, shares("disjoint", values("disjoint", tasks=2), 10))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("disjoint", {"tasks": 11}),
        ("base-half", {"tasks": 4}),
        ("blurry", {"tasks": 11}),
        ("task-incremental", {"part": "cv"}),
    ],
)
def test_impossible(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tasks"):
        shares(name, values(name, **given), 10)


def test_unknown() -> None:
    with pytest.raises(UsageError, match="no picture of scenario 'nothing'"):
        shares("nothing", {"tasks": 2}, 10)


def test_picture() -> None:
    assert draw(shares("blurry", values("blurry"), 10), 80, classes=range(10)).splitlines() == [
        "class   0     1     2     3     4     5     6     7     8     9",
        "task 1  ██90  ██90  ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5    20 %",
        "task 2  ░░2.5 ░░2.5 ██90  ██90  ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5    20 %",
        "task 3  ░░2.5 ░░2.5 ░░2.5 ░░2.5 ██90  ██90  ░░2.5 ░░2.5 ░░2.5 ░░2.5    20 %",
        "task 4  ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ██90  ██90  ░░2.5 ░░2.5    20 %",
        "task 5  ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ░░2.5 ██90  ██90     20 %",
        "",
        "█ 75-100 %  ░ below 5 %  of a class's images; right: of all images",
    ]


def test_classes_are_grouped_where_tasks_end() -> None:
    # 17 tasks of 5 classes: cells of 5, though cells of 2 would fit
    config = values("task-incremental", tasks=20, cv_tasks=3, part="cl")
    picture = draw(shares("task-incremental", config, 100), 80)
    rows = [line for line in picture.splitlines() if line.startswith("task")]
    assert len(rows) == 17
    assert all(row.count("█") == 2 for row in rows)
    assert "5 classes a cell" in picture


@pytest.mark.parametrize("n_classes", [2, 3, 7, 10, 26, 50, 99, 100, 200, 1000])
@pytest.mark.parametrize("width", [32, 48, 60, 80, 120])
@pytest.mark.parametrize("ascii", [False, True])
def test_fits_and_shows_every_task(n_classes: int, width: int, ascii: bool) -> None:
    for tasks in {2, min(5, n_classes), min(20, n_classes)}:
        for name, given in (("disjoint", {}), ("blurry", {"percent": 30.0}), ("permuted", {})):
            picture = draw(shares(name, values(name, tasks=tasks, **given), n_classes), width, ascii=ascii)
            lines = picture.splitlines()
            assert max(map(len, lines)) <= width
            rows = [line for line in lines if line.startswith("task")]
            assert len(rows) == tasks
            assert all(any(mark in row for mark in "█▓▒░#+-.") for row in rows)
            assert picture.isascii() == ascii


def test_many_tasks_are_cut_in_the_middle() -> None:
    picture = draw(shares("disjoint", values("disjoint", tasks=50), 100), 80, max_rows=9)
    rows = [line.split()[1] for line in picture.splitlines() if line.startswith("task")]
    assert rows == ["1", "2", "3", "4", "47", "48", "49", "50"]


def test_drawing_does_not_import_torch() -> None:
    code = (
        "import sys; from cllab.scenarios.picture import classes, draw, shares;"
        "print(draw(shares('disjoint', {'tasks': 5}, 10), 80));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
