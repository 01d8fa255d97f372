"""What happens to a training batch between the raw pixels and the model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.data.augment import basic, policy
from cllab.errors import UsageError, nearest

_FUNCTIONS: Final[dict[str, Callable[[Tensor, torch.Generator], Tensor]]] = {
    "crop": basic.random_crop,
    "flip": basic.random_flip,
    "cutout": basic.cutout,
    "randaugment": policy.rand_augment,
    "autoaugment": policy.auto_augment,
}

SAMPLE_AUGMENT: Final = tuple(_FUNCTIONS)
"""Augmentations of single samples, in the order in which they are applied."""

BATCH_AUGMENT: Final = ("cutmix",)
"""Augmentations that mix the samples of a batch, and their labels; the training loop applies them."""


class Augment:
    """The named augmentations, always in the order crop, flip, cutout, randaugment, autoaugment.

    Names from BATCH_AUGMENT are accepted, because a preset lists them together, and left to the training loop.
    The policies cost some hundred microseconds per call however small the batch is: with batches of 8 or 16, augment
    several of them in one call and split the result.
    """

    def __init__(self, names: Sequence[str]) -> None:
        known = (*SAMPLE_AUGMENT, *BATCH_AUGMENT)
        for name in names:
            if name not in known:
                allowed = ", ".join(known)
                raise UsageError(f"no augmentation '{name}'; allowed are {allowed}{nearest(name, known)}")
        self.names = tuple(name for name in SAMPLE_AUGMENT if name in names)

    def __call__(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Raw images (B, C, H, W) uint8 to augmented ones; what is no image, latents in floats, stays what it is.

        A CPU generator gives the same draws on every device and lets the host run ahead of the device.
        """
        if not len(raw) or raw.dtype != torch.uint8:
            return raw
        for name in self.names:
            raw = _FUNCTIONS[name](raw, generator)
        return raw

    def __repr__(self) -> str:
        return f"Augment({list(self.names)})"


@dataclass(frozen=True)
class Input:
    """How a network wants its images.

    Attributes:
        mean, std: C numbers, or one for all channels.
        size: the side that images are resized to; 0 for their own.
        channels: 3 where one grey channel is to become three; 0 for their own.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int = 0
    channels: int = 0

    def __call__(self, raw: Tensor) -> Tensor:
        """(B, C, H, W) uint8 to (B, C', H', W') float32: resized, repeated, normalized, on the device they are on."""
        if self.size and raw.shape[-2:] != (self.size, self.size):
            raw = resized(raw, self.size)
        if self.channels and raw.shape[1] != self.channels:
            raw = raw.expand(-1, self.channels, -1, -1)
        return normalize(raw, self.mean, self.std)

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Of one image of `shape` (C, H, W), what the network is shown."""
        c, h, w = shape
        return self.channels or c, self.size or h, self.size or w


def resized(raw: Tensor, size: int) -> Tensor:
    """(B, C, H, W) uint8 to (B, C, size, size) uint8: bicubic as in Pillow (a = -0.5, antialiased), any aspect."""
    if raw.device.type == "cpu":  # torch has that for bytes, as fast as Pillow's own, for channels that lie together
        near = raw.contiguous(memory_format=torch.channels_last)
        out = F.interpolate(near, (size, size), mode="bicubic", antialias=True)
        return out.contiguous()
    out = F.interpolate(raw.float(), (size, size), mode="bicubic", antialias=True)
    return out.round_().clamp_(0, 255).to(torch.uint8)


def normalize(raw: Tensor, mean: Sequence[float], std: Sequence[float], out: Tensor | None = None) -> Tensor:
    """(raw / 255 - mean) / std per channel, as one multiplication and one addition.

    Args:
        raw: (B, C, H, W) uint8.
        mean: C numbers, or one for all channels.
        std: C numbers, or one for all channels.
        out: (B, C, H, W) float32 to write into, for example the static input of a CUDA graph.

    Returns:
        (B, C, H, W) float32: `out` if given.
    """
    channels = raw.shape[1]
    if not {len(mean), len(std)} <= {1, channels}:
        raise UsageError(f"normalize: {len(mean)} means and {len(std)} deviations for {channels} channels")
    result = torch.empty(raw.shape, dtype=torch.float32, device=raw.device) if out is None else out
    # On the CPU a mixed-type operation would convert a copy of its own, so the conversion is done in place of it.
    source = result.copy_(raw) if raw.device.type == "cpu" else raw
    groups = _affine(channels, tuple(mean), tuple(std))
    if len(groups) == 1:
        _, offset, scale = groups[0]
        return torch.add(offset, source, alpha=scale, out=result)
    for part, offset, scale in groups:
        torch.add(offset, source[:, part], alpha=scale, out=result[:, part])
    return result


@functools.lru_cache(maxsize=64)
def _affine(channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> list[tuple[slice, Tensor, float]]:
    """Channels, what is added to them and what they are multiplied with; one group where all channels are alike.

    Numbers of the host, not tensors of the device: nothing to transfer, and a CUDA graph can record it.
    """
    pairs = [(float(mean[c % len(mean)]), float(std[c % len(std)])) for c in range(channels)]
    groups = [(slice(None), pairs[0])] if len(set(pairs)) == 1 else [(slice(c, c + 1), p) for c, p in enumerate(pairs)]
    with torch.inference_mode(False):
        return [(part, torch.tensor(-m / s), 1 / (255 * s)) for part, (m, s) in groups]
