"""A small multilayer perceptron: for the built-in digits and for tests.

Linear layers with ReLU and batch normalization where asked. Two layers of 100 units with `init = "xavier"` are the
MNIST network of GEM (arXiv:1706.08840), three of 128 that of Bilevel Continual Learning (arXiv:2007.15553). Not to be
confused with mlp400, the MNIST network of Rainbow Memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from cllab.models.base import Backbone, Model, ModelInfo, pixels
from cllab.settings.spec import param


class MLP(Model):
    """Hidden layers of one width."""

    info = ModelInfo(title="Small MLP", cuts=("hidden{layers}",))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        width: int = param(100, "Units of a hidden layer", low=1, high=65536)
        layers: int = param(2, "Hidden layers", low=1, high=32)
        norm: bool = param(False, "Batch normalization after every hidden layer")
        init: Literal["torch", "xavier"] = param(
            "torch", "Initial weights: torch's own, or Glorot's uniform with zero biases, the output layer's too"
        )

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _MLP(pixels(shape), config.width, config.layers, config.norm, xavier=config.init == "xavier")


class _MLP(Backbone):
    def __init__(self, inputs: int, width: int, layers: int, norm: bool, *, xavier: bool) -> None:
        super().__init__()
        self.width = width
        self.xavier = xavier
        self.parts = nn.ModuleDict()
        for i in range(layers):
            blocks: list[nn.Module] = [] if i else [nn.Flatten()]
            blocks.append(nn.Linear(inputs if i == 0 else width, width, bias=not norm))
            if norm:
                blocks.append(nn.BatchNorm1d(width))
            blocks.append(nn.ReLU(inplace=True))
            self.parts[f"hidden{i + 1}"] = nn.Sequential(*blocks)
        self.init_head(self.parts)

    def init_head(self, head: nn.Module) -> None:
        for module in head.modules():
            if self.xavier and isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
