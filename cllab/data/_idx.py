"""IDX files, the format of MNIST: a magic number, the sizes of the dimensions, the bytes. Gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from cllab.data._decode import Pixels
from cllab.errors import DataError

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dimensions: int) -> Pixels:
    """The array in `path`.

    Args:
        path: the file; whether it is compressed is seen from its first bytes.
        dimensions: how many the array must have: 1 for labels, 3 for images.

    Raises:
        DataError: for a file that cannot be read, is no IDX file of bytes, or is too short or too long.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP):
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged or truncated gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    head = 4 + 4 * dimensions
    expected = (_UNSIGNED_BYTE << 8) + dimensions
    if len(data) >= 4:
        (magic,) = struct.unpack_from(">I", data)
        if magic != expected:
            kind = {1: "labels", 3: "images"}[dimensions]
            raise DataError(f"{path}: not an IDX file of {kind}: magic number {magic:#010x}, not {expected:#010x}")
    if len(data) < head:
        raise DataError(f"{path}: the file is truncated ({len(data)} bytes)")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    size = head + math.prod(shape)
    if len(data) != size:
        state = "truncated" if len(data) < size else "too long"
        raise DataError(f"{path}: the file is {state}: {len(data):,} bytes where its header promises {size:,}")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
