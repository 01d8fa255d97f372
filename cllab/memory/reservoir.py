"""Reservoir sampling: every sample ever seen is held with the same probability.

Vitter, "Random sampling with a reservoir", ACM TOMS 1985, Algorithm R; for replay: Chaudhry et al. 2019,
arXiv:1902.10486. `rule = "published"` is the off-by-one of Rainbow Memory's code, which inserts with probability K /
seen instead of K / (seen + 1).

Samples lie in slots that are allocated once and written in place, so that an update costs what it writes, not what the
memory holds; columns that were given away are left alone, and the next update goes on in a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cllab.data.augment._draw import deliver
from cllab.data.base import Split, nothing, widened
from cllab.learner.learner import Learner
from cllab.memory.base import OWN, Memory, MemoryInfo, Payload, _gather
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
        self.seen = 0
        self._slots: dict[str, Tensor] = {}
        self._filled: dict[str, Tensor] = {}
        self._lent = False
        super().__init__(config, capacity, payload, device)

    @property
    def columns(self) -> dict[str, Tensor]:
        """The filled slots."""
        self._lent = True
        return dict(self._filled)

    @columns.setter
    def columns(self, value: dict[str, Tensor]) -> None:
        self._filled, self._slots = value, {}

    def _held(self) -> dict[str, Tensor]:
        return self._filled

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
        rows = {
            "images": _gather(new, source, learner),
            "labels": new.labels[source],
            "ids": new.sample_ids()[source],
            "tasks": task if new.origin is None else new.origin[source],
            "entered": torch.full((count,), learner.step, dtype=torch.long, device=self.device),
            "scores": torch.full((count,), float("nan"), device=self.device),
        }
        for name in {*self._filled, *new.columns} - {*OWN}:
            rows[name] = self._more(name, new, source)
        self._open(size)
        for name, values in rows.items():
            self._slots[name].index_copy_(0, where, values)

    def _more(self, name: str, new: Split, source: Tensor) -> Tensor:
        """The column `name` of what is written, as wide as it is in the slots, which get it where they had none."""
        known = self._filled.get(name)
        if name in new.columns:
            values = new.columns[name].index_select(0, source).detach()
        else:
            assert known is not None
            values = nothing(len(source), known)
        held = nothing(len(self), values) if known is None else known
        width = max(values.shape[1], held.shape[1]) if values.dim() > 1 else 0
        wide = widened(held, width)
        if wide is not known:
            self._filled, self._slots = {**self._filled, name: wide}, {}
        return widened(values, width)

    def _open(self, size: int) -> None:
        """Slots that nobody else looks at, the first `size` of them counted as filled."""
        n = len(self)
        if self._lent or not self._slots:
            self._slots = {k: v.new_empty(self.capacity, *v.shape[1:]) for k, v in self._filled.items()}
            for name, column in self._filled.items():
                self._slots[name][:n] = column
        elif size == n:
            return
        self._lent = False
        self._filled = {name: slots[:size] for name, slots in self._slots.items()}

    def state_dict(self) -> dict[str, Any]:
        # a file holds the whole storage of a view
        columns = {name: column.clone() for name, column in self._filled.items()}
        return {"columns": columns, "added": self.added, "evicted": self.evicted, "own": self.own_state()}

    def own_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_own_state(self, state: dict[str, Any]) -> None:
        self.seen = int(state["seen"])
