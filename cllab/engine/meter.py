"""What the loop measures between two records: losses and speed."""

from __future__ import annotations

import itertools
import math
import time

import torch
from torch import Tensor

from cllab.engine.batches import Position


class Clock:
    """Images per second since the last record."""

    def __init__(self) -> None:
        self.images = 0
        self._since = time.perf_counter()

    def rate(self) -> float:
        now = time.perf_counter()
        rate = self.images / max(1e-9, now - self._since)
        self.images, self._since = 0, now
        return round(rate, 1)


class Meter:
    """Loss terms of the steps since the last record, by name, on the device.

    A step leaves its terms as they are, so one may come and go. Nothing waits for the device before `flush`.
    """

    def __init__(self, position: Position, interval: int, device: torch.device) -> None:
        self.position = position
        self.interval = interval
        self._steps: list[dict[str, Tensor]] = [
            dict(zip(names, torch.tensor(values, device=device), strict=True))
            for names, values in zip(position.pending_names, position.pending, strict=True)
        ]
        position.pending, position.pending_names = [], []

    @property
    def n(self) -> int:
        """Steps since the last record."""
        return len(self._steps)

    @property
    def names(self) -> list[list[str]]:
        """The terms of each of them."""
        return [list(terms) for terms in self._steps]

    def add(self, terms: dict[str, Tensor]) -> bool:
        """Note a step; True when a record is due."""
        self._steps.append({name: term.detach() for name, term in terms.items()})
        return len(self._steps) == self.interval

    def flush(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Mean of every term over the steps since the last record in which it occurred, and (steps ago, term) of the
        first value that is not finite."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        rows, steps = self.pending(), self._steps
        self._steps = []
        for i, row in enumerate(rows):
            for name, value in zip(steps[i], row, strict=True):
                if not math.isfinite(value):
                    return {}, (len(rows) - 1 - i, name)
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1
        position = self.position
        for name, total in sums.items():
            position.sums[name] = position.sums.get(name, 0.0) + total
            position.counts[name] = position.counts.get(name, 0) + counts[name]
        return {name: total / counts[name] for name, total in sums.items()}, None

    def pending(self) -> list[list[float]]:
        """The values since the last record, a list a step, as long as it had terms; reads the device."""
        if not self._steps:
            return []
        values = iter(torch.stack([term.float() for terms in self._steps for term in terms.values()]).tolist())
        return [list(itertools.islice(values, len(terms))) for terms in self._steps]
