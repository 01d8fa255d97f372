"""CIFAR: archives and PNG folders, and nothing in a pickle is ever run."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_samples import Toy, python2_pickle, save_png, write_by_class, write_cifar
from torchvision import datasets as tv

from cllab.data._cifar import Cifar
from cllab.data.cifar10 import CIFAR10
from cllab.data.cifar100 import CIFAR100
from cllab.errors import DataError

SIZES = {CIFAR10: (50, 20), CIFAR100: (200, 100)}
KINDS = pytest.mark.parametrize("source", [CIFAR10, CIFAR100])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    for source, (n_train, n_test) in SIZES.items():
        monkeypatch.setattr(source, "info", replace(source.info, n_train=n_train, n_test=n_test))


def toy_of(source: type[Cifar]) -> Toy:
    return Toy((3, 32, 32), len(source.classes), *SIZES[source])


def archive(source: type[Cifar], root: Path, toy: Toy) -> Path:
    step = toy.counts["train"] // len(source.batches[0])
    parts = {name: ("train", slice(i * step, (i + 1) * step)) for i, name in enumerate(source.batches[0])}
    return write_cifar(
        root / source.archive, toy, parts | {source.batches[1][0]: ("test", slice(None))}, source.label_key
    )


def refused(source: type[Cifar], root: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        source.open(None, root)
    for word in words:
        assert word in str(caught.value)
    folder = root / "cache" / "data"
    assert not folder.exists() or not list(folder.iterdir())


@KINDS
@pytest.mark.parametrize("at", ["", "own"])
def test_archive(tmp_path: Path, source: type[Cifar], at: str) -> None:
    toy = toy_of(source)
    archive(source, tmp_path / (source.name() if at else ""), toy)
    data = source.open(None, tmp_path)
    for split, name in ((data.train, "train"), (data.test, "test")):
        np.testing.assert_array_equal(split.fetch(slice(None)).numpy(), toy.pixels[name])
        np.testing.assert_array_equal(split.labels.numpy(), toy.labels[name])
    assert data.classes == source.classes
    assert data.shape == (3, 32, 32)
    # the archive's folder itself may be named
    assert torch.equal(source.open(None, next(tmp_path.rglob(source.archive))).train.labels, data.train.labels)


@KINDS
def test_torchvision_reads_the_same_archive_alike(
    tmp_path: Path, source: type[Cifar], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = archive(source, tmp_path, toy_of(source))
    theirs = getattr(tv, source.torchvision_name)
    assert theirs.base_folder == source.archive
    assert tuple(name for name, _ in theirs.train_list) == source.batches[0]
    monkeypatch.setattr(theirs, "_check_integrity", lambda self: True)
    monkeypatch.setattr(tv.cifar, "check_integrity", lambda *_: True)
    (folder / theirs.meta["filename"]).write_bytes(pickle.dumps({theirs.meta["key"]: list(source.classes)}))
    ours = source.open(None, tmp_path)
    for split, train in ((ours.train, True), (ours.test, False)):
        reference = theirs(tmp_path, train=train)
        np.testing.assert_array_equal(split.fetch(slice(None)).numpy().transpose(0, 2, 3, 1), reference.data)
        assert split.labels.tolist() == reference.targets


@KINDS
@pytest.mark.parametrize("first", [0, 1])
def test_png_folders_by_class_and_number(tmp_path: Path, source: type[Cifar], first: int) -> None:
    toy = toy_of(source)
    write_by_class(tmp_path / source.name(), toy, source.classes, first)
    data = source.open(None, tmp_path)
    for split, name in ((data.train, "train"), (data.test, "test")):
        order = np.argsort(toy.labels[name], kind="stable")
        np.testing.assert_array_equal(split.fetch(slice(None)).numpy(), toy.pixels[name][order])
        np.testing.assert_array_equal(split.labels.numpy(), toy.labels[name][order])
    assert data.files is not None
    assert data.files[0][1] == f"train/{source.classes[0]}/{first + 1:04d}.png"


def test_numbers_count_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "info", replace(CIFAR10.info, n_train=120, n_test=10))
    toy = Toy((3, 32, 32), 10, 120, 10)
    write_by_class(tmp_path / "cifar10", toy, CIFAR10.classes, digits=1)
    data = CIFAR10.open(None, tmp_path)
    order = np.argsort(toy.labels["train"], kind="stable")
    np.testing.assert_array_equal(data.train.fetch(slice(None)).numpy(), toy.pixels["train"][order])


@pytest.mark.parametrize("first", [0, 1])
def test_png_faults_are_named(tmp_path: Path, first: int) -> None:
    toy = toy_of(CIFAR10)
    folder = write_by_class(tmp_path / "cifar10", toy, CIFAR10.classes, first)
    gone = folder / "train" / "dog" / f"{first + 2:04d}.png"
    gone.rename(tmp_path / "kept.png")
    refused(CIFAR10, tmp_path, f"{gone} is missing", "49 of 50")
    (tmp_path / "kept.png").rename(gone)
    extra = folder / "test" / "dog" / f"{first + 2:04d}.png"
    save_png(extra, toy.pixels["test"][0])
    refused(CIFAR10, tmp_path, str(extra), f"{first} to {first + 1}")
    extra.unlink()
    save_png(gone, toy.pixels["train"][0][:1])
    refused(CIFAR10, tmp_path, str(gone), "found 32x32 L")
    inner = folder / "train" / "dog" / "more"
    inner.mkdir()
    refused(CIFAR10, tmp_path, str(inner))
    inner.rmdir()
    loose = folder / "train" / "0000.png"
    save_png(loose, toy.pixels["train"][0])
    refused(CIFAR10, tmp_path, str(loose), "no class folder")


@KINDS
def test_a_missing_batch_is_named(tmp_path: Path, source: type[Cifar]) -> None:
    path = archive(source, tmp_path, toy_of(source)) / source.batches[1][0]
    path.unlink()
    refused(source, tmp_path, str(path), "missing")


def test_damaged_batches_are_named(tmp_path: Path) -> None:
    toy = toy_of(CIFAR10)
    path = archive(CIFAR10, tmp_path, toy) / "data_batch_3"
    whole = path.read_bytes()
    for part in (b"", whole[:20], whole[: len(whole) // 2], whole[:-1], b"rubbish"):
        path.write_bytes(part)
        refused(CIFAR10, tmp_path, str(path))
    data = toy.pixels["train"][:10].reshape(10, -1)
    for table, word in (
        ({"data": data, "fine_labels": [0] * 10}, "'labels'"),
        ({"data": data[:, :-1], "labels": [0] * 10}, "3072"),
        ({"data": data, "labels": [0] * 9}, "9 labels"),
        ({"data": data, "labels": [10] * 10}, "0 to 9"),
        ({"data": data, "labels": [-1] * 10}, "0 to 9"),
        ({"data": data[:9], "labels": [0] * 9}, "9 of 10"),
        ({"data": b"text", "labels": [0] * 10}, "'data'"),
    ):
        path.write_bytes(python2_pickle(table))
        refused(CIFAR10, tmp_path, str(path), word)


class Trap:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.flag,)


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    path = archive(CIFAR10, tmp_path, toy_of(CIFAR10)) / "test_batch"
    flag = tmp_path / "flag"
    code = pickle.dumps({"data": Trap(flag), "labels": []}, protocol=protocol)
    path.write_bytes(code)
    refused(CIFAR10, tmp_path, str(path), "asks for")
    assert not flag.exists()
    pickle.loads(code)
    assert flag.exists(), "the trap itself works"


def test_what_python3_writes_is_read_too(tmp_path: Path) -> None:
    toy = toy_of(CIFAR10)
    path = archive(CIFAR10, tmp_path, toy) / "test_batch"
    table = {"data": toy.pixels["test"].reshape(20, -1), "labels": toy.labels["test"].tolist()}
    path.write_bytes(pickle.dumps(table, protocol=2))
    np.testing.assert_array_equal(CIFAR10.open(None, tmp_path).test.fetch(slice(None)).numpy(), toy.pixels["test"])


def test_class_names_are_the_official_ones() -> None:
    assert " ".join(CIFAR10.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
