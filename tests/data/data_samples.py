"""Small datasets in the layouts that users have, written on the fly."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class Toy:
    """Random images with every class in both splits, in no order."""

    def __init__(self, shape: tuple[int, int, int], n_classes: int, n_train: int, n_test: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.counts = {"train": n_train, "test": n_test}
        self.pixels = {s: random.integers(0, 256, (n, *shape), dtype=np.uint8) for s, n in self.counts.items()}
        self.labels = {s: random.permutation(np.arange(n) % n_classes) for s, n in self.counts.items()}


def save_png(path: Path, pixels: np.ndarray) -> None:
    """pixels: (C, H, W) uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(path)


def write_idx(folder: Path, toy: Toy, *, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in IDX_NAMES.items():
        n, _, h, w = toy.pixels[split].shape
        write_bytes(folder, images, struct.pack(">4I", 0x803, n, h, w) + toy.pixels[split].tobytes(), zipped)
        write_bytes(folder, labels, struct.pack(">2I", 0x801, n) + toy.labels[split].astype(np.uint8).tobytes(), zipped)
    return folder


def write_bytes(folder: Path, name: str, data: bytes, zipped: bool) -> None:
    if zipped:
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    else:
        (folder / name).write_bytes(data)


def write_numbered(folder: Path, toy: Toy, classes: Sequence[str] = tuple("0123456789")) -> Path:
    """Numbered over all classes, as MNIST's PNG folders are."""
    for split, pixels in toy.pixels.items():
        for i, (image, label) in enumerate(zip(pixels, toy.labels[split], strict=True)):
            save_png(folder / split / classes[label] / f"{i}.png", image)
    return folder


def write_by_class(folder: Path, toy: Toy, classes: Sequence[str], first: int = 0, digits: int = 4) -> Path:
    """Numbered inside each class, as CIFAR's PNG folders are."""
    for split, pixels in toy.pixels.items():
        seen = [first] * len(classes)
        for image, label in zip(pixels, toy.labels[split], strict=True):
            save_png(folder / split / classes[label] / f"{seen[label]:0{digits}d}.png", image)
            seen[label] += 1
    return folder


def python2_pickle(table: dict[str, object]) -> bytes:
    """A dictionary as Python 2 and NumPy 1 pickled it: strings are bytes. Values: uint8 arrays, lists of int, bytes."""
    out = bytearray(b"\x80\x02}(")

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(text)) + text

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    for key, value in table.items():
        out += string(key.encode())
        if isinstance(value, np.ndarray):
            out += (
                b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
                + integer(0)
                + b"\x85"
                + string(b"b")
                + b"tR"
            )
            shape = b"(" + b"".join(integer(n) for n in value.shape) + b"t"
            kind = b"cnumpy\ndtype\n(" + string(b"u1") + integer(0) + integer(1) + b"tR"
            kind += b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
            out += b"(" + integer(1) + shape + kind + b"\x89" + string(value.tobytes()) + b"tb"
        elif isinstance(value, bytes):
            out += string(value)
        else:
            out += b"](" + b"".join(integer(int(v)) for v in value) + b"e"
    return bytes(out + b"u.")


def write_cifar(folder: Path, toy: Toy, batches: dict[str, tuple[str, slice]], label_key: str) -> Path:
    """`batches`: file name to the split and the part of it that the file holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (split, part) in batches.items():
        pixels = toy.pixels[split][part]
        table = {
            "data": pixels.reshape(len(pixels), -1),
            label_key: toy.labels[split][part].tolist(),
            "batch_label": b"toy",
        }
        (folder / name).write_bytes(python2_pickle(table))
    return folder
