"""What level 0..9 of an operation means, as AutoAugment and RandAugment share it.

Every scale is ten equally spaced values. Cubuk et al., "AutoAugment", CVPR 2019, arXiv:1805.09501, Table 6, with the
discretization of the widespread CIFAR implementations: posterize bits and cutout pixels are rounded, solarize runs
from 256 (no pixel changes) to 0 (every pixel is inverted).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

N_LEVELS: Final = 10


def _scale(low: float, high: float) -> Tensor:
    # spelled out instead of torch.linspace, whose middle values may differ in the last bit from NumPy's
    steps = torch.arange(N_LEVELS, dtype=torch.float64)
    return low + steps * ((high - low) / (N_LEVELS - 1))


SHEAR: Final = _scale(0.0, 0.3)
"""Slope: pixels moved sideways per pixel of height."""
TRANSLATE: Final = _scale(0.0, 150 / 331)
"""Part of the image's side."""
ROTATE: Final = _scale(0.0, 30.0)
"""Degrees, counterclockwise."""
ENHANCE: Final = _scale(0.0, 0.9)
"""Distance of the factor from 1 for color, contrast, sharpness and brightness."""
POSTERIZE: Final = _scale(8.0, 4.0).round().long()
"""Bits that are kept."""
SOLARIZE: Final = _scale(256.0, 0.0)
"""Pixels at or above it are inverted."""
CUTOUT: Final = _scale(0.0, 20.0).round().long()
"""Side of the square in pixels."""
