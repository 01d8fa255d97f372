"""Rainbow Memory: a memory of diverse samples by uncertainty, replayed in every other half of a batch.

Bang, Kim, Yoo, Ha & Choi, "Rainbow Memory: Continual Learning with a Memory of Diverse Samples", CVPR 2021,
arXiv:2103.17230, Algorithm 1. The memory update is the policy `uncertainty`; the data augmentation of the paper is
`train.augment`. Under `fidelity = "reference"` the memory phase trains with half the batch size and the output layer is
drawn anew at every task, as in the published code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task
from cllab.settings.spec import param


class RM(Method):
    """Cross-entropy on batches that are half stream, half memory."""

    info = MethodInfo(
        title="Rainbow Memory",
        paper="arXiv:2103.17230",
        year=2021,
        family="replay",
        needs=frozenset({"memory"}),
        inert={"memory.capacity": 0},
        memory="uncertainty",
        replay="half",
        reference={"evaluate.report": "best", "train.head": "reset"},
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        memory_batch: Literal["full", "half"] = param(
            "full", "Batch size of the memory phase: train.batch_size, or half of it", reference="half"
        )

    def learn(self, task: Task) -> Iterator[Piece]:
        size = self.learner.settings.batch_size
        size = max(2, size // 2) if self.config.memory_batch == "half" else size
        yield Phase("stream", task.train, replay="half")
        yield from self.remember(task.train, batch_size=size, drop_last=False)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
