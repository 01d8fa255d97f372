"""Translation, rotation, shear and crops as one gather from precomputed positions.

A remap is a table of source positions (n, H*W): where each output pixel comes from in the flattened image, or H*W,
the position of one extra pixel that holds the fill value. Tables are built in PIL's own arithmetic (pixel centers,
16-bit fixed point for rotation, double precision for shear), so results equal PIL's pixel for pixel. A device without
double precision (MPS) gets the policies' tables ready-made; other angles and slopes may hit a neighboring pixel there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.data.augment._draw import exact_float

GRAY = 128
"""Fill of the AutoAugment and RandAugment operations."""


def remap(images: Tensor, positions: Tensor, fill: int = GRAY) -> Tensor:
    """Output pixel p of sample i is input pixel positions[i, p].

    Args:
        images: (B, C, H, W) uint8.
        positions: (B, P) or (1, P) int64 in 0..H*W, where H*W means `fill`.
        fill: value of the pixels that come from outside.

    Returns:
        (B, C, P) uint8.
    """
    b, c = images.shape[:2]
    return _with_fill(images, fill).gather(2, positions.unsqueeze(1).expand(b, c, -1))


def translate_positions(height: int, width: int, dx: Tensor, dy: Tensor) -> Tensor:
    """Output (y, x) comes from (y + dy, x + dx), rounded half up: (n, H*W) int64. dx, dy: (n,) in pixels."""
    y, x = _grid(height, width, dx.device)
    exact = exact_float(dx.device)
    source_x = torch.floor(x + 0.5 + dx.to(exact).view(-1, 1, 1)).to(torch.int64)
    source_y = torch.floor(y + 0.5 + dy.to(exact).view(-1, 1, 1)).to(torch.int64)
    return _positions(source_y, source_x, height, width)


def rotate_positions(height: int, width: int, degrees: Tensor) -> Tensor:
    """Counterclockwise rotation about the image's center, nearest neighbor: (n, H*W) int64. degrees: (n,)."""
    angle = -torch.deg2rad(degrees.to(exact_float(degrees.device)) % 360.0).view(-1, 1, 1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    cos, sin = cos * (cos.abs() > 1e-15), sin * (sin.abs() > 1e-15)
    center_x, center_y = width / 2, height / 2
    # inverse map, x_in = cos x + sin y + shift_x; its value at the first pixel's center starts the fixed-point walk
    shift_x = center_x - (cos * center_x + sin * center_y)
    shift_y = center_y - (cos * center_y - sin * center_x)
    start_x, start_y = _fixed(shift_x + cos * 0.5 + sin * 0.5), _fixed(shift_y - sin * 0.5 + cos * 0.5)
    y, x = _grid(height, width, degrees.device)
    source_x = (start_x + _fixed(cos) * x + _fixed(sin) * y) >> 16
    source_y = (start_y + _fixed(-sin) * x + _fixed(cos) * y) >> 16
    return _positions(source_y, source_x, height, width)


def shear_taps(height: int, width: int, shear_x: Tensor, shear_y: Tensor) -> tuple[Tensor, Tensor]:
    """The four input pixels that bicubic shearing mixes, and how far the output lies between the middle two.

    Output (y, x) comes from (y + shear_y * x, x + shear_x * y) at pixel centers. One of the two must be 0 for every
    sample: then the other coordinate is a whole number and four taps along one axis are all that bicubic needs.

    Args:
        height: H.
        width: W.
        shear_x: (n,) slope along x.
        shear_y: (n,) slope along y.

    Returns:
        positions (n, 4*H*W) int64 with the taps outermost, and fractions (n, H*W) in double precision.
    """
    exact = exact_float(shear_x.device)
    y, x = _grid(height, width, shear_x.device)
    slope_x, slope_y = shear_x.to(exact).view(-1, 1, 1), shear_y.to(exact).view(-1, 1, 1)
    at_x = (x + 0.5) + slope_x * (y + 0.5)
    at_y = slope_y * (x + 0.5) + (y + 0.5)
    outside = (at_x < 0) | (at_x >= width) | (at_y < 0) | (at_y >= height)
    at_x, at_y = at_x - 0.5, at_y - 0.5
    floor_x, floor_y = at_x.floor(), at_y.floor()
    along_x = slope_x != 0
    fraction = torch.where(along_x, at_x - floor_x, at_y - floor_y)
    step_x, step_y = along_x.to(torch.int64), (~along_x).to(torch.int64)
    taps = []
    for tap in (-1, 0, 1, 2):
        source_x = (floor_x.to(torch.int64) + tap * step_x).clamp(0, width - 1)
        source_y = (floor_y.to(torch.int64) + tap * step_y).clamp(0, height - 1)
        taps.append(torch.where(outside, height * width, source_y * width + source_x).flatten(1))
    return torch.cat(taps, 1), fraction.flatten(1)


def apply_taps(images: Tensor, positions: Tensor, fraction: Tensor, fill: int = GRAY) -> Tensor:
    """PIL's bicubic interpolation (a = -1) from the taps of `shear_taps`: (B, C, H, W) uint8."""
    b, c = images.shape[:2]
    pixels = remap(images, positions, fill).view(b, c, 4, -1).to(torch.int16)
    v1, v2, v3, v4 = pixels.unbind(2)
    t = fraction.unsqueeze(1)
    # Horner's scheme on integer coefficients, as PIL does it: flat areas and fraction 0 come out exactly
    value = (v2 - v1).add_(v4 - v3) * t
    value.add_((v1 - v2).mul_(2).add_(v3 - v4)).mul_(t).add_(v3 - v1).mul_(t).add_(v2)
    return value.clamp_(0, 255).to(torch.uint8).view(images.shape)


def translate_x(images: Tensor, pixels: Tensor, fill: int = GRAY) -> Tensor:
    """Moves the content left by `pixels` (B,), nearest neighbor (PIL's AFFINE (1, 0, pixels, 0, 1, 0))."""
    h, w = images.shape[2:]
    return remap(images, translate_positions(h, w, pixels, torch.zeros_like(pixels)), fill).view(images.shape)


def translate_y(images: Tensor, pixels: Tensor, fill: int = GRAY) -> Tensor:
    """Moves the content up by `pixels` (B,), nearest neighbor (PIL's AFFINE (1, 0, 0, 0, 1, pixels))."""
    h, w = images.shape[2:]
    return remap(images, translate_positions(h, w, torch.zeros_like(pixels), pixels), fill).view(images.shape)


def rotate(images: Tensor, degrees: Tensor, fill: int = GRAY) -> Tensor:
    """Rotates counterclockwise by `degrees` (B,), nearest neighbor (PIL's Image.rotate)."""
    h, w = images.shape[2:]
    return remap(images, rotate_positions(h, w, degrees), fill).view(images.shape)


def shear_x(images: Tensor, slope: Tensor, fill: int = GRAY) -> Tensor:
    """Shears rows sideways by `slope` (B,), bicubic (PIL's AFFINE (1, slope, 0, 0, 1, 0))."""
    h, w = images.shape[2:]
    return apply_taps(images, *shear_taps(h, w, slope, torch.zeros_like(slope)), fill)


def shear_y(images: Tensor, slope: Tensor, fill: int = GRAY) -> Tensor:
    """Shears columns up and down by `slope` (B,), bicubic (PIL's AFFINE (1, 0, 0, slope, 1, 0))."""
    h, w = images.shape[2:]
    return apply_taps(images, *shear_taps(h, w, torch.zeros_like(slope), slope), fill)


def _with_fill(images: Tensor, fill: int) -> Tensor:
    """(B, C, H*W + 1): the flattened images with one pixel of `fill` behind."""
    flat = images.flatten(2)
    b, c, n = flat.shape
    out = flat.new_empty(b, c, n + 1)
    out[:, :, :n] = flat
    out[:, :, n] = fill
    return out


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) as int64."""
    return torch.arange(height, device=device).view(-1, 1), torch.arange(width, device=device).view(1, -1)


def _positions(y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return torch.where(inside, y * width + x, height * width).flatten(1)


def _fixed(value: Tensor) -> Tensor:
    """16.16 fixed point, rounded half up."""
    return torch.floor(value * 65536.0 + 0.5).to(torch.int64)
