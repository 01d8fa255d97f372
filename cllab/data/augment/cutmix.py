"""CutMix: paste a box of another image of the batch, and mix the labels by area.

Yun et al., "CutMix", ICCV 2019, arXiv:1905.04899, Eqs. 1 and 2, with lambda uniform (alpha = 1), one box per batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.data.augment._draw import integers, uniform


def cutmix(x: Tensor, generator: torch.Generator, p: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """Mixes S batches, each with probability `p`, each with its own box and its own permutation.

    The loss of batch s is lam[s] * loss(y[s]) + (1 - lam[s]) * loss(y[s][permutation[s]]).

    Args:
        x: (S, B, C, H, W), any dtype.
        generator: on the CPU or on x's device.
        p: share of the batches that are mixed.

    Returns:
        the mixed batches (S, B, C, H, W); the permutations (S, B) int64; lam (S,) float32, the share of each image
        that is its own: 1 - box area / image area after clipping at the borders. A batch that is not mixed has the
        identity and lam = 1.
    """
    s, b, _, h, w = x.shape
    device = x.device
    applied, ratio = uniform((2, s), generator, device)
    mixed = applied < p
    # lambda and 1 - lambda have the same distribution, so `ratio` is drawn as 1 - lambda: the area asked for
    side = ratio.sqrt()
    top, bottom = _interval(side, h, generator)
    left, right = _interval(side, w, generator)
    own = torch.arange(b, device=device)
    permutation = torch.where(mixed.view(-1, 1), uniform((s, b), generator, device).argsort(1), own)

    rows = _inside(top, bottom, h) & mixed.view(-1, 1)
    columns = _inside(left, right, w)
    box = (rows.unsqueeze(2) & columns.unsqueeze(1)).view(s, 1, 1, h, w)
    flat = permutation + (torch.arange(s, device=device) * b).view(-1, 1)
    other = x.flatten(0, 1).index_select(0, flat.flatten()).view(x.shape)
    area = (bottom - top) * (right - left) * mixed
    lam = 1 - area.to(torch.float32) / (h * w)
    return torch.where(box, other, x), permutation, lam


def _interval(side: Tensor, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """First and one past last position of each box along an axis of `length`: two (S,) int64."""
    half = (side * length).to(torch.int64) // 2
    center = integers(length, (len(side),), generator, side.device)
    return (center - half).clamp(min=0), (center + half).clamp(max=length)


def _inside(first: Tensor, past: Tensor, length: int) -> Tensor:
    position = torch.arange(length, device=first.device)
    return (position >= first.view(-1, 1)) & (position < past.view(-1, 1))
