"""Two convolutions and a hidden layer, for digits: a front that costs little, and one layer behind it that learns.

3x3 convolutions without padding of 32 and 64 channels, each with ReLU and 2x2 pooling (1,600 features of a 28x28
image), then a linear layer with batch normalization and ReLU. Cut behind `conv2`, even a front of random weights is
enough for MNIST in sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from cllab.models.base import Backbone, Model, ModelInfo
from cllab.settings.spec import param


class SmallCNN(Model):
    """conv1, conv2, hidden."""

    info = ModelInfo(title="Small CNN", min_size=10, cuts=("conv1", "conv2", "hidden"))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        width: int = param(256, "Units of the hidden layer", low=1, high=65536)

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape, config.width)


def _conv(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]


class _Net(Backbone):
    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.width = width
        first, second = nn.Sequential(*_conv(shape[0], 32)), nn.Sequential(*_conv(32, 64), nn.Flatten())
        with torch.no_grad():
            n_in = second(first(torch.zeros(1, *shape))).shape[1]
        hidden = nn.Sequential(nn.Linear(n_in, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True))
        self.parts = nn.ModuleDict({"conv1": first, "conv2": second, "hidden": hidden})
        for module in self.modules():  # activations keep their scale from layer to layer
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)
