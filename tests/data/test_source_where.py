"""Where data are looked for, what is told about them, and that telling needs no torch."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from data_samples import Toy, write_idx, write_numbered
from platformdirs import user_data_dir

from cllab.data.mnist import MNIST
from cllab.data.where import cache_folder, data_root, dataset_status, names, source
from cllab.errors import UsageError
from cllab.settings.spec import fields_of

ALL = ["blobs", "cifar10", "cifar100", "digits", "fashion-mnist", "imagefolder", "kmnist", "mnist"]


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLLAB_DATA", raising=False)


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_root() == Path(user_data_dir("cllab", appauthor=False)) / "data"
    assert data_root("") == data_root()
    monkeypatch.setenv("CLLAB_DATA", "/somewhere")
    assert data_root() == Path("/somewhere")
    assert data_root("/elsewhere") == Path("/elsewhere")
    assert data_root("~/x") == Path.home() / "x"


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"


def test_every_dataset_is_found_by_its_file() -> None:
    # later files may add to these
    assert set(ALL) <= set(names())
    for name in names():
        assert source(name).name() == name


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("mnits", "did you mean 'mnist'?"),
        ("fashion_mnist", "did you mean 'fashion-mnist'?"),
        ("cifar1000", "did you mean 'cifar100'?"),
        *((name, "known: benchmark-file, blobs") for name in ("where", "info", "_cache", "x/../y")),
    ],
)
def test_an_unknown_name_is_answered_with_a_known_one(name: str, answer: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"no dataset '{name}'; {answer}")):
        source(name)


@pytest.mark.parametrize("name", ALL)
def test_declarations(name: str) -> None:
    found = source(name)
    info = found.info
    assert info.title
    assert len(info.mean) == len(info.std)
    if info.shape is not None:
        assert len(info.mean) == info.shape[0]
    for spec in fields_of(found.Config):
        assert spec.help
        assert spec.parse(spec.default) == spec.default
    crops = name in ("cifar10", "cifar100", "imagefolder")
    assert info.base_augment == (("crop", "flip") if crops else ())
    assert (info.download_bytes is None) == (name in ("digits", "blobs", "imagefolder"))


def test_status_from_nothing_to_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "info", replace(MNIST.info, n_train=20, n_test=10))
    root = tmp_path / "data"
    status = dataset_status("mnist", root)
    assert not status.found
    assert status.problem == "nothing found"
    assert str(root / "mnist/{train,test}/<class>/<n>.png") in status.where
    assert str(root / "MNIST/raw/*-ubyte[.gz]") in status.where

    toy = Toy((1, 28, 28), 10, 20, 10)
    folder = write_idx(root / "MNIST" / "raw", toy)
    (folder / "t10k-images-idx3-ubyte").rename(tmp_path / "kept")
    status = dataset_status("mnist", root)
    assert (status.found, status.path, status.kind) == (False, folder, "idx")
    assert status.problem == f"{folder / 't10k-images-idx3-ubyte'} is missing"
    assert MNIST.locate(root) is None

    (tmp_path / "kept").rename(folder / "t10k-images-idx3-ubyte")
    status = dataset_status("mnist", root)
    assert (status.found, status.path, status.problem, status.cached) == (True, folder, "", False)
    assert status.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert MNIST.locate(root) == folder
    quick = dataset_status("mnist", root, scan=False)
    assert (quick.found, quick.bytes, quick.cached) == (True, None, None)

    MNIST.open(None, root)
    assert dataset_status("mnist", root).cached is True
    # complete PNG folders come before IDX files, unfinished ones do not
    (root / "mnist" / "train").mkdir(parents=True)
    assert dataset_status("mnist", root).kind == "idx"
    write_numbered(root / "mnist", toy)
    assert dataset_status("mnist", root).kind == "png"


@pytest.mark.parametrize("name", ["digits", "blobs"])
def test_built_in_data_are_always_there(name: str, tmp_path: Path) -> None:
    status = dataset_status(name, tmp_path / "nowhere")
    assert (status.found, status.kind, status.where) == (True, "built-in", ())
    assert source(name).locate(tmp_path) is None


def test_status_needs_neither_torch_nor_time(tmp_path: Path) -> None:
    code = """
import dataclasses, json, sys
from cllab.data.where import dataset_status, names, source
from cllab.settings.spec import fields_of
seen = {name: (dataset_status(name).found, len(fields_of(source(name).Config))) for name in names()}
print(json.dumps([seen, sorted({"torch", "torchvision", "sklearn"} & set(sys.modules))]))
"""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "CLLAB_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    seen, heavy = json.loads(done.stdout)
    assert heavy == []
    assert seen["mnist"] == [False, 0]
    assert seen["imagefolder"] == [False, 3]
    assert seen["digits"] == [True, 0]


def test_a_status_is_plain_data(tmp_path: Path) -> None:
    assert dataclasses.asdict(dataset_status("kmnist", tmp_path))["name"] == "kmnist"
