"""The same number of samples of every class.

`greedy` is GDumb's sampler (Prabhu, Torr & Dokania, "GDumb", ECCV 2020, Algorithm 1): a sample is taken while its class
is not among the largest, in the place of a random one of the largest. `resample` is Rainbow Memory's code
(arXiv:2103.17230): once per task, K // n random samples of every class out of stream and memory, empty slots filled at
random; it forgets old streams faster.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo, fill, ranks_within_class
from cllab.settings.spec import param

PART = 4096
"""Samples of the greedy sampler between two looks at whether it shall pause or stop."""


class ClassBalanced(Memory):
    """Balance by greedy sampling or by drawing anew."""

    info = MemoryInfo(title="Class-balanced", paper="ECCV 2020", per_task=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        rule: Literal["greedy", "resample"] = param(
            "greedy", "GDumb's greedy sampler, or a balanced draw from stream and memory", reference="resample"
        )

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        if self.config.rule == "resample":
            return balanced(candidates.labels, self.capacity, learner), None
        return self._greedy(candidates, learner), None

    def _greedy(self, candidates: Split, learner: Learner) -> Tensor:
        generator = learner.rng.cpu("memory")
        n_old = len(self)
        stream = n_old + torch.randperm(len(candidates) - n_old, generator=generator)
        source = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        labels = candidates.labels.tolist()
        held: dict[int, list[int]] = {}
        fitting = self.capacity - n_old
        # one pass over integers per task: the sampler is sequential by definition, and no pixel is touched
        for i in (*range(n_old), *stream[:fitting].tolist()):
            held.setdefault(labels[i], []).append(i)
        largest = max(map(len, held.values()), default=0)
        for part in learner.passes.over(torch.split(stream[fitting:], PART), "select"):
            for i in part.tolist():
                own = held.setdefault(labels[i], [])
                if len(own) >= largest:
                    continue
                fullest = [members for members in held.values() if len(members) == largest]
                members = source.choice(fullest)
                members[source.randrange(largest)] = members[-1]
                members.pop()
                own.append(i)
                if len(fullest) == 1:  # its class is no larger than the next any more
                    largest = max(map(len, held.values()))
        kept = sorted(i for members in held.values() for i in members)
        return torch.tensor(kept, device=self.device)


def balanced(labels: Tensor, capacity: int, learner: Learner) -> Tensor:
    """Positions (m,) long of capacity // n random samples of every class, the rest filled at random.

    labels: (N,) long; n is the number of classes seen so far.
    """
    generator = learner.rng.cpu("memory")
    quota = capacity // max(1, len(learner.seen))
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return fill(ranks_within_class(labels, order) < quota, capacity, generator)
