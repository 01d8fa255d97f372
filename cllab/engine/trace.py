"""What a method published about a step, divided into numbers for the record and arrays for a file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cllab.engine.snapshot import thumbnails
from cllab.io.files import write_atomically

MAX_PICTURES = 64


def write(values: Mapping[str, Tensor], step: int, folder: Path | None) -> tuple[dict[str, float | None], str]:
    """The numbers among `values` in their order, and the file, relative to the run folder, that holds the arrays.

    A file of an earlier process, which went on further than its last checkpoint, is overwritten. Without a folder, or
    without arrays, there is no file and its name is empty. Reads the device.
    """
    scalars: dict[str, float | None] = {name: float(v) for name, v in values.items() if v.dim() == 0}
    arrays = {name: _array(v) for name, v in values.items() if v.dim()}
    if folder is None or not arrays:
        return scalars, ""
    folder.mkdir(exist_ok=True)
    name = f"step_{step:07d}.npz"
    write_atomically(folder / name, _packed(arrays))
    return scalars, f"{folder.name}/{name}"


def kind(array: np.ndarray) -> str:
    """How an array is best looked at."""
    if array.dtype == np.uint8:
        return "pictures"
    return {1: "vector", 2: "matrix"}.get(array.ndim, "tensor")


def _array(value: Tensor) -> np.ndarray:
    """The value as it is stored: raw images (N, C, H, W) uint8 as at most 64 thumbnails, all else as float32."""
    if value.dtype == torch.uint8 and value.dim() == 4 and value.shape[1] in (1, 3):
        return thumbnails(value[:MAX_PICTURES]).cpu().numpy()
    return value.float().cpu().numpy()


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz file; unlike `numpy.savez` it leaves every name but "kinds" to the arrays."""
    if "kinds" in arrays:
        raise ValueError("a method cannot publish an array under the name 'kinds'")
    kinds = np.array(json.dumps({name: kind(array) for name, array in arrays.items()}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in {**arrays, "kinds": kinds}.items():
            with file.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()
