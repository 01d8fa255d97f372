"""Fixed rearrangements of pixels, the same for every image: turned images, and what tells permuted tasks apart."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class PixelMap:
    """Every pixel of the result is one pixel of the input, or black; the same in all channels of all images.

    Applied to whole batches where they are; the pixels of the dataset stay as they are stored.
    """

    def __init__(self, source: Tensor) -> None:
        """source: (H*W,) long, the flat input pixel behind every flat output pixel, -1 for black."""
        self.source = source.cpu()
        self._ready: dict[torch.device, tuple[Tensor, Tensor | None]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) uint8, likewise returned."""
        b, c, h, w = x.shape
        if h * w != len(self.source):
            raise ValueError(f"made for images of {len(self.source)} pixels, not {w}x{h}")
        if x.device not in self._ready:
            black = bool((self.source < 0).any())
            inside = (self.source >= 0).to(torch.uint8).to(x.device) if black else None
            self._ready[x.device] = (self.source.clamp(min=0).to(x.device), inside)
        index, inside = self._ready[x.device]
        # an expanded gather: on the CPU several times faster than selecting along the last dimension
        out = x.flatten(2).gather(2, index.expand(b, c, -1))
        if inside is not None:
            out *= inside
        return out.view(b, c, h, w)


def rotation(height: int, width: int, angle: float) -> PixelMap:
    """Pillow's rotation by `angle` degrees, counter-clockwise: nearest pixel, same canvas, black outside."""
    # Pillow itself turns a picture of the pixel numbers: its rounding and its shortcuts at right angles are ours then
    numbers = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    turned = Image.fromarray(numbers).rotate(angle, resample=Image.Resampling.NEAREST, fillcolor=0)
    return PixelMap(torch.from_numpy(np.array(turned, dtype=np.int64).reshape(-1) - 1))
