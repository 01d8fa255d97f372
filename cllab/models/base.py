"""The contract of a model: a backbone that yields features, and a head that grows with the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cllab.errors import UsageError, nearest
from cllab.models import _renorm as renorm
from cllab.models import _transfer as transfer
from cllab.models.heads.base import Head, head_class


@dataclass(frozen=True)
class ModelInfo:
    """A model in a listing.

    Attributes:
        cuts: where its networks can be cut, in their order; "hidden{layers}" stands for one part for each of `layers`.
        min_size: the smallest image side it takes.
        rgb: whether it needs three channels.
        weights: names of pretrained weights that it knows; a file is always possible.
        mean, std: how pretrained weights want their pixels, (v / 255 - mean) / std; empty for the dataset's own.
    """

    title: str
    paper: str = ""
    cuts: tuple[str, ...] = ()
    min_size: int = 1
    rgb: bool = False
    weights: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class Backbone(nn.Module):
    """Images to features: forward maps (B, C, H, W) float to (B, D) float; `width` is D.

    `parts` are what it is made of, in their order; a network can be cut behind each of them.
    """

    width: int
    parts: nn.ModuleDict

    def forward(self, x: Tensor, start: str = "", stop: str = "") -> Tensor:
        """All parts, or those behind `start` up to `stop`."""
        begun = not start
        for name, part in self.parts.items():
            if begun:
                x = part(x)
            if name == stop:
                break
            begun = begun or name == start
        return x

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

    @staticmethod
    def pretrained(config: Any, name: str) -> Path:
        """The file with the pretrained weights `name`, of those that `info.weights` names.

        Raises:
            DataError: when it is not on this machine, with the command that brings it.
        """
        raise NotImplementedError

    @staticmethod
    def own_name(key: str) -> str:
        """What the backbone calls the weight that a file of others calls `key`."""
        return key


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

    `structure` describes all of that, so that a checkpoint can build it again.

    Attributes:
        at: the part behind which it is cut into a front and a back; empty where it is not.
        frozen: whether the front learns no more. It is no part of what learns then: neither among the parameters nor
            in the weights that are saved, and in eval mode whatever is called.
        shares_front: whether its frozen front is that of other networks too, who keeps it saves it.
        latent: whether what it is shown are latents, the front's outputs: `forward` and `features` enter at the cut.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        *,
        head: str = "linear",
        widths: tuple[int, ...] = (),
        renormalized: renorm.Renorm | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.renormalized: renorm.Renorm | None = None
        if renormalized is not None:
            self.renormalize(renormalized)
        self.blocks = nn.ModuleList()
        for width in widths:
            self.add_block(width)
        self.head = self._new_head(n_classes, head)
        self.transferred = False
        self.at = ""
        self.latent = False
        self.shares_front = False
        self._frozen: tuple[nn.ModuleDict, ...] = ()  # in a tuple, where torch does not look for modules

    @property
    def frozen(self) -> bool:
        return bool(self._frozen)

    @property
    def structure(self) -> dict[str, Any]:
        """What `rebuild` needs to know of it beside its weights."""
        return {
            "classes": self.n_classes,
            "head": self.head.kind,
            "widths": list(self.widths),
            "renorm": None if self.renormalized is None else asdict(self.renormalized),
            "transfer": self.transferred,
            "at": self.at,
            "frozen": self.frozen,
            "latent": self.latent,
        }

    def rebuild(self, structure: Mapping[str, Any]) -> None:
        """Take on the structure of another network of the same backbone."""
        if structure["renorm"] and self.renormalized is None:
            self.renormalize(renorm.Renorm(**structure["renorm"]))
        for width in structure["widths"]:
            self.add_block(width)
        self.reset_head(structure["classes"], structure["head"])
        if structure["at"] and not self.at:
            self.cut(structure["at"])
        if structure["frozen"] and not self.frozen:
            self.freeze()
        if structure["transfer"]:
            self.transfer()
        self.latent = structure["latent"]

    def cut(self, at: str) -> None:
        """Cut it behind the part `at` of its backbone.

        Raises:
            UsageError: when there is none, naming those that there are.
        """
        names = list(getattr(self.backbone, "parts", {}))
        if at not in names:
            known = f"it can be cut behind {', '.join(names)}" if names else "this network cannot be cut"
            raise UsageError(f"no part '{at}'; {known}{nearest(at, names)}")
        self.at = at

    def freeze(self, front: nn.ModuleDict | None = None) -> None:
        """The front learns no more, its statistics neither; `front`, that of another network, takes its place.

        Raises:
            ValueError: when the front has transfer weights, which are there to learn.
        """
        if self.transferred:
            raise ValueError("a network with transfer weights is frozen before it is given them")
        names = list(self.backbone.parts)
        own = nn.ModuleDict({name: self.backbone.parts[name] for name in names[: names.index(self.at) + 1]})
        for name in own:
            del self.backbone.parts[name]
        self._frozen = ((own if front is None else front).requires_grad_(False).eval(),)
        self.shares_front = front is not None

    @property
    def frozen_front(self) -> nn.ModuleDict | None:
        """The parts that learn no more, to be given to another network; None where all learn."""
        return self._frozen[0] if self._frozen else None

    def renormalize(self, options: renorm.Renorm) -> None:
        """Put batch renormalization in the place of the backbone's batch normalizations: see `models/_renorm.py`."""
        self.renormalized = options
        renorm.apply(self.backbone, options)

    def begin_task(self, index: int) -> None:
        """Task `index` begins: batch renormalization goes from its first phase to its later one."""
        renorm.begin_task(self.backbone, index)

    def observed(self) -> dict[str, Tensor]:
        """What is worth looking at inside of it after a step, by name, 0-d: how far batches are renormalized."""
        return renorm.seen(self.backbone)

    def transfer(self) -> None:
        """Keep the kernels of what learns of the backbone as they are, and learn a factor for each of them.

        Sun et al., "Meta-Transfer Learning", CVPR 2019: see `models/_transfer.py`. Twice is once.
        """
        self.transferred = True
        transfer.apply(self.backbone)

    def transfer_parameters(self) -> list[nn.Parameter]:
        """Factors and shifts of the backbone's kernels; none before `transfer`."""
        return transfer.parameters(self.backbone)

    def front(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float to the latents at the cut, (B, ...)."""
        if not self._frozen:
            return self.backbone(x, stop=self.at)  # type: ignore[no-any-return]
        with torch.no_grad():
            for part in self._frozen[0].values():
                x = part(x)
        return x

    def back(self, latents: Tensor) -> Tensor:
        """(B, ...) latents to (B, K) scores."""
        return self._scores(self._behind(latents))

    def _behind(self, latents: Tensor) -> Tensor:
        return self.backbone(latents, start="" if self._frozen else self.at)  # type: ignore[no-any-return]

    def _features(self, x: Tensor) -> Tensor:
        if self.latent:
            return self._behind(x)
        return self._behind(self.front(x)) if self._frozen else self.backbone(x)

    @property
    def width(self) -> int:
        last = self.blocks[-1] if len(self.blocks) else None
        return last.linear.out_features if isinstance(last, FeatureBlock) else self.backbone.width

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(b.linear.out_features for b in self.blocks if isinstance(b, FeatureBlock))

    @property
    def n_classes(self) -> int:
        return self.head.n_classes

    def add_block(self, width: int) -> None:
        """Put a fresh feature block before the head; the head must be drawn anew afterwards."""
        device = next(self.parameters()).device
        self.blocks.append(FeatureBlock(self.width, width).to(device))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float, or latents where those are shown, to (B, K) scores."""
        return self._scores(self._features(x))

    def _scores(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h)
        return self.head(h)  # type: ignore[no-any-return]

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float, or latents where those are shown, to (B, D) features: the backbone's, or the last feature
        layer's before its normalization."""
        h = self._features(x)
        for block in self.blocks[:-1]:
            h = block(h)
        last = self.blocks[-1] if len(self.blocks) else None
        return last.linear(h) if isinstance(last, FeatureBlock) else h

    def reset_head(self, n_classes: int, kind: str = "") -> None:
        """Replace the head by a freshly drawn one with `n_classes` outputs, of another kind where one is named."""
        device = next(self.parameters()).device
        self.head = self._new_head(n_classes, kind or self.head.kind).to(device)

    def grow(self, n_classes: int, init: Tensor | None = None) -> None:
        """Add output rows up to `n_classes`; the rows of known classes stay as they are.

        init: (m, D) rows of the m new classes; None for freshly drawn ones.
        """
        self.head.grow(n_classes, init, self.backbone.init_head)

    def _new_head(self, n_classes: int, kind: str) -> Head:
        head = head_class(kind)(self.width, n_classes)
        self.backbone.init_head(head)
        return head

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head."""
        return list(self.head.parameters())


def stage_cuts(n: int) -> tuple[str, ...]:
    """The parts of a residual network of `n` stages."""
    return ("stem", *(f"stage{i + 1}" for i in range(n)), "pool")


def pooled() -> nn.Module:
    """(B, C, H, W) to (B, C), the mean over the image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


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
