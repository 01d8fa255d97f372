"""ResNet-34 for ImageNet: Rainbow Memory's ImageNet network.

Bang et al., CVPR 2021, arXiv:2103.17230, after He et al., arXiv:1512.03385. A ReLU also follows the shortcut
convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from cllab.models._blocks import conv_block, stages
from cllab.models.base import Backbone, Model, ModelInfo, conv_init


class ResNet34(Model):
    """7x7 stem, stages of 3, 4, 6, 3 blocks."""

    info = ModelInfo(title="ResNet-34 (ImageNet)", paper="arXiv:2103.17230", min_size=32)

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
        self.stem = nn.Sequential(conv_block(channels, 64, 7, 2), nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = stages((64, 128, 256, 512), (3, 4, 6, 3), 64, last_relu=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        conv_init(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 512)."""
        return self.pool(self.stages(self.stem(x))).flatten(1)  # type: ignore[no-any-return]
