"""Latents on disk: what a pretrained front says of a dataset's images, computed once for every run, seed and method.

A file each, memory-mapped ever after, beside what it is in JSON. Its name is a digest of all that the numbers hang on:
the images, how the network wants them, the front's weights and layout, the precision. So what changed is not found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cllab.data.base import Images
from cllab.io.files import write_atomically
from cllab.learner.passes import Passes
from cllab.settings.catalog import cache_folder

if sys.platform != "win32":
    import fcntl

DIGESTED = 1 << 31
"""Bytes of images that a digest is made of at most; of more, rows at even distances."""
WAIT_SECONDS = 0.2


def folder() -> Path:
    """Where they lie."""
    return cache_folder() / "latents"


def digest_of(images: Images) -> bytes:
    """A digest of the images themselves: the same data under another name or in another place has the same."""
    found = hashlib.blake2b(digest_size=16)
    found.update(repr((len(images), images.shape)).encode())
    n = len(images)
    per_image = max(1, images.nbytes // max(1, n))
    rows = torch.arange(n)[:: max(1, -(-images.nbytes // DIGESTED))]
    for part in torch.split(rows, max(1, (1 << 24) // per_image)):
        found.update(images.fetch(part).cpu().contiguous().numpy().data)
    return found.digest()


def digest_of_front(front: nn.Module) -> bytes:
    """A digest of its layout and its weights."""
    found = hashlib.blake2b(repr(front).encode(), digest_size=16)
    for name, value in sorted(front.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.digest()


class LatentCache:
    """The files of one front.

    Args:
        front: the parts below the cut.
        seen: how the network wants its images, as text.
        told: what a listing says of the files (dataset, model, cut, weights).
        splits: by the identity of a store, what it holds ("train", "test").
    """

    def __init__(self, front: nn.Module, seen: str, told: Mapping[str, str], splits: Mapping[int, str]) -> None:
        self._key = digest_of_front(front) + seen.encode()
        self._told, self._splits = told, splits

    def path(self, images: Images, dtype: torch.dtype) -> Path:
        """The file of the latents of `images`."""
        name = hashlib.blake2b(self._key + digest_of(images) + str(dtype).encode(), digest_size=12).hexdigest()
        return folder() / f"{name}.npy"

    @contextlib.contextmanager
    def writing(self, path: Path, images: Images, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[Tensor]:
        """A tensor on disk to be filled, which is the file's when it is left without an error.

        Raises:
            OSError: when there is no room.
        """
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            array = np.lib.format.open_memmap(part, "w+", _NUMPY[dtype], shape)
            with part.open("r+b") as file:  # else a full disk ends the process when a page is written
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
            yield torch.from_numpy(array)
            array.flush()
            del array
            split = self._splits.get(id(images), "")
            about = {
                **self._told,
                "split": split,
                "shape": list(shape),
                "dtype": str(dtype).removeprefix("torch."),
                "at": time.time(),
            }
            write_atomically(path.with_suffix(".json"), json.dumps(about).encode())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


_NUMPY = {torch.float16: np.float16, torch.float32: np.float32}


def opened(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    """The latents in `path`, mapped; None where they are not there or not whole."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != _NUMPY[dtype]:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it cannot be written to, which nobody does
        return torch.from_numpy(array)


@contextlib.contextmanager
def alone(path: Path, passes: Passes) -> Iterator[None]:
    """Inside, no other process makes the file `path`; whoever comes second waits, and can be stopped meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("wb") as file:
        while sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(WAIT_SECONDS)
                passes.look_around()
        yield
