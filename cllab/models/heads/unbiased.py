"""One row of weights for every class, and nothing else."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cllab.models.heads.base import Head


class Unbiased(Head, nn.Linear):
    """w_c f."""

    def __init__(self, width: int, n_classes: int) -> None:
        nn.Linear.__init__(self, width, n_classes, bias=False)
        self.width = width

    @property
    def rows(self) -> Tensor:
        return self.weight

    def scores(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight)
