"""Where the scenario names the task, only the classes of a sample's own task compete: its slice of the output layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CLOSED = -1e9
"""The score of a place that no class fills: its probability is an exact 0, and so is that times its logarithm."""


@dataclass(frozen=True)
class Heads:
    """Which classes stand beside each other in a task.

    Attributes:
        tasks: (E, C) long: the classes of every task; a task with fewer than C repeats its first.
        task_of: (K,) long: the task that owns a class.
        place: (K,) long: where a class stands among those of its task.
        open: (E, C) bool: False at repeated classes; None when all tasks have C.
    """

    tasks: Tensor
    task_of: Tensor
    place: Tensor
    open: Tensor | None

    @classmethod
    def of(cls, parts: Sequence[Sequence[int]], n_classes: int, device: torch.device) -> Heads | None:
        """The heads of tasks that own the classes `parts`; None where all share the same classes or some are shared,
        because then a label does not say which task it is of."""
        flat = [c for part in parts for c in part]
        if len(parts) < 2 or len(flat) != len(set(flat)):
            return None
        width = max(map(len, parts))
        tasks = torch.tensor([[*part, *[part[0]] * (width - len(part))] for part in parts])
        task_of, place = torch.zeros(n_classes, dtype=torch.long), torch.zeros(n_classes, dtype=torch.long)
        for t, part in enumerate(parts):
            task_of[list(part)] = t
            place[list(part)] = torch.arange(len(part))
        sizes = torch.tensor([len(part) for part in parts])
        filled = torch.arange(width) < sizes[:, None]
        shut = None if min(map(len, parts)) == width else filled.to(device)
        return cls(tasks.to(device), task_of.to(device), place.to(device), shut)

    @property
    def width(self) -> int:
        return self.tasks.shape[1]

    def scores(self, logits: Tensor, y: Tensor) -> Tensor:
        """(B, C) scores of the classes of each sample's task; logits: (B, K), y: (B,) long stream labels."""
        tasks = self.task_of.index_select(0, y)
        own = logits.gather(1, self.tasks.index_select(0, tasks))
        return own if self.open is None else own.masked_fill(~self.open.index_select(0, tasks), CLOSED)

    def cross_entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy within each sample's task; logits: (B, K), y: (B,) long stream labels."""
        return F.cross_entropy(self.scores(logits, y), self.place.index_select(0, y))

    def mask(self, y: Tensor, n_classes: int) -> Tensor:
        """(B, n_classes) float: 1 at the classes of each sample's task; y: (B,) long stream labels."""
        task = self.task_of.index_select(0, y)
        return (self.task_of[:n_classes] == task.unsqueeze(1)).float()

    def earlier(self, logits: Tensor, before: int) -> Tensor:
        """(B, before, C) scores of the tasks 0..before-1, task by task; logits: (B, K)."""
        own = logits.index_select(1, self.tasks[:before].flatten()).view(len(logits), before, -1)
        return own if self.open is None else own.masked_fill(~self.open[:before], CLOSED)


def cross_entropy(heads: Heads | None, logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of (B, K) logits, within each sample's task where there are heads."""
    return F.cross_entropy(logits, y) if heads is None else heads.cross_entropy(logits, y)


def cross_entropies(heads: Heads | None, logits: Tensor, y: Tensor) -> Tensor:
    """(B,) of every sample, as `cross_entropy`."""
    if heads is None:
        return F.cross_entropy(logits, y, reduction="none")
    return F.cross_entropy(heads.scores(logits, y), heads.place.index_select(0, y), reduction="none")
