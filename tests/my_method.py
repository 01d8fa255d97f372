"""Experience replay with dark knowledge: replayed samples also pull their old scores back.

A small example of a method of one's own: cross-entropy on stream and replayed samples, and the squared distance to the
scores of the network as it was when the task began (Buzzega et al. 2020, arXiv:2004.07211, with a teacher in place of
stored scores).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cllab.methods.base import Method, MethodInfo, Work
from cllab.settings.spec import param


class MyMethod(Method):
    """Replay and a pull toward old scores."""

    info = MethodInfo(
        title="My method",
        family="replay",
        needs=frozenset({"memory"}),
        inert={"memory.capacity": 0, "method.pull": 0.0},
        replay="half",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        pull: float = param(0.1, "Weight of the distance to the old scores", source="alpha", low=0)

    def __init__(self, config, learner):
        super().__init__(config, learner)
        self.teacher = None  # what is made here is saved in checkpoints

    def learn(self, task):
        yield from super().learn(task)
        yield Work(self._keep)

    def _keep(self):
        self.teacher = self.learner.frozen_copy()

    def loss(self, batch):
        scores = self.learner.model(batch.x)
        terms = {"cross-entropy": batch.cross_entropy(scores)}
        if self.teacher is not None and batch.replay is not None and self.config.pull > 0:
            with torch.no_grad():
                before = self.teacher(batch.replay.x)
            _, now = batch.parts(scores)
            terms["pull"] = self.config.pull * F.mse_loss(now[:, : before.shape[1]], before)
        return terms
