"""Gradient Episodic Memory: a step that would raise the loss on an earlier task's memory is projected first.

Lopez-Paz & Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017, arXiv:1706.08840, Algorithm 1 and
the dual of its Eq. 11, with the ridge of the published code. The margin bounds the multipliers from below, so as soon
as one constraint is violated every earlier task's gradient is added at least `margin` times; most of what GEM gains
comes from this. Gradients of earlier tasks are those of their whole memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cllab.errors import TrainingError
from cllab.methods import _replay as rp
from cllab.methods._gradients import of_each
from cllab.methods._qp import Array, dual
from cllab.methods.base import Batch, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class GEM(Method):
    """Cross-entropy on the stream, along a gradient that hurts no memory."""

    info = MethodInfo(
        title="GEM",
        paper="arXiv:1706.08840",
        year=2017,
        family="projection",
        needs=frozenset({"memory", "boundaries"}),
        inert={"memory.capacity": 0},
        reference={"memory.start": "continue"},
        memory="ring",
        policies=("ring",),
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        margin: float = param(0.5, "Smallest multiplier once a step is projected", source="gamma", low=0, high=100)
        ridge: float = param(1e-3, "Added to the diagonal of the program", source="eps", low=1e-12, high=10)

    derived = frozenset({"past"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.past: list[tuple[Tensor, Tensor]] = []

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)
        yield from self.remember(None)

    def _begin(self) -> None:
        self.past = []
        rp.begin_task(self.learner)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def after_backward(self, batch: Batch) -> None:
        memory = self.learner.memory
        if batch.phase != "stream" or memory.capacity == 0 or len(rp.ring(memory).tasks) < 2:
            return
        params = [p for p in self.learner.model.parameters() if p.grad is not None]
        own = torch.cat([p.grad.flatten() for p in params if p.grad is not None])
        past = self._past_gradients(params)
        # the one thing the host must know: whether to project, and how; t + 1 rows of t numbers
        products = torch.cat([(past @ own).unsqueeze(0), past @ past.T]).double().cpu().numpy()
        toward, gram = products[0], products[1:]
        if not np.isfinite(products).all():
            task, number = self.learner.task + 1, self.learner.step + 1
            raise TrainingError(
                f"a gradient on the memory is not finite at task {task}, step {number}; a smaller train.lr may help"
            )
        v, step = np.zeros(len(gram)), own
        if (toward < 0).any():
            v = dual(gram, toward, self.config.margin, self.config.ridge)
            step = own + torch.from_numpy(v).to(own) @ past
        if self.learner.tracing:
            self._trace(own, step, gram, toward, v)
        if step is own:
            return
        for p, g in zip(params, torch.split(step, [p.numel() for p in params]), strict=True):
            p.grad = g.view_as(p)

    def after_step(self, batch: Batch) -> None:
        if batch.phase == "stream":
            rp.store(batch, self.learner)

    def _trace(self, own: Tensor, step: Tensor, gram: Array, toward: Array, v: Array) -> None:
        """Publish the constraints, one number for every earlier task, and how the projection changed the gradient."""
        values: dict[str, Tensor | float] = {
            "inner products": torch.from_numpy(toward),
            "violated constraints": float((toward < 0).sum()),
            "multipliers": torch.from_numpy(v),
            # those that the program raised above their bound; the others take part with the margin alone
            "active constraints": float((v > self.config.margin + 1e-9).sum()) if step is not own else 0.0,
            "projected inner products": torch.from_numpy(toward + gram @ v),
            "gradient length": own.norm(),
            "projected gradient length": step.norm(),
        }
        self.learner.trace(**values)

    def _past_gradients(self, params: list[nn.Parameter]) -> Tensor:
        """(t, P) gradients of the mean cross-entropy on the whole memory of every earlier task."""
        learner, memory = self.learner, rp.ring(self.learner.memory)
        if not self.past:  # their samples stay the same as long as the task lasts
            taken = [memory.take(memory.rows(k)) for k in range(len(memory.tasks) - 1)]
            self.past = [(learner.normalize(raw), y) for raw, y in taken if len(y)]
        return of_each(learner, params, self.past)
