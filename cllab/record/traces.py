"""What a method published about a traced step, read from the run folder without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cllab.errors import DataError
from cllab.io.files import open_regular
from cllab.text import clean, cleaned

KINDS = ("pictures", "vector", "matrix", "tensor")


@dataclass(frozen=True)
class Trace:
    """The arrays of one step, in the order in which they were published.

    Attributes:
        arrays: by name; pictures are uint8 (N, C, h, w) with C 1 or 3, everything else is float32.
        kinds: by name: "pictures", "vector" (n,), "matrix" (n, m) or "tensor".
    """

    arrays: dict[str, NDArray[Any]]
    kinds: dict[str, str]


def read(path: Path) -> Trace:
    """The trace file at `path`: the run folder and `Traced.file` joined.

    Raises:
        DataError: when the file is missing, torn or not a trace.
    """
    try:
        with open_regular(path) as whole, np.load(whole, allow_pickle=False) as file:
            kinds = json.loads(str(file["kinds"][()]))
            if not isinstance(kinds, dict):
                raise ValueError("its kinds are not a table")
            # the names are a method's own, and go onto the screen
            arrays = {clean(name): file[name] for name in kinds}
            kinds = cleaned(kinds)
    except FileNotFoundError:
        raise DataError(
            f"{path}: the trace is missing; it was deleted, or the run folder was copied without it"
        ) from None
    except Exception as error:  # of a torn archive, zipfile and NumPy raise a dozen kinds
        raise DataError(f"{path}: not a trace, or torn ({type(error).__name__})") from None
    for name, array in arrays.items():
        if not _fits(array, kinds[name]):
            raise DataError(f"{path}: '{name}' is not what it says: {kinds[name]}, {array.dtype} {array.shape}")
    return Trace(arrays, kinds)


def _fits(array: NDArray[Any], kind: object) -> bool:
    if kind == "pictures":
        return array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3)
    return (
        array.dtype == np.float32
        and kind in KINDS
        and array.ndim == {"vector": 1, "matrix": 2}.get(str(kind), array.ndim)
    )
