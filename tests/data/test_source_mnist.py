"""MNIST-like data: every layout gives the same arrays, every fault is named."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_samples import Toy, save_png, write_idx, write_numbered
from PIL import Image
from torchvision import datasets as tv

from cllab.data.fashion_mnist import FashionMNIST
from cllab.data.kmnist import KMNIST
from cllab.data.mnist import MNIST
from cllab.errors import EXIT_DATA, DataError

N_TRAIN, N_TEST = 40, 20


@pytest.fixture
def toy() -> Toy:
    return Toy((1, 28, 28), 10, N_TRAIN, N_TEST)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    for source in (MNIST, FashionMNIST, KMNIST):
        monkeypatch.setattr(source, "info", replace(source.info, n_train=N_TRAIN, n_test=N_TEST))


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "data"
    return [p.name for p in folder.iterdir()] if folder.exists() else []


def check_equal(source, root: Path, toy: Toy) -> None:
    data = source.open(None, root)
    assert data.shape == (1, 28, 28)
    for split, name in ((data.train, "train"), (data.test, "test")):
        assert split.fetch(slice(None)).dtype == torch.uint8
        np.testing.assert_array_equal(split.fetch(slice(None)).numpy(), toy.pixels[name])
        np.testing.assert_array_equal(split.labels.numpy(), toy.labels[name])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("at", ["MNIST/raw", "mnist/raw", "mnist", "MNIST", "."])
def test_idx_files_anywhere(tmp_path: Path, toy: Toy, at: str, zipped: bool) -> None:
    write_idx(tmp_path / "data" / at, toy, zipped=zipped)
    check_equal(MNIST, tmp_path / "data", toy)


@pytest.mark.parametrize("at", ["mnist", "MNIST"])
def test_png_folders_are_ordered_by_number(tmp_path: Path, toy: Toy, at: str) -> None:
    write_numbered(tmp_path / at, toy)
    check_equal(MNIST, tmp_path, toy)
    # the dataset's own folder does as well
    check_equal(MNIST, tmp_path / at, toy)
    files = MNIST.open(None, tmp_path).files
    assert files is not None
    assert files[0][7] == f"train/{toy.labels['train'][7]}/7.png"


@pytest.mark.parametrize(("source", "name"), [(FashionMNIST, "fashion-mnist"), (KMNIST, "kmnist")])
def test_the_other_two(tmp_path: Path, toy: Toy, source: type[MNIST], name: str) -> None:
    write_idx(tmp_path / "a" / source.torchvision_name / "raw", toy, zipped=True)
    check_equal(source, tmp_path / "a", toy)
    write_numbered(tmp_path / "b" / name, toy)
    check_equal(source, tmp_path / "b", toy)
    folders = [c.replace("/", "_") for c in source.classes]
    write_numbered(tmp_path / "c" / name, toy, folders)
    check_equal(source, tmp_path / "c", toy)
    assert source.open(None, tmp_path / "c").classes == source.classes


def test_torchvision_reads_the_same_files_alike(tmp_path: Path, toy: Toy) -> None:
    write_idx(tmp_path / "MNIST" / "raw", toy)
    ours = MNIST.open(None, tmp_path)
    for split, train in ((ours.train, True), (ours.test, False)):
        theirs = tv.MNIST(tmp_path, train=train)
        assert torch.equal(split.fetch(slice(None))[:, 0], theirs.data)
        assert torch.equal(split.labels, theirs.targets)


@pytest.mark.parametrize("source", [MNIST, FashionMNIST, KMNIST])
def test_torchvision_names_the_same_classes_and_files(source: type[MNIST]) -> None:
    theirs = getattr(tv, source.torchvision_name)
    names = [c.split(" - ")[0] if source is MNIST else c for c in theirs.classes]
    assert list(source.classes) == names
    assert {f.removesuffix(".gz") for f, _ in theirs.resources} == {
        *("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    }


def refused(tmp_path: Path, *words: str, source: type[MNIST] = MNIST, root: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        source.open(None, root or tmp_path)
    text = str(caught.value)
    assert caught.value.exit_code == EXIT_DATA
    assert "\n" not in text
    for word in words:
        assert word in text
    assert cached(tmp_path) == []
    return text


def test_nothing_found_says_what_would_do(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "mnist/{train,test}/<class>/<n>.png", "MNIST/raw/", "cllab data mnist --download")
    refused(tmp_path, "no data folder", root=tmp_path / "nowhere")


def first(folder: Path, split: str, number: int) -> Path:
    return next((folder / split).glob(f"*/{number}.png"))


def test_a_missing_png_is_named(tmp_path: Path, toy: Toy) -> None:
    folder = write_numbered(tmp_path / "mnist", toy)
    first(folder, "train", 17).unlink()
    refused(tmp_path, "train/*/17.png is missing", "39 of 40")


def test_a_superfluous_and_a_double_png_are_named(tmp_path: Path, toy: Toy) -> None:
    folder = write_numbered(tmp_path / "mnist", toy)
    extra = folder / "test" / "3" / "20.png"
    save_png(extra, toy.pixels["test"][0])
    refused(tmp_path, str(extra), "0 to 19")
    extra.rename(folder / "test" / "3" / "07.png")
    refused(tmp_path, "07.png", "7.png", "same number")
    (folder / "test" / "3" / "07.png").rename(folder / "test" / "3" / "seven.png")
    refused(tmp_path, "seven.png", "number")


def test_class_folders_are_checked(tmp_path: Path, toy: Toy) -> None:
    folder = write_numbered(tmp_path / "mnist", toy)
    (folder / "train" / "ten").mkdir()
    refused(tmp_path, str(folder / "train" / "ten"), "none of its 10 classes")
    (folder / "train" / "ten").rmdir()
    for path in (folder / "test" / "4").iterdir():
        path.unlink()
    refused(tmp_path, str(folder / "test" / "4"), "has no images")
    (folder / "test" / "4").rmdir()
    refused(tmp_path, str(folder / "test" / "4"), "missing")


@pytest.mark.parametrize("keep", [0, 5, 40, -16, -1])
def test_a_truncated_png_is_named(tmp_path: Path, toy: Toy, keep: int) -> None:
    path = first(write_numbered(tmp_path / "mnist", toy), "train", 33)
    path.write_bytes(path.read_bytes()[:keep])
    refused(tmp_path, str(path))


def test_wrong_size_and_wrong_mode_are_named(tmp_path: Path, toy: Toy) -> None:
    path = first(write_numbered(tmp_path / "mnist", toy), "test", 5)
    Image.new("L", (28, 29)).save(path)
    refused(tmp_path, str(path), "28x29")
    Image.new("RGB", (28, 28)).save(path)
    refused(tmp_path, str(path), "RGB")
    Image.new("L", (28, 28)).save(path, format="JPEG")
    refused(tmp_path, str(path), "not an image")


def raw(tmp_path: Path, toy: Toy) -> Path:
    return write_idx(tmp_path / "MNIST" / "raw", toy)


def test_a_missing_idx_file_is_named(tmp_path: Path, toy: Toy) -> None:
    path = raw(tmp_path, toy) / "t10k-labels-idx1-ubyte"
    path.unlink()
    refused(tmp_path, str(path), "missing")


def test_truncated_idx_files_are_named(tmp_path: Path, toy: Toy) -> None:
    path = raw(tmp_path, toy) / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    for part in (whole[:-1], whole[:10], b"", whole + b"x"):
        path.write_bytes(part)
        refused(tmp_path, str(path), "too long" if len(part) > len(whole) else "truncated")
    path.unlink()
    path = path.with_name(f"{path.name}.gz")
    path.write_bytes(gzip.compress(whole)[:-20])
    refused(tmp_path, str(path), "truncated")
    path.write_bytes(b"\x1f\x8b" + b"rubbish" * 10)
    refused(tmp_path, str(path))


def test_wrong_idx_files_are_named(tmp_path: Path, toy: Toy) -> None:
    folder = raw(tmp_path, toy)
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    good = images.read_bytes(), labels.read_bytes()
    images.write_bytes(good[1])
    refused(tmp_path, str(images), "magic number 0x00000801")
    images.write_bytes(struct.pack(">4I", 0x803, 40, 14, 56) + good[0][16:])
    refused(tmp_path, str(images), "56x14")
    images.write_bytes(good[0])
    labels.write_bytes(struct.pack(">2I", 0x801, 39) + good[1][8:-1])
    refused(tmp_path, str(labels), "39 labels for the 40 images")
    images.write_bytes(struct.pack(">4I", 0x803, 39, 28, 28) + good[0][16:-784])
    refused(tmp_path, str(images), "39 of 40 images")
    images.write_bytes(good[0])
    labels.write_bytes(good[1][:-1] + b"\x0a")
    refused(tmp_path, str(labels), "0 to 9, found 10")


def test_one_dataset_is_not_taken_for_another(tmp_path: Path, toy: Toy) -> None:
    toy.labels["train"][:16] = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9)
    write_idx(tmp_path, toy)
    refused(tmp_path, "fashion-mnist")
    check_equal(FashionMNIST, tmp_path, toy)
