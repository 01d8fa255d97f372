"""Split files in Rainbow Memory's format, written here, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scenario_toys import dataset, stream, used

from cllab.data.base import Dataset
from cllab.data.cifar10 import CIFAR10
from cllab.errors import CllabError, DataError, UsageError
from cllab.scenarios.base import Stream
from cllab.settings.registry import component

Name = Callable[[int, int, int], str]
"""(row in the split, original class, counter from 0 inside the class) to a file name without its split."""


def write(folder: Path, source: Stream, data: Dataset, prefix: str, name: Name, *, seed: int, experiment: str) -> Path:
    """`source` as split files; returns the collections folder."""
    folder = folder / "collections" / prefix
    folder.mkdir(parents=True)
    n = len(source.tasks[0].classes)
    for split, whole in (("train", data.train), ("test", data.test)):
        labels = whole.labels.numpy()
        counter = np.array([(labels[:i] == c).sum() for i, c in enumerate(labels)])
        for task in source.tasks:
            part = task.train if split == "train" else task.test
            records = [
                {
                    "label": label,
                    "klass": int(data.classes[labels[i]]) if prefix == "mnist" else data.classes[labels[i]],
                    "file_name": f"{split}/{name(i, int(labels[i]), int(counter[i]))}",
                }
                for i, label in zip(part.index.tolist(), part.labels.tolist(), strict=True)
            ]
            middle = f"_{experiment}" if split == "train" else ""
            path = folder / f"{prefix}_{split}{middle}_rand{seed}_cls{n}_task{task.index}.json"
            path.write_text(json.dumps(records).replace("/", "\\/"))
    return folder.parent


def same(one: Stream, other: Stream) -> None:
    assert one.class_order == other.class_order
    assert one.class_names == other.class_names
    for a, b in zip(one.tasks, other.tasks, strict=True):
        assert a.classes == b.classes
        assert torch.equal(a.train.index, b.train.index)
        assert torch.equal(a.train.labels, b.train.labels)
        assert torch.equal(a.test.index.sort().values, b.test.index.sort().values)
        assert (a.test.labels // len(a.classes) == a.index).all()


@pytest.fixture
def digits() -> Dataset:
    return dataset(name="mnist", classes=list("0123456789"))


@pytest.fixture
def mnist(tmp_path: Path, digits: Dataset) -> Path:
    made = stream("blurry", digits, seed=3, construction="official")
    return write(tmp_path, made, digits, "mnist", lambda i, c, _: f"{c}/{i:05d}.png", seed=3, experiment="blurry10")


def cifar(tmp_path: Path, data: Dataset, first: int) -> Path:
    made = stream("disjoint", data, seed=2)
    names = data.classes
    return write(
        tmp_path,
        made,
        data,
        "cifar10",
        lambda _, c, j: f"{names[c]}/{j + first:04d}.png",
        seed=2,
        experiment="disjoint",
    )


def test_mnist(mnist: Path, digits: Dataset) -> None:
    source = stream("blurry", digits, seed=3, construction="official")
    for folder in (mnist, mnist.parent, mnist / "mnist"):
        read = stream("splits-file", digits, seed=3, folder=str(folder))
        same(read, source)
    assert read.online
    assert read.notes["published_order"]
    assert read.notes["repeated"] == 0
    assert torch.equal(read.counts, source.counts)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("counter", ["auto", "zero-based", "one-based"])
def test_cifar_counters(tmp_path: Path, first: int, counter: str) -> None:
    data = dataset(name="cifar10", classes=CIFAR10.classes)
    folder = cifar(tmp_path, data, first)
    source = stream("disjoint", data, seed=2)
    values = {"folder": str(folder), "experiment": "disjoint", "counter": counter, "stream": "offline"}
    right = {"auto": first, "zero-based": 0, "one-based": 1}[counter] == first
    if right:
        read = stream("splits-file", data, seed=2, **values)
        same(read, source)
        assert [task.exposed for task in read.tasks] == [task.classes for task in source.tasks]
        assert read.notes["first_number"] == first
        assert not read.online
    else:
        with pytest.raises(DataError, match=r"is out of range: train images of '\w+' are [01] to (19|20)"):
            stream("splits-file", data, seed=2, **values)


def test_counter_decides_by_all_files(tmp_path: Path) -> None:
    data = dataset(name="cifar10", classes=CIFAR10.classes)
    folder = cifar(tmp_path, data, 0)
    # no 0 among the training images of these lists, one among the test images
    for path in folder.glob("cifar10/*_train_*.json"):
        kept = [r for r in json.loads(path.read_text()) if not r["file_name"].endswith("0000.png")]
        path.write_text(json.dumps(kept))
    read = stream("splits-file", data, seed=2, folder=str(folder), experiment="disjoint")
    assert read.notes["first_number"] == 0
    assert read.notes["left_out"] == 10
    firsts = {int((data.train.labels == c).nonzero()[0, 0]) for c in range(10)}
    assert set(used(read)) == set(range(200)) - firsts


def test_png_folders_of_cifar_count_like_the_archive(tmp_path: Path) -> None:
    # files numbered from 0, lists from 1: the i-th image of a class is the i-th either way
    data = dataset(name="cifar10", classes=CIFAR10.classes, mixed=False)
    files = tuple(
        [f"{split}/{CIFAR10.classes[c]}/{j:04d}.png" for c in range(10) for j in range(n)]
        for split, n in (("train", 20), ("test", 4))
    )
    data = dataset(name="cifar10", classes=CIFAR10.classes, mixed=False, files=(files[0], files[1]))
    folder = cifar(tmp_path, data, 1)
    same(
        stream("splits-file", data, seed=2, folder=str(folder), experiment="disjoint"),
        stream("disjoint", data, seed=2),
    )


def test_imagenet(tmp_path: Path) -> None:
    wnids = ["n01440764", "n01443537", "n01484850", "n01491361"]
    names = [
        [f"{split}/{wnid}/{stem}_{j:08d}.JPEG" for wnid in wnids for j in range(n)]
        for split, stem, n in (("train", "img", 20), ("val", "ILSVRC2012_val", 4))
    ]
    data = dataset(name="imagefolder", n_classes=4, classes=wnids, files=(names[0], names[1]), mixed=False)
    source = stream("blurry", data, seed=1, tasks=2)
    folder = write(
        tmp_path,
        source,
        data,
        "imagenet",
        lambda i, c, j: f"{wnids[c]}/{j}",
        seed=1,
        experiment="blurry10",
    )
    for path in folder.glob("imagenet/*.json"):
        records = json.loads(path.read_text())
        for record in records:
            split, wnid, j = record["file_name"].split("/")
            place, stem = ("data/train", "img") if split == "train" else ("data/val", "ILSVRC2012_val")
            record["file_name"] = f"imagenet/{place}/{wnid}/{stem}_{int(j):08d}.JPEG"
        path.write_text(json.dumps(records))
    same(stream("splits-file", data, seed=1, folder=str(folder)), source)
    # lists of other datasets beside them do not matter
    other = folder / "mnist" / "mnist_train_blurry10_rand1_cls2_task0.json"
    other.parent.mkdir()
    other.write_text("[]")
    same(stream("splits-file", data, seed=1, folder=str(folder)), source)
    path = folder / "imagenet" / "imagenet_train_blurry10_rand1_cls2_task1.json"
    path.write_text(path.read_text().replace("img_00000003", "img_00000099"))
    with pytest.raises(
        DataError, match=r"task1\.json: record \d+: '.*img_00000099.JPEG' is not among the train images"
    ):
        stream("splits-file", data, seed=1, folder=str(folder))


def test_tests_are_own_classes_even_in_cumulative_lists(mnist: Path, digits: Dataset) -> None:
    lists = [mnist / "mnist" / f"mnist_test_rand3_cls2_task{t}.json" for t in range(5)]
    sofar: list[Any] = []
    for path in lists:
        sofar += json.loads(path.read_text())
        path.write_text(json.dumps(sofar))
    same(
        stream("splits-file", digits, seed=3, folder=str(mnist)),
        stream("blurry", digits, seed=3, construction="official"),
    )


def edited(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[4].update(klass="x", file_name="train/x/00001.png"), r"record 4: 'mnist' has no class 'x'"),
        (lambda r: r[4].update(file_name="train/5/60000.png", klass=5), r"record 4: .* is out of range: .* 0 to 199"),
        (lambda r: r[4].update(file_name="train/one.png"), r"record 4: 'train/one.png' is not named by a number"),
        (lambda r: r[4].pop("label"), r"record 4 has no key 'label'"),
        (lambda r: r[4].update(label="3"), r"record 4: label must be a whole number"),
        (lambda r: r[4].update(label=-1), r"record 4: label must be a whole number"),
        (lambda r: r[4].update(klass=None), r"record 4: klass must be a class name"),
        (lambda r: r[4].update(klass=(r[4]["klass"] + 1) % 10), r"record 4: klass is '\d', but the file is 'train/"),
        (lambda r: r[4].update(file_name="test/" + r[4]["file_name"][6:]), r"record 4: .* in a list of train images"),
        (lambda r: r.clear(), r"no records"),
        (lambda r: r[4].update(label=(r[4]["label"] + 1) % 10), r"label \d is '\d' here, but '\d' in .*record \d+"),
    ],
)
def test_bad_records(
    mnist: Path, digits: Dataset, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    path = mnist / "mnist" / "mnist_train_blurry10_rand3_cls2_task1.json"
    edited(path, change)
    with pytest.raises(DataError, match=message) as error:
        stream("splits-file", digits, seed=3, folder=str(mnist))
    assert str(path.parent) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_of_another_class(mnist: Path, digits: Dataset) -> None:
    path = mnist / "mnist" / "mnist_train_blurry10_rand3_cls2_task0.json"

    def swap(records: list[dict[str, Any]]) -> None:
        wrong = next(i for i, c in enumerate(digits.train.labels.tolist()) if c != records[0]["klass"])
        records[0]["file_name"] = f"train/{records[0]['klass']}/{wrong:05d}.png"

    edited(path, swap)
    with pytest.raises(DataError, match=r"record 0: .* is said to be '\d', but image \d+ is '\d'"):
        stream("splits-file", digits, seed=3, folder=str(mnist))


def test_labels_must_be_whole(mnist: Path, digits: Dataset) -> None:
    def shift(records: list[dict[str, Any]]) -> None:
        for record in records:
            if record["label"] == 9:
                record["label"] = 11

    for path in (mnist / "mnist").glob("*.json"):
        edited(path, shift)
    with pytest.raises(DataError, match="label 11 is too large: 5 tasks of 2 classes end at 9"):
        stream("splits-file", digits, seed=3, folder=str(mnist))


def test_files(tmp_path: Path, mnist: Path, digits: Dataset) -> None:
    def fails(kind: type[CllabError], message: str, **values: Any) -> None:
        seed = values.pop("seed", 3)
        complete = {"folder": str(mnist), **values}
        with pytest.raises(kind, match=message):
            stream("splits-file", digits, seed=seed, **complete)

    fails(UsageError, "folder is missing", folder="")
    fails(DataError, "does not exist", folder=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    fails(DataError, "holds no files named mnist_train_", folder=str(tmp_path / "empty"))
    fails(UsageError, "no split files of experiment 'bluury10'; did you mean 'blurry10'", experiment="bluury10")
    fails(UsageError, "no split files of 'blurry10' for seed 7; there are files for seed 3", seed=7)
    fails(UsageError, "for tasks = 4; there are files for 5 tasks", tasks=4)
    (mnist / "mnist" / "mnist_test_rand3_cls2_task2.json").unlink()
    fails(DataError, r"mnist_test_rand3_cls2_task2\.json is missing")
    (mnist / "mnist" / "mnist_train_blurry10_rand3_cls2_task0.json").write_text("[{")
    (mnist / "mnist" / "mnist_test_rand3_cls2_task2.json").write_text("[]")
    fails(DataError, r"task0\.json: not valid JSON")


def test_check_looks_at_names_only(mnist: Path) -> None:
    cls = component("scenario", "splits-file")

    def check(**values: Any) -> str | None:
        seed = values.pop("seed", None)
        extra = {} if seed is None else {"seed": seed}
        return cls.check({**vars(cls.Config(**values)), **extra}, 10, 60_000)  # type: ignore[no-any-return]

    assert check(folder=str(mnist)) is None
    assert check(folder=str(mnist), seed=3) is None
    assert "seed 1; there are files for seed 3" in (check(folder=str(mnist), seed=1) or "")
    assert "folder is missing" in (check() or "")
    assert "did you mean 'blurry10'" in (check(folder=str(mnist), experiment="blury10") or "")
    (mnist / "cifar10").mkdir()
    (mnist / "cifar10" / "cifar10_train_blurry10_rand3_cls2_task0.json").write_text("")
    assert check(folder=str(mnist), seed=3) is None
