"""An equal share of the memory for every batch of a stream of batches: the replay memory of AR1* with latent replay.

Pellegrini et al., "Latent Replay for Real-Time Continual Learning", IROS 2020, arXiv:1912.01100, Algorithm 1: after
batch i (counted from 1) h = floor(K / i) samples of it, drawn at random, take the places of h that are drawn at random.
So every batch so far is expected to hold the same share, whatever its size or classes. From batch K + 1 on h is 0:
nothing of what comes then is ever stored. A reservoir has no such end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo


class Share(Memory):
    """Some of the new, at random places of the old."""

    info = MemoryInfo(title="Equal share of every batch", paper="arXiv:1912.01100")

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        held, generator = len(self), learner.rng.cpu("memory")
        n_new = len(candidates) - held
        wanted = max(self.capacity // (learner.task + 1), self.capacity - held)
        n = min(wanted, n_new, self.capacity)
        new = torch.randperm(n_new, generator=generator)[:n] + held
        old = torch.randperm(held, generator=generator)[: self.capacity - n]
        return torch.cat([old, new]).to(self.device), None
