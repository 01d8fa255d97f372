"""Two hidden layers of 400 units with batch normalization: the MNIST network of Rainbow Memory.

Bang et al., "Rainbow Memory: Continual Learning with a Memory of Diverse Samples", CVPR 2021, arXiv:2103.17230. The
published code repeats a grey image to three equal channels. The three copies of a weight then receive the same
gradient, so the layer is one copy whose input is multiplied by sqrt(3) and whose initial weights have the variance of
fan-in 3 * H * W: the same function and the same training under SGD with weight decay, at a third of the arithmetic. (A
penalty weighted by squared gradients, EWC's and RWalk's, holds that one copy three times as hard as it would hold
three.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from cllab.models.base import Backbone, Model, ModelInfo, pixels
from cllab.settings.spec import param


class MLP400(Model):
    """784-400-400 with batch normalization."""

    info = ModelInfo(title="MLP 400-400", paper="arXiv:2103.17230", cuts=("hidden1", "hidden2"))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        channels: int = param(
            1,
            "Equal channels that a grey image counts as",
            source="3 in the published code",
            low=1,
            high=3,
            reference=3,
        )

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _MLP(pixels(shape), copies=config.channels if shape[0] == 1 else 1)


class _MLP(Backbone):
    def __init__(self, inputs: int, *, copies: int, width: int = 400) -> None:
        super().__init__()
        self.width = width
        first = nn.Linear(inputs, width, bias=False)
        bound = 1 / math.sqrt(inputs * copies)
        nn.init.uniform_(first.weight, -bound, bound)
        self.parts = nn.ModuleDict(
            {
                "hidden1": nn.Sequential(
                    _Scaled(math.sqrt(copies)), first, nn.BatchNorm1d(width, eps=1e-6), nn.ReLU(inplace=True)
                ),
                "hidden2": nn.Sequential(
                    nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, eps=1e-6), nn.ReLU(inplace=True)
                ),
            }
        )


class _Scaled(nn.Module):
    """Images as rows, multiplied by a number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C H W)."""
        x = x.flatten(1)
        return x * self.gain if self.gain != 1 else x
