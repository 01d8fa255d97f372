"""Random crop, flip, cutout and rotation of whole batches, one draw per sample.

The generator may live on the CPU or on the images' device; a CPU generator gives the same draws everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.data.augment import geometry, ops
from cllab.data.augment._draw import integers, uniform


def random_crop(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Pads with `padding` zeros on every side and cuts the original size out at a random place.

    Args:
        images: (B, C, H, W) uint8.
        generator: source of the offsets.
        padding: pixels on every side.
    """
    b, c, h, w = images.shape
    device = images.device
    top, left = integers(2 * padding + 1, (2, b), generator, device)
    tall, wide = h + 2 * padding, w + 2 * padding
    padded = images.new_zeros(b, c, tall, wide)
    padded[:, :, padding : padding + h, padding : padding + w] = images
    # every row of the result is a run of W pixels: select runs, not pixels
    plane = torch.arange(b * c, device=device).view(b, c, 1) * (tall * wide)
    first = plane + (top * wide + left).view(b, 1, 1) + torch.arange(h, device=device) * wide
    return padded.flatten().unfold(0, w, 1).index_select(0, first.flatten()).view(images.shape)


def random_flip(images: Tensor, generator: torch.Generator, p: float = 0.5) -> Tensor:
    """Mirrors left and right with probability `p`."""
    return _choose(images, ops.horizontal_flip(images), generator, p)


def random_vertical_flip(images: Tensor, generator: torch.Generator, p: float = 0.5) -> Tensor:
    """Mirrors top and bottom with probability `p`."""
    return _choose(images, ops.vertical_flip(images), generator, p)


def cutout(images: Tensor, generator: torch.Generator, size: int = 16) -> Tensor:
    """Covers a square of side `size` whose center is uniform over the image (DeVries and Taylor, arXiv:1708.04552)."""
    b, _, h, w = images.shape
    center_y = integers(h, (b,), generator, images.device)
    center_x = integers(w, (b,), generator, images.device)
    return ops.cutout(images, center_y, center_x, size)


def random_rotation(images: Tensor, generator: torch.Generator, degrees: float) -> Tensor:
    """Rotates by an angle uniform in [-degrees, degrees), nearest neighbor, zeros outside."""
    angle = (uniform((len(images),), generator, images.device) * 2 - 1) * degrees
    return geometry.rotate(images, angle, fill=0)


def _choose(images: Tensor, changed: Tensor, generator: torch.Generator, p: float) -> Tensor:
    """Each sample of `changed` with probability `p`, else of `images`."""
    n = len(images)
    decision = uniform((n,), generator, images.device) < p
    # whole images are copied, which is several times faster than choosing pixel by pixel
    return torch.cat([images, changed]).index_select(0, decision * n + torch.arange(n, device=images.device))
