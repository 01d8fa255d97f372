"""Rainbow Memory: a memory of diverse samples by uncertainty, replayed in every other half of a batch.

Bang, Kim, Yoo, Ha & Choi, "Rainbow Memory: Continual Learning with a Memory of Diverse Samples", CVPR 2021,
arXiv:2103.17230, Algorithm 1. The memory update is the policy `uncertainty`; the data augmentation of the paper is
`train.augment`. Under `fidelity = "reference"` the memory phase trains with half the batch size and the output layer is
drawn anew at every task, as in the published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo
from cllab.settings.spec import param

if TYPE_CHECKING:
    from cllab.engine.loop import Loop
    from cllab.scenarios.base import Stream, Task


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

    def rehearse(self, task: Task, loop: Loop) -> None:
        size = self._memory_batch(loop)
        loop.fit(self.learner.memory.split(), phase="memory", batch_size=size, drop_last=False)

    def planned_steps(self, task: Task, loop: Loop, stream: Stream) -> int:
        train, capacity = loop.train, self.learner.memory.capacity
        before = sum(len(t.train) for t in stream.tasks[: task.index])
        held, after = min(capacity, before), min(capacity, before + len(task.train))
        steps = loop.stream_steps(len(task.train), "half", held)
        if loop.online and train.memory_epochs and capacity:
            steps += train.memory_epochs * loop.steps_per_epoch(
                after, "none", self._memory_batch(loop), 0, drop_last=False
            )
        return steps

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _memory_batch(self, loop: Loop) -> int:
        size = loop.train.batch_size
        return max(2, size // 2) if self.config.memory_batch == "half" else size
