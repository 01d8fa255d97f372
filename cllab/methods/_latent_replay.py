"""Replay of stored latents beside a batch, as latent replay and AR1* share it.

Pellegrini et al., "Latent Replay for Real-Time Continual Learning", IROS 2020, arXiv:1912.01100. The memory holds what
the stream holds: latents where a front is frozen (`model.cut`, `model.front = "frozen"`), else images, which is native
rehearsal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cllab.data.augment._draw import deliver
from cllab.data.base import Split
from cllab.methods import _replay as rp
from cllab.methods.base import Batch, Group, Learner, Method, Optim, Phase, Piece, Task, Work
from cllab.settings.spec import param


def split_sizes(n: int, stored: int, size: int) -> tuple[int, int, int]:
    """How a batch of `n` samples is learned beside `stored` ones in mini-batches of `size`.

    Returns:
        natives of a mini-batch, full mini-batches of an epoch, and stored samples of a mini-batch.
    """
    if not stored:
        native = min(n, size)
        return native, n // native, 0
    rounds = max(1, (n + stored) // size)
    native = min(max(1, n // rounds), size)
    return native, n // native, max(0, size - native)


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Settings of both."""

    first_epochs: int = param(0, "Passes over the first batch; 0 for train.epochs", low=0, high=10000)
    later_lr: float = param(
        0.0, "Learning rate from the second batch on; 0 for train.lr", source="inc_lr", low=0, high=100, log=True
    )
    head_rate: float = param(
        1.0, "Rate of the output layer, in rates of the rest", source="10 in the Caffe code", low=0, high=1000, log=True
    )
    momentum: Literal["kept", "renewed"] = param(
        "kept", "From batch to batch, after the first: one optimizer over the stream, or a new one"
    )
    decay: Literal["kernels", "all"] = param(
        "kernels", "What weight decay pulls at: not at scales, shifts and biases, or at everything", reference="all"
    )
    tail: Literal["kept", "dropped"] = param(
        "kept", "What is left of a batch when it is cut into mini-batches", reference="dropped"
    )
    first: Literal["plain", "padded"] = param(
        "plain",
        "The first batch: as it is, or with its first samples once more in front, up to full mini-batches",
        reference="padded",
    )
    order: Literal["drawn", "stored"] = param(
        "drawn",
        "Stored samples come in an order that is drawn, or as they lie, from the first in every epoch",
        reference="stored",
    )


class LatentRehearsal(Method):
    """One epoch goes through the batch and once through the memory, in mini-batches of `train.batch_size` in all."""

    def __init__(self, config: Rehearsal, learner: Learner) -> None:
        super().__init__(config, learner)
        self.order = torch.zeros(0, dtype=torch.long)
        self.taken = 0
        self.inject, self.rounds = 0, 1

    def sizes(self, task: Task) -> tuple[int, int, int]:
        """`split_sizes` of a task, as they are foretold: by what the memory can hold by then."""
        learner = self.learner
        before = sum(len(t.train) for t in learner.stream.tasks[: task.index])
        stored = min(learner.memory.capacity, before)
        return split_sizes(len(task.train), stored, learner.settings.batch_size)

    def learn(self, task: Task) -> Iterator[Piece]:
        native, _, _ = self.sizes(task)
        yield Work(lambda: self._begin(task))
        yield Phase(
            "stream",
            self._padded(task, native),
            epochs=(self.config.first_epochs or None) if task.index == 0 else None,
            batch_size=native,
            drop_last=self.config.tail == "dropped",
            optim=self._optim(task.index),
        )
        yield from self.remember(task.train, optim=self._optim(task.index))

    def _padded(self, task: Task, size: int) -> Split:
        """The samples of `task`, the first one's with those in front that full mini-batches lack."""
        n = len(task.train)
        if task.index or self.config.first == "plain" or not n % size:
            return task.train
        positions = torch.arange(n, device=task.train.device)
        return task.train.subset(torch.cat([positions[: size - n % size], positions]))

    def _optim(self, index: int) -> Optim:
        config, rate = self.config, self.config.later_lr if index else 0.0
        free = None if config.decay == "all" else 0.0
        groups = (
            Group(lambda: self._trunk(vectors=False)),
            Group(lambda: self._trunk(vectors=True), decay=free),
            Group(lambda: self.learner.model.head.parameters(), factor=config.head_rate),
        )
        kept = index > 0 and config.momentum == "kept"
        return Optim(groups, lr=rate or None, lives="run" if kept else "task", key="later" if kept else "")

    def _trunk(self, *, vectors: bool) -> list[nn.Parameter]:
        model = self.learner.model
        head = {id(p) for p in model.head.parameters()}
        return [p for p in model.parameters() if id(p) not in head and (p.dim() < 2) is vectors]

    def _begin(self, task: Task) -> None:
        _, self.rounds, self.inject = self.sizes(task)
        self.order, self.taken = torch.zeros(0, dtype=torch.long), 0

    def mixed(self, batch: Batch) -> Batch:
        """`batch`, with stored samples where it is of the stream and there are any."""
        memory = self.learner.memory
        if batch.phase != "stream" or not self.inject or not len(memory):
            return batch
        where = deliver(self._next(len(memory)), self.learner.device)
        x = self.learner.augment(memory.payload("images", where))
        return rp.with_replay(batch, x, memory.payload("labels", where))

    def _next(self, held: int) -> Tensor:
        """(m,) long: the next stored samples, each of them once before any comes again."""
        if self.config.order == "stored":
            start = (self.taken % self.rounds) * self.inject
            self.taken += 1
            return torch.arange(min(start, held), min(start + self.inject, held))
        if self.taken >= len(self.order):
            self.order, self.taken = torch.randperm(held, generator=self.learner.rng.cpu("replay")), 0
        found = self.order[self.taken : self.taken + self.inject]
        self.taken += len(found)
        return found

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        batch = self.mixed(batch)
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}
