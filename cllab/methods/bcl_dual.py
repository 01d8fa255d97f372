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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from cllab.methods import _bilevel as bi
from cllab.methods import _replay as rp
from cllab.methods._heads import cross_entropy
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo
from cllab.spec import param

if TYPE_CHECKING:
    from cllab.scenarios.base import Task


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
        memory_update="step",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        inner_steps: int = param(1, "Inner steps of an iteration", source="K; inner_steps", low=1, high=1000)
        meta_steps: int = param(2, "Iterations a batch", source="N; n_meta", low=1, high=1000)
        beta: float = param(0.3, "Share of an iteration's way that is kept", source="beta", low=0, high=1)
        outer_lr: float = param(0.0, "Learning rate of the outer step; 0 for that of the inner ones", low=0, high=100)
        replay_size: int = param(128, "Samples of a replay or validation draw", source="replay_batch_size", low=1)
        validation: float = param(
            0.2, "Share of the memory that is held out for the outer step; 0 for no outer step", low=0, high=0.9
        )
        strength: float = param(
            10.0, "Weight of the distillation", source="memory_strength", low=0, log=True, reference=100.0
        )
        temperature: float = param(5.0, "Softness of the targets", source="tau", low=0.01, high=1000)
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
        mean: Literal["batch", "element"] = param(
            "batch", "Distillation: mean over the batch, or over its elements", reference="element"
        )
        statistics: Literal["follow", "interpolate"] = param(
            "follow", "Running statistics: as the passes leave them, or interpolated", reference="interpolate"
        )
        teacher: Literal["eval", "train"] = param("eval", "Mode of the pass that makes the targets", reference="train")
        adapt: bool = param(False, "Adapt to a task's samples before its test, where the task is named")
        adapt_lr: float = param(0.1, "Learning rate of that adaptation", low=0, high=100)
        adapt_head: Literal["task", "all"] = param(
            "task", "Classes that compete in the adaptation: the task's, or all", reference="all"
        )

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.apart = False
        self.latest = torch.empty(0, dtype=torch.long)
        self.prepare_evaluation()

    @property
    def uses_memory(self) -> bool:
        return self.learner.memory.capacity > 0

    def begin_task(self, task: Task) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        if not self.uses_memory:
            return
        if self.config.strength > 0:
            bi.remember_targets(self.learner, self.config.temperature, self.config.teacher)
        rp.ring(self.learner.memory).open(self.learner, held=self.config.validation)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config, model = self.config, self.learner.model
        if self.uses_memory:
            batch = self._exchange(batch)
            rp.ring(self.learner.memory).write(batch.raw, batch.y, batch.ids, self.learner)
        outer = self._has_validation()
        if config.levels == "one":
            for _ in range(config.meta_steps * (config.inner_steps + outer)):
                terms = descend(lambda: self._inner(batch), batch)
            return terms
        clear = config.gradients == "cleared"
        values = bi.moving(model, buffers=config.statistics == "interpolate")
        for _ in range(config.meta_steps):
            start = bi.copies(values) if config.beta < 1 or self.learner.tracing else []
            for k in range(config.inner_steps):
                last = not outer and k == config.inner_steps - 1
                terms = descend(lambda: self._inner(batch), batch, clear=clear or last)
                if self.learner.tracing:
                    self.learner.trace(**{f"inner loss {k + 1}": sum(t.detach() for t in terms.values())})
            if outer:
                terms |= descend(self._outer, batch, lr=config.outer_lr or None)
            elif self._holds_out():
                terms["validation"] = torch.zeros((), device=self.learner.device)
            bi.interpolate(values, start, config.beta)
            if self.learner.tracing:
                self.learner.trace(displacement=bi.distance(values, start))
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _exchange(self, batch: Batch) -> Batch:
        """Hold the batch's first sample out, and train on the one whose place it takes."""
        memory = rp.ring(self.learner.memory)
        block = memory.blocks["held"][-1]
        if not block.size or len(batch.y) < 2:
            return batch
        rest = Batch(
            batch.x[1:],
            batch.y[1:],
            batch.raw[1:],
            batch.ids[1:],
            batch.n_stream - 1,
            task_label=batch.task_label,
            phase=batch.phase,
            heads=batch.heads,
        )
        # full: the slot holds an older sample; the first write of the published code fills all slots at once
        if block.filled == block.size:
            row = slice(block.start + block.pointer, block.start + block.pointer + 1)
            raw, y, ids = (memory.buffers[name][row].clone() for name in ("images", "labels", "ids"))
            rest.x, rest.y = torch.cat([rest.x, self.learner.augment(raw)]), torch.cat([rest.y, y])
            rest.raw, rest.ids = torch.cat([rest.raw, raw]), torch.cat([rest.ids, ids])
        memory.write(batch.raw[:1], batch.y[:1], batch.ids[:1], self.learner, part="held")
        return rest

    def _holds_out(self) -> bool:
        return self.uses_memory and rp.ring(self.learner.memory).blocks["held"][-1].size > 0

    def _has_validation(self) -> bool:
        return self._holds_out() and sum(b.filled for b in rp.ring(self.learner.memory).blocks["held"]) >= self.least

    @property
    def least(self) -> int:
        """Samples that a pass of their own needs: batch normalization has no statistics of one."""
        return 2 if self.apart else 1

    def _inner(self, batch: Batch) -> dict[str, Tensor]:
        learner, config = self.learner, self.config
        if not (self.uses_memory and config.replay and len(rp.ring(learner.memory).earlier())):
            return self.loss(batch)
        memory = rp.ring(learner.memory)
        left_out = self.latest if config.draws == "published" else None
        rows, _ = memory.draw(config.replay_size, learner.rng.cpu("replay"), left_out=left_out)
        if len(rows) < self.least:  # what was drawn has the numbers of the latest validation draw
            nothing = torch.zeros((), device=learner.device)
            terms = {**self.loss(batch), "replay": nothing}
            return {**terms, "distillation": nothing} if config.strength > 0 else terms
        return bi.inner_loss(batch, learner, rows, config, apart=self.apart)

    def _outer(self) -> dict[str, Tensor]:
        learner, memory = self.learner, rp.ring(self.learner.memory)
        rows, self.latest = memory.draw(
            self.config.replay_size, learner.rng.cpu("validation"), part="held", current=True
        )
        raw, y = memory.take(rows)
        loss = cross_entropy(learner.heads, learner.model(learner.augment(raw)), y)
        if learner.tracing:
            self._trace(loss, raw)
        return {"validation": loss}

    def _trace(self, loss: Tensor, raw: Tensor) -> None:
        """How far the outer gradient agrees with that of plain replay, at the same weights."""
        learner, memory = self.learner, rp.ring(self.learner.memory)
        learner.trace(**{"validation loss": loss, "validation batch": raw})
        if not len(memory.earlier()):
            return
        params = list(learner.model.parameters())
        rows, _ = memory.draw(self.config.replay_size, learner.rng.cpu("trace"))
        images, y = memory.take(rows)
        outer = torch.autograd.grad(loss, params, retain_graph=True)
        learner.model.eval()  # a look must not move the running statistics
        plain = torch.autograd.grad(cross_entropy(learner.heads, learner.model(learner.normalize(images)), y), params)
        learner.model.train()
        learner.trace(**{"cosine of outer and replay gradient": bi.cosine(outer, plain)})

    def prepare_evaluation(self) -> None:
        config = self.config
        steps = config.inner_steps if config.adapt else 0
        self.adapted = bi.Adapted(self.learner, steps, config.adapt_lr, every_class=config.adapt_head == "all")

    @property
    def heeds_label(self) -> bool:
        return bool(self.config.adapt)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self.adapted.model(task_label)(x)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Any]:
        return {k: v for k, v in super().state().items() if k != "adapted"}
