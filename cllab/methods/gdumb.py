"""Greedily balance a memory, and when asked, train a fresh network on the memory alone.

Prabhu, Torr & Dokania, "GDumb: A Simple Approach that Questions Our Progress in Continual Learning", ECCV 2020. The
greedy sampler is the memory policy `class-balanced`. Under `fidelity = "reference"` the memory is drawn anew from
stream and memory, as in Rainbow Memory's code (arXiv:2103.17230), and the network has its native normalized head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from cllab.methods.base import Batch, Method, MethodInfo
from cllab.settings.spec import param

if TYPE_CHECKING:
    from cllab.data.base import Split
    from cllab.engine.loop import Loop
    from cllab.scenarios.base import Stream, Task


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

    def learn(self, task: Task, loop: Loop) -> None:
        """The stream only passes through the memory; offline, training follows at once."""
        if loop.online:
            return
        loop.do(lambda: self.learner.memory.update(task.train, self.learner))
        self._train(loop, loop.train.memory_epochs or loop.train.epochs)

    def rehearse(self, task: Task, loop: Loop) -> None:
        self._train(loop, loop.train.memory_epochs)

    def offered(self, task: Task) -> Split:
        """Offline the memory has already seen the task when training begins."""
        nothing = task.train.index[:0]
        return task.train if self.learner.online else task.train.subset(nothing)

    def _train(self, loop: Loop, epochs: int) -> None:
        loop.do(lambda: loop.renew(model=True, head=self.config.head))
        loop.fit(self.learner.memory.split(), phase="memory", epochs=epochs)

    def planned_steps(self, task: Task, loop: Loop, stream: Stream) -> int:
        n = min(self.learner.memory.capacity, sum(len(t.train) for t in stream.tasks[: task.index + 1]))
        epochs = loop.train.memory_epochs or (0 if loop.online else loop.train.epochs)
        return epochs * loop.steps_per_epoch(n, "none", loop.train.batch_size, 0)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
