"""Experience replay: every step also learns a few samples drawn at random from the memory.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019, arXiv:1902.10486, Algorithm 1. One forward
pass over the stream batch and the replayed samples; the memory is offered every batch after it was learned. With
capacity 0 it is fine-tuning. The task-aware variant that Bilevel Continual Learning (arXiv:2007.15553) compares with
has a memory `ring`, `candidates = "past"` and `weighting = "halves"`; with `steps` above 1 it is the control that takes
as many gradient steps as a bilevel method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from cllab.errors import UsageError
from cllab.learner.heads import cross_entropy
from cllab.memory.ring import Ring
from cllab.methods import _replay as rp
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class ER(Method):
    """Cross-entropy on stream batch and replayed samples together."""

    info = MethodInfo(
        title="Experience replay",
        paper="arXiv:1902.10486",
        year=2019,
        family="replay",
        needs=frozenset({"memory"}),
        inert={"memory.capacity": 0, "method.steps": 1},
        reference={"memory.start": "continue"},
        memory="reservoir",
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        replay_size: int = param(0, "Replayed samples per step; 0 for as many as the batch holds", low=0)
        steps: int = param(1, "Gradient steps a batch, each with samples drawn anew", source="inner_steps", low=1)
        candidates: Literal["all", "past"] = param(
            "all", "What is replayed: any stored sample, or only those of earlier tasks (memory ring)"
        )
        weighting: Literal["samples", "halves"] = param(
            "samples", "Every sample counts alike, or stream and replay count alike, each with its own statistics"
        )

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        if config.candidates == "past" and learner.memory.capacity and not isinstance(learner.memory, Ring):
            raise UsageError(
                "method.candidates = 'past' needs a memory that is ordered by tasks: use memory.name = 'ring'"
            )
        self.apart = False

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)
        # a policy that looks at all candidates at once cannot be offered batches
        yield from self.remember(task.train if self.learner.memory.info.per_task else None)

    def _begin(self) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        if isinstance(self.learner.memory, Ring):
            self.learner.memory.open(self.learner)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        for _ in range(self.config.steps):
            terms = descend(lambda: self.loss(batch), batch)
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        learner = self.learner
        drawn = None if batch.phase == "memory" else self._draw(self.config.replay_size or len(batch.y))
        if drawn is not None:
            raw, labels = drawn
            if self.config.weighting == "halves":
                mine, old = rp.forwards(learner.model, batch.x, learner.augment(raw), apart=self.apart)
                replay = cross_entropy(learner.heads, old, labels)
                return {"cross-entropy": batch.cross_entropy(mine), "replay": replay}
            x, y = torch.cat([batch.x, learner.augment(raw)]), torch.cat([batch.y, labels])
            mix = None if batch.y_mix is None else torch.cat([batch.y_mix, labels])
            batch = replace(batch, x=x, y=y, y_mix=mix)
        return {"cross-entropy": batch.cross_entropy(learner.model(batch.x))}

    def _draw(self, n: int) -> tuple[Tensor, Tensor] | None:
        memory, generator = self.learner.memory, self.learner.rng.cpu("replay")
        if self.config.candidates == "past" and isinstance(memory, Ring):
            return memory.take(memory.draw(n, generator)[0]) if len(memory.earlier()) else None
        return memory.retrieve(n, generator)[:2] if len(memory) else None

    def after_step(self, batch: Batch) -> None:
        memory = self.learner.memory
        if batch.phase == "memory" or memory.info.per_task or memory.capacity == 0:
            return
        rp.store(batch, self.learner)
