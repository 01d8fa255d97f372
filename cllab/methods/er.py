"""Experience replay: every step also learns a few samples drawn at random from the memory.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019, arXiv:1902.10486, Algorithm 1. One forward
pass over the stream batch and the replayed samples; the memory is offered every batch after it was learned. With
capacity 0 it is fine-tuning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cllab.data.base import Split, TensorImages
from cllab.methods.base import Batch, Method, MethodInfo
from cllab.spec import param

if TYPE_CHECKING:
    from cllab.engine.loop import Loop
    from cllab.scenarios.base import Task


class ER(Method):
    """Cross-entropy on stream batch and replayed samples together."""

    info = MethodInfo(
        title="Experience replay",
        paper="arXiv:1902.10486",
        year=2019,
        family="replay",
        needs=frozenset({"memory"}),
        inert={"memory.capacity": 0},
        memory="reservoir",
        replay="none",
        memory_update="step",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        replay_size: int = param(0, "Replayed samples per step; 0 for as many as the batch holds", low=0)

    rehearsing = False

    def rehearse(self, task: Task, loop: Loop) -> None:
        loop.do(lambda: self._rehearsing(True))
        super().rehearse(task, loop)
        loop.do(lambda: self._rehearsing(False))

    def _rehearsing(self, now: bool) -> None:
        self.rehearsing = now

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        learner = self.learner
        if len(learner.memory) and not self.rehearsing:
            n = self.config.replay_size or len(batch.y)
            raw, labels, _ = learner.memory.retrieve(n, learner.rng.cpu("replay"))
            x, y = torch.cat([batch.x, learner.augment(raw)]), torch.cat([batch.y, labels])
            mix = None if batch.y_mix is None else torch.cat([batch.y_mix, labels])
            batch = replace(batch, x=x, y=y, y_mix=mix)
        return {"cross-entropy": batch.cross_entropy(learner.model(batch.x))}

    def after_step(self, batch: Batch) -> None:
        memory = self.learner.memory
        if self.rehearsing or memory.info.per_task or memory.capacity == 0:
            return
        positions = torch.arange(len(batch.y), device=batch.y.device)
        memory.update(Split(TensorImages(batch.raw), positions, batch.y, ids=batch.ids), self.learner)
