"""Experience replay: every step also learns a few samples drawn at random from the memory.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019, arXiv:1902.10486, Algorithm 1. One forward
pass over the stream batch and the replayed samples; the memory is offered every batch after it was learned. With
capacity 0 it is fine-tuning. The task-aware variant that Bilevel Continual Learning (arXiv:2007.15553) compares with
has a memory `ring`, `candidates = "past"` and `weighting = "halves"`; with `steps` above 1 it is the control that takes
as many gradient steps as a bilevel method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from cllab.methods import _replay as rp
from cllab.methods._er_control import Control, ERControl
from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task, Work
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
    class Config(Control):
        """Settings."""

        replay_size: int = param(0, "Replayed samples per step; 0 for as many as the batch holds", low=0)

    @classmethod
    def variant(cls, config: Config) -> type[Method]:
        return cls if config.is_plain else ERControl

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(lambda: rp.begin_task(self.learner))
        yield Phase("stream", task.train)
        # a policy that looks at all candidates at once cannot be offered batches
        yield from self.remember(task.train if self.learner.memory.info.per_task else None)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        learner, memory = self.learner, self.learner.memory
        if batch.phase == "stream" and len(memory):
            raw, y, _ = memory.retrieve(self.config.replay_size or len(batch.y), learner.rng.cpu("replay"))
            batch = rp.with_replay(batch, learner.augment(raw), y)
        return {"cross-entropy": batch.cross_entropy(learner.model(batch.x))}

    def after_step(self, batch: Batch) -> None:
        if batch.phase == "stream" and not self.learner.memory.info.per_task:
            rp.store(batch, self.learner)
