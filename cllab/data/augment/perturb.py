"""The sets of perturbations under which Rainbow Memory looks at a sample to see how sure the model is of it.

Bang et al., "Rainbow Memory", CVPR 2021, arXiv:2103.17230, Sec. 4.1. A sample's uncertainty is the share of the twelve
perturbed views that do not vote for the most voted class. The paper describes the perturbations as color jitter, shear
and cutout; its code uses twelve RandAugment passes, here `vr_randaug`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

from cllab.data.augment import basic, ops, policy
from cllab.errors import UsageError, nearest

Perturbation = Callable[[Tensor, torch.Generator], Tensor]
"""Images (B, C, H, W) uint8 and a generator to perturbed images of the same shape."""

N_PERTURBATIONS: Final = 12


def _invert(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.invert(images)


def _solarize(images: Tensor, generator: torch.Generator, threshold: int) -> Tensor:
    return ops.solarize(images, torch.full((1,), threshold, device=images.device).expand(len(images)))


_SETS: Final[dict[str, tuple[Perturbation, ...]]] = {
    "vr_randaug": (policy.rand_augment,) * N_PERTURBATIONS,
    "vr": (
        *(partial(basic.cutout, size=size) for size in (8, 16, 24, 32)),
        basic.random_flip,
        basic.random_vertical_flip,
        partial(basic.random_rotation, degrees=45),
        partial(basic.random_rotation, degrees=90),
        _invert,
        *(partial(_solarize, threshold=threshold) for threshold in (128, 64, 32)),
    ),
    "cutout": (partial(basic.cutout, size=16),) * N_PERTURBATIONS,
    "autoaug": (policy.auto_augment,) * N_PERTURBATIONS,
}


def _faded(latents: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Latents (B, ...) float, of which about `share` are set to zero and the others are raised to keep the sum."""
    kept = torch.rand(latents.shape, generator=generator) >= share
    return latents * kept.to(latents.device, latents.dtype) / (1 - share)


_OF_LATENTS: Final = tuple(partial(_faded, share=0.05 * (i + 1)) for i in range(N_PERTURBATIONS))
"""Of latents, which no color or shear applies to, shares of 5 to 60 % are dropped: ours, the paper has only images."""

PERTURBATIONS: Final = tuple(_SETS)
"""Names of the sets."""


def perturbations(name: str, dtype: torch.dtype = torch.uint8) -> tuple[Perturbation, ...]:
    """The twelve perturbations of the set `name`: vr_randaug, vr, cutout or autoaug; where `dtype` is a
    float, those of latents."""
    if name not in _SETS:
        allowed = ", ".join(_SETS)
        raise UsageError(f"no set of perturbations '{name}'; one of {allowed}{nearest(name, _SETS)}")
    return _SETS[name] if dtype == torch.uint8 else _OF_LATENTS
