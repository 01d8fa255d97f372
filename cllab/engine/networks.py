"""The networks of a run: all of one kind, cut alike, and with one front where that learns no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cllab.data.augment.pipeline import Input
from cllab.data.base import Dataset, DatasetInfo
from cllab.engine.latent_cache import LatentCache
from cllab.engine.parts import build
from cllab.learner.rng import Rng
from cllab.models import _weights
from cllab.models._renorm import Renorm
from cllab.models.base import Backbone, ModelInfo, Network
from cllab.settings import fronts, registry
from cllab.settings.config import RunConfig
from cllab.settings.tables import ModelCommon


def input_of(config: RunConfig, info: DatasetInfo, channels: int) -> Input:
    """How the network of a configuration wants its images: pretrained weights say so themselves, else the dataset does.

    channels: of the dataset's images.
    """
    common = config.model.common
    model: ModelInfo = registry.component("model", config.model.name).info
    pretrained = common["weights"] not in _weights.NONE and bool(model.mean)
    mean, std = (model.mean, model.std) if pretrained else (info.mean, info.std)
    if config.train.normalize == "unit":
        mean, std = (0.0,), (1.0,)
    return Input(tuple(mean), tuple(std), common["size"], 3 if pretrained and channels == 1 else 0)


def backbones(config: RunConfig, shape: tuple[int, int, int]) -> tuple[Callable[[], Backbone], dict[str, str]]:
    """What makes the backbones of a configuration for images of `shape` (C, H, W), and the receipt of their weights.

    Raises:
        UsageError, DataError: when the weights are not there or do not fit.
    """
    model_cls, own = build("model", config.model)
    name = config.model.common["weights"]
    path = None if name in _weights.NONE else _weights.find(model_cls, own, name)

    def make() -> Backbone:
        made: Backbone = model_cls.build(own, shape)
        if path is not None:
            _weights.load(model_cls, made, path)
        return made

    return make, {} if path is None else {"weights": _weights.receipt(name, path)}


def precheck(config: RunConfig, data: Dataset) -> None:
    """Whether the weights that are asked for are there and fit, before anything is made.

    Raises:
        UsageError, DataError: when they are not or do not.
    """
    if config.model.common["weights"] not in _weights.NONE:
        backbones(config, input_of(config, data.info, data.shape[0]).shape(data.shape))[0]()


class Networks:
    """Draws networks for images of `shape` (C, H, W), of a dataset `info`.

    Attributes:
        input: how they want their images.
        weights: the receipt of those that they begin with; empty where they are drawn.
        front: the parts below the cut, shared by all networks; None where they learn.
        latent_shape: of what enters behind the front, where latents stand in the place of images; else None.
    """

    def __init__(
        self, config: RunConfig, info: DatasetInfo, shape: tuple[int, int, int], device: torch.device, rng: Rng
    ) -> None:
        seen = input_of(config, info, shape[0])
        self.input, shape = seen, seen.shape(shape)
        self._backbone, self.weights = backbones(config, shape)
        common = config.model.common
        found = ModelCommon.renormalized(common)
        self._renorm = None if found is None else Renorm(**found)
        self._device = device
        self._at: str = common["cut"]
        self.front: nn.ModuleDict | None = None
        self.latent_shape: tuple[int, ...] | None = None
        if common["front"] == "frozen":
            with rng.seeded("front"):
                network = self.whole(1, "linear")
            network.cut(self._at)
            network.freeze()
            self.front = network.frozen_front
            if fronts.kept_latents(config):
                with torch.inference_mode():
                    self.latent_shape = tuple(network.front(torch.zeros(1, *shape, device=device)).shape[1:])

    def whole(self, n_classes: int, head: str) -> Network:
        """A network that is not cut: all of it learns."""
        network = Network(self._backbone(), n_classes, head=head, renormalized=self._renorm).to(self._device)
        return network.to(memory_format=torch.channels_last) if self._device.type == "cuda" else network

    def make(self, n_classes: int, head: str) -> Network:
        """A network as the stream is learned with."""
        network = self.whole(n_classes, head)
        if self._at:
            network.cut(self._at)
        if self.front is not None:
            network.freeze(self.front)
        network.latent = self.latent_shape is not None
        return network

    def cache(self, config: RunConfig, data: Dataset) -> LatentCache | None:
        """Where the latents of a pretrained front are kept; None for a front that is this run's alone."""
        if self.front is None or not self.weights or config.base.on != "none":
            return None
        common = config.model.common
        told = {"dataset": data.name, "model": config.model.name, "weights": common["weights"], "cut": common["cut"]}
        splits = {id(data.train.images): "train", id(data.test.images): "test"}
        return LatentCache(self.front, repr(self.input), told, splits)

    def adopt(self, weights: Mapping[str, Tensor], network: Network, *, whole: bool) -> None:
        """Take over what a base stage has learned.

        Args:
            weights: of a network that is not cut.
            network: the run's, freshly drawn: it is given those parts of the front that it has itself and, with
                `whole`, everything above it; without, all of the backbone where it is not cut.
        """
        if self.front is not None:
            stem = "backbone.parts."
            own = {k.removeprefix(stem): v for k, v in weights.items() if k.startswith(stem)}
            self.front.load_state_dict({k: own[k] for k in self.front.state_dict()})
        known = network.state_dict()
        taken = {k: v for k, v in weights.items() if k in known and (whole or self._below(k, network))}
        network.load_state_dict({**known, **taken})

    def _below(self, key: str, network: Network) -> bool:
        """Whether a weight belongs to the part that a base stage is for."""
        if not self._at:
            return key.startswith("backbone.")
        names = list(network.backbone.parts)
        front = names[: names.index(self._at) + 1] if self._at in names else []
        return any(key.startswith(f"backbone.parts.{name}.") for name in front)

    def state(self) -> dict[str, Any] | None:
        """The weights of the front, for a checkpoint."""
        return None if self.front is None else self.front.state_dict()

    def load_state(self, state: dict[str, Any] | None) -> None:
        """Restore what `state` returned."""
        if self.front is not None and state is not None:
            self.front.load_state_dict(state)
