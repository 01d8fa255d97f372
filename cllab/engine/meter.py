"""What the loop measures between two records: losses and speed."""

from __future__ import annotations

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
    """Loss terms of the steps since the last record, on the device."""

    def __init__(self, position: Position, interval: int, device: torch.device) -> None:
        self.position = position
        self.interval = interval
        self.device = device
        self.n = 0
        self._buffer: Tensor | None = None
        if position.pending:
            buffer = self._make(position.names)
            self.n = len(position.pending)
            buffer[: self.n] = torch.tensor(position.pending, dtype=torch.float64).to(buffer)
            position.pending = []

    def add(self, terms: dict[str, Tensor]) -> bool:
        """Note a step; True when a record is due."""
        buffer = self._make(list(terms)) if self._buffer is None else self._buffer
        values = [t.detach() for t in terms.values()]
        torch.stack(values, out=buffer[self.n])
        self.n += 1
        return self.n == self.interval

    def flush(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Means since the last record, and (steps ago, term) of the first value that is not finite."""
        position, values = self.position, self.pending()
        self.n = 0
        if not values:
            return {}, None
        for i, row in enumerate(values):
            for name, value in zip(position.names, row, strict=True):
                if value != value or value in (float("inf"), float("-inf")):
                    return {}, (len(values) - 1 - i, name)
        totals = [sum(column) for column in zip(*values, strict=True)]
        position.sums = [s + t for s, t in zip(position.sums, totals, strict=True)]
        position.count += len(values)
        return {name: total / len(values) for name, total in zip(position.names, totals, strict=True)}, None

    def pending(self) -> list[list[float]]:
        """The values since the last record, (n, k); reads the device."""
        return self._buffer[: self.n].tolist() if self._buffer is not None else []

    def _make(self, names: list[str]) -> Tensor:
        if not self.position.names:
            self.position.names, self.position.sums = names, [0.0] * len(names)
        self._buffer = torch.zeros(self.interval, len(names), device=self.device)
        return self._buffer
