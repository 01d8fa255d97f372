"""The cache: decoded once, all or nothing, never stale."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
from data_samples import Toy, save_png, write_numbered

from cllab.data import _cache, _decode
from cllab.data._decode import BadImageError, Rule, decode_all, decode_chunk, decode_file
from cllab.data.mnist import MNIST
from cllab.data.where import dataset_status
from cllab.errors import DataError
from tests.forked import forked


@pytest.fixture
def toy() -> Toy:
    return Toy((1, 28, 28), 10, 60, 20)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy: Toy) -> Path:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(MNIST, "info", replace(MNIST.info, n_train=60, n_test=20))
    return write_numbered(tmp_path / "data" / "mnist", toy)


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "data").iterdir())


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("decoded again")

    monkeypatch.setattr(_decode, "decode_file", refuse)


def test_the_second_start_decodes_nothing(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    one = MNIST.open(None, tmp_path / "data")
    poison(monkeypatch)
    two = MNIST.open(None, tmp_path / "data")
    np.testing.assert_array_equal(two.train.fetch(slice(None)).numpy(), toy.pixels["train"])
    assert two.files == one.files
    assert two.classes == one.classes
    assert len(cached(tmp_path)) == 1
    os.utime(next((tmp_path / "data" / "mnist" / "train").glob("*/0.png")), ns=(1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        MNIST.open(None, tmp_path / "data")


def test_a_moved_folder_is_still_cached(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    MNIST.open(None, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    poison(monkeypatch)
    data = MNIST.open(None, tmp_path / "elsewhere")
    np.testing.assert_array_equal(data.test.fetch(slice(None)).numpy(), toy.pixels["test"])


def test_the_cache_is_mapped_and_cannot_be_changed_through_it(tmp_path: Path) -> None:
    MNIST.open(None, tmp_path / "data")
    (path,) = cached(tmp_path)
    before = path.read_bytes()
    content = _cache.load("mnist", path.name.split(".")[2])
    assert content is not None
    assert isinstance(content.train.pixels, np.memmap)
    data = MNIST.open(None, tmp_path / "data")
    data.train.images.pixels.fill_(7)  # type: ignore[attr-defined]
    assert path.read_bytes() == before


def test_a_changed_image_is_decoded_again_and_the_old_cache_dropped(tmp_path: Path, folder: Path, toy: Toy) -> None:
    MNIST.open(None, tmp_path / "data")
    (old,) = cached(tmp_path)
    path = next((folder / "train").glob("*/3.png"))
    save_png(path, 255 - toy.pixels["train"][3])
    data = MNIST.open(None, tmp_path / "data")
    np.testing.assert_array_equal(data.train.fetch(slice(3, 4))[0].numpy(), 255 - toy.pixels["train"][3])
    (new,) = cached(tmp_path)
    assert new != old


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:30], lambda b: b"", lambda b: b"x" + b[1:]])
def test_a_damaged_cache_is_made_again(tmp_path: Path, toy: Toy, damage) -> None:
    MNIST.open(None, tmp_path / "data")
    (path,) = cached(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(whole))
    data = MNIST.open(None, tmp_path / "data")
    np.testing.assert_array_equal(data.train.fetch(slice(None)).numpy(), toy.pixels["train"])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_give_what_pillow_gives(
    tmp_path: Path, folder: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(_decode, "FEW", 0)
    names = [f"train/{k}/{i}.png" for i, k in enumerate(toy.labels["train"])]
    out = tmp_path / "out"
    out.write_bytes(bytes(5 + 60 * 784))
    seen: list[int] = []
    decode_all(folder, names, Rule("L", 28, 28), out, 5, seen.append, processes=processes)
    np.testing.assert_array_equal(np.frombuffer(out.read_bytes()[5:], np.uint8), toy.pixels["train"].ravel())
    assert seen[-1] == 60
    assert seen == sorted(seen)


def test_a_bad_image_in_another_process_is_named_and_nothing_stays(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_decode, "FEW", 0)
    monkeypatch.setattr(_decode, "available_cores", lambda: 2)
    path = next((folder / "train").glob("*/50.png"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=str(path)):
        MNIST.open(None, tmp_path / "data")
    assert cached(tmp_path) == []


def test_a_lost_process_is_an_error_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decode, "FEW", 0)
    monkeypatch.setattr(_decode, "available_cores", lambda: 2)
    monkeypatch.setattr(_decode, "__file__", str(tmp_path / "no such script.py"))
    with pytest.raises(DataError, match="a decoding process ended early"):
        MNIST.open(None, tmp_path / "data")
    assert cached(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("few", [0, 10_000])
def test_an_interrupted_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], few: int
) -> None:
    monkeypatch.setattr(_decode, "FEW", few)
    monkeypatch.setattr(_decode, "available_cores", lambda: 2)

    def interrupt(what: str, done: int, total: int) -> None:
        assert (what, total) == ("decoding mnist", 80)
        if done >= 60:
            assert [p.suffix for p in cached(tmp_path)] == [".part"]
            raise error

    with pytest.raises(error):
        MNIST.open(None, tmp_path / "data", progress=interrupt)
    assert cached(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_what_a_killed_process_left_is_swept(tmp_path: Path, toy: Toy) -> None:
    def read(out: TextIO) -> None:
        def wait(what: str, done: int, total: int) -> None:
            print(done, file=out)
            time.sleep(60)

        MNIST.open(None, tmp_path / "data", progress=wait)

    child, said = forked(read)
    assert said.readline().strip().isdigit()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [p.suffix for p in cached(tmp_path)] == [".part"]
    assert dataset_status("mnist", tmp_path / "data").cached is False
    data = MNIST.open(None, tmp_path / "data")
    np.testing.assert_array_equal(data.train.fetch(slice(None)).numpy(), toy.pixels["train"])
    assert [p.suffix for p in cached(tmp_path)] == [".data"]


def test_two_starts_at_once_both_succeed(tmp_path: Path, toy: Toy) -> None:
    other: list[object] = []

    def meanwhile(what: str, done: int, total: int) -> None:
        if not other:
            other.append(None)
            other.append(MNIST.open(None, tmp_path / "data"))

    data = MNIST.open(None, tmp_path / "data", progress=meanwhile)
    for each in (data, other[1]):
        np.testing.assert_array_equal(each.train.fetch(slice(None)).numpy(), toy.pixels["train"])  # type: ignore[attr-defined]
    assert len(cached(tmp_path)) == 1


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_cache, "_put", full)
    with pytest.raises(DataError, match=r"No space left.*CLLAB_CACHE"):
        MNIST.open(None, tmp_path / "data")
    assert cached(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write the data cache.*CLLAB_CACHE"):
        MNIST.open(None, tmp_path / "data")


def test_no_flipped_bit_passes(tmp_path: Path, toy: Toy) -> None:
    """Pillow alone lets some through: it does not look at the checksum of the pixel data."""
    path = tmp_path / "one.png"
    small = np.repeat(toy.pixels["train"][0][:, :7, :7], 4, axis=2)
    save_png(path, small)
    rule = Rule("L", 28, 7)
    np.testing.assert_array_equal(decode_chunk([str(path)], rule)[0], small)
    whole = path.read_bytes()
    for i in range(len(whole)):
        for bit in (0, 4, 7):
            flipped = bytearray(whole)
            flipped[i] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(BadImageError):
                decode_file(str(path), rule)
        path.write_bytes(whole[:i])
        with pytest.raises(BadImageError):
            decode_file(str(path), rule)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r"gone\.png: No such file"):
        decode_file(str(tmp_path / "gone.png"), Rule("L", 28, 28))


def test_stale_parts_of_living_processes_stay(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "data"
    folder.mkdir(parents=True)
    mine, dead = folder / f".{os.getpid()}-x.part", folder / ".999999999-x.part"
    mine.touch()
    dead.touch()
    _cache._sweep(folder)
    assert mine.exists()
    assert not dead.exists()
