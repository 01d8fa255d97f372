"""The nearest of the classes' mean features; nothing in it is trained.

Mensink et al., "Distance-Based Image Classification", TPAMI 2013. Means are exact over all features that were added, in
any order; a class of which nothing was added is never named.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.models.heads.base import Head


class NearestMean(Head):
    """-|f - m_c|^2."""

    sums: Tensor
    counts: Tensor

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        self.register_buffer("sums", torch.zeros(n_classes, width))
        self.register_buffer("counts", torch.zeros(n_classes))

    @property
    def rows(self) -> Tensor:
        return self.sums / self.counts.clamp(min=1).unsqueeze(1)

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Let (B, D) features of classes (B,) long count."""
        self.sums.index_add_(0, labels, features)
        self.counts.index_add_(0, labels, torch.ones_like(labels, dtype=self.counts.dtype))

    @torch.no_grad()
    def put(self, classes: Tensor, rows: Tensor) -> None:
        self.sums[classes] = rows
        self.counts[classes] = 1.0

    def scores(self, features: Tensor) -> Tensor:
        found = -torch.cdist(features, self.rows).square()
        return found.masked_fill(self.counts == 0, float("-inf"))
