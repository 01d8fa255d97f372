"""CIFAR's python archives, read without running what a pickle may contain.

A pickle is a program. The official files build one dictionary of byte strings, numbers and a NumPy array; the unpickler
here knows the three names that needs, and even these stand for inert shells: NumPy itself is never called by the file.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cllab.data._decode import Pixels
from cllab.errors import DataError


class _Type:
    """Stands for `numpy.dtype`; remembers which."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        """Byte order and the like do not matter for bytes."""


class _Array:
    """Stands for `numpy.ndarray`; remembers shape, type and bytes."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def pixels(self) -> Pixels:
        """The array.

        Raises:
            ValueError: when it is not a plain array of bytes.
        """
        _, shape, kind, fortran, data = self.state
        if not isinstance(kind, _Type) or kind.code != "u1" or not isinstance(data, bytes):
            raise ValueError("not an array of bytes")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """How Python 3 writes bytes into the old pickle format."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("unexpected text")
    return text.encode("latin1")


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which image data do not need")
        return _KNOWN[module, name]


@dataclass(frozen=True)
class Batch:
    """Pixels (N, 3, 32, 32) uint8 and labels (N,) int64 of one file."""

    pixels: Pixels
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]


def read_batch(path: Path, label_key: str, n_classes: int) -> Batch:
    """One file of CIFAR's python version.

    Args:
        path: the file.
        label_key: "labels" in CIFAR-10, "fine_labels" in CIFAR-100.
        n_classes: labels are below this.

    Raises:
        DataError: for a file that cannot be read or holds anything else.
    """
    try:
        with open(path, "rb") as file:
            raw = _Unpickler(file, encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    # a damaged pickle fails in whatever way its bytes happen to mean
    except Exception as error:
        raise DataError(f"{path}: damaged or not a CIFAR file ({error})") from error
    try:
        table = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in raw.items()}
        pixels = table["data"].pixels()
        labels = np.array(table[label_key], np.int64)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a CIFAR file: it has no usable 'data' and '{label_key}'") from error
    if pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{path}: images must be rows of 3072 bytes, found an array of shape {pixels.shape}")
    if labels.shape != (len(pixels),):
        raise DataError(f"{path}: {len(pixels):,} images but {labels.size:,} labels")
    if len(labels) and not (labels.min() >= 0 and labels.max() < n_classes):
        raise DataError(f"{path}: labels must be 0 to {n_classes - 1}, found {labels.min()} to {labels.max()}")
    return Batch(pixels.reshape(-1, 3, 32, 32), labels)
