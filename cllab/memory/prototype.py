"""Herding: exemplars whose mean stays closest to the class mean, best first.

Rebuffi et al., "iCaRL", CVPR 2017, arXiv:1611.07725, Algorithms 4 and 5. A class that comes again is herded anew from
its exemplars and its new samples. `rule = "published"` is Rainbow Memory's code: a class that already fills its quota
never changes, exemplars are cut at random instead of by rank, and a class mean is frozen when it is first computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo, Payload
from cllab.settings.spec import param

PICKS = 32
"""Exemplars that are herded between two looks at whether the run shall pause or stop."""


class Prototype(Memory):
    """The same number of herded exemplars of every class."""

    info = MemoryInfo(title="Prototype (herding)", paper="arXiv:1611.07725", score="herding rank")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        rule: Literal["herding", "published"] = param(
            "herding", "Herding as in the paper, or the published code of Rainbow Memory", reference="published"
        )

    def __init__(self, config: Any, capacity: int, payload: Payload, device: torch.device) -> None:
        super().__init__(config, capacity, payload, device)
        self.means: dict[str, Tensor] = {}

    def update(self, new: Split, learner: Learner) -> None:
        if self.capacity == 0 or len(new) == 0:
            return
        candidates = self._candidates(self._split(), new, learner)
        positions, scores = self.choose(candidates, learner)
        self._keep(candidates, positions, scores, learner)

    def looks(self, n: int, task: int) -> int:
        return n

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        quota = max(1, self.capacity // max(1, len(learner.seen)))
        published = self.config.rule == "published"
        n_old = len(self)
        labels = candidates.labels
        noise = torch.rand(len(labels), generator=learner.rng.cpu("memory")).to(labels.device)
        kept: list[Tensor] = []
        for c in learner.seen:
            members = (labels == c).nonzero().flatten()
            if not len(members):
                continue
            old = members[members < n_old]
            if published:
                old = old[torch.argsort(noise[old])][:quota]
                members = torch.cat([old, members[members >= n_old]])
                if len(old) >= quota:
                    kept.append(old)
                    continue
            elif len(old) >= quota and len(old) == len(members):
                kept.append(old[:quota])  # exemplars are stored best first, so this cuts by herding rank
                continue
            kept.append(members[self._herd(candidates.subset(members), quota, str(c), learner, frozen=published)])
        positions = torch.cat(kept)[: self.capacity]
        ranks = torch.cat([torch.arange(len(k), device=self.device) for k in kept])[: self.capacity]
        return positions, ranks.float()

    def _herd(self, split: Split, quota: int, name: str, learner: Learner, *, frozen: bool) -> Tensor:
        if len(split) <= quota and frozen:
            return torch.arange(len(split), device=self.device)
        phi = torch.nn.functional.normalize(learner.features(split), dim=1)
        if not frozen:
            return herd(phi, quota, look=learner.passes.look_around)
        self.means.setdefault(name, torch.nn.functional.normalize(phi.mean(dim=0), dim=0))
        return herd(phi, quota, self.means[name], normalize=True, look=learner.passes.look_around)

    def own_state(self) -> dict[str, Any]:
        return {"means": self.means}

    def load_own_state(self, state: dict[str, Any]) -> None:
        self.means = {k: v.to(self.device) for k, v in state["means"].items()}


def herd(
    phi: Tensor,
    quota: int,
    mean: Tensor | None = None,
    *,
    normalize: bool = False,
    look: Callable[[], None] = lambda: None,
) -> Tensor:
    """Positions (q,) long of herded samples, best first (iCaRL, Algorithm 4).

    phi: (N, D) features; mean: (D,) the target, phi's own mean by default; `normalize` compares the direction of the
    running mean; `look` is called now and then, and may raise to stop. Each pick is one matrix-vector product:
    ||mu - (S + phi_i) / k||^2 differs between candidates only by |phi_i|^2 + 2 phi_i . (S - k mu).
    """
    target = phi.mean(dim=0) if mean is None else mean
    square = (phi * phi).sum(dim=1)
    total = torch.zeros_like(target)
    taken = torch.zeros(len(phi), dtype=torch.bool, device=phi.device)
    picks: list[Tensor] = []
    for k in range(1, min(quota, len(phi)) + 1):
        if normalize:
            # || mu - v / |v| || is smallest where mu . v / |v| is largest
            norm = (square + 2 * (phi @ total) + total @ total).clamp(min=1e-12).sqrt()
            cost = -((phi @ target) + total @ target) / norm
        else:
            cost = square + 2 * (phi @ (total - k * target))
        best = cost.masked_fill(taken, float("inf")).argmin()
        picks.append(best)
        if k % PICKS == 0:
            look()
        taken = taken.index_fill(0, best.view(1), True)
        total = total + phi.index_select(0, best.view(1)).squeeze(0)
    return torch.stack(picks) if picks else torch.zeros(0, dtype=torch.long, device=phi.device)
