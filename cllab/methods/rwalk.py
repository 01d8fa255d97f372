"""Riemannian Walk: hold weights by their Fisher information and by what moving them did for the loss.

Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, arXiv:1801.10112. Importance is the sum of a
running Fisher (Eq. 6, here with per-batch gradients) and a path score (Eq. 8: the loss that a step saved over half the
Riemannian distance it went), both scaled to 1, the score averaged over tasks. `score = "published"` is Rainbow Memory's
code (arXiv:2103.17230), where the path score is 0 by a defect and the Fisher is the running mean alone, with the
penalty's own gradient in it.

The default strength was chosen as EWC's, on the same images set aside, seeds 1 and 2. Last accuracy in percent at
strengths 0, 0.1, 1: 88.3, 87.2, 81.6 on Blurry10-Online with 500 stored; 58.3, 62.0, 66.7 (and 64.5 at 10) on ten
permutations. At 0.1 the mean of both streams is highest: what is held wins on the one what it costs on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.methods import _importance as imp
from cllab.methods.base import Batch, Learner, Method, MethodInfo, Offer, Phase, Piece, Task, Work
from cllab.settings.spec import param


class RWalk(Method):
    """Cross-entropy and a quadratic penalty weighted by Fisher and path."""

    info = MethodInfo(
        title="RWalk",
        paper="arXiv:1801.10112",
        year=2018,
        family="regularization",
        needs=frozenset({"boundaries"}),
        inert={"method.strength": 0.0},
        memory="reservoir",
        reference={"evaluate.report": "best", "train.head": "reset"},
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        strength: float = param(
            0.1, "Weight of the penalty", source="lambda; reg_coef", low=0, log=True, reference=100.0
        )
        decay: float = param(
            0.9, "Share of the old Fisher that a step keeps", source="1 - alpha, Eq. 6", low=0, high=1, reference=0.5
        )
        epsilon: float = param(0.001, "Keeps the path score finite", source="epsilon, Eq. 8", low=1e-12)
        score: Literal["path", "published"] = param(
            "path", "Fisher and path score, or the published code's Fisher alone", reference="published"
        )
        step: Literal["implicit", "explicit"] = param(
            "implicit",
            "How a step takes the penalty: implicitly, stable at any strength, or by its gradient alone",
            reference="explicit",
        )

    derived = frozenset({"damp"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.fisher: imp.Tensors = []
        self.path: imp.Tensors = []
        self.old_path: imp.Tensors = []
        self.anchors: imp.Tensors = []
        self.importance: imp.Tensors = []
        self.before: imp.Tensors = []
        self.gradients: imp.Tensors = []
        self.damp = imp.Damping()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        terms = {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
        if self.config.strength > 0 and self.importance:
            terms["penalty"] = self._penalty()
        return terms

    def after_backward(self, batch: Batch) -> None:
        if self.config.strength == 0:
            return
        self._estimate()
        if self.importance and self.config.step == "implicit":
            self.damp(imp.trunk(self.learner.model), self.importance, self.config.strength, self.learner.rate)

    def _estimate(self) -> None:
        """Follow the Fisher (Eq. 6), and note where the path goes on from."""
        params = imp.trunk(self.learner.model)
        gradients = imp.grads(params)
        if self.config.score == "path" and self.importance:
            # Fisher and path are of the task's own loss: take the penalty's gradient out again
            pull = torch._foreach_sub([p.detach() for p in params], self.anchors)
            torch._foreach_mul_(pull, self.importance)
            gradients = torch._foreach_sub(gradients, pull, alpha=2 * self.config.strength)  # type: ignore[assignment]
        keep = self.config.decay
        if not self.fisher:
            self.fisher = torch._foreach_mul(gradients, gradients)  # type: ignore[assignment]
        else:
            torch._foreach_mul_(self.fisher, keep)
            torch._foreach_addcmul_(self.fisher, gradients, gradients, value=1 - keep)
        if self.config.score == "path":
            self.gradients = [g.clone() for g in gradients]
            self.before = [p.detach().clone() for p in params]

    def after_step(self, batch: Batch) -> None:
        if self.config.strength == 0 or self.config.score != "path":
            return
        params = imp.trunk(self.learner.model)
        moved = torch._foreach_sub([p.detach() for p in params], self.before)
        saved = torch._foreach_mul(self.gradients, moved)
        torch._foreach_neg_(saved)
        torch._foreach_clamp_min_(saved, 0.0)
        cost = torch._foreach_mul(moved, moved)
        torch._foreach_mul_(cost, self.fisher)
        torch._foreach_mul_(cost, 0.5)
        torch._foreach_add_(cost, self.config.epsilon)
        if not self.path:
            self.path = imp.zeros(params)
        torch._foreach_addcdiv_(self.path, saved, cost)  # Eq. 8
        self.before, self.gradients = [], []

    def learn(self, task: Task) -> Iterator[Piece]:
        published = self.config.score == "published"
        yield Phase("stream", task.train, replay="concat")
        if published:
            yield Work(self._hold)
        yield Offer(task.train)
        if self.learner.rehearses:
            yield Phase("memory")
            if published:
                yield Work(self._hold)
        if not published:
            yield Work(self._weigh)

    def _hold(self) -> None:
        """The published code holds what it has after every phase."""
        if self.fisher:
            self.anchors = [p.detach().clone() for p in imp.trunk(self.learner.model)]
            self.importance = [f.clone() for f in self.fisher]

    def _weigh(self) -> None:
        """The importance of what the task moved."""
        if not self.path:
            return
        if self.old_path:
            torch._foreach_add_(self.path, self.old_path)
            torch._foreach_mul_(self.path, 0.5)
        self.old_path, self.path = self.path, []
        self.importance = torch._foreach_add(imp.normalized(self.fisher), imp.normalized(self.old_path))  # type: ignore[assignment]
        self.anchors = [p.detach().clone() for p in imp.trunk(self.learner.model)]

    def _penalty(self) -> Tensor:
        return self.config.strength * imp.quadratic(imp.trunk(self.learner.model), self.anchors, self.importance)  # type: ignore[no-any-return]
