"""BCL-Dual: learn on stream and replay, then correct the step on samples that were held out of both.

Pham, Sahoo, Liu & Hoi, "Bilevel Continual Learning", 2020, arXiv:2007.15553. Every batch: K inner steps on the stream,
replayed samples and their former outputs; an outer step on the validation memory (there: generalization memory); then
the weights go only a share beta of the way. No gradient is taken through the inner steps, here as there.

Under `fidelity = "reference"`, as the published code: gradients are never cleared within an iteration, so that the
inner ones count several times; replay leaves out samples whose number equals one of the latest validation draw; the
distillation term is a mean over elements (100 there is 100 / C here); running statistics are interpolated and moved by
the pass that makes the soft targets; empty slots of both memories are copies of a task's first sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.learner.heads import cross_entropy
from cllab.methods import _bilevel as bi
from cllab.methods import _replay as rp
from cllab.methods._tell import Tell
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class BCLDual(Method):
    """Replay, distillation, a step on held-out samples, interpolation."""

    info = MethodInfo(
        title="BCL-Dual",
        paper="arXiv:2007.15553",
        year=2020,
        family="bilevel",
        needs=frozenset({"memory", "boundaries"}),
        stores=("targets",),
        inert={"memory.capacity": 0, "method.inner_steps": 1, "method.meta_steps": 1, "method.beta": 1.0},
        reference={"memory.unfilled": "first-sample"},
        memory="ring",
        policies=("ring",),
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(bi.Adapting, bi.Interpolating, bi.Distilling):
        """Settings."""

        inner_steps: int = param(1, "Inner steps of an iteration", source="K; inner_steps", low=1, high=1000)
        meta_steps: int = param(2, "Iterations a batch", source="N; n_meta", low=1, high=1000)
        beta: float = param(0.3, "Share of an iteration's way that is kept", source="beta", low=0, high=1)
        outer_lr: float = param(0.0, "Learning rate of the outer step; 0 for that of the inner ones", low=0, high=100)
        replay_size: int = param(128, "Samples of a replay or validation draw", source="replay_batch_size", low=1)
        validation: float = param(
            0.2, "Share of the memory that is held out for the outer step; 0 for no outer step", low=0, high=0.9
        )
        replay: bool = param(True, "Replay earlier tasks in the inner steps")
        levels: Literal["two", "one"] = param(
            "two", "The bilevel loop, or its control: as many plain steps on the inner loss, all the way"
        )
        gradients: Literal["cleared", "accumulated"] = param(
            "cleared", "Before a step: clear the gradients, or let an iteration's add up", reference="accumulated"
        )
        draws: Literal["uniform", "published"] = param(
            "uniform",
            "Replay: all earlier samples alike, or without those numbered like the latest validation draw",
            reference="published",
        )

    derived = frozenset({"adapted", "tell"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.apart = False
        self.latest = torch.empty(0, dtype=torch.long)
        self.tell = Tell(learner)
        self.prepare_evaluation()

    @classmethod
    def variant(cls, config: Config) -> type[Method]:
        return _OneLevel if config.levels == "one" else cls

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)
        yield from self.remember(None)

    def _begin(self) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        bi.remember_targets(self.learner, self.config)
        rp.begin_task(self.learner, held=self.config.validation)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config, learner, tell = self.config, self.learner, self.tell
        batch = self._stored(batch)
        validates, clear = self._validates(), config.gradients == "cleared"
        for i in range(config.meta_steps):
            tell.begin(f"iteration {i + 1}" if config.meta_steps > 1 else "")
            with bi.part_of_the_way(learner, config.beta, config.statistics, tell):
                for k in range(config.inner_steps):
                    last = not validates and k == config.inner_steps - 1
                    terms = descend(lambda: self._inner(batch), batch, clear=clear or last)
                    tell.stepped(terms)
                if validates:
                    terms |= descend(self._outer, batch, lr=config.outer_lr or None)
        return terms

    def _stored(self, batch: Batch) -> Batch:
        """What is trained on, once both memories have had their part of the batch."""
        learner = self.learner
        if learner.memory.capacity:
            batch = self._exchange(batch)
            rp.ring(learner.memory).write(batch.raw, batch.y, batch.ids, learner)
        self.tell.begin()
        self.tell.samples("stream batch", batch.raw, batch.y)
        return batch

    def _exchange(self, batch: Batch) -> Batch:
        """Hold the batch's first sample out, and train on the one whose place it takes."""
        memory = rp.ring(self.learner.memory)
        block = memory.blocks["held"][-1]
        if not block.size or len(batch.y) < 2:
            return batch
        rest = batch.without_first()
        # full: the slot holds an older sample; the first write of the published code fills all slots at once
        if block.filled == block.size:
            row = slice(block.start + block.pointer, block.start + block.pointer + 1)
            raw, y, ids = (memory.buffers[name][row].clone() for name in ("images", "labels", "ids"))
            rest = rest.joined(self.learner.augment(raw), y, raw, ids)
        memory.write(batch.raw[:1], batch.y[:1], batch.ids[:1], self.learner, part="held")
        return rest

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _inner(self, batch: Batch) -> dict[str, Tensor]:
        """The inner objective: the stream, samples of earlier tasks, and what was said of those."""
        config, learner, memory = self.config, self.learner, rp.ring(self.learner.memory)
        if not (config.replay and len(memory.earlier())):
            return self.loss(batch)
        left_out = self.latest if config.draws == "published" else None
        rows, _ = memory.draw(config.replay_size, learner.rng.cpu("replay"), left_out=left_out)
        if len(rows) < self._fewest:  # what was drawn has the numbers of the latest validation draw
            return self.loss(batch)
        return bi.inner_loss(batch, learner, rows, config, apart=self.apart, tell=self.tell)

    def _outer(self) -> dict[str, Tensor]:
        """The outer objective: held samples of all tasks so far."""
        learner, memory, size = self.learner, rp.ring(self.learner.memory), self.config.replay_size
        rows, self.latest = memory.draw(size, learner.rng.cpu("validation"), part="held", current=True)
        raw, y = memory.take(rows)
        loss = cross_entropy(learner.heads, learner.model(learner.augment(raw)), y)
        self.tell.validated(raw, y, loss, size)
        return {"validation": loss}

    def _validates(self) -> bool:
        return sum(block.filled for block in rp.ring(self.learner.memory).blocks["held"]) >= self._fewest

    @property
    def _fewest(self) -> int:
        """Samples that a pass of their own needs: batch normalization has no statistics of one."""
        return 2 if self.apart else 1

    # -- test time

    def prepare_evaluation(self) -> None:
        self.adapted = bi.Adapted(self.learner, self.config.inner_steps, self.config)

    @property
    def heeds_label(self) -> bool:
        return bool(self.config.adapt)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self.adapted.predict(x, task_label)


class _OneLevel(BCLDual):
    """The control of the bilevel loop: as many plain steps on the inner objective, all the way."""

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        batch = self._stored(batch)
        for _ in range(self.config.meta_steps * (self.config.inner_steps + self._validates())):
            terms = descend(lambda: self._inner(batch), batch)
            self.tell.stepped(terms, "loss")
        return terms
