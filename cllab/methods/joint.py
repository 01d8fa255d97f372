"""Train on everything at once: the upper bound of every comparison.

At each task a fresh network learns the data of all tasks so far. `when = "first"` is Rainbow Memory's code
(arXiv:2103.17230): one training on the whole stream, with the network's native normalized head, then nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cllab.data.base import join
from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class Joint(Method):
    """Cross-entropy on all data."""

    info = MethodInfo(
        title="Joint training",
        family="bound",
        needs=frozenset({"past-data"}),
        memory="random",
        uses_memory=False,
        replay="none",
        reference={"evaluate.report": "best"},
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        when: Literal["each-task", "last"] = param(
            "each-task", "Train at every task on the data so far, or only at the last on everything", reference="last"
        )
        head: Literal["linear", "normed"] = param(
            "linear",
            "Output layer: linear, or the published network's linear with batch normalization",
            reference="normed",
        )

    def learn(self, task: Task) -> Iterator[Piece]:
        # the stream is not a method's to keep: joint training is the one that may look back
        learner = self.learner
        splits = [t.train for t in learner.stream.tasks[: task.index + 1]]
        if self.config.when == "last" and task.index < learner.n_tasks - 1:
            return
        everything = splits[0]
        for split in splits[1:]:
            everything = join(everything, split)
        yield Work(lambda: learner.begin_anew(self.config.head))
        yield Phase("stream", everything)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
