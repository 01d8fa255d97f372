"""One network that goes on learning, with no memory and nothing done against forgetting: `single` of GEM.

Lopez-Paz & Ranzato 2017, arXiv:1706.08840: one gradient step a batch on the classes of the current task. Fine-tuning
that cannot be given a memory; the lower bound of its tables and of Bilevel Continual Learning's (arXiv:2007.15553).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task


class Single(Method):
    """Cross-entropy on the stream alone."""

    info = MethodInfo(
        title="Single",
        paper="arXiv:1706.08840",
        year=2017,
        family="bound",
        inert={},
        memory="random",
        uses_memory=False,
        replay="none",
    )

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Phase("stream", task.train)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
