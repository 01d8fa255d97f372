"""Latents in the place of images: what a frozen front says of every image, computed once.

The stream of a run is the same then, task by task and sample by sample, but what is fetched of it enters the network
behind the front. Nothing else knows of it: methods, policies and the evaluation work with whatever a split holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cllab.data._images import HostImages
from cllab.data.base import Images, SeenImages, Split, Stream, TensorImages
from cllab.engine.latent_cache import LatentCache, alone, opened
from cllab.errors import UsageError
from cllab.io.output import size
from cllab.learner.passes import Passes
from cllab.settings.sizes import machine_bytes

DEVICE_SHARE = 0.5
"""Of the free memory of an accelerator, what latents may take; beyond it batches travel."""
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
        self._kept: Images = TensorImages(torch.empty(0, *shape, dtype=dtype, device=device))
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

    def keep(self, latents: Tensor) -> None:
        """Take `latents` (N, *shape), wherever they lie, as those of all images."""
        free = torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else 0
        if self._device.type == "cuda" and self.nbytes > DEVICE_SHARE * free:
            self._kept = HostImages(latents, self._device)
        else:
            self._kept = TensorImages(latents.to(self._device))

    def take(self, encode: Encode, bulk: int, passes: Passes) -> None:
        """Compute them all, `bulk` images at a time."""
        kept = torch.empty(len(self), *self._shape, dtype=self._dtype)
        self.fill(kept, encode, bulk, passes)
        self.keep(kept)

    @torch.no_grad()
    def fill(self, kept: Tensor, encode: Encode, bulk: int, passes: Passes) -> None:
        """Compute them all into `kept` (N, *shape), on the CPU, `bulk` images at a time."""
        parts = torch.split(torch.arange(len(self), device=self._device), bulk)
        for i, part in enumerate(parts):
            if i + 1 < len(parts):
                self.images.prefetch(parts[i + 1])
            kept[i * bulk : i * bulk + len(part)] = encode(self.images.fetch(part)).to(self._dtype)
            passes.worked(len(part))


class LatentStream:
    """A stream whose tasks hold latents, and the stores behind them.

    Images that many tasks share are stored, and encoded, once; a task that sees them through a transform of its own
    (rotated, permuted) has latents of its own.

    Args:
        cache: where they are kept on disk; None for in memory alone.

    Raises:
        UsageError: when they need more memory than the machine has.
    """

    def __init__(
        self,
        stream: Stream,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        cache: LatentCache | None = None,
    ) -> None:
        self._cache = cache
        self.unkept = ""
        self._of: dict[int, Latents] = {}
        self._shape, self._dtype, self._device = shape, dtype, device
        tasks = tuple(replace(t, train=self._split(t.train), test=self._split(t.test)) for t in stream.tasks)
        apart = tuple(replace(t, split=self._split(t.split)) for t in stream.apart)
        self.stream = replace(stream, tasks=tasks, apart=apart)
        self.stores = list(dict.fromkeys(self._stores()))
        limit = machine_bytes()
        if limit and cache is None and self.nbytes > limit:
            raise UsageError(
                f"model.cut: latents of {_told(shape)} need {size(self.nbytes)}; this machine has {size(limit)}; cut "
                "further behind, or set model.latents = 'fresh'"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of all latents."""
        return sum(store.nbytes for store in self.stores)

    def take(self, encode: Encode, bulk: int, passes: Passes) -> None:
        """Compute all latents, as one pass, but for those that lie in the cache.

        What cannot be written to it, on a disk that is full, is kept in memory alone; `unkept` says why then.
        """
        paths = {store: self._path(store) for store in self.stores}
        missing = [store for store, path in paths.items() if path is None or not path.exists()]
        with passes.work("latents", sum(map(len, missing))):
            for store, path in paths.items():
                if path is None or self._cache is None:
                    store.take(encode, bulk, passes)
                    continue
                shape = (len(store), *store.shape)
                try:
                    with alone(path, passes):
                        found = opened(path, shape, store.dtype)
                        if found is None:
                            with self._cache.writing(path, store.images, shape, store.dtype) as kept:
                                store.fill(kept, encode, bulk, passes)
                            found = opened(path, shape, store.dtype)
                except OSError as error:
                    self.unkept = f"latents are not kept in {path.parent}: {error.strerror or error}"
                    found = None
                if found is None:
                    store.take(encode, bulk, passes)
                else:
                    store.keep(found)

    def _path(self, store: Latents) -> Path | None:
        """Where the latents of a store are kept; those of one task's own view of its images are not."""
        if self._cache is None or isinstance(store.images, SeenImages):
            return None
        return self._cache.path(store.images, store.dtype)

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
