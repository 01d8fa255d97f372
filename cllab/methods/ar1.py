"""AR1*: consolidated output rows above a network that goes on learning slowly, with replayed latents or without.

Lomonaco, Maltoni & Pellegrini, arXiv:1907.03799 (AR1*), and Pellegrini et al., "Latent Replay for Real-Time Continual
Learning", IROS 2020, arXiv:1912.01100: CWR* (see `cwr`) over stream and memory, everything behind the cut trained, with
batch renormalization (`model.norm = "renorm"`). What holds the network, `hold`: nothing ("free"), the penalty of
Synaptic Intelligence ("penalty"), or what the original solver does ("damping"): with F = sum_t d_t^2 / ((sum_t d_t)^2 +
1e-7) of the steps d_t a weight took, summed over batches and clipped at F_max, the whole step is multiplied by
1 - F / F_max, so that a saturated weight stands still. Normalization and output layer are never held.

Under `fidelity = "reference"` the published code's consolidation repeats itself for every stored sample, so that hardly
anything of the past is left in a row of a class that is stored often; `consolidation` switches that alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cllab.methods import _cwr, _path
from cllab.methods import _importance as imp
from cllab.methods._latent_replay import LatentRehearsal, Rehearsal
from cllab.methods.base import Batch, Group, Learner, MethodInfo, Optim, Piece, Task, Work
from cllab.settings.spec import param

XI = 1e-7


class AR1(LatentRehearsal):
    """Latent replay under CWR*, held by SI or free."""

    info = MethodInfo(
        title="AR1*",
        paper="arXiv:1912.01100",
        year=2020,
        family="replay",
        needs=frozenset({"boundaries"}),
        memory="share",
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(Rehearsal):
        """Settings."""

        hold: Literal["free", "penalty", "damping"] = param(
            "free", "What holds the network below: nothing, SI's penalty, or the original's damping of steps"
        )
        strength: float = param(0.1, "Weight of the penalty", source="c", low=0, log=True)
        xi: float = param(1e-3, "Keeps the importance of weights that hardly moved finite", source="xi", low=1e-12)
        clip: float = param(1e-3, "An importance is at most this; 0 for no bound", source="F_max", low=0)
        gather: float = param(
            1.0, "Damping: what a batch's importance is multiplied by", source="c; .0015 without memory", low=0
        )
        consolidation: Literal["paper", "published"] = param(
            "paper", "A row once a batch, or once for every stored sample of its class", reference="published"
        )
        unseen: Literal["trained", "zero"] = param(
            "trained", "Rows of classes that were never seen: as they were trained, or 0", source="0 in the Caffe code"
        )

    derived = frozenset({"damp"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        _cwr.check(learner)
        self.current = torch.zeros(0)
        self.stored_of = torch.zeros(0)
        self.began, self.before_rows = 0, torch.zeros(0)
        self.share = torch.zeros(0)
        self.present = torch.zeros(0)
        self.importance: imp.Tensors = []
        self.anchors: imp.Tensors = []
        self.start: imp.Tensors = []
        self.path: imp.Tensors = []
        self.before: imp.Tensors = []
        self.gradients: imp.Tensors = []
        self.damp = imp.Damping()

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(lambda: self._load(task))
        yield from super().learn(task)
        yield Work(self._consolidate)

    # -- the output layer

    def _load(self, task: Task) -> None:
        learner = self.learner
        _cwr.install(learner, learner.stream.n_classes)
        head = _cwr.head(learner)
        self.current = _cwr.counts(task.train, head.n_classes)
        self.stored_of = learner.memory.counts("labels", head.n_classes).to(self.current)
        self.began, self.before_rows = learner.step, _cwr.begin(learner, self.current + self.stored_of > 0)
        held = self._held()
        self.start, self.path = [p.detach().clone() for p in held], imp.zeros(held)

    def _consolidate(self) -> None:
        head = _cwr.head(self.learner)
        _cwr.unless_trained(self.learner, self.began, self.before_rows)
        self.before_rows = torch.zeros(0)
        self.share, present = _cwr.end(head, self.current, self.stored_of, self.config.consolidation)
        self.present = present.float()
        if self.config.unseen == "zero":
            with torch.no_grad():
                head.weight[~head.known] = 0.0
        self._weigh()

    # -- what is below

    def _held(self) -> list[nn.Parameter]:
        """Kernels: neither normalization nor biases nor the output layer."""
        return [] if self.config.hold == "free" else self._trunk(vectors=False)

    def _optim(self, index: int) -> Optim:
        usual = super()._optim(index)
        if self.config.hold != "damping":
            return usual
        kernels, *others = usual.groups  # their decay is damped with the step, below
        return Optim((Group(kernels.parameters, decay=0.0), *others), lr=usual.lr, lives=usual.lives, key=usual.key)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().loss(batch)
        if self.config.hold == "penalty" and self.importance:
            terms["penalty"] = self.config.strength * imp.quadratic(self._held(), self.anchors, self.importance)
        if self.learner.tracing and len(self.share):
            self.learner.trace(**{"share of the past": self.share, "rows consolidated": self.present})
        return terms

    def after_backward(self, batch: Batch) -> None:
        held, strength = self._held(), self.config.strength
        if not held:
            return
        self.before = [p.detach().clone() for p in held]
        if self.config.hold == "penalty":
            self.gradients = _path.of_task(imp.grads(held), held, self.anchors, self.importance, strength)
            if self.importance:
                self.damp(held, self.importance, strength, self.learner.rate)
            return
        decay, top = self.learner.settings.decay, self.config.clip
        for i, p in enumerate(held):
            if p.grad is not None:
                p.grad.add_(p.detach(), alpha=decay)
                if self.importance and top > 0:
                    p.grad.mul_(1 - self.importance[i] / top)

    def after_step(self, batch: Batch) -> None:
        held = self._held()
        if not held:
            return
        if self.config.hold == "penalty":
            _path.follow(self.path, self.gradients, self.before, held)
        else:
            moved = torch._foreach_sub([p.detach() for p in held], self.before)
            torch._foreach_addcmul_(self.path, moved, moved)  # sum of squared steps
        self.gradients, self.before = [], []

    def _weigh(self) -> None:
        held, config = self._held(), self.config
        if config.hold == "penalty":
            self.importance = _path.consolidated(self.importance, self.path, self.start, held, config.xi, config.clip)
            self.anchors = [p.detach().clone() for p in held]
        elif config.hold == "damping":
            path = list(torch._foreach_mul(self.path, config.gather))
            self.importance = _path.consolidated(self.importance, path, self.start, held, XI, config.clip)
