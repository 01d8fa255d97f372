"""Downloads, from a server on this machine: complete or not at all."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision
from data_samples import IDX_NAMES, Toy, write_idx

from cllab.data.imagefolder import ImageFolder
from cllab.data.mnist import MNIST
from cllab.errors import DataError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def toy() -> Toy:
    return Toy((1, 28, 28), 10, 40, 20)


@pytest.fixture
def server(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror of toy MNIST; yields its folder."""
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(MNIST, "info", replace(MNIST.info, n_train=40, n_test=20))
    folder = write_idx(tmp_path / "mirror", toy, zipped=True)

    def handler(*arguments: object) -> Quiet:
        return Quiet(*arguments, directory=str(folder))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:  # type: ignore[arg-type]
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        theirs = torchvision.datasets.MNIST
        files = [f"{name}.gz" for pair in IDX_NAMES.values() for name in pair]
        sums = [(name, hashlib.md5((folder / name).read_bytes()).hexdigest()) for name in files]
        monkeypatch.setattr(theirs, "mirrors", [f"http://127.0.0.1:{running.server_address[1]}/"])
        monkeypatch.setattr(theirs, "resources", sums)
        yield folder
        running.shutdown()


def test_a_download_is_read_and_kept(tmp_path: Path, toy: Toy, server: Path) -> None:
    root = tmp_path / "new" / "data"
    seen: list[tuple[str, int, int]] = []
    data = MNIST.open(None, root, download=True, progress=lambda *now: seen.append(now))
    np.testing.assert_array_equal(data.train.fetch(slice(None)).numpy(), toy.pixels["train"])
    np.testing.assert_array_equal(data.test.labels.numpy(), toy.labels["test"])
    assert MNIST.locate(root) == root / "MNIST" / "raw"
    assert [p.name for p in root.iterdir()] == ["MNIST"]
    sizes = {path.stat().st_size for path in server.iterdir()}
    assert {total for what, _, total in seen if what == "downloading mnist"} == sizes
    assert ("decoding mnist", 60, 60) in seen
    # what is there is not fetched again
    for path in server.iterdir():
        path.unlink()
    MNIST.open(None, root, download=True)


def test_an_incomplete_folder_is_completed(tmp_path: Path, toy: Toy, server: Path) -> None:
    write_idx(tmp_path / "data" / "MNIST" / "raw", toy)
    (tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte is missing; `cllab data mnist --download`"):
        MNIST.open(None, tmp_path / "data")
    data = MNIST.open(None, tmp_path / "data", download=True)
    np.testing.assert_array_equal(data.test.labels.numpy(), toy.labels["test"])


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_failed_download_leaves_nothing(tmp_path: Path, server: Path, fault: str) -> None:
    last = server / "t10k-labels-idx1-ubyte.gz"
    if fault == "gone":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:-1] + b"x")
    root = tmp_path / "data"
    with pytest.raises(DataError, match="mnist: the download failed") as caught:
        MNIST.open(None, root, download=True, progress=lambda *_: None)
    assert "\n" not in str(caught.value)
    assert list(root.iterdir()) == []


def test_what_cannot_be_fetched_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to download"):
        ImageFolder.open(None, tmp_path, download=True)
