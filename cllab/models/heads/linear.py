"""One row of weights and a bias for every class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cllab.models.heads.base import Head


class Linear(Head, nn.Linear):
    """w_c f + b_c."""

    def __init__(self, width: int, n_classes: int) -> None:
        nn.Linear.__init__(self, width, n_classes)
        self.width = width

    @property
    def rows(self) -> Tensor:
        return self.weight

    def scores(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)
