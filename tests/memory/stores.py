"""Memories and learners made by hand, without a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cllab.data.augment.pipeline import Augment, Input
from cllab.data.base import Split, TensorImages
from cllab.learner.learner import Learner
from cllab.learner.rng import Rng
from cllab.memory.base import Memory, Payload
from cllab.models.base import Backbone, Network
from cllab.settings import registry

CPU = torch.device("cpu")
SHAPE = (1, 2, 2)


class Flat(Backbone):
    """Features are the pixels."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def make_memory(policy: str, capacity: int, shape: tuple[int, int, int] = SHAPE, **config: Any) -> Memory:
    cls = registry.component("memory", policy)
    memory: Memory = cls(cls.Config(**config), capacity, Payload("images", shape), CPU)
    return memory


def make_learner(memory: Memory, *, seed: int = 0, seen: int = 10, shape: tuple[int, int, int] = SHAPE) -> Learner:
    """A learner whose features are raw pixels divided by 255."""
    width = shape[0] * shape[1] * shape[2]
    learner = Learner(
        lambda n, head: Network(Flat(width), n, head=head), memory, Rng(seed), Input((0.0,), (1.0,)), Augment(()), CPU
    )
    learner.model = learner.new_model(seen)
    learner.seen = tuple(range(seen))
    learner.task = 0
    return learner


def split_of(
    labels: Tensor, *, first: int = 0, pixels: Tensor | None = None, shape: tuple[int, int, int] = SHAPE
) -> Split:
    """Samples with identities first, first + 1, ...; an image holds its identity in its first pixels."""
    n = len(labels)
    if pixels is None:
        ids = torch.arange(first, first + n)
        pixels = torch.zeros(n, *shape, dtype=torch.uint8)
        flat = pixels.view(n, -1)
        flat[:, 0], flat[:, 1] = (ids % 251).byte(), (ids // 251).byte()
    return Split(TensorImages(pixels), torch.arange(n), labels, ids=torch.arange(first, first + n))


def agrees(memory: Memory) -> bool:
    """Whether pixels still belong to their identities."""
    flat = memory.columns["images"].flatten(1).long()
    return bool(((flat[:, 0] + 251 * flat[:, 1]) == memory.columns["ids"]).all())
