"""FTML: steps on the batch, then on the whole memory of a task drawn at random, each time going a share of the way.

Finn, Rajeswaran, Kakade & Levine, "Online Meta-Learning", ICML 2019, arXiv:1902.08438, in the first-order form that
Pham et al. 2020 (arXiv:2007.15553) compare with: no gradient through the steps, but an interpolation as in Reptile
(arXiv:1803.02999). The current task may be drawn too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cllab.learner.heads import cross_entropy
from cllab.methods import _bilevel as bi
from cllab.methods import _replay as rp
from cllab.methods._tell import Tell
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class FTML(Method):
    """Reptile steps on the stream and on the memory of single tasks."""

    info = MethodInfo(
        title="FTML",
        paper="arXiv:1902.08438",
        year=2019,
        family="meta",
        needs=frozenset({"memory", "boundaries"}),
        inert={"memory.capacity": 0, "method.inner_steps": 1, "method.beta": 1.0},
        memory="ring",
        policies=("ring",),
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(bi.Adapting, bi.Interpolating):
        """Settings."""

        inner_steps: int = param(2, "Steps before an interpolation", source="K; inner_steps", low=1, high=1000)
        meta_steps: int = param(2, "Tasks drawn from the memory a batch", source="N; n_meta", low=0, high=1000)
        beta: float = param(0.3, "Share of the way that is kept", source="beta", low=0, high=1)

    derived = frozenset({"adapted", "tell"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.tell = Tell(learner)
        self.prepare_evaluation()

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(lambda: rp.begin_task(self.learner))
        yield Phase("stream", task.train)
        yield from self.remember(None)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config, learner, tell = self.config, self.learner, self.tell
        rp.store(batch, learner)
        tell.begin("stream")
        tell.samples("batch", batch.raw, batch.y)
        terms = self._go(lambda: self.loss(batch), batch, descend)
        if learner.memory.capacity == 0:
            return terms
        memory = rp.ring(learner.memory)
        for i in range(config.meta_steps):
            drawn = int(torch.randint(len(memory.tasks), (1,), generator=learner.rng.cpu("replay")))
            raw, y = memory.take(memory.rows(drawn))
            x = learner.augment(raw)
            tell.begin(f"draw {i + 1}")
            tell.task(drawn)
            tell.samples("memory", raw, y)
            terms |= self._go(lambda x=x, y=y: self._replayed(x, y), batch, descend)
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _replayed(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"replay": cross_entropy(self.learner.heads, self.learner.model(x), y)}

    def _go(self, loss: Any, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config = self.config
        with bi.part_of_the_way(self.learner, config.beta, config.statistics, self.tell):
            for _ in range(config.inner_steps):
                terms = descend(loss, batch)
                self.tell.stepped(terms, "loss")
        return terms

    def prepare_evaluation(self) -> None:
        self.adapted = bi.Adapted(self.learner, self.config.inner_steps, self.config)

    @property
    def heeds_label(self) -> bool:
        return bool(self.config.adapt)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self.adapted.predict(x, task_label)
