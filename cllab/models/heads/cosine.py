"""The cosine between features and a row for every class, times one learned factor.

Hou et al., "Learning a Unified Classifier Incrementally via Rebalancing", CVPR 2019, Eq. 4: no bias, and no class is
preferred for the length of its row. The factor sigma begins at 1; without it the softmax could not become sharp.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.models.heads.base import Head


class Cosine(Head):
    """sigma <f, w_c> / (|f| |w_c|)."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        self.weight = nn.Parameter(torch.empty(n_classes, width))
        bound = 1 / math.sqrt(width)
        nn.init.uniform_(self.weight, -bound, bound)
        self.sigma = nn.Parameter(torch.ones(()))

    @property
    def rows(self) -> Tensor:
        return self.weight

    def scores(self, features: Tensor) -> Tensor:
        return self.sigma * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))
