"""Rainbow Memory: keep samples over the whole range of uncertainty, from easy to hard.

Bang et al., "Rainbow Memory: Continual Learning with a Memory of Diverse Samples", CVPR 2021, arXiv:2103.17230, Eqs.
2-4 and Algorithm 1. Uncertainty is 1 minus the share of 12 perturbed views that agree on the most frequent class. Per
class the candidates are sorted by it and taken at even distances. `pick = "stride"` is the published code, which takes
positions 0, s, 2s, ... with s = floor(n / q) and so never reaches the most uncertain ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.data.augment.perturb import perturbations
from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo, fill, ranks_within_class
from cllab.memory.class_balanced import balanced
from cllab.settings.spec import param


class Uncertainty(Memory):
    """Diverse by uncertainty, balanced by class."""

    info = MemoryInfo(title="Uncertainty (Rainbow Memory)", paper="arXiv:2103.17230", score="uncertainty")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        perturbation: Literal["vr_randaug", "vr", "cutout", "autoaug"] = param(
            "vr_randaug",
            "The 12 perturbed views: RandAugment, the twelve fixed ones, Cutout, AutoAugment",
            source="uncert_metric",
        )
        pick: Literal["even", "stride"] = param(
            "even",
            "Positions taken of n sorted candidates: floor(j n / q), or the published stride",
            reference="stride",
        )
        first_task: Literal["uncertainty", "random"] = param(
            "uncertainty", "How the first task is sampled", reference="random"
        )

    def looks(self, n: int, task: int) -> int:
        skipped = n <= self.capacity or (task == 0 and self.config.first_task == "random")
        return 0 if skipped else n * len(perturbations(self.config.perturbation))

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        if learner.task == 0 and self.config.first_task == "random":
            return balanced(candidates.labels, self.capacity, learner), None
        scores = vote_uncertainty(candidates, learner, self.config.perturbation)
        generator = learner.rng.cpu("memory")
        quota = self.capacity // max(1, len(learner.seen))
        picked = pick(candidates.labels, scores, quota, self.config.pick, generator)
        positions = fill(picked, self.capacity, generator)
        return positions, scores[positions]


def pick(labels: Tensor, scores: Tensor, quota: int, rule: str, generator: torch.Generator) -> Tensor:
    """(N,) bool: at most `quota` candidates of every class, spread over their sorted scores.

    labels: (N,) long; scores: (N,) float; ties are broken at random by the CPU `generator`.
    """
    noise = torch.randperm(len(labels), generator=generator).to(labels.device)
    order = noise[torch.argsort(scores[noise], stable=True)]
    ranks = ranks_within_class(labels, order)
    n = torch.bincount(labels)[labels]
    q = max(quota, 1)
    if rule == "stride":
        stride = (n // q).clamp(min=1)
        taken = (ranks % stride == 0) & (ranks // stride < q)
    else:
        # rank r is floor(j n / q) for some j exactly when the next multiple of n / q falls into [r, r + 1)
        j = (ranks * q + n - 1) // n
        taken = (j * n // q == ranks) & (j < q)
    return ((n <= quota) | taken) & (quota > 0)


@torch.inference_mode()
def vote_uncertainty(split: Split, learner: Learner, perturbation: str) -> Tensor:
    """(N,) float: u = 1 - max_c votes_c / n over n perturbed views (Eqs. 2-4 with argmax votes).

    The model predicts in eval mode over all of its classes, and the true label plays no role but where the scenario
    names the task: there only the classes of a sample's own task are voted for.
    """
    views, heads = perturbations(perturbation, split.images.dtype), learner.heads
    generator = learner.rng.cpu("perturb")
    votes = torch.zeros(len(split), learner.model.n_classes if heads is None else heads.width, device=split.device)
    with learner.bulk(), learner.passes.work("votes", len(split) * len(views)):
        for start in range(0, len(split), learner.bulk_size):
            stop = min(start + learner.bulk_size, len(split))
            raw = split.fetch(torch.arange(start, stop, device=split.device))
            part = votes[start:stop]
            for view in views:
                scores = learner.model(learner.normalize(view(raw, generator)))
                own = scores if heads is None else heads.scores(scores, split.labels[start:stop])
                winner = own.argmax(dim=1, keepdim=True)
                part.scatter_add_(1, winner, torch.ones_like(part[:, :1]))
                learner.passes.worked(len(raw))
    return 1 - votes.max(dim=1).values / len(views)
