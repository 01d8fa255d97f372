"""What every cut of a network costs: the latents to keep, the arithmetic below and above, the weights above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cllab.engine.networks import input_of
from cllab.engine.parts import build
from cllab.errors import UsageError
from cllab.models.base import Network
from cllab.settings import registry
from cllab.settings.config import RunConfig


@dataclass(frozen=True)
class Cut:
    """One place where a network can be cut; "" is before the first part, where images enter.

    Attributes:
        name: of the part below it.
        shape: of a latent.
        below, above: multiply-accumulates of convolutions and linear layers for one sample, the head's among those
            above.
        weights: parameters above, the head's among them.
    """

    name: str
    shape: tuple[int, ...]
    below: int
    above: int
    weights: int

    def bytes(self, each: int) -> int:
        """Of one latent whose numbers take `each` bytes."""
        return each * math.prod(self.shape)


def of_config(config: RunConfig, shape: tuple[int, int, int], n_classes: int) -> list[Cut]:
    """Every cut of the network of a configuration, for a dataset's images of `shape` (C, H, W); weights are not read.

    Raises:
        UsageError: when the images are too small for it.
    """
    model_cls, own = build("model", config.model)
    info = registry.component("dataset", config.dataset.name).info
    seen = input_of(config, info, shape[0]).shape(shape)
    if min(seen[1:]) < model_cls.info.min_size:
        raise UsageError(
            f"cuts: '{config.model.name}' needs images of at least {model_cls.info.min_size} pixels, these have "
            f"{min(seen[1:])}; --size resizes them"
        )
    return of(Network(model_cls.build(own, seen), n_classes), seen)


@torch.inference_mode()
def of(network: Network, shape: tuple[int, ...]) -> list[Cut]:
    """Every cut of `network`, from the images of `shape` (C, H, W) up."""
    network.eval()
    done = [0]

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            done[0] += out[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            done[0] += out[0].numel() * module.in_features

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    x = torch.zeros(1, *shape)
    found: list[tuple[str, tuple[int, ...], int, int]] = [("", tuple(shape), 0, 0)]
    weights = 0
    try:
        for name, part in network.backbone.parts.items():
            x = part(x)
            weights += sum(p.numel() for p in part.parameters())
            found.append((name, tuple(x.shape[1:]), done[0], weights))
        network.head(x)
    finally:
        for handle in handles:
            handle.remove()
    whole = sum(p.numel() for p in network.parameters())
    return [Cut(name, kept, macs, done[0] - macs, whole - held) for name, kept, macs, held in found]
