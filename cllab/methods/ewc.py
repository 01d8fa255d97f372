"""Elastic Weight Consolidation: hold the weights that mattered where they were.

Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv:1612.00796. The penalty is
Eq. 3 without the factor 1/2, over all weights but the head's. Fishers of several tasks are summed with decay as in
online EWC (Schwarz et al. 2018, arXiv:1805.06370, Eq. 9), with per-sample squared gradients and labels drawn from the
model. `estimate = "published"` is Rainbow Memory's code (arXiv:2103.17230): after every phase the Fisher is overwritten
by squared batch gradients, of the loss against the model's own most likely labels and of the penalty itself.
`estimate = "mean-gradient"` is that of GEM (arXiv:1706.08840) and Bilevel Continual Learning (arXiv:2007.15553), a
penalty a task whose weights are the square of a mean: the gradient of the loss on the first samples of the task. There
the penalty covers the output layer too (`weights = "all"`). Penalties are merged into one quadratic, so a step costs
the same at every task.

The default strength was chosen on images set aside: training and test images drawn from MNIST's training images, seeds
1 and 2, steps taken implicitly. Last accuracy in percent at strengths 0, 1, 10: 88.3, 88.5, 89.0 on Blurry10-Online
with 10,000 images and 500 stored; at 0, 3, 30, 300, 3000: 58.3, 66.6, 65.7, 51.5, 33.6 on ten permutations of 1,000
images. 10 is best on the one and lies within the flat top, 3 to 30, of the other. `cllab tune` on the shipped presets
(held-out images, two seeds, three permutations) does not tell these strengths apart: at 0, 1, 3, 10, 30 it gives 90.8,
90.9, 90.1, 90.3, 89.0 (deviations of 0.2 to 1.1) on Blurry10, and 73.1, 74.6, 74.6, 73.4, 73.9 (0.2 to 2.8) on
permutations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cllab.data.base import Split
from cllab.methods import _importance as imp
from cllab.methods.base import Batch, Learner, Method, MethodInfo, Offer, Phase, Piece, Task, Work
from cllab.settings.spec import param


class EWC(Method):
    """Cross-entropy and a quadratic penalty, on stream and memory."""

    info = MethodInfo(
        title="EWC",
        paper="arXiv:1612.00796",
        year=2017,
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
            10.0, "Weight of the penalty", source="lambda in Eq. 3; reg_coef", low=0, log=True, reference=100.0
        )
        decay: float = param(
            1.0, "Share of the old Fisher that is kept", source="gamma in Schwarz et al.", low=0, high=1
        )
        samples: int = param(1000, "Samples of a task used to estimate the Fisher", low=1)
        estimate: Literal["per-sample", "mean-gradient", "published"] = param(
            "per-sample",
            "Mean of squared gradients or squared mean gradient (GEM) at task ends, or the published overwriting one",
            reference="published",
        )
        weights: Literal["backbone", "all"] = param(
            "backbone", "Weights that are held: all but the output layer's, or all"
        )
        step: Literal["implicit", "explicit"] = param(
            "implicit",
            "How a step takes the penalty: implicitly, stable at any strength, or by its gradient alone",
            reference="explicit",
        )

    derived = frozenset({"damp"})

    anchors: imp.Tensors
    fisher: imp.Tensors

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.anchors, self.fisher = [], []
        self.damp = imp.Damping()

    @classmethod
    def variant(cls, config: Config) -> type[Method]:
        return _Published if config.estimate == "published" else cls

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._free_new_rows)
        yield Phase("stream", task.train, replay="concat")
        yield from self.remember(task.train)
        if self.config.strength > 0:
            yield Work(lambda: self._consolidate(task), "fisher")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        terms = {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
        if self._holds:
            terms["penalty"] = self._penalty()
        return terms

    def _penalty(self) -> Tensor:  # Eq. 3
        return self.config.strength * imp.quadratic(self._held(), self.anchors, self.fisher)  # type: ignore[no-any-return]

    def after_backward(self, batch: Batch) -> None:
        if self._holds and self.config.step == "implicit":
            self.damp(self._held(), self.fisher, self.config.strength, self.learner.rate)

    def _consolidate(self, task: Task) -> None:
        """Hold the weights where they are now, each as firmly as the task's Fisher says."""
        learner, samples, params = self.learner, self.config.samples, self._held()
        now = [p.detach().clone() for p in params]
        if self.config.estimate == "mean-gradient":  # a penalty a task, each around the weights of its end
            new = imp.squared_mean(learner, task.train, params, samples)
            self.fisher, self.anchors = imp.merged((self.fisher, self.anchors), (new, now))
            return
        new = imp.mean_of_squares(learner, task, params, samples)
        if self.fisher:
            torch._foreach_add_(new, self.fisher, alpha=self.config.decay)  # Schwarz et al., Eq. 9
        self.fisher, self.anchors = new, now

    @property
    def _holds(self) -> bool:
        return self.config.strength > 0 and bool(self.fisher)

    def _held(self) -> list[nn.Parameter]:
        model = self.learner.model
        return list(model.parameters()) if self.config.weights == "all" else imp.trunk(model)

    def _free_new_rows(self) -> None:
        """The output layer may have grown."""
        if self.fisher:
            params = self._held()
            self.fisher, self.anchors = imp.padded(self.fisher, params), imp.padded(self.anchors, params)


class _Published(EWC):
    """Rainbow Memory's code: after every phase the Fisher of what was trained on takes the place of the former one."""

    def learn(self, task: Task) -> Iterator[Piece]:
        learner, estimates = self.learner, self.config.strength > 0
        yield Work(self._free_new_rows)
        yield Phase("stream", task.train, replay="concat")
        if estimates:
            yield Work(lambda: self._overwrite(learner.memory.candidates(task.train, learner)), "fisher")
        yield Offer(task.train)
        if learner.rehearses:
            yield Phase("memory")
            if estimates:
                yield Work(lambda: self._overwrite(learner.memory.split()), "fisher")

    def _overwrite(self, seen: Split) -> None:
        params = self._held()
        self.fisher = imp.squared_batches(self.learner, seen, params, self._penalty if self._holds else None)
        self.anchors = [p.detach().clone() for p in params]
