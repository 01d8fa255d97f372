"""iCaRL: classify by the nearest mean of herded exemplars, with features that distil what they knew.

Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017, arXiv:1611.07725, Algorithms
1-5: binary cross-entropy of every output, against the label for the current task's classes and against the earlier
network for the others; where the scenario names the task, a label says something of its own task's outputs alone. In a
blurry stream the current task's classes are its majors. The paper distils the earlier network's outputs as they are;
van de Ven & Tolias (arXiv:1904.07734) divide its scores by 2 first (`temperature = 2`), which leaves a small network
freer to learn new classes. `algorithm = "published"` is Rainbow Memory's code (arXiv:2103.17230): 2,048 extra features,
a classifier that is never trained, cross-entropy on new classes only (in a blurry stream: none after the first task),
and zero vectors as the means of classes without exemplars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.learner.heads import cross_entropies
from cllab.methods import _distill as distill
from cllab.methods.base import Batch, Group, Learner, Method, MethodInfo, Offer, Optim, Phase, Piece, Task, Work
from cllab.models.base import FeatureBlock, Network
from cllab.settings.spec import param


class ICaRL(Method):
    """Binary cross-entropy, distillation, nearest mean of exemplars."""

    info = MethodInfo(
        title="iCaRL",
        paper="arXiv:1611.07725",
        year=2017,
        family="replay",
        needs=frozenset({"memory", "boundaries"}),
        memory="prototype",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        algorithm: Literal["paper", "published"] = param(
            "paper", "The paper's algorithm, or the published code of Rainbow Memory", reference="published"
        )
        temperature: float = param(
            1.0,
            "Softness of the earlier network's outputs in the paper's algorithm: its scores are divided by it",
            source="1 in the paper, 2 in arXiv:1904.07734",
            low=0.01,
            high=1000,
        )
        features: int = param(2048, "Extra features of the published variant", source="feature_size", low=1)

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.teacher: Network | None = None
        self.means: tuple[Tensor, ...] = ()
        self.kept = torch.zeros(0, device=learner.device)  # (K,) 1 at the classes that are distilled

    @classmethod
    def variant(cls, config: Config) -> type[Method]:
        return _Published if config.algorithm == "published" else cls

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train, replay="concat")
        yield from self.remember(task.train)
        yield Work(self._keep)

    def _begin(self) -> None:
        learner = self.learner
        kept = tuple(c for c in learner.old if c not in learner.own)
        self.kept = distill.columns(kept, learner.model.n_classes, learner.device)

    def _keep(self) -> None:
        """The network as it is now is the next teacher."""
        self.teacher = self.learner.frozen_copy()

    def loss(self, batch: Batch) -> dict[str, Tensor]:  # Algorithm 3
        scores = self.learner.model(batch.x)
        k = scores.shape[1]
        target = distill.binary_targets(batch.y, k)
        if batch.y_mix is not None and batch.share is not None:
            target = batch.share * target + (1 - batch.share) * distill.binary_targets(batch.y_mix, k)
        errors = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
        if batch.heads is not None:
            errors = errors * batch.heads.mask(batch.y, k)
        if self.teacher is None:
            return {"classification": errors.sum(dim=1).mean()}
        mask = self.kept
        with torch.no_grad():
            before = (
                F.pad(self.teacher(batch.x), (0, k - self.teacher.n_classes)).div(self.config.temperature).sigmoid()
            )
        held = F.binary_cross_entropy_with_logits(scores, before, reduction="none")
        return {
            "classification": (errors * (1 - mask)).sum(dim=1).mean(),
            "distillation": (held * mask).sum(dim=1).mean(),
        }

    def prepare_evaluation(self) -> None:
        self.means = self._class_means() if len(self.learner.memory) else ()

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:  # Algorithm 1
        if not self.means:  # inside the first task there are no exemplars yet; its outputs are what there is
            return self.learner.model(x)  # type: ignore[no-any-return]
        means, present = self.means
        return self._nearness(x, means).masked_fill(present == 0, float("-inf"))

    def _nearness(self, x: Tensor, means: Tensor) -> Tensor:
        """(B, K): minus the squared distances of normalized features to the means (K, D)."""
        phi = F.normalize(self.learner.model.features(x), dim=1)
        return -torch.cdist(phi, means).square()

    def _class_means(self) -> tuple[Tensor, Tensor]:
        """(K, D) normalized means of the exemplars' normalized features, and (K,) whether there are any."""
        learner = self.learner
        n_classes = learner.model.n_classes
        memory = learner.memory.split()
        phi = F.normalize(learner.features(memory), dim=1)
        sums = torch.zeros(n_classes, phi.shape[1], device=phi.device).index_add_(0, memory.labels, phi)
        present = torch.bincount(memory.labels, minlength=n_classes)
        return F.normalize(sums, dim=1), present


class _Published(ICaRL):
    """Rainbow Memory's code: other features, a classifier that is never trained, cross-entropy on new classes."""

    def learn(self, task: Task) -> Iterator[Piece]:
        optim = Optim(groups=(Group(self._trained),))
        yield Work(self._begin)
        yield Phase("stream", task.train, replay="concat", optim=optim)
        yield Offer(task.train)
        if self.learner.rehearses:
            yield Work(self._keep)
            yield Phase("memory", optim=optim)

    def _begin(self) -> None:
        learner, model = self.learner, self.learner.model
        if not len(model.blocks):
            with learner.seeded("init"):
                model.add_block(self.config.features)
                model.reset_head(model.n_classes, "unbiased")
        self._keep()

    def _keep(self) -> None:
        """Every phase but those of the first task distils the network that it begins with."""
        self.teacher = self.learner.frozen_copy() if self.learner.old else None

    def _trained(self) -> list[nn.Parameter]:
        """All but the classifier and the normalization before it."""
        model = self.learner.model
        linear = [p for b in model.blocks if isinstance(b, FeatureBlock) for p in b.linear.parameters()]
        return [*model.backbone.parameters(), *linear]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        scores, n_old = self.learner.model(batch.x), len(self.learner.old)
        new = (batch.y >= n_old).float()
        loss = cross_entropies(batch.heads, scores, batch.y)
        if batch.y_mix is not None and batch.share is not None:
            loss = batch.share * loss + (1 - batch.share) * cross_entropies(batch.heads, scores, batch.y_mix)
        terms = {"classification": distill.mean_where(loss, new)}
        if self.teacher is not None:
            with torch.no_grad():
                before = self.teacher(self.learner.normalize(batch.raw))[:, :n_old].sigmoid()
            errors = F.binary_cross_entropy_with_logits(scores[:, :n_old], before, reduction="none").sum(dim=1)
            terms["distillation"] = distill.mean_where(errors, 1 - new)
        return terms

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        if not self.means:
            return self.learner.model(x)  # type: ignore[no-any-return]
        return self._nearness(x, self.means[0])  # a class without exemplars has the mean 0
