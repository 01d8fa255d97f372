"""What the loop measures between two records: losses and speed."""

from __future__ import annotations

import math
import time

import torch
import torch.nn.functional as F
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

    A row of the buffer is a step: its terms in the order in which the step returned them, whose names the host keeps.
    So a term may come and go. Nothing waits for the device before `flush`.
    """

    def __init__(self, position: Position, interval: int, device: torch.device) -> None:
        self.position = position
        self.interval = interval
        self.names = [tuple(names) for names in position.pending_names]
        self._buffer = torch.zeros(interval, max(map(len, self.names), default=1), device=device)
        for row, values in zip(self._buffer, position.pending, strict=False):
            row[: len(values)] = torch.tensor(values, dtype=torch.float64).to(row)
        position.pending, position.pending_names = [], []

    @property
    def n(self) -> int:
        """Steps since the last record."""
        return len(self.names)

    def add(self, terms: dict[str, Tensor]) -> bool:
        """Note a step; True when a record is due."""
        width = len(terms)
        if width > self._buffer.shape[1]:
            self._buffer = F.pad(self._buffer, (0, width - self._buffer.shape[1]))
        row = self._buffer[len(self.names)]
        values = [t.detach() for t in terms.values()]
        torch.stack(values, out=row if width == len(row) else row[:width])
        self.names.append(tuple(terms))
        return len(self.names) == self.interval

    def flush(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Mean of every term over the steps since the last record in which it occurred, and (steps ago, term) of the
        first value that is not finite."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        rows = self.pending()
        for i, row in enumerate(rows):
            for name, value in zip(self.names[i], row, strict=True):
                if not math.isfinite(value):
                    ago = len(rows) - 1 - i
                    self.names = []
                    return {}, (ago, name)
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1
        self.names = []
        position = self.position
        for name, total in sums.items():
            position.sums[name] = position.sums.get(name, 0.0) + total
            position.counts[name] = position.counts.get(name, 0) + counts[name]
        return {name: total / counts[name] for name, total in sums.items()}, None

    def pending(self) -> list[list[float]]:
        """The values since the last record, a list a step, as long as it had terms; reads the device."""
        if not self.names:
            return []
        rows = self._buffer[: len(self.names)].tolist()
        return [row[: len(names)] for row, names in zip(rows, self.names, strict=True)]
