"""CWR*: learn the rows of a batch's classes from nothing, then merge them into consolidated rows that alone answer.

Lomonaco, Maltoni & Pellegrini, "Rehearsal-Free Continual Learning over Small Non-I.I.D. Batches", CVPRW 2020,
arXiv:1907.03799, Algorithm 2. Below the output layer nothing learns after the first batch. The rows of a batch begin at
0, or at the consolidated one where the class recurs; what was learned is shifted to a mean of 0 and merged, the past
weighing sqrt(past / current) samples. `variant = "cwr+"` (arXiv:1806.08568) neither loads nor merges: the newest row
replaces the old one. `variant = "cwr"` (arXiv:1705.03550) begins every batch with the same random rows and takes the
plain mean over the batches of a class; the rows of the first batch are multiplied by `first_scale` when the second
comes. The softmax is over all classes of the stream from the start: those that are not there have rows of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.methods import _cwr
from cllab.methods.base import Batch, Group, Learner, Method, MethodInfo, Optim, Phase, Piece, Task, Work
from cllab.settings.spec import param


class CWR(Method):
    """A frozen network under rows that are consolidated batch by batch."""

    info = MethodInfo(
        title="CWR*",
        paper="arXiv:1907.03799",
        year=2020,
        family="regularization",
        needs=frozenset({"boundaries"}),
        uses_memory=False,
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        variant: Literal["cwr*", "cwr+", "cwr"] = param(
            "cwr*", "Past weighting and recurring rows, or rows that are replaced, or the plain mean of all batches"
        )
        backbone: Literal["first", "frozen"] = param(
            "first", "What learns below the output layer: everything in the first batch, or nothing at all"
        )
        first_epochs: int = param(0, "Passes over the first batch; 0 for train.epochs", low=0, high=10000)
        later_lr: float = param(
            0.0, "Learning rate from the second batch on; 0 for train.lr", low=0, high=100, log=True
        )
        first_scale: float = param(
            1.0, "Variant cwr: what the first batch's rows are multiplied by", source="weights_mult, 2 or 3", low=0
        )

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        _cwr.check(learner)
        self.initial = torch.zeros(0)
        self.current = torch.zeros(0)
        self.began, self.before = 0, torch.zeros(0)
        self.share = torch.zeros(0)
        self.present = torch.zeros(0)

    def learn(self, task: Task) -> Iterator[Piece]:
        rate = self.config.later_lr if task.index else 0.0
        head = Group(lambda: self.learner.model.head.parameters())
        optim = Optim((head,) if self._fixed(task.index) else (), lr=rate or None)
        yield Work(lambda: self._begin(task))
        epochs = (self.config.first_epochs or None) if task.index == 0 else None
        yield Phase("stream", task.train, epochs=epochs, optim=optim)
        yield Work(self._consolidate)

    def _fixed(self, index: int) -> bool:
        """Whether the network below the head learns no more."""
        return index > 0 or self.config.backbone == "frozen"

    def _begin(self, task: Task) -> None:
        learner, variant = self.learner, self.config.variant
        _cwr.install(learner, learner.stream.n_classes)
        head = _cwr.head(learner)
        self.current = _cwr.counts(task.train, head.n_classes)
        if task.index == 0:
            self.initial = head.weight.detach().clone()
        if variant == "cwr":
            with torch.no_grad():
                head.weight.copy_(self.initial)
                if task.index == 1:
                    head.stored.mul_(self.config.first_scale)
        else:
            recurring = self.current > 0 if variant == "cwr*" else torch.zeros_like(self.current, dtype=torch.bool)
            self.before = _cwr.begin(learner, recurring)
        self.began = learner.step

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        model = self.learner.model
        if not self._fixed(self.learner.task):
            scores = model(batch.x)
        else:
            model.backbone.eval()
            with torch.no_grad():
                features = model.features(batch.x)
            scores = model.head(features)
        if self.learner.tracing and len(self.share):
            self.learner.trace(**{"share of the past": self.share, "rows consolidated": self.present})
        return {"cross-entropy": batch.cross_entropy(scores)}

    def _consolidate(self) -> None:
        head, current, variant = _cwr.head(self.learner), self.current, self.config.variant
        _cwr.unless_trained(self.learner, self.began, self.before)
        self.before = torch.zeros(0)
        present = current > 0
        if variant == "cwr*":
            self.share, found = _cwr.end(head, current, torch.zeros_like(current))
            self.present = found.float()
            return
        past = head.past.clone() if variant == "cwr" else torch.zeros_like(current)  # batches that had the class
        shift = head.weight.detach()[present].mean() if variant == "cwr+" else torch.zeros(())
        self.share, self.present = torch.where(present, past / (past + 1), 0.0), present.float()
        head.consolidate(present.float(), past, shift.to(current.device))
