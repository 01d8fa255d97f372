"""MobileNetV1: depth-wise separable convolutions, the network of latent replay.

Howard et al., arXiv:1704.04861. Pellegrini et al., "Latent Replay for Real-Time Continual Learning", arXiv:1912.01100,
cut it behind one of 28 parts, which have the names of the published Caffe network: `conv5_4/dw` is behind the
depth-wise convolution of the tenth unit, after its ReLU. Every convolution has a batch normalization (eps 1e-5) and a
ReLU. The mean is over the whole image, whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cllab.models.base import Backbone, Model, ModelInfo, conv_init, pooled
from cllab.settings.spec import param

UNITS = (
    ("conv2_1", 64, 1),
    ("conv2_2", 128, 2),
    ("conv3_1", 128, 1),
    ("conv3_2", 256, 2),
    ("conv4_1", 256, 1),
    ("conv4_2", 512, 2),
    *((f"conv5_{i}", 512, 1) for i in range(1, 6)),
    ("conv5_6", 1024, 2),
    ("conv6", 1024, 1),
)
"""Name, channels and stride of every unit."""
_OWN = ("conv", "bn")
_STAGES = (1, 2, 2, 6, 2)
"""Units of every stage of pytorchcv's `mobilenet_w1`, whose weights fit."""


class MobileNetV1(Model):
    """A stem and thirteen units."""

    info = ModelInfo(
        title="MobileNetV1",
        paper="arXiv:1704.04861",
        min_size=32,
        cuts=("conv1", *(f"{name}/{half}" for name, _, _ in UNITS for half in ("dw", "sep")), "pool6"),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        multiplier: float = param(
            1.0, "Width multiplier, of the channels of every layer", source="alpha", low=0.05, high=4
        )

    @staticmethod
    def build(config: Config, shape: tuple[int, int, int]) -> Backbone:
        return _Net(shape[0], config.multiplier)

    @staticmethod
    def own_name(key: str) -> str:
        """Of pytorchcv's names, features.init_block and features.stageS.unitU.dw_conv."""
        names = key.removeprefix("features.").split(".")
        if names[0] == "init_block":
            part, rest = "conv1", names[1:]
        elif names[0].startswith("stage") and len(names) > 3 and names[2] in ("dw_conv", "pw_conv"):
            unit = sum(_STAGES[: int(names[0][5:]) - 1]) + int(names[1][4:]) - 1
            part, rest = f"{UNITS[unit][0]}/{'dw' if names[2] == 'dw_conv' else 'sep'}", names[3:]
        else:
            return key
        return f"parts.{part}.{_OWN.index(rest[0])}.{rest[1]}"


def _block(n_in: int, n_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


class _Net(Backbone):
    def __init__(self, channels: int, multiplier: float) -> None:
        super().__init__()

        def scaled(n: int) -> int:
            return max(1, round(n * multiplier))

        n_in = scaled(32)
        self.parts = nn.ModuleDict({"conv1": _block(channels, n_in, 3, 2)})
        for name, n_out, stride in UNITS:
            self.parts[f"{name}/dw"] = _block(n_in, n_in, 3, stride, groups=n_in)
            self.parts[f"{name}/sep"] = _block(n_in, scaled(n_out), 1, 1)
            n_in = scaled(n_out)
        self.parts["pool6"] = pooled()
        self.width = n_in
        conv_init(self)
