"""ResNet-34 for ImageNet: Rainbow Memory's ImageNet network.

Bang et al., CVPR 2021, arXiv:2103.17230, after He et al., arXiv:1512.03385. A ReLU also follows the shortcut
convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cllab.models._blocks import conv_block, stages
from cllab.models.base import Backbone, Model, ModelInfo, conv_init, pooled, stage_cuts


class ResNet34(Model):
    """7x7 stem, stages of 3, 4, 6, 3 blocks."""

    info = ModelInfo(title="ResNet-34 (ImageNet)", paper="arXiv:2103.17230", min_size=32, cuts=stage_cuts(4))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No settings."""

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape[0])


class _Net(Backbone):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = 512
        self.parts = nn.ModuleDict(
            {"stem": nn.Sequential(conv_block(channels, 64, 7, 2), nn.MaxPool2d(3, stride=2, padding=1))}
        )
        self.parts.update(stages((64, 128, 256, 512), (3, 4, 6, 3), 64, last_relu=True))
        self.parts["pool"] = pooled()
        conv_init(self)
