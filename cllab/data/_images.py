"""What was read as stores of images: on the device where they fit, in host memory, or decoded as they are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from cllab.data._cache import Content, Files, Half
from cllab.data._decode import BadImageError, Pixels, available_cores, decode_chunk
from cllab.data.base import Dataset, Images, Split, TensorImages
from cllab.data.info import DatasetInfo
from cllab.errors import DataError

_DEVICE_SHARE = 0.5
"""Share of the device's free memory that images may take; the rest is the model's."""
_WINDOW_BYTES = 256 << 20
"""Decoded images that a folder store keeps, read ahead or read before."""


class HostImages:
    """Images, or latents, in host memory, usually a memory map, that do not fit on the device: batches travel."""

    def __init__(self, pixels: Tensor, device: torch.device | str) -> None:
        self._pixels = pixels
        self.device = torch.device(device)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of every image."""
        return tuple(self._pixels.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """As they lie there."""
        return self._pixels.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that all of them take."""
        return self._pixels.numel() * self._pixels.element_size()

    def __len__(self) -> int:
        return len(self._pixels)

    def fetch(self, index: Tensor) -> Tensor:
        """Images `index` (B,) long, as (B, C, H, W) uint8 on the device; latents as they are."""
        out = _staging((len(index), *self.shape), self.device, self.dtype)
        torch.index_select(self._pixels, 0, index.cpu(), out=out)
        return out.to(self.device, non_blocking=True)

    def prefetch(self, index: Tensor) -> None:
        """Nothing to do: the pixels are there."""


class FolderImages:
    """Images that stay files: decoded in threads when they are read, or ahead of that when `prefetch` is told.

    Pillow gives up the interpreter lock while it decodes and resizes, so for photographs threads scale with cores. The
    images read or announced last are kept, up to `window_bytes`; that bounds the memory this store takes.
    """

    def __init__(
        self, files: Files, device: torch.device | str, *, window_bytes: int = _WINDOW_BYTES, threads: int | None = None
    ) -> None:
        self._files = files
        self.device = torch.device(device)
        self._item = int(np.prod(files.rule.shape))
        self._capacity = max(1, window_bytes // self._item)
        self._pool = ThreadPoolExecutor(threads or available_cores(), thread_name_prefix="decode")
        self._lock = threading.Lock()
        # by age of the last mention, oldest first
        self._window: OrderedDict[int, Future[Pixels]] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self._files.rule.shape

    @property
    def dtype(self) -> torch.dtype:
        """uint8, always."""
        return torch.uint8

    @property
    def nbytes(self) -> int:
        """Bytes that all images would take as uint8."""
        return len(self) * self._item

    @property
    def held_bytes(self) -> int:
        """Bytes of the images that are decoded or being decoded."""
        return len(self._window) * self._item

    def __len__(self) -> int:
        return len(self._files.names)

    def prefetch(self, index: Tensor) -> None:
        """Start decoding images `index` (B,) long; what does not fit the window is left for `fetch`.

        A hint: it changes no result. Give it the indices in the order in which they will be read.
        """
        with self._lock:
            for i in index.tolist()[: self._capacity]:
                self._ask(i)
            self._trim()

    def fetch(self, index: Tensor) -> Tensor:
        """Images `index` (B,) long, as (B, C, H, W) uint8 on the device.

        Raises:
            DataError: naming the file that cannot be decoded.
        """
        rows = index.tolist()
        with self._lock:
            wanted = [self._ask(i) for i in rows]
            self._trim()
        out = _staging((len(rows), *self.shape), self.device)
        target = out.numpy()
        try:
            for row, future in enumerate(wanted):
                target[row] = future.result()
        except BadImageError as error:
            raise DataError(str(error)) from error
        return out.to(self.device, non_blocking=True)

    def _ask(self, i: int) -> Future[Pixels]:
        future = self._window.get(i)
        if future is None:
            future = self._window[i] = self._pool.submit(self._decode, i)
        else:
            self._window.move_to_end(i)
        return future

    def _trim(self) -> None:
        while len(self._window) > self._capacity:
            # not cancelled: a batch that is being put together may wait for it
            self._window.popitem(last=False)

    def _decode(self, i: int) -> Pixels:
        image: Pixels = decode_chunk([str(self._files.folder / self._files.names[i])], self._files.rule)[0]
        return image


def to_dataset(name: str, info: DatasetInfo, content: Content, device: torch.device | str) -> Dataset:
    """`content` as two splits, their images on `device` where they fit."""
    target = torch.device(device)
    on_device = target.type == "cpu" or sum(half.nbytes for half in content.halves) <= _room(target)
    train, test = (_split(half, target, on_device) for half in content.halves)
    return Dataset(name, info, content.classes, train, test, content.files)


def _split(half: Half, device: torch.device, on_device: bool) -> Split:
    images: Images
    if isinstance(half.pixels, Files):
        images = FolderImages(half.pixels, device)
    else:
        pixels = torch.from_numpy(half.pixels)
        images = TensorImages(pixels.to(device)) if on_device else HostImages(pixels, device)
    labels = torch.from_numpy(half.labels).to(device)
    return Split(images, torch.arange(len(labels), device=device), labels)


def _room(device: torch.device) -> float:
    if device.type != "cuda":
        return float("inf")
    free, _ = torch.cuda.mem_get_info(device)
    return free * _DEVICE_SHARE


def _staging(shape: Sequence[int], device: torch.device, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Host memory for a batch; page-locked where that lets the copy overlap with the device's work."""
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=device.type == "cuda")
