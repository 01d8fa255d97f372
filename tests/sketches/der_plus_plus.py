"""Dark Experience Replay++: replayed samples keep the scores that the network gave them when they were stored.

Buzzega et al., "Dark Experience for General Continual Learning", NeurIPS 2020, arXiv:2004.07211, Algorithm 2: cross-
entropy on the stream, alpha times the squared distance to the stored scores of one draw from a reservoir, beta times
the cross-entropy of another.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cllab.data.base import Split, TensorImages
from cllab.methods.base import Method, MethodInfo, Phase
from cllab.settings.spec import param


class DERPlusPlus(Method):
    """Stored scores and stored labels, each on a draw of its own."""

    info = MethodInfo(
        title="DER++",
        paper="arXiv:2004.07211",
        year=2020,
        family="replay",
        needs=frozenset({"memory"}),
        stores=("logits",),
        inert={"memory.capacity": 0},
        memory="reservoir",
        policies=("reservoir", "ring"),
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        alpha: float = param(0.2, "Weight of the distance to the stored scores", source="alpha, Eq. 6", low=0)
        beta: float = param(0.5, "Weight of the cross-entropy of stored samples", source="beta, Eq. 6", low=0)

    derived = frozenset({"scores"})

    def __init__(self, config, learner):
        super().__init__(config, learner)
        self.scores = torch.zeros(0)

    def learn(self, task):
        yield Phase("stream", task.train)
        yield from self.remember(None)  # every batch was offered already

    def loss(self, batch):
        learner, memory = self.learner, self.learner.memory
        self.scores = learner.model(batch.x)
        terms = {"cross-entropy": batch.cross_entropy(self.scores)}
        if batch.phase == "stream" and len(memory):
            x, _, where = self._draw(len(batch.y))
            then = memory.payload("logits", where)
            now = learner.model(x)[:, : then.shape[1]]
            terms["dark"] = self.config.alpha * F.mse_loss(now, then)
            x, y, _ = self._draw(len(batch.y))
            terms["replay"] = self.config.beta * F.cross_entropy(learner.model(x), y)
        return terms

    def _draw(self, n):
        raw, y, where = self.learner.memory.retrieve(n, self.learner.rng.cpu("replay"))
        return self.learner.augment(raw), y, where

    def after_step(self, batch):
        if batch.phase == "stream":
            new = batch.stream
            columns = {"logits": self.scores.detach()[: len(new)]}
            positions = torch.arange(len(new), device=new.y.device)
            split = Split(TensorImages(new.raw), positions, new.y, ids=new.ids, columns=columns)
            self.learner.memory.update(split, self.learner)
