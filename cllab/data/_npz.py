"""Large NumPy files read where they lie, and lists of texts in pickles, without running what those may contain."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cllab.errors import DataError


def read_pixels(path: Path, name: str) -> npt.NDArray[np.uint8]:
    """The images of a .npy file, or of array `name` in a .npz that is not compressed: (N, H, W, C), memory-mapped.

    Raises:
        DataError: when it is something else.
        OSError: when it cannot be read.
    """
    with open(path, "rb") as file:
        if path.suffix == ".npz":
            file.seek(_member(path, file, f"{name}.npy"))
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, kind = read(file)
        except ValueError as error:
            raise DataError(f"{path}: not an array ({error})") from error
        offset = file.tell()
    if kind != np.uint8 or fortran or len(shape) != 4 or shape[3] != 3:
        raise DataError(f"{path}: expected images (N, H, W, 3) of uint8, found {shape} of {kind}")
    try:
        # copy-on-write: torch wants memory that could be written, the file stays as it is
        return np.memmap(path, np.uint8, "c", offset, shape)
    except ValueError as error:
        raise DataError(f"{path}: shorter than its {shape[0]:,} images") from error


def _member(path: Path, file: BinaryIO, name: str) -> int:
    """Where the contents of a file in an archive begin."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path}: holds no array '{name.removesuffix('.npy')}'") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: is compressed; unpack it into {name}: python -m zipfile -e {path.name} .")
    file.seek(info.header_offset + 26)
    lengths = int.from_bytes(file.read(2), "little"), int.from_bytes(file.read(2), "little")
    return info.header_offset + 30 + sum(lengths)


class _Plain(pickle.Unpickler):
    """Builds lists, texts and numbers, and nothing that has a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants {module}.{name}")


def read_texts(path: Path) -> list[str]:
    """A list of texts.

    Raises:
        DataError: when it is something else.
        OSError: when it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            found = _Plain(file).load()
    except OSError:
        raise
    except Exception as error:
        raise DataError(f"{path}: not a list of names ({error})") from error
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise DataError(f"{path}: not a list of names")
    return found
