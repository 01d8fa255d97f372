"""A narrow ResNet-18 for 32x32 and 84x84 images: the network of GEM and of Bilevel Continual Learning.

Lopez-Paz & Ranzato, arXiv:1706.08840: He et al.'s network (arXiv:1512.03385) with a 3x3 stem and 20 instead of 64
filters. Pham et al., arXiv:2007.15553, put a max-pooling layer behind the stem, which makes it four times cheaper and
another network: numbers of the two are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import BasicBlock

from cllab.models.base import Backbone, Model, ModelInfo, pooled, stage_cuts
from cllab.settings.spec import param


class SlimResNet18(Model):
    """Widths (20, 40, 80, 160), depths (2, 2, 2, 2)."""

    info = ModelInfo(title="Reduced ResNet-18", paper="arXiv:1706.08840", min_size=8, cuts=stage_cuts(4))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        filters: int = param(20, "Filters of the first stage", source="nf", low=1, high=1024)
        pool: bool = param(False, "Max-pooling behind the stem, as in Bilevel Continual Learning")

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape[0], config.filters, config.pool)


class _Net(Backbone):
    def __init__(self, channels: int, filters: int, pool: bool) -> None:
        super().__init__()
        stem: list[nn.Module] = [
            nn.Conv2d(channels, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
        ]
        if pool:
            stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.parts = nn.ModuleDict({"stem": nn.Sequential(*stem)})
        n_in = filters
        for stage in range(4):
            width = filters << stage
            blocks: list[nn.Module] = []
            for i in range(2):
                stride = 2 if i == 0 and stage else 1
                shortcut: nn.Module | None = None
                if stride != 1 or n_in != width:
                    shortcut = nn.Sequential(nn.Conv2d(n_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
                blocks.append(BasicBlock(n_in, width, stride, shortcut))
                n_in = width
            self.parts[f"stage{stage + 1}"] = nn.Sequential(*blocks)
        self.width = n_in
        self.parts["pool"] = pooled()
