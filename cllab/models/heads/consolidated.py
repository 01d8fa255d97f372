"""Rows that are trained, and beside them the consolidated ones that answer: the head of CWR* and AR1*.

Lomonaco, Maltoni & Pellegrini, "Rehearsal-Free Continual Learning over Small Non-I.I.D. Batches", CVPRW 2020,
arXiv:1907.03799, Algorithm 2. In training the trained rows give the scores; in eval mode the consolidated row of every
class that has one, and the trained row of the others.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.models.heads.base import Head


class Consolidated(Head):
    """Linear without bias, twice.

    Attributes:
        weight: (K, D) rows in training, tw.
        stored: (K, D) consolidated rows, cw.
        past: (K,) samples that a class's consolidated row was made of; 0 where it has none.
    """

    stored: Tensor
    past: Tensor

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        self.weight = nn.Parameter(torch.empty(n_classes, width))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.register_buffer("stored", torch.zeros(n_classes, width))
        self.register_buffer("past", torch.zeros(n_classes))

    @property
    def known(self) -> Tensor:
        """(K,) bool: which classes have a consolidated row."""
        return self.past > 0

    @property
    def rows(self) -> Tensor:
        """(K, D): the rows that answer in eval mode."""
        return torch.where(self.known.unsqueeze(1), self.stored, self.weight)

    @torch.no_grad()
    def put(self, classes: Tensor, rows: Tensor) -> None:
        self.weight[classes] = rows
        self.stored[classes] = rows

    def scores(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight if self.training else self.rows)

    @torch.no_grad()
    def reload(self, present: Tensor) -> None:
        """Begin a batch: every trained row is 0, but the consolidated ones of classes that recur.

        present: (K,) bool: the classes of the batch and the memory.
        """
        again = present & self.known
        self.weight.copy_(torch.where(again.unsqueeze(1), self.stored, 0.0))

    @torch.no_grad()
    def consolidate(self, counts: Tensor, past_weight: Tensor, shift: Tensor) -> None:
        """End a batch: cw = (wp cw + tw - g) / (wp + 1), or tw - g for a class without a row; then counts add up.

        Args:
            counts: (K,) samples of each class that were trained on; rows of classes with 0 stay as they are.
            past_weight: (K,) wp, what is known counts against what is new; of no account for a class without a row.
            shift: g, broadcast to (K, D): what is taken off the trained rows.
        """
        wp = torch.where(self.known, past_weight, 0.0).unsqueeze(1)
        mean = (wp * self.stored + self.weight - shift) / (wp + 1)
        self.stored.copy_(torch.where((counts > 0).unsqueeze(1), mean, self.stored))
        self.past += counts
