"""Batch renormalization: training normalizes by the batch, corrected toward the running statistics that tests use.

Ioffe, "Batch Renormalization", NIPS 2017, arXiv:1702.03275, Algorithm 1, as Pellegrini et al., "Latent Replay for
Real-Time Continual Learning", IROS 2020, arXiv:1912.01100, train with it. In small batches of few classes the batch's
own mean says little; with r and d unclipped the output in training is that of eval mode, exactly.

The bounds are opened as samples come: r_max from 1 and d_max from 0, both by `step` a sample, up to `r_bound` and
`d_bound`, which the last batch may overshoot. Up to there it is batch normalization. From the second task on the bounds
are open and the statistics move at `later`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Renorm:
    """Settings.

    Attributes:
        rate, later: share of a batch in the running statistics, in the first task and in later ones.
        r_bound, d_bound: r is at most r_bound and at least 1 / r_bound, d within +- d_bound.
        step: by which the bounds are opened, a sample.
    """

    rate: float = 0.01
    later: float = 5e-5
    r_bound: float = 1.25
    d_bound: float = 0.5
    step: float = 4.1e-5


class BatchRenorm(nn.Module):
    """In the place of a batch normalization, over every dimension of (B, C, ...) but the second.

    Everything that it keeps is float32, whatever arithmetic surrounds it.

    Attributes:
        mean, std: (C,) running statistics, m and s: deviations, not variances.
        r_max, d_max: 0-d, the present bounds.
        settings: (6,) rate, later, r_bound, d_bound, step, and the rate that holds now.
        r, d: (C,) of the last training batch, to be looked at; no part of the state.
    """

    mean: Tensor
    std: Tensor
    r_max: Tensor
    d_max: Tensor
    settings: Tensor

    def __init__(self, norm: _BatchNorm, options: Renorm) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.register_buffer("mean", norm.running_mean.detach().clone().float())
        self.register_buffer("std", (norm.running_var.detach().float() + norm.eps).sqrt())
        self.register_buffer("r_max", torch.ones((), device=self.mean.device))
        self.register_buffer("d_max", torch.zeros((), device=self.mean.device))
        own = (options.rate, options.later, options.r_bound, options.d_bound, options.step, options.rate)
        self.register_buffer("settings", torch.tensor(own, device=self.mean.device))
        self.r: Tensor | None = None
        self.d: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same."""
        if not self.training:
            gain = self.weight / self.std
            wide = (1, -1, *[1] * (x.dim() - 2))
            return x * gain.view(wide) + (self.bias - gain * self.mean).view(wide)
        with torch.no_grad():
            over = [i for i in range(x.dim()) if i != 1]
            var, mu = torch.var_mean(x.detach().float(), over, correction=0)
            sig = (var + self.eps).sqrt()
            r = torch.clamp(sig / self.std, 1 / self.r_max, self.r_max)
            d = torch.clamp((mu - self.mean) / self.std, -self.d_max, self.d_max)
        # gamma ((x - mu) / sig r + d) + beta: a batch normalization of weight gamma r and bias gamma d + beta
        y = F.batch_norm(x, None, None, self.weight * r, self.weight * d + self.bias, True, 0.0, self.eps)
        with torch.no_grad():
            _, _, r_bound, d_bound, step, rate = self.settings
            self.r_max.add_(torch.where(self.r_max < r_bound, step * len(x), 0.0))
            self.d_max.add_(torch.where(self.d_max < d_bound, step * len(x), 0.0))
            self.mean.lerp_(mu, rate)
            self.std.lerp_(sig, rate)
            self.r, self.d = r, d
        return y

    @torch.no_grad()
    def settle(self) -> None:
        """A later task has begun: the bounds are open, and the statistics move at the later rate."""
        _, later, r_bound, d_bound, _, _ = self.settings.clone()
        self.r_max.copy_(r_bound)
        self.d_max.copy_(d_bound)
        self.settings[5] = later


def apply(module: nn.Module, options: Renorm) -> None:
    """Put a `BatchRenorm` in the place of every batch normalization in `module`, with its weights and statistics.

    One that ends in an activation of its own, as timm's do, keeps that behind it.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, _BatchNorm):
            made: nn.Module = BatchRenorm(child, options)
            own = [getattr(child, more, None) for more in ("drop", "act")]
            rest = [part for part in own if isinstance(part, nn.Module)]
            setattr(module, name, nn.Sequential(made, *rest) if rest else made)
        else:
            apply(child, options)


def layers(module: nn.Module) -> Iterator[tuple[str, BatchRenorm]]:
    """(name, layer) of every one in `module`."""
    for name, part in module.named_modules():
        if isinstance(part, BatchRenorm):
            yield name, part


def begin_task(module: nn.Module, index: int) -> None:
    """Task `index` begins."""
    if index > 0:
        for _, layer in layers(module):
            layer.settle()


def seen(module: nn.Module) -> dict[str, Tensor]:
    """By layer, the mean over channels of r and of |d| of the last batch: how far training is from eval mode."""
    out: dict[str, Tensor] = {}
    for name, layer in layers(module):
        if layer.r is not None and layer.d is not None:
            short = name.removeprefix("backbone.").removeprefix("parts.")
            out[f"renormalization, {short}: r"] = layer.r.mean()
            out[f"renormalization, {short}: |d|"] = layer.d.abs().mean()
    return out
