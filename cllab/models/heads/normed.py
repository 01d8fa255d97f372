"""Linear without bias, then batch normalization: the native output layer of the networks of Bang et al. 2021.

arXiv:2103.17230, in the published code.
"""

from __future__ import annotations

from torch import Tensor, nn

from cllab.models.heads.base import Head


class Normed(Head):
    """Every score is normalized over the batch."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        self.linear = nn.Linear(width, n_classes, bias=False)
        self.norm = nn.BatchNorm1d(n_classes, eps=1e-6)

    @property
    def rows(self) -> Tensor:
        return self.linear.weight

    def scores(self, features: Tensor) -> Tensor:
        return self.norm(self.linear(features))  # type: ignore[no-any-return]
