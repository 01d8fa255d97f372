"""torchvision's ResNets, with ImageNet weights where asked.

He et al., arXiv:1512.03385, as torchvision builds them. Weights are fetched by torchvision on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torchvision.models as tv
from torch import nn

from cllab.models.base import Backbone, Model, ModelInfo, stage_cuts
from cllab.settings.spec import param


class TorchvisionResNet(Model):
    """ResNet-18, 34 or 50 of torchvision."""

    info = ModelInfo(title="torchvision ResNet", paper="arXiv:1512.03385", min_size=32, rgb=True, cuts=stage_cuts(4))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        arch: Literal["resnet18", "resnet34", "resnet50"] = param("resnet18", "Which of them")
        weights: Literal["none", "DEFAULT"] = param("none", "DEFAULT for torchvision's newest ImageNet weights")

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        weights = None if config.weights == "none" else config.weights
        return _Net(tv.get_model(config.arch, weights=weights), shape[0])


class _Net(Backbone):
    def __init__(self, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.width = net.fc.in_features  # type: ignore[assignment,union-attr]
        if channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        first = nn.Sequential(*(getattr(net, name) for name in ("conv1", "bn1", "relu", "maxpool")))
        stages = {f"stage{i}": getattr(net, f"layer{i}") for i in range(1, 5)}
        self.parts = nn.ModuleDict(
            {"stem": first, **stages, "pool": nn.Sequential(net.get_submodule("avgpool"), nn.Flatten())}
        )
