"""Experience replay as Bilevel Continual Learning (Pham et al. 2020, arXiv:2007.15553) compares with it.

ER-ring: only earlier tasks are replayed, each from its ring (`candidates = "past"`), and stream and replay are a mean
each, with batch statistics each (`weighting = "halves"`). With `steps` above 1 it is the control that takes as many
gradient steps as a bilevel method. Whatever is left at its default is as in `er`, which these settings belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from cllab.errors import UsageError
from cllab.learner.heads import cross_entropy
from cllab.memory.ring import Ring
from cllab.methods import _replay as rp
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


@dataclass(frozen=True, kw_only=True)
class Control:
    """Settings of a comparison with bilevel methods."""

    steps: int = param(1, "Gradient steps a batch, each with samples drawn anew", source="inner_steps", low=1)
    candidates: Literal["all", "past"] = param(
        "all", "What is replayed: any stored sample, or only those of earlier tasks (memory ring)"
    )
    weighting: Literal["samples", "halves"] = param(
        "samples", "Every sample counts alike, or stream and replay count alike, each with its own statistics"
    )

    @property
    def is_plain(self) -> bool:
        """Whether nothing differs from experience replay."""
        return (self.steps, self.candidates, self.weighting) == (1, "all", "samples")


class ERControl(Method):
    """Several steps a batch, replay of earlier tasks, stream and replay a mean each."""

    info = MethodInfo(title="Experience replay", family="replay", replay="none")

    def __init__(self, config: Any, learner: Learner) -> None:
        super().__init__(config, learner)
        if config.candidates == "past" and learner.memory.capacity and not isinstance(learner.memory, Ring):
            raise UsageError(
                "method.candidates = 'past' needs a memory that is ordered by tasks: use memory.name = 'ring'"
            )
        self.apart = False

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)
        yield from self.remember(task.train if self.learner.memory.info.per_task else None)

    def _begin(self) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        rp.begin_task(self.learner)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        for _ in range(self.config.steps):
            terms = descend(lambda: self.loss(batch), batch)
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        learner = self.learner
        drawn = self._draw(self.config.replay_size or len(batch.y)) if batch.phase == "stream" else None
        if drawn is None:
            return {"cross-entropy": batch.cross_entropy(learner.model(batch.x))}
        raw, y = drawn
        if self.config.weighting == "samples":
            both = rp.with_replay(batch, learner.augment(raw), y)
            return {"cross-entropy": both.cross_entropy(learner.model(both.x))}
        mine, old = rp.forwards(learner.model, batch.x, learner.augment(raw), apart=self.apart)
        return {"cross-entropy": batch.cross_entropy(mine), "replay": cross_entropy(learner.heads, old, y)}

    def _draw(self, n: int) -> tuple[Tensor, Tensor] | None:
        memory, generator = self.learner.memory, self.learner.rng.cpu("replay")
        if self.config.candidates == "past" and isinstance(memory, Ring):
            return memory.take(memory.draw(n, generator)[0]) if len(memory.earlier()) else None
        return memory.retrieve(n, generator)[:2] if len(memory) else None

    def after_step(self, batch: Batch) -> None:
        if batch.phase == "stream" and not self.learner.memory.info.per_task:
            rp.store(batch, self.learner)
