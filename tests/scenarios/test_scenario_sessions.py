"""Streams of sessions: CORe50's published orders and counts, the rules on other data, file lists, test sets."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cllab.data.base import Dataset
from cllab.errors import CllabError, DataError, UsageError
from cllab.io.output import Paper
from cllab.report import explain
from cllab.scenarios import picture
from cllab.scenarios._units import (
    SCENARIOS,
    appearance,
    count,
    groups,
    new_classes,
    new_instances,
    new_instances_and_classes,
    nic_version_2,
    planned,
)
from cllab.scenarios.base import Stream, Task
from cllab.settings import catalog
from tests.scenarios.scenario_toys import dataset as plain
from tests.scenarios.scenario_toys import stream, used
from tests.scenarios.sessions import N_TEST, N_TRAIN, TESTED, TRAINED, in_sessions, like_core50, paths

ALL = np.ones((50, 8), bool)
NI_ORDERS = (
    "11 4 2 9 1 6 5 8", "2 9 1 8 4 5 11 6", "8 2 6 5 4 1 9 11", "1 9 2 8 6 11 5 4", "5 1 4 8 11 9 6 2",
    "4 5 11 8 2 1 9 6", "8 11 1 9 2 4 6 5", "6 2 5 8 11 1 9 4", "4 5 6 11 2 1 9 8", "1 8 9 4 6 2 11 5",
)  # fmt: skip
NC_ORDERS = (
    "83271546", "27163485", "62543178", "17265843", "41368752",
    "34862175", "68172354", "52468173", "34582176", "16735284",
)  # fmt: skip


@functools.cache
def core50() -> Dataset:
    return like_core50(paths(TRAINED), paths(TESTED))


def units_of(data: Dataset, task: Task) -> set[tuple[int, int]]:
    """(class, session), as the dataset counts them, of a task's images."""
    assert data.sessions is not None
    rows = task.train.sample_ids()
    return set(zip(data.train.labels[rows].tolist(), data.sessions.train[rows].tolist(), strict=True))


# -- the published orders


@pytest.mark.parametrize("order", range(10))
def test_the_ten_orders_of_ni_and_nc_are_the_published_ones(order: int) -> None:
    ni = [{TRAINED[s] for _, s in units} for units in new_instances(ALL, order)]
    assert ni == [{int(s)} for s in NI_ORDERS[order].split()]
    first, *base = groups(50, 10)
    nc = [sorted({c for c, _ in units}) for units in new_classes(ALL, 10, order)]
    assert nc == [first, *(base[int(b) - 1] for b in NC_ORDERS[order])]


def test_the_groups_of_nc_are_one_object_of_each_of_five_categories() -> None:
    first, *rest = groups(50, 10)
    assert first == list(range(0, 50, 5))
    assert rest == [
        part for k in range(1, 5) for part in ([k + 5 * i for i in range(5)], [k + 5 * i for i in range(5, 10)])
    ]
    assert sorted(c for group in (first, *rest) for c in group) == list(range(50))


def test_counts_on_file_lists_made_by_the_rules() -> None:
    data = core50()
    assert (len(data.train) + len(data.test), len(data.train), len(data.test)) == (164_866, N_TRAIN, N_TEST)
    for name, n, settings in (
        ("ni", 8, {}),
        ("nc", 9, {}),
        ("nic", 79, {}),
        *(("nicv2", n, {"units": u}) for u, n in ((1, 391), (2, 196), (5, 79))),
    ):
        made = stream(name, data, **settings)
        assert made.n_tasks == n, name
        assert used(made) == list(range(N_TRAIN)), name
        assert [(test.name, len(test.split)) for test in made.apart] == [
            (f"s{s}", sum(p.startswith(f"s{s}/") for p in paths(TESTED))) for s in TESTED
        ]
        assert sum(len(test.split) for test in made.apart) == N_TEST
        sizes = [len(task.train) for task in made.tasks]
        if name.startswith("nic"):
            assert sizes[0] == 2_999, "ten classes in session 1"
        if name == "nicv2":
            low, high = {1: (293, 300), 2: (593, 600), 5: (1_490, 1_500)}[settings["units"]]
            assert low <= min(sizes[1:]) <= max(sizes[1:]) <= high


# -- NICv2


@pytest.mark.parametrize("seed", range(10))
def test_nicv2_has_what_was_measured_of_the_published_orders(seed: int) -> None:
    tasks = nic_version_2(ALL, 10, 1, np.random.default_rng(seed))
    units = [unit for task in tasks for unit in task]
    assert len(units) == len(set(units)) == 400
    assert tasks[0] == [(c, 0) for c in range(0, 50, 5)]
    for c in range(50):
        assert [s for k, s in units if k == c] == list(range(8)), "sessions of a class come in their order"
    first = {c: next(t for t, task in enumerate(tasks) if c in {k for k, _ in task}) for c in range(50)}
    assert 300 <= max(first.values()) <= 336, "the last new class at about 86 % of the stream"
    seen = [len({c for task in tasks[: int(391 * share)] for c, _ in task}) for share in np.arange(0.1, 1, 0.1)]
    published = [14, 19, 24, 28, 34, 38, 42, 47, 50]
    assert np.abs(np.subtract(seen, published)).max() <= 8


def test_nicv2_on_average_is_as_the_published_orders_are() -> None:
    seen, together, gaps, longest = [], [], [], []
    for seed in range(40):
        tasks = nic_version_2(ALL, 10, 1, np.random.default_rng(seed))
        seen.append([len({c for task in tasks[: int(391 * s)] for c, _ in task}) for s in np.arange(0.1, 1, 0.1)])
        classes = np.array([task[0][0] for task in tasks[1:]])
        together.append(sum(a == b for a, b in itertools.pairwise(classes.tolist())))
        own = np.concatenate([np.diff(np.flatnonzero(classes == c)) for c in range(50)])
        gaps.append(own.mean())
        longest.append(own.max())
    assert np.mean(seen, axis=0) == pytest.approx([14, 19, 24, 28, 34, 38, 42, 47, 50], abs=1.5)
    assert 15 <= np.mean(together) <= 30, "the same class in tasks that follow each other"
    assert 15 <= np.mean(gaps) <= 27, "tasks between two of a class"
    assert 150 <= np.mean(longest) <= 300


def test_larger_tasks_hold_the_same_units_in_the_same_order() -> None:
    one, two, five = (nic_version_2(ALL, 10, n, np.random.default_rng(3)) for n in (1, 2, 5))
    flat = [unit for task in one for unit in task]
    assert [unit for task in two for unit in task] == flat
    assert [unit for task in five for unit in task] == flat
    assert {len(task) for task in five[1:]} == {5}


def test_nic_has_the_units_of_its_rules() -> None:
    tasks = new_instances_and_classes(ALL, 10, 0)
    assert tasks[0] == [(c, 0) for c in range(0, 50, 5)]
    assert [len(task) for task in tasks] == [10] + [5] * 78
    assert len({unit for task in tasks for unit in task}) == 400
    assert all(len({s for _, s in task}) == 1 for task in tasks)
    kinds = {tuple(sorted({c for c, _ in task})) for task in tasks[1:]}
    assert len(kinds) == 10, "eight groups of five, and the first ten classes in two halves"
    assert {tuple(range(0, 25, 5)), tuple(range(25, 50, 5))} <= kinds
    other = new_instances_and_classes(ALL, 10, 1)
    assert other != tasks
    assert sorted(map(sorted, other)) == sorted(map(sorted, tasks)), "the order varies, the tasks do not"


def test_data_that_lack_sessions_of_some_classes_are_all_used() -> None:
    has = np.ones((7, 3), bool)
    has[0, 0] = has[5, 2] = has[6, :2] = False
    for tasks in (
        new_instances(has, 2),
        new_classes(has, 2, 2),
        new_instances_and_classes(has, 2, 2),
        nic_version_2(has, 2, 2, np.random.default_rng(0)),
    ):
        units = [unit for task in tasks for unit in task]
        assert sorted(units) == sorted(zip(*map(np.ndarray.tolist, np.nonzero(has)), strict=True))
        assert all(tasks)
        assert sorted(appearance(tasks)) == list(range(7))


# -- streams


@pytest.mark.parametrize(
    ("name", "settings"), [("ni", {}), ("nc", {}), ("nic", {}), ("nicv2", {}), ("nicv2", {"units": 3})]
)
def test_every_image_is_learned_once_under_the_label_of_its_class(name: str, settings: dict[str, Any]) -> None:
    data = in_sessions()
    made = stream(name, data, **settings)
    assert used(made) == list(range(len(data.train)))
    new = 0
    for task in made.tasks:
        pixels = task.train.fetch(slice(None))[:, :, 0, 0].long()
        assert [made.class_order[y] for y in task.train.labels.tolist()] == pixels[:, 0].tolist()
        assert units_of(data, task) == set(map(tuple, pixels.tolist()))
        assert task.classes == task.exposed == tuple(sorted(set(task.train.labels.tolist())))
        assert len(task.test) == 0
        # labels count in the order in which classes are first seen, so that outputs grow at the end
        assert max(task.classes) < max(new, max(task.classes) + 1)
        fresh = [c for c in task.classes if c >= new]
        assert fresh == list(range(new, new + len(fresh)))
        new += len(fresh)
    assert sum(len(test.split) for test in made.apart) == len(data.test)


def test_test_sets_are_by_session_by_classes_or_one() -> None:
    data = in_sessions()

    def sets(settings: dict[str, Any], of: Dataset = data) -> list[tuple[str, int]]:
        return [(t.name, len(t.split)) for t in stream("nicv2", of, **settings).apart]

    assert sets({}) == sets({"tests": "sessions"}) == [("session 5", 10), ("session 6", 10)]
    assert sets({"tests": "all"}) == [("all", 20)]
    assert sets({"tests": "classes"}) == [(f"class {c}", 2) for c in range(10)]
    many = in_sessions(25, 2, 1)
    assert sets({"tests": "classes"}, many)[0] == ("classes 0-2", 6)
    assert len(sets({"tests": "classes"}, many)) == 10
    none = in_sessions(tests=False)
    assert sets({}, none) == [("all", 20)]
    with pytest.raises(UsageError, match="'sessions': the test images of 'toy' have none"):
        sets({"tests": "sessions"}, none)
    made = stream("nicv2", data)
    for s, test in enumerate(made.apart):
        pixels = test.split.fetch(slice(None))[:, :, 0, 0].long()
        assert pixels[:, 1].tolist() == [4 + s] * 10
        assert [made.class_order[y] for y in test.split.labels.tolist()] == pixels[:, 0].tolist()
        assert test.classes == tuple(range(10))


def test_the_order_goes_by_the_seed_or_is_asked_for() -> None:
    data = in_sessions()

    def told(name: str, seed: int, order: int = -1) -> list[str]:
        return [
            f"{task.name} {sorted(task.train.sample_ids().tolist())}"
            for task in stream(name, data, seed, order=order).tasks
        ]

    for name in ("ni", "nc", "nic", "nicv2"):
        assert told(name, 1) == told(name, 1)
        assert told(name, 1) != told(name, 2), name
        assert told(name, 3) == told(name, 7, order=2), f"{name}: the first order is that of seed 1"
    assert told("ni", 1) != told("ni", 0)


def test_tasks_are_named_by_what_is_in_them() -> None:
    made = stream("nicv2", in_sessions(), first=3)
    assert made.tasks[0].name == "4 classes, session 1"
    assert made.tasks[1].name.startswith("class ")
    assert "session " in made.tasks[1].name
    assert stream("ni", in_sessions()).tasks[0].name.startswith("10 classes, session ")
    assert stream("nc", in_sessions()).tasks[0].name == "2 classes, 4 sessions"


@pytest.mark.parametrize("name", ["ni", "nc", "nic", "nicv2"])
def test_data_without_sessions_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"scenario '{name}' needs samples that come in sessions"):
        stream(name, plain())


# -- file lists


def lists(folder: Path, made: Stream, data: Dataset, scenario: str, run: int = 0) -> Path:
    """The stream's tasks as CORe50 publishes them."""
    assert data.files is not None
    place = folder / scenario / f"run{run}"
    place.mkdir(parents=True)
    for t, task in enumerate(made.tasks):
        names = [data.files[0][i] for i in task.train.sample_ids().tolist()]
        lines = [f"{name} {int(name.split('/')[1][1:]) - 1}\n" for name in names]
        (place / f"train_batch_{t:02d}_filelist.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def small() -> Dataset:
    """Ten objects in three sessions and one to test, two images each."""
    names = [f"s{s}/o{o}/C_{s:02}_{o:02}_{f:03}.png" for s in (1, 2, 4, 3) for o in range(1, 51) for f in (0, 7)]
    return like_core50([n for n in names if not n.startswith("s3")], [n for n in names if n.startswith("s3")])


@pytest.mark.parametrize(
    ("scenario", "folder", "settings"),
    [
        ("ni", "NI_inc", {}),
        ("nc", "NC_inc", {}),
        ("nic", "NIC_inc", {}),
        ("nicv2", "NIC_v2_391", {}),
        ("nicv2", "sIII_v2_196", {"units": 2}),
        ("nicv2", "NIC_v2_79", {"units": 5}),
    ],
)
def test_published_lists_give_their_tasks(
    scenario: str, folder: str, settings: dict[str, Any], small: Dataset, tmp_path: Path
) -> None:
    other = stream(scenario, small, seed=12, **settings)
    lists(tmp_path / "batches_filelists", other, small, folder, run=3)
    for given in (tmp_path, tmp_path / "batches_filelists", tmp_path / "batches_filelists" / folder):
        made = stream(scenario, small, seed=4, lists=str(given), **settings)
        assert [t.train.sample_ids().tolist() for t in made.tasks] == [
            t.train.sample_ids().tolist() for t in other.tasks
        ]
        assert made.class_order == other.class_order
    assert stream(scenario, small, seed=1, order=13, lists=str(tmp_path), **settings).n_tasks == other.n_tasks
    with pytest.raises(UsageError, match=f"no folder .*/run0 of file lists in {tmp_path}"):
        stream(scenario, small, seed=1, lists=str(tmp_path), **settings)


def test_lists_may_count_their_labels_in_the_order_of_the_run(small: Dataset, tmp_path: Path) -> None:
    made = stream("nc", small)
    place = lists(tmp_path, made, small, "NC_inc") / "NC_inc" / "run0"
    for path in place.iterdir():
        renamed = [
            f"{line.split()[0]} {made.class_order.index(int(line.split()[1]))}"
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(renamed))
    again = stream("nc", small, lists=str(tmp_path))
    assert again.class_order == made.class_order


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (
            "s9/o1/C_09_01_000.png 0",
            DataError,
            r"run0/train_batch_00_filelist.txt:1: 's9/o1/C_09_01_000.png' is not among",
        ),
        ("s3/o1/C_03_01_000.png 0", DataError, "'s3/o1/C_03_01_000.png' is an image to test of 'core50'"),
        ("s1/o1/C_01_01_000.png", DataError, "expected an image and its label, found"),
        ("s1/o1/C_01_01_000.png x", DataError, "expected an image and its label, found"),
        ("s1/o6/C_01_06_007.png 0", DataError, "is also in|label"),
        ("", DataError, "is also in|no images"),
    ],
)
def test_a_list_that_cannot_be_meant_is_one_line(
    change: str, error: type[CllabError], reason: str, small: Dataset, tmp_path: Path
) -> None:
    made = stream("nicv2", small)
    place = lists(tmp_path, made, small, "NIC_v2_391") / "NIC_v2_391" / "run0"
    path = place / "train_batch_00_filelist.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([change, *lines[1:]]) if change else "\n")
    with pytest.raises(error, match=reason) as caught:
        stream("nicv2", small, lists=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("scenario 'nicv2': ")


def test_a_list_that_is_missing_is_named(small: Dataset, tmp_path: Path) -> None:
    place = lists(tmp_path, stream("ni", small), small, "NI_inc") / "NI_inc" / "run0"
    with pytest.raises(UsageError, match="'toy' has none"):
        stream("ni", in_sessions(), lists=str(tmp_path))
    last, middle = (place / f"train_batch_{b:02d}_filelist.txt" for b in (2, 1))
    kept = last.read_text()
    last.unlink()
    with pytest.raises(
        DataError, match=r"100 images to learn of 'core50' are in none of its lists, s\d/o1/\S+ the first"
    ):
        stream("ni", small, lists=str(tmp_path))
    last.write_text(kept)
    middle.unlink()
    with pytest.raises(DataError, match=r"train_batch_01_filelist\.txt is missing"):
        stream("ni", small, lists=str(tmp_path))


def test_a_class_under_two_labels_is_refused(small: Dataset, tmp_path: Path) -> None:
    place = lists(tmp_path, stream("ni", small), small, "NI_inc") / "NI_inc" / "run0"
    path = place / "train_batch_00_filelist.txt"
    lines = path.read_text().splitlines()
    name, label = lines[3].split()
    path.write_text("\n".join([*lines[:3], f"{name} {int(label) + 1}", *lines[4:]]))
    with pytest.raises(DataError, match=r"label \d+ is 'o\d+' here, but 'o\d+' in"):
        stream("ni", small, lists=str(tmp_path))


def test_a_stream_of_sessions_can_be_learned(small: Dataset) -> None:
    made = stream("nicv2", small, units=5)
    assert torch.equal(made.counts.sum(0), torch.full((50,), 6))
    assert made.seen(made.n_tasks - 1) == tuple(range(50))


# -- the picture


@pytest.mark.parametrize(
    ("name", "settings"),
    [("ni", {}), ("nc", {"first": 2}), ("nic", {}), ("nicv2", {}), ("nicv2", {"units": 5}), ("nicv2", {"order": 4})],
)
def test_the_picture_is_what_the_stream_does(name: str, settings: dict[str, Any]) -> None:
    data = in_sessions(10, 8, 3)
    made = stream(name, data, seed=7, **settings)
    values = {f.name: f.default for f in catalog.load().get("scenario", name).fields} | settings
    drawn = picture.shares(name, {**values, "seed": 7}, 10, 8)
    assert drawn == pytest.approx(made.counts.numpy() / made.counts.sum(0).numpy())
    assert picture.classes(name, values, 10, "toy", 7, 8) == list(made.class_order)
    if made.n_tasks > 20:
        lines = picture.draw(drawn, 100, max_rows=20, grouped=True).splitlines()
        each = -(-made.n_tasks // 20)
        assert lines[1].startswith(f"tasks 1-{each} ")
        assert len([line for line in lines if line.startswith("task")]) == -(-made.n_tasks // each)
        shares = [float(line.split()[-2]) for line in lines if line.startswith("task")]
        assert sum(shares) == pytest.approx(100, abs=0.5), "every image is on a line"


def test_there_is_no_picture_of_lists_or_of_data_without_sessions() -> None:
    values = {f.name: f.default for f in catalog.load().get("scenario", "nicv2").fields}
    with pytest.raises(UsageError, match="published file lists"):
        picture.shares("nicv2", {**values, "lists": "somewhere"}, 10, 8)
    paper = Paper(width=80, color=False, unicode=True)
    told = explain.picture("nicv2", values, explain.Source("mnist"), catalog.load(), paper)
    assert told == "'mnist' has no sessions, which scenario 'nicv2' needs"
    assert "(mnist-nic, 10 classes, seed 1)" in explain.picture(
        "nicv2", values, explain.Source("mnist-nic"), catalog.load(), paper
    )


@pytest.mark.parametrize("shape", [(50, 8), (10, 8), (20, 5), (7, 3), (1, 2)])
def test_tasks_are_counted_without_being_planned(shape: tuple[int, int]) -> None:
    for name in SCENARIOS:
        for given in ({}, {"first": 2}, {"first": 3, "units": 4}):
            values = {f.name: f.default for f in catalog.load().get("scenario", name).fields} | {"first": 0} | given
            assert count(name, values, *shape) == len(planned(name, values, np.ones(shape, bool), 3)), (name, given)
