"""Reservoir sampling: every sample ever seen is held with the same probability.

Vitter, "Random sampling with a reservoir", ACM TOMS 1985, Algorithm R; for replay: Chaudhry et al. 2019,
arXiv:1902.10486. `rule = "published"` is the off-by-one of Rainbow Memory's code, which inserts with probability K /
seen instead of K / (seen + 1).

Positions are slots: an update costs what it writes, not what the memory holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cllab.data.augment._draw import deliver
from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo, Payload, _gather
from cllab.settings.spec import param

FEW = 64
"""Up to so many samples are placed without arrays, whose calls cost more than they save."""


class Reservoir(Memory):
    """Algorithm R, for one sample or a whole stream at a time."""

    info = MemoryInfo(title="Reservoir", paper="Vitter 1985", per_task=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        rule: Literal["exact", "published"] = param(
            "exact", "Probability of insertion: exact, or the published code's off-by-one", reference="published"
        )

    def __init__(self, config: Any, capacity: int, payload: Payload, device: torch.device) -> None:
        super().__init__(config, capacity, payload, device)
        self.seen = 0

    def update(self, new: Split, learner: Learner) -> None:
        if self.capacity == 0 or len(new) == 0:
            return
        held, n = len(self), len(new)
        fitting = min(n, self.capacity - held)
        draws = torch.rand(n, generator=learner.rng.cpu("memory"))
        # a slot that is drawn twice keeps the later sample
        last = dict(zip(range(held, held + fitting), range(fitting), strict=True))
        last.update(self._drawn(draws[fitting:], self.seen + fitting, fitting))
        self.seen += n
        if not last:
            return
        self.evicted += sum(slot < held for slot in last)
        self.added += len(last)
        self._place(new, held + fitting, last, learner)

    def _drawn(self, draws: Tensor, seen: int, position: int) -> dict[int, int]:
        """Slots that samples from `position` on go to, of those whose draw from 0..1 (m,) says so: slot to position."""
        first = seen + (self.config.rule == "exact")
        if len(draws) <= FEW:  # the same numbers as below: doubles, cut to integers
            slots = [int(draw * max(1, first + i)) for i, draw in enumerate(draws.tolist())]
            return {slot: position + i for i, slot in enumerate(slots) if slot < self.capacity}
        spans = np.maximum(first + np.arange(len(draws)), 1)
        found = (draws.numpy() * spans).astype(np.int64)
        taken = (found < self.capacity).nonzero()[0]
        return dict(zip(found[taken].tolist(), (position + taken).tolist(), strict=True))

    def _place(self, new: Split, size: int, last: dict[int, int], learner: Learner) -> None:
        where = deliver(torch.tensor(list(last)), self.device)
        source = deliver(torch.tensor(list(last.values())), self.device)
        count = len(source)
        task = torch.full((count,), learner.task, dtype=torch.long, device=self.device)
        more = {name: column.index_select(0, source) for name, column in new.columns.items()}
        rows = {
            "images": _gather(new, source, learner),
            "labels": new.labels[source],
            "ids": new.sample_ids()[source],
            "tasks": task if new.origin is None else new.origin[source],
            "entered": torch.full((count,), learner.step, dtype=torch.long, device=self.device),
            "scores": torch.full((count,), float("nan"), device=self.device),
        }
        self.slots.write(where, {**rows, **more}, size, self.capacity)

    def own_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_own_state(self, state: dict[str, Any]) -> None:
        self.seen = int(state["seen"])
