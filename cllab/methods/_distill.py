"""Distillation losses, as functions of scores."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_cross_entropy(scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over the batch of -sum_c softmax(teacher / T)_c log softmax(scores / T)_c (Hinton et al. 2015, without the
    factor T^2).

    scores: (B, K); teacher: (B, k), of the first k <= K classes: the target of the others is 0.
    """
    target = (teacher / temperature).softmax(dim=1)
    return -(target * (scores / temperature).log_softmax(dim=1)[:, : target.shape[1]]).sum(dim=1).mean()


def mean_where(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` (B,) over the samples with `weight` (B,) 1, 0 when there are none; no shape depends on the
    data."""
    return (values * weight).sum() / weight.sum().clamp(min=1)


def columns(labels: tuple[int, ...], n_classes: int, device: torch.device) -> Tensor:
    """(K,) float: 1 at `labels`."""
    mask = torch.zeros(n_classes, device=device)
    known = [c for c in labels if c < n_classes]
    return mask.index_fill_(0, torch.tensor(known, device=device, dtype=torch.long), 1.0) if known else mask


def binary_targets(y: Tensor, n_classes: int) -> Tensor:
    """(B, K) one-hot float of (B,) labels."""
    return torch.zeros(len(y), n_classes, device=y.device).scatter_(1, y.unsqueeze(1), 1.0)
