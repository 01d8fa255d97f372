"""The augmentations one image at a time with PIL: what the batched ones are compared with, in tests and benchmarks."""

from __future__ import annotations

import random

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

GRAY = (128, 128, 128)
CUTOUT = (125, 122, 113)

SHEAR = np.linspace(0, 0.3, 10)
TRANSLATE = np.linspace(0, 150 / 331, 10)
ROTATE = np.linspace(0, 30, 10)
ENHANCE = np.linspace(0, 0.9, 10)
POSTERIZE = np.round(np.linspace(8, 4, 10)).astype(int)
SOLARIZE = np.linspace(256, 0, 10)
CUTOUT_SIZE = np.round(np.linspace(0, 20, 10)).astype(int)


def to_pil(image: Tensor) -> Image.Image:
    """(C, H, W) uint8 to an RGB image; gray becomes three equal channels."""
    return Image.fromarray(image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def from_pil(image: Image.Image, channels: int) -> Tensor:
    """RGB image to (C, H, W) uint8; C = 1 by PIL's luminance."""
    pixels = torch.from_numpy(np.array(image if channels == 3 else image.convert("L")))
    return pixels.permute(2, 0, 1) if channels == 3 else pixels.unsqueeze(0)


def affine(image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GRAY)


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    turned = image.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert("RGB")


def cutout(image: Image.Image, center_y: int, center_x: int, size: int) -> Image.Image:
    top, left = center_y - size // 2, center_x - size // 2
    out = image.copy()
    out.paste(CUTOUT, (left, top, left + size, top + size))
    return out


def apply(
    image: Image.Image, op: str, level: int, positive: bool, center: tuple[float, float] = (0.5, 0.5)
) -> Image.Image:
    """One operation of RandAugment at a level 0..9."""
    sign = 1 if positive else -1
    width, height = image.size
    factor = 1 + float(ENHANCE[level]) * sign
    match op:
        case "invert":
            return ImageOps.invert(image)
        case "posterize":
            return ImageOps.posterize(image, int(POSTERIZE[level]))
        case "solarize":
            return ImageOps.solarize(image, float(SOLARIZE[level]))
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(factor)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(factor)
        case "color":
            return ImageEnhance.Color(image).enhance(factor)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(factor)
        case "shear_x":
            return affine(image, (1, float(SHEAR[level]) * sign, 0, 0, 1, 0), Image.Resampling.BICUBIC)
        case "shear_y":
            return affine(image, (1, 0, 0, float(SHEAR[level]) * sign, 1, 0), Image.Resampling.BICUBIC)
        case "translate_x":
            return affine(image, (1, 0, float(TRANSLATE[level]) * width * sign, 0, 1, 0), Image.Resampling.NEAREST)
        case "translate_y":
            return affine(image, (1, 0, 0, 0, 1, float(TRANSLATE[level]) * height * sign), Image.Resampling.NEAREST)
        case "rotate":
            return rotate(image, float(ROTATE[level]))
        case "cutout":
            return cutout(image, int(center[0] * height), int(center[1] * width), int(CUTOUT_SIZE[level]))
        case _:
            raise ValueError(op)


def rand_augment(image: Image.Image, ops: tuple[str, ...]) -> Image.Image:
    """RandAugment with Python's random numbers, for benchmarks."""
    for _ in range(2):
        op, level = random.choice(ops), random.randint(1, 9)
        if random.random() < 0.5:
            image = apply(image, op, level, random.random() < 0.5, (random.random(), random.random()))
    return image


def auto_augment(image: Image.Image, subpolicies: tuple[tuple[tuple[str, float, int], ...], ...]) -> Image.Image:
    """AutoAugment with Python's random numbers, for benchmarks."""
    for op, p, level in random.choice(subpolicies):
        if random.random() < p:
            image = apply(image, op, level, random.random() < 0.5)
    return image
