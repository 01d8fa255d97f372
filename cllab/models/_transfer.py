"""Transfer weights: kernels stay as they are, and a factor for each of them is learned, and a shift for each bias.

Sun et al., "Meta-Transfer Learning for Few-Shot Learning", CVPR 2019, arXiv:1812.02403, Eq. 4: SS(X; W, b) = (W s) X +
(b + t), with s = 1 and t = 0 at first. A factor s is one number for a whole kernel, (out, in, 1, 1) for a convolution;
a linear layer's kernels are single weights. In a network whose layers have no bias there is no shift.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class _Scaled(nn.Module):
    """W s, with one factor a kernel."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        ones = torch.ones(*weight.shape[:2], *[1] * (weight.dim() - 2), dtype=weight.dtype, device=weight.device)
        self.factor = nn.Parameter(ones)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


class _Shifted(nn.Module):
    """b + t."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros_like(bias))

    def forward(self, bias: Tensor) -> Tensor:
        return bias + self.shift


def apply(module: nn.Module) -> None:
    """Freeze every kernel in `module` and its bias, and put the transfer weights beside them; twice is once."""
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        if parametrize.is_parametrized(layer):
            continue
        for name, made in (("weight", _Scaled), ("bias", _Shifted)):
            value = getattr(layer, name)
            if value is not None:
                value.requires_grad_(False)
                parametrize.register_parametrization(layer, name, made(value))


def parameters(module: nn.Module) -> list[nn.Parameter]:
    """The transfer weights in `module`."""
    return list(_found(module))


def _found(module: nn.Module) -> Iterator[nn.Parameter]:
    for part in module.modules():
        if isinstance(part, (_Scaled, _Shifted)):
            yield from part.parameters()
