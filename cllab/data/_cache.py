"""Decoded datasets on disk: one file each, written whole, memory-mapped ever after.

Layout: a magic line, the length of the header, a JSON header (classes, file names, and for each array its dtype, shape
and offset), then the arrays, each at a multiple of 64 bytes. The file's name holds the key of the source's content, so
a source that changed is simply not found.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cllab.data._decode import BadImageError, Pixels, Rule, decode_all
from cllab.data.where import cache_folder
from cllab.errors import DataError

VERSION = 1
_MAGIC = b"cllab data\n"
_LENGTH = struct.Struct("<Q")
_ALIGN = 64
_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
SPLITS = ("train", "test")

Labels = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Files:
    """Images that still lie in files.

    Attributes:
        folder: what the names are relative to.
        names: one a sample, in sample order, with forward slashes.
        rule: what every image must be, or is made into.
    """

    folder: Path
    names: Sequence[str]
    rule: Rule

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self.names), *self.rule.shape)


@dataclass(frozen=True)
class Half:
    """A split as it was read: pixels (N, C, H, W) uint8 or the files to decode, and labels (N,) int64."""

    pixels: Pixels | Files
    labels: Labels

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded pixels."""
        return math.prod(self.pixels.shape)


@dataclass(frozen=True)
class Content:
    """A dataset as it was read.

    Attributes:
        classes: names, in label order.
        train: the training split.
        test: the test split.
        files: names of both splits' samples relative to the dataset's folder, where it has such.
    """

    classes: tuple[str, ...]
    train: Half
    test: Half
    files: tuple[Sequence[str], Sequence[str]] | None = None

    @property
    def halves(self) -> tuple[Half, Half]:
        """Train and test."""
        return self.train, self.test


def content_key(*parts: str) -> str:
    """A key for data made of `parts`, of this version of the format."""
    return hashlib.blake2b(
        "\0".join((str(VERSION), *parts)).encode("utf-8", "surrogateescape"), digest_size=16
    ).hexdigest()


def find(name: str, key: str) -> Path | None:
    """The cache file of this content, wherever the source lay when it was decoded."""
    return next(iter(sorted(_folder().glob(f"{name}.*.{key}.data"))), None)


def load(name: str, key: str) -> Content | None:
    """The cached content, memory-mapped; None where there is none or it is not readable."""
    path = find(name, key)
    if path is None:
        return None
    try:
        return _map(path)
    # a file that another program shortened or overwrote is as good as none: it is decoded again
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def store(name: str, key: str, origin: str, content: Content, progress: Progress) -> Content:
    """Decode `content` into the cache and map it; earlier contents of the same `origin` are dropped.

    Raises:
        DataError: for an image that cannot be decoded or a cache that cannot be written; nothing is left behind.
    """
    folder = _folder()
    mark = content_key(origin)[:12]
    target = folder / f"{name}.{mark}.{key}.data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with _temporary(folder) as part:
            _write(part, name, content, progress)
            os.replace(part, target)
    except (BadImageError, ChildProcessError) as error:
        raise DataError(f"{name}: {error}") from error
    except OSError as error:
        needed = sum(half.nbytes for half in content.halves) / 2**20
        full = error.errno in _NO_ROOM
        hint = f"{needed:.0f} MiB are needed; set CLLAB_CACHE to a folder with room" if full else "set CLLAB_CACHE"
        reason = f"{error.strerror or error}; {hint}"
        raise DataError(f"{name}: cannot write the data cache in {folder}: {reason}") from error
    for old in folder.glob(f"{name}.{mark}.*.data"):
        if old != target:
            # on Windows a file that another process has mapped cannot be removed: it goes next time
            with contextlib.suppress(OSError):
                old.unlink()
    return _map(target)


def _folder() -> Path:
    return cache_folder() / "data"


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=f".{os.getpid()}-", suffix=".part", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed while decoding have left."""
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            owner = path.name[1:].split("-", 1)[0]
            if os.name == "posix" and owner.isdigit():
                gone = not _is_alive(int(owner))
            else:
                gone = time.time() - path.stat().st_mtime > 86_400
            if gone:
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(path: Path, name: str, content: Content, progress: Progress) -> None:
    arrays: dict[str, dict[str, Any]] = {}
    end = 0
    for split, half in zip(SPLITS, content.halves, strict=True):
        for column, dtype, shape in (("pixels", "|u1", half.pixels.shape), ("labels", "<i8", half.labels.shape)):
            arrays[f"{split}_{column}"] = {"dtype": dtype, "shape": list(shape), "offset": end}
            end = _aligned(end + math.prod(shape) * np.dtype(dtype).itemsize)
    header = {
        "version": VERSION,
        "classes": content.classes,
        "files": None if content.files is None else [list(names) for names in content.files],
        "arrays": arrays,
        "bytes": end,
    }
    text = json.dumps(header).encode()
    start = _aligned(len(_MAGIC) + _LENGTH.size + len(text))
    with open(path, "r+b") as file:
        file.write(_MAGIC + _LENGTH.pack(len(text)) + text)
        file.truncate(start + end)
    total = sum(len(half.labels) for half in content.halves)
    before = 0
    for split, half in zip(SPLITS, content.halves, strict=True):
        offset = start + arrays[f"{split}_pixels"]["offset"]
        if isinstance(half.pixels, Files):

            def report(done: int, before: int = before) -> None:
                progress(f"decoding {name}", before + done, total)

            decode_all(half.pixels.folder, half.pixels.names, half.pixels.rule, path, offset, report)
        else:
            _put(path, offset, half.pixels.astype("|u1", order="C", copy=False))
        _put(path, start + arrays[f"{split}_labels"]["offset"], half.labels.astype("<i8", order="C", copy=False))
        before += len(half.labels)
        progress(f"decoding {name}", before, total)
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _put(path: Path, offset: int, array: npt.NDArray[Any]) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(array.data)


def _aligned(position: int) -> int:
    return -(-position // _ALIGN) * _ALIGN


def _map(path: Path) -> Content:
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("not a cache file")
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        header = json.loads(file.read(length))
    start = _aligned(len(_MAGIC) + _LENGTH.size + length)
    if header["version"] != VERSION or path.stat().st_size != start + header["bytes"]:
        raise ValueError("another version, or shortened")

    def half(split: str) -> Half:
        # copy-on-write: torch wants memory that could be written, the file stays as it is
        pixels, labels = (
            np.memmap(path, spec["dtype"], "c", start + spec["offset"], tuple(spec["shape"]))
            for spec in (header["arrays"][f"{split}_{column}"] for column in ("pixels", "labels"))
        )
        return Half(pixels, labels.astype(np.int64))

    train, test = (half(split) for split in SPLITS)
    files = None if header["files"] is None else (header["files"][0], header["files"][1])
    return Content(tuple(header["classes"]), train, test, files)
