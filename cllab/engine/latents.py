"""Latents in the place of images: what a frozen front says of every image, computed once.

The stream of a run is the same then, task by task and sample by sample, but what is fetched of it enters the network
behind the front. Nothing else knows of it: methods, policies and the evaluation work with whatever a split holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from cllab.data.base import Images, SeenImages, Split, Stream, TensorImages
from cllab.errors import UsageError
from cllab.io.output import size
from cllab.learner.passes import Passes
from cllab.settings.sizes import machine_bytes

Encode = Callable[[Tensor], Tensor]
"""(B, C, H, W) uint8 images to (B, ...) float latents."""


class Latents:
    """The latents of all images of a store, empty until they are `taken`.

    Args:
        images: what they are computed from.
        shape: of one latent.
        dtype: in which they are kept.
        device: where they are kept.
    """

    def __init__(self, images: Images, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.images = images
        self._kept = TensorImages(torch.empty(0, *shape, dtype=dtype, device=device))
        self._shape, self._dtype, self._device = shape, dtype, device

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def nbytes(self) -> int:
        return len(self) * self._dtype.itemsize * torch.Size(self._shape).numel()

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, index: Tensor) -> Tensor:
        """Latents `index` (B,) long, (B, *shape)."""
        return self._kept.fetch(index)

    def prefetch(self, index: Tensor) -> None:
        """Nothing to do: they are there."""

    @torch.inference_mode()
    def take(self, encode: Encode, bulk: int, passes: Passes) -> None:
        """Compute them all, `bulk` images at a time."""
        kept = torch.empty(len(self), *self._shape, dtype=self._dtype, device=self._device)
        parts = torch.split(torch.arange(len(self), device=self._device), bulk)
        for i, part in enumerate(parts):
            if i + 1 < len(parts):
                self.images.prefetch(parts[i + 1])
            kept[i * bulk : i * bulk + len(part)] = encode(self.images.fetch(part)).to(self._dtype)
            passes.worked(len(part))
        with torch.inference_mode(False):
            self._kept = TensorImages(kept.clone() if kept.is_inference() else kept)


class LatentStream:
    """A stream whose tasks hold latents, and the stores behind them.

    Images that many tasks share are stored, and encoded, once; a task that sees them through a transform of its own
    (rotated, permuted) has latents of its own.

    Raises:
        UsageError: when they need more memory than the machine has.
    """

    def __init__(self, stream: Stream, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._of: dict[int, Latents] = {}
        self._shape, self._dtype, self._device = shape, dtype, device
        tasks = tuple(replace(t, train=self._split(t.train), test=self._split(t.test)) for t in stream.tasks)
        apart = tuple(replace(t, split=self._split(t.split)) for t in stream.apart)
        self.stream = replace(stream, tasks=tasks, apart=apart)
        self.stores = list(dict.fromkeys(self._stores()))
        limit = machine_bytes() if device.type == "cpu" else torch.cuda.mem_get_info(device)[1]
        if limit and self.nbytes > limit:
            raise UsageError(
                f"model.cut: latents of {_told(shape)} need {size(self.nbytes)}; this machine has {size(limit)}; cut "
                "further behind, or set model.latents = 'fresh'"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of all latents."""
        return sum(store.nbytes for store in self.stores)

    def take(self, encode: Encode, bulk: int, passes: Passes) -> None:
        """Compute all latents, as one pass."""
        with passes.work("latents", sum(map(len, self.stores))):
            for store in self.stores:
                store.take(encode, bulk, passes)

    def _split(self, split: Split) -> Split:
        if split.transform is not None:
            seen = Latents(SeenImages(split), self._shape, self._dtype, self._device)
            index = torch.arange(len(split), device=split.device)
            return replace(split, images=seen, index=index, ids=split.sample_ids(), transform=None)
        store = self._of.get(id(split.images))
        if store is None:
            store = self._of[id(split.images)] = Latents(split.images, self._shape, self._dtype, self._device)
        return replace(split, images=store, ids=split.sample_ids())

    def _stores(self) -> Iterator[Latents]:
        splits = [s for task in self.stream.tasks for s in (task.train, task.test)]
        for split in (*splits, *(test.split for test in self.stream.apart)):
            assert isinstance(split.images, Latents)
            yield split.images


def _told(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
