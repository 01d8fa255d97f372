"""PIL's point and color operations on whole batches, with one magnitude per sample.

Every operation takes images (B, C, H, W) uint8 with C = 1 or 3 and gives a new tensor of the same kind, equal to PIL's
result pixel for pixel. A gray image (C = 1) behaves as an RGB image with three equal channels.

An operation whose output at a pixel depends on that pixel's value alone is a table of 256 entries per image, or per
image and channel, and one gather; the functions named `*_table` build the tables. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cllab.data.augment._draw import exact_float

CUTOUT_FILL: Final = (125, 122, 113)
"""RGB of the square that cutout leaves, about the mean color of CIFAR-10."""


def luminance(red: int, green: int, blue: int) -> int:
    """PIL's "L" of an RGB color (ITU-R 601 in 16-bit fixed point)."""
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def grayscale(images: Tensor) -> Tensor:
    """PIL's convert("L"): (B, C, H, W) uint8 to (B, 1, H, W) uint8."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.to(torch.int32).unbind(1)
    gray = red.mul_(19595).add_(green.mul_(38470)).add_(blue.mul_(7471)).add_(0x8000).bitwise_right_shift_(16)
    return gray.to(torch.uint8).unsqueeze(1)


# ---------------------------------------------------------------------------------------------------------------------
# tables


def apply_table(images: Tensor, table: Tensor) -> Tensor:
    """Replaces every pixel value by its entry.

    Args:
        images: (B, C, H, W) uint8.
        table: (B, 256) uint8, one table for all channels, or (B, C, 256), one for each.
    """
    index = images.reshape(*table.shape[:-1], -1).to(torch.int64)
    return table.gather(-1, index).view(images.shape)


def identity_table(n: int, device: torch.device) -> Tensor:
    """(n, 256) uint8: every value maps to itself."""
    return torch.arange(256, dtype=torch.uint8, device=device).expand(n, 256)


def posterize_table(bits: Tensor) -> Tensor:
    """Keeps the highest `bits` (B,) of every value: (B, 256) uint8."""
    mask = (256 - (1 << (8 - bits.to(torch.int64)))).view(-1, 1)
    return (torch.arange(256, device=bits.device) & mask).to(torch.uint8)


def solarize_table(threshold: Tensor) -> Tensor:
    """Inverts values at or above `threshold` (B,), 0..256: (B, 256) uint8."""
    values = torch.arange(256, device=threshold.device)
    return torch.where(values < threshold.view(-1, 1), values, 255 - values).to(torch.uint8)


def brightness_table(factor: Tensor) -> Tensor:
    """Black blended with the image by `factor` (B,): (B, 256) uint8."""
    values = torch.arange(256, dtype=torch.float32, device=factor.device)
    return (values * factor.to(torch.float32).view(-1, 1)).clamp_(0, 255).to(torch.uint8)


def contrast_table(images: Tensor, factor: Tensor) -> Tensor:
    """The mean luminance of each image blended with it by `factor` (B,): (B, 256) uint8."""
    gray = grayscale(images).flatten(1)
    count = gray.shape[1]
    mean = (gray.sum(1, dtype=torch.int64).mul_(2).add_(count)).div_(2 * count, rounding_mode="floor")
    mean = mean.to(torch.float32).view(-1, 1)
    values = torch.arange(256, dtype=torch.float32, device=images.device)
    return _blend(mean, values, factor.view(-1, 1))


def autocontrast_table(images: Tensor) -> Tensor:
    """Stretches every channel to 0..255: (B, C, 256) uint8."""
    flat = images.flatten(2)
    # in double and with PIL's order of operations, because the result is truncated
    exact = exact_float(images.device)
    low = flat.amin(2, keepdim=True).to(exact)
    span = flat.amax(2, keepdim=True).to(exact) - low
    is_flat = (span == 0).to(exact)
    # tensor by tensor: number / tensor is a multiplication by the reciprocal, which rounds twice
    scale = torch.full_like(span, 255.0) / (span + is_flat)
    scale, offset = scale * (1 - is_flat) + is_flat, -low * scale * (1 - is_flat)
    values = torch.arange(256, dtype=exact, device=images.device)
    return (values * scale).add_(offset).clamp_(0, 255).to(torch.uint8)


def equalize_table(images: Tensor) -> Tensor:
    """Flattens the histogram of every channel: (B, C, 256) uint8."""
    flat = images.flatten(2)
    b, c, n = flat.shape
    index = flat.to(torch.int64)
    one = torch.ones((1, 1, 1), dtype=torch.int32, device=images.device)
    histogram = torch.zeros((b, c, 256), dtype=torch.int32, device=images.device)
    histogram.scatter_add_(2, index, one.expand(b, c, n))
    last = histogram.gather(2, flat.amax(2, keepdim=True).to(torch.int64))
    step = (n - last).div_(255, rounding_mode="floor")
    # too few different values: PIL leaves the channel alone, here by dividing 0..255 by one
    keep = (step == 0).to(torch.int32)
    below = torch.cumsum(histogram, 2, dtype=torch.int32).sub_(histogram)
    values = torch.arange(256, dtype=torch.int32, device=images.device)
    below = below.mul_(1 - keep).add_(values * keep)
    table = below.add_(step.div(2, rounding_mode="floor")).div_(step + keep, rounding_mode="floor")
    return table.clamp_(max=255).to(torch.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# operations


def invert(images: Tensor) -> Tensor:
    """255 - value."""
    return images ^ 255


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits` (B,) bits, 1..8."""
    return apply_table(images, posterize_table(bits))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts pixels at or above `threshold` (B,), 0..256."""
    return apply_table(images, solarize_table(threshold))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scales by `factor` (B,): 0 is black, 1 the image."""
    return apply_table(images, brightness_table(factor))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Moves away from the mean luminance by `factor` (B,): 0 is flat gray, 1 the image."""
    return apply_table(images, contrast_table(images, factor))


def autocontrast(images: Tensor) -> Tensor:
    """Stretches every channel so that its darkest value is 0 and its brightest 255."""
    return apply_table(images, autocontrast_table(images))


def equalize(images: Tensor) -> Tensor:
    """Flattens the histogram of every channel."""
    return apply_table(images, equalize_table(images))


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Moves away from the gray image by `factor` (B,): 0 is gray, 1 the image. Gray images stay as they are."""
    if images.shape[1] == 1:
        return images.clone()
    return _blend(grayscale(images).to(torch.float32), images.to(torch.float32), factor.view(-1, 1, 1, 1))


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Moves away from the smoothed image by `factor` (B,): 0 is smoothed, 1 the image.

    The smoothing kernel is 3x3 with weight 5 in the middle and 1 around it, over 13. The outermost pixels stay.
    """
    out = images.clone()
    if min(images.shape[2:]) < 3:
        return out
    wide = images.to(torch.int16)
    sums = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    center = wide[..., 1:-1, 1:-1]
    sums = (sums[..., :-2, :] + sums[..., 1:-1, :]).add_(sums[..., 2:, :]).add_(center, alpha=4)
    # (sum + 6.5) / 13 is never nearer than 1/26 to an integer, so float32 rounds as exact arithmetic does
    smooth = sums.to(torch.float32).add_(6.5).mul_(1 / 13).floor_()
    out[..., 1:-1, 1:-1] = _blend(smooth, center.to(torch.float32), factor.view(-1, 1, 1, 1))
    return out


def cutout(images: Tensor, center_y: Tensor, center_x: Tensor, size: Tensor | int) -> Tensor:
    """Covers a square with CUTOUT_FILL (its luminance on gray images), clipped at the borders.

    Args:
        images: (B, C, H, W) uint8.
        center_y: (B,) integer row of the center; the square starts size // 2 above it.
        center_x: (B,) integer column of the center.
        size: (B,) integer or one number, the side in pixels; 0 leaves the image as it is.
    """
    _, c, h, w = images.shape
    rows = _span(center_y, size, h).view(-1, 1, h, 1)
    columns = _span(center_x, size, w).view(-1, 1, 1, w)
    cut = rows * columns
    fill = CUTOUT_FILL if c == 3 else (luminance(*CUTOUT_FILL),)
    out = images * (1 - cut)
    for channel, value in enumerate(fill):
        out[:, channel : channel + 1].add_(cut, alpha=value)
    return out


def horizontal_flip(images: Tensor) -> Tensor:
    """Mirrors left and right."""
    return images.flip(3)


def vertical_flip(images: Tensor) -> Tensor:
    """Mirrors top and bottom."""
    return images.flip(2)


def _span(center: Tensor, size: Tensor | int, length: int) -> Tensor:
    """(B, length) uint8: 1 from center - size // 2 for `size` positions."""
    position = torch.arange(length, device=center.device)
    first = (center - size // 2).view(-1, 1)
    past = first + (size.view(-1, 1) if isinstance(size, Tensor) else size)
    return ((position >= first) & (position < past)).to(torch.uint8)


def _blend(base: Tensor, image: Tensor, factor: Tensor) -> Tensor:
    """PIL's Image.blend in float32: base + factor * (image - base), clipped, truncated to uint8."""
    # multiplied and added separately: a fused multiply-add would truncate differently now and then
    mixed = (image - base).mul_(factor.to(torch.float32)).add_(base)
    return mixed.clamp_(0, 255).to(torch.uint8)
