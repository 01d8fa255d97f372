"""Synaptic Intelligence: hold weights by what their way did for the loss, gathered while they went it.

Zenke, Poole & Ganguli, "Continual Learning Through Synaptic Intelligence", ICML 2017, arXiv:1703.04200, Eq. 3-5: every
step adds -g dtheta to a weight's path integral, with the gradient of the task's own loss; at the end of a task the
integral over the squared way is added to the weight's importance. The penalty covers all but the output layer's. With
momentum the step is not along the gradient, and the sum is no more than an estimate of what was saved; negative sums
count as 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cllab.methods import _importance as imp
from cllab.methods import _path
from cllab.methods.base import Batch, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class SI(Method):
    """Cross-entropy and a quadratic penalty whose weights are gathered on the way."""

    info = MethodInfo(
        title="SI",
        paper="arXiv:1703.04200",
        year=2017,
        family="regularization",
        needs=frozenset({"boundaries"}),
        inert={"method.strength": 0.0},
        memory="reservoir",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        strength: float = param(0.1, "Weight of the penalty", source="c, Eq. 4", low=0, log=True)
        xi: float = param(
            1e-3, "Keeps the importance of weights that hardly moved finite", source="xi, Eq. 5", low=1e-12
        )
        clip: float = param(0.0, "An importance is at most this; 0 for no bound", low=0)
        step: Literal["implicit", "explicit"] = param(
            "implicit", "How a step takes the penalty: implicitly, stable at any strength, or by its gradient alone"
        )

    derived = frozenset({"damp"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.importance: imp.Tensors = []
        self.anchors: imp.Tensors = []
        self.start: imp.Tensors = []
        self.path: imp.Tensors = []
        self.before: imp.Tensors = []
        self.gradients: imp.Tensors = []
        self.damp = imp.Damping()

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._set_out)
        yield Phase("stream", task.train, replay="concat")
        yield from self.remember(task.train)
        yield Work(self._arrive)

    def _set_out(self) -> None:
        params = imp.trunk(self.learner.model)
        self.start, self.path = [p.detach().clone() for p in params], imp.zeros(params)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        terms = {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
        if self._holds:
            held = imp.quadratic(imp.trunk(self.learner.model), self.anchors, self.importance)
            terms["penalty"] = self.config.strength * held  # Eq. 4
        return terms

    @property
    def _holds(self) -> bool:
        return self.config.strength > 0 and bool(self.importance)

    def after_backward(self, batch: Batch) -> None:
        if self.config.strength == 0:
            return
        params, strength = imp.trunk(self.learner.model), self.config.strength
        self.gradients = _path.of_task(imp.grads(params), params, self.anchors, self.importance, strength)
        self.before = [p.detach().clone() for p in params]
        if self._holds and self.config.step == "implicit":
            self.damp(params, self.importance, strength, self.learner.rate)

    def after_step(self, batch: Batch) -> None:
        if self.config.strength > 0:
            _path.follow(self.path, self.gradients, self.before, imp.trunk(self.learner.model))  # Eq. 3
            self.gradients, self.before = [], []

    def _arrive(self) -> None:
        if self.config.strength == 0:
            return
        params, config = imp.trunk(self.learner.model), self.config
        self.importance = _path.consolidated(self.importance, self.path, self.start, params, config.xi, config.clip)
        self.anchors = [p.detach().clone() for p in params]
