"""The contract of a model: a backbone that yields features, and a head that grows with the classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

HeadKind = Literal["linear", "unbiased", "normed"]


@dataclass(frozen=True)
class ModelInfo:
    """A model in a listing; `min_size` is the smallest image side it takes, `rgb` whether it needs three channels."""

    title: str
    paper: str = ""
    min_size: int = 1
    rgb: bool = False


class Backbone(nn.Module):
    """Images to features: forward maps (B, C, H, W) float to (B, D) float; `width` is D."""

    width: int

    def init_head(self, head: nn.Module) -> None:
        """Draw the weights of a fresh head, where the network's own initialization is not torch's."""


class Model:
    """Base of every model; a concrete one is final and lives alone in its file."""

    info: ClassVar[ModelInfo]

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Replaced by every model; fields are declared with `param`."""

    @staticmethod
    def build(config: Any, shape: tuple[int, int, int]) -> Backbone:
        """A freshly initialized backbone for images of `shape` (C, H, W), drawn from torch's global generator."""
        raise NotImplementedError


class NormedHead(nn.Module):
    """Linear without bias, then batch normalization: the native output layer of the networks of Bang et al. 2021."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n_classes, bias=False)
        self.norm = nn.BatchNorm1d(n_classes, eps=1e-6)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) features to (B, K) scores."""
        return self.norm(self.linear(features))  # type: ignore[no-any-return]


class FeatureBlock(nn.Module):
    """A linear feature layer; batch normalization and ReLU follow it on the way to the head."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, width)
        self.norm = nn.BatchNorm1d(width, momentum=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_in) to (B, width)."""
        return self.norm(self.linear(features)).relu()  # type: ignore[no-any-return]


class Network(nn.Module):
    """A backbone, feature blocks where a method asks for them, and a head.

    `head_kind`, `n_classes` and `widths` (of the feature blocks) describe its structure completely, so that a
    checkpoint can build it again.
    """

    def __init__(
        self, backbone: Backbone, n_classes: int, *, head: HeadKind = "linear", widths: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.blocks = nn.ModuleList()
        self.head_kind: HeadKind = head
        for width in widths:
            self.add_block(width)
        self.head = self._new_head(n_classes)

    @property
    def width(self) -> int:
        last = self.blocks[-1] if len(self.blocks) else None
        return last.linear.out_features if isinstance(last, FeatureBlock) else self.backbone.width

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(b.linear.out_features for b in self.blocks if isinstance(b, FeatureBlock))

    @property
    def n_classes(self) -> int:
        linear = self.head.linear if isinstance(self.head, NormedHead) else self.head
        assert isinstance(linear, nn.Linear)
        return linear.out_features

    def add_block(self, width: int) -> None:
        """Put a fresh feature block before the head; the head must be drawn anew afterwards."""
        device = next(self.backbone.parameters()).device
        self.blocks.append(FeatureBlock(self.width, width).to(device))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float to (B, K) scores."""
        h = self.backbone(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)  # type: ignore[no-any-return]

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float to (B, D) features: the backbone's, or the last feature layer's before its
        normalization."""
        h = self.backbone(x)
        for block in self.blocks[:-1]:
            h = block(h)
        last = self.blocks[-1] if len(self.blocks) else None
        return last.linear(h) if isinstance(last, FeatureBlock) else h  # type: ignore[no-any-return]

    def reset_head(self, n_classes: int) -> None:
        """Replace the head by a freshly drawn one with `n_classes` outputs."""
        device = next(self.parameters()).device
        self.head = self._new_head(n_classes).to(device)

    def grow(self, n_classes: int) -> None:
        """Add output rows up to `n_classes`; the rows of known classes stay as they are."""
        known = self.n_classes
        if n_classes <= known:
            return
        old = self.head
        self.reset_head(n_classes)
        with torch.no_grad():
            for name, value in self.head.state_dict(keep_vars=True).items():
                if value.dim():
                    value[:known] = old.state_dict()[name]
                else:
                    value.copy_(old.state_dict()[name])

    def _new_head(self, n_classes: int) -> nn.Module:
        head = _head(self.head_kind, self.width, n_classes)
        self.backbone.init_head(head)
        return head

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head."""
        return list(self.head.parameters())


def _head(kind: HeadKind, width: int, n_classes: int) -> nn.Module:
    if kind == "normed":
        return NormedHead(width, n_classes)
    return nn.Linear(width, n_classes, bias=kind == "linear")


def conv_init(module: nn.Module) -> None:
    """Kaiming normal, fan-out, for convolutions; ones and zeros for batch normalization."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.ones_(m.weight)
            nn.init.zeros_(m.bias)


def pixels(shape: tuple[int, int, int]) -> int:
    """C * H * W."""
    return math.prod(shape)
