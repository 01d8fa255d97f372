"""ResNet-18 for 32x32 images: Rainbow Memory's CIFAR-10 network.

Bang et al., CVPR 2021, arXiv:2103.17230, after He et al., arXiv:1512.03385. The stem keeps the resolution (3x3, stride
1, no pooling); see `_blocks.py` for where it departs from He et al.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cllab.models._blocks import conv_block, stages
from cllab.models.base import Backbone, Model, ModelInfo, conv_init, pooled, stage_cuts


class ResNet18(Model):
    """Widths (64, 128, 256, 512), depths (2, 2, 2, 2)."""

    info = ModelInfo(title="ResNet-18 (32x32)", paper="arXiv:2103.17230", min_size=8, cuts=stage_cuts(4))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No settings."""

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape[0])


class _Net(Backbone):
    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (64, 128, 256, 512)
        self.width = widths[-1]
        self.parts = nn.ModuleDict({"stem": conv_block(channels, 64, 3)})
        self.parts.update(stages(widths, (2, 2, 2, 2), 64))
        self.parts["pool"] = pooled()
        conv_init(self)
