"""Keep training on what comes, with nothing done against forgetting but the memory, if there is one.

The lower bound of every comparison when the capacity is 0. With a memory, stream and memory are shuffled into one
training set, which is how Rainbow Memory's code (arXiv:2103.17230) runs its `finetune`, there with the policy `random`.
"""

from __future__ import annotations

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo


class Finetune(Method):
    """Cross-entropy on the stream, and on the memory where there is one."""

    info = MethodInfo(
        title="Fine-tuning",
        family="bound",
        inert={},
        memory="random",
        reference={"evaluate.report": "best", "train.head": "reset"},
    )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
