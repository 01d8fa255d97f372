"""Greedily balance a memory, and when asked, train a fresh network on the memory alone.

Prabhu, Torr & Dokania, "GDumb: A Simple Approach that Questions Our Progress in Continual Learning", ECCV 2020. The
greedy sampler is the memory policy `class-balanced`. Under `fidelity = "reference"` the memory is drawn anew from
stream and memory, as in Rainbow Memory's code (arXiv:2103.17230), and the network has its native normalized head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo, Offer, Phase, Piece, Task, Work
from cllab.settings.spec import param


class GDumb(Method):
    """A fresh network trained on the memory at every task."""

    info = MethodInfo(
        title="GDumb",
        paper="ECCV 2020",
        year=2020,
        family="replay",
        needs=frozenset({"memory"}),
        memory="class-balanced",
        replay="none",
        memory_only=True,
        reference={"evaluate.report": "best"},
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        head: Literal["linear", "normed"] = param(
            "linear",
            "Output layer: linear, or the published network's linear with batch normalization",
            reference="normed",
        )

    def learn(self, task: Task) -> Iterator[Piece]:
        """The stream only passes through the memory; then a network of its own learns what is there."""
        learner, settings = self.learner, self.learner.settings
        yield Offer(task.train)
        yield Work(lambda: learner.begin_anew(self.config.head))
        yield Phase("memory", epochs=settings.memory_epochs or (0 if learner.online else settings.epochs))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
