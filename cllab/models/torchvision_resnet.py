"""torchvision's ResNets, with ImageNet weights where asked.

He et al., arXiv:1512.03385, as torchvision builds them. `model.weights = "imagenet"` takes its newest ones, from where
torchvision keeps what it has fetched; nothing is fetched here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision.models as tv
from torch import nn

from cllab.errors import DataError
from cllab.models.base import Backbone, Model, ModelInfo, stage_cuts
from cllab.settings.spec import param


class TorchvisionResNet(Model):
    """ResNet-18, 34 or 50 of torchvision."""

    info = ModelInfo(
        title="torchvision ResNet",
        paper="arXiv:1512.03385",
        min_size=32,
        cuts=stage_cuts(4),
        weights=("imagenet",),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        arch: Literal["resnet18", "resnet34", "resnet50"] = param("resnet18", "Which of them")

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(tv.get_model(config.arch, weights=None), shape[0])

    @staticmethod
    def pretrained(config: Any, name: str) -> Path:
        url = str(tv.get_model_weights(config.arch).DEFAULT.url)
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if not path.is_file():
            raise DataError(
                f"model.weights = 'imagenet': no {path}; python -c \"import torchvision; "
                f"torchvision.models.get_model('{config.arch}', weights='DEFAULT')\" fetches it"
            )
        return path

    @staticmethod
    def own_name(key: str) -> str:
        """Of torchvision's names, conv1, bn1 and layerN."""
        first, _, rest = key.partition(".")
        stem = {"conv1": "parts.stem.0", "bn1": "parts.stem.1"}
        if first in stem:
            return f"{stem[first]}.{rest}"
        return f"parts.stage{first[5:]}.{rest}" if first.startswith("layer") else key


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
