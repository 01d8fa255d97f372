"""Learning without Forgetting: on the new task's images, old outputs stay what they were.

Li & Hoiem, "Learning without Forgetting", ECCV 2016, arXiv:1606.09282, Eq. 3 to 5 without the warm-up of the new head:
at a new task the network is frozen as a teacher, whose softened outputs are distilled; head by head where the scenario
names the task, else over all old outputs at once. van de Ven & Tolias (arXiv:1904.07734) weigh the two losses by the
number of tasks so far (`weighting = "tasks"`) and, class-incrementally, compare all outputs, the new ones with a target
of 0 (`outputs = "all"`). The published code of Bilevel Continual Learning (arXiv:2007.15553)
never trains in its LwF when a task is seen once, so there is nothing of it to reproduce.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.methods import _distill as distill
from cllab.methods.base import Batch, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.models.base import Network
from cllab.settings.spec import param


class LwF(Method):
    """Cross-entropy on the stream, distillation of the old outputs on it."""

    info = MethodInfo(
        title="LwF",
        paper="arXiv:1606.09282",
        year=2016,
        family="distillation",
        needs=frozenset({"boundaries"}),
        inert={"method.strength": 0.0},
        memory="random",
        uses_memory=False,
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        strength: float = param(1.0, "Weight of the distillation", source="lambda_o", low=0, log=True)
        temperature: float = param(2.0, "Softness of the outputs", source="T", low=0.01, high=1000)
        weighting: Literal["fixed", "tasks"] = param(
            "fixed",
            "Losses as they are, or at task n 1/n of the cross-entropy and 1 - 1/n of T^2 times the distillation",
            source="tasks: arXiv:1904.07734",
        )
        outputs: Literal["old", "all"] = param(
            "old",
            "Outputs that are compared where the task is not named: the old classes', or all, the new ones toward 0",
            source="all: arXiv:1904.07734",
        )

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.teacher: Network | None = None

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)

    def _begin(self) -> None:
        if self.learner.old and self.config.strength > 0:
            self.teacher = self.learner.frozen_copy()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        scores = self.learner.model(batch.x)
        terms = {"cross-entropy": batch.cross_entropy(scores)}
        if self.teacher is not None:
            with torch.no_grad():
                before = self.teacher(batch.x)
            terms["distillation"] = self.config.strength * self._distillation(scores, before)
            if self.config.weighting == "tasks":
                n = self.learner.task + 1
                terms["cross-entropy"] = terms["cross-entropy"] / n
                terms["distillation"] = (1 - 1 / n) * self.config.temperature**2 * terms["distillation"]
        return terms

    def _distillation(self, scores: Tensor, before: Tensor) -> Tensor:
        learner, temperature = self.learner, self.config.temperature
        if learner.heads is None:
            known = max(learner.old) + 1
            compared = scores if self.config.outputs == "all" else scores[:, :known]
            return distill.soft_cross_entropy(compared, before[:, :known], temperature)
        mine, theirs = (learner.heads.earlier(s, learner.task).flatten(0, 1) for s in (scores, before))
        # a sum over the old heads, each a mean over the batch
        return learner.task * distill.soft_cross_entropy(mine, theirs, temperature)
