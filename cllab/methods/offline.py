"""Keep everything, and after the last task learn it all at once: what Bilevel Continual Learning calls offline.

Pham et al. 2020, arXiv:2007.15553, whose code gives it two epochs and a larger network than every other method; here it
has the same network. Two epochs of 20 small tasks are no upper bound: BCL-Dual ends above them; ten are.
A sample is learned within its own task's classes where the scenario names the task. Not to be confused with
`joint`, which trains anew at every task with the epochs of `[train]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from cllab.data.base import join
from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task
from cllab.settings.spec import param


class Offline(Method):
    """Cross-entropy on all data, after the last task."""

    info = MethodInfo(
        title="Offline",
        paper="arXiv:2007.15553",
        year=2020,
        family="bound",
        needs=frozenset({"past-data"}),
        memory="random",
        uses_memory=False,
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        epochs: int = param(2, "Passes over the data of all tasks", source="2, fixed in the published code", low=1)

    def learn(self, task: Task) -> Iterator[Piece]:
        tasks = self.learner.stream.tasks
        if task.index < len(tasks) - 1:
            return
        everything = tasks[0].train
        for other in tasks[1:]:
            everything = join(everything, other.train)
        yield Phase("stream", everything, epochs=self.config.epochs)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
