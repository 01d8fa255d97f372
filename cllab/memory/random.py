"""A uniformly random choice of everything at hand: the stream of this task and the memory.

Rainbow Memory's code calls this `random` (arXiv:2103.17230): all candidates are shuffled and the first K kept, once per
task. It is dominated by the current task; not to be confused with a reservoir, which weighs all samples ever seen
equally.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo


class Random(Memory):
    """Shuffle and keep the first K."""

    info = MemoryInfo(title="Random", paper="arXiv:2103.17230")

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        shuffled = torch.randperm(len(candidates), generator=learner.rng.cpu("memory"))
        return shuffled[: self.capacity].to(self.device), None
