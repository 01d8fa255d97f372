"""What a step is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from cllab.learner.heads import Heads, cross_entropy

Replay = Literal["none", "concat", "half"]
"""How the loop mixes the memory into a stream: not at all, as one shuffled set, or half of every batch."""


@dataclass(frozen=True)
class Samples:
    """Some samples.

    Attributes:
        x: (B, C, H, W) float, as the network is shown them.
        y: (B,) long, stream labels.
        raw: (B, C, H, W) uint8, as stored.
        ids: (B,) long, sample identities.
        columns: by name, (B, ...) each: what else was stored with them.
    """

    x: Tensor
    y: Tensor
    raw: Tensor
    ids: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)


@dataclass
class Batch:
    """One step's samples: those of the stream, then replayed ones, so that one forward pass takes both.

    Attributes:
        x: (B, C, H, W) float, augmented and normalized.
        y: (B,) long, stream labels.
        raw: (B, C, H, W) uint8, as stored.
        ids: (B,) long, sample identities.
        n_stream: how many samples, from the first, come from the stream; the others from the memory.
        y_mix, share: labels (B,) and 0-d share of `y` where cutmix pasted another image; None elsewhere.
        task_label: the task's number where the scenario gives it, else None.
        phase: the phase of the loop that the batch belongs to; empty outside of one.
        heads: which classes compete, where the scenario names the task; None when all do.
        columns: by name, (B, ...) each, what the memory has stored with samples; nothing in it of the stream's.
    """

    x: Tensor
    y: Tensor
    raw: Tensor
    ids: Tensor
    n_stream: int
    y_mix: Tensor | None = None
    share: Tensor | None = None
    task_label: int | None = None
    phase: str = ""
    heads: Heads | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def stream(self) -> Samples:
        """The samples of the stream."""
        n = self.n_stream
        return Samples(self.x[:n], self.y[:n], self.raw[:n], self.ids[:n])

    @property
    def replay(self) -> Samples | None:
        """The replayed samples; None where there are none."""
        n = self.n_stream
        if n == len(self.y):
            return None
        more = {name: column[n:] for name, column in self.columns.items()}
        return Samples(self.x[n:], self.y[n:], self.raw[n:], self.ids[n:], more)

    def parts(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ...) values of all samples: those of the stream's, and those of the replayed ones."""
        return values[: self.n_stream], values[self.n_stream :]

    def without_first(self) -> Batch:
        """All samples but the first, which is the stream's."""
        mix = None if self.y_mix is None else self.y_mix[1:]
        return replace(
            self,
            x=self.x[1:],
            y=self.y[1:],
            raw=self.raw[1:],
            ids=self.ids[1:],
            columns={name: column[1:] for name, column in self.columns.items()},
            n_stream=self.n_stream - 1,
            y_mix=mix,
        )

    def joined(self, x: Tensor, y: Tensor, raw: Tensor, ids: Tensor) -> Batch:
        """This batch, then whole images from the memory: both labels of those are `y`. Shapes as the attributes'."""
        mix = None if self.y_mix is None else torch.cat([self.y_mix, y])
        return replace(
            self,
            x=torch.cat([self.x, x]),
            y=torch.cat([self.y, y]),
            raw=torch.cat([self.raw, raw]),
            ids=torch.cat([self.ids, ids]),
            columns={},
            y_mix=mix,
        )

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of (B, K) logits, over both labels where images were mixed; within each sample's task
        where the scenario names it."""
        loss = cross_entropy(self.heads, logits, self.y)
        if self.y_mix is None or self.share is None:
            return loss
        return self.share * loss + (1 - self.share) * cross_entropy(self.heads, logits, self.y_mix)


class Descend(Protocol):
    """One gradient step, as the loop hands it to `Method.step`.

    Sums the terms that `loss` returns, adds their gradients to what is there, lets the method edit them
    (`after_backward`), moves the weights, and clears the gradients unless `clear` is False. With `lr`, at that rate.
    Returns the terms.
    """

    def __call__(
        self, loss: Callable[[], dict[str, Tensor]], batch: Batch, *, clear: bool = True, lr: float | None = None
    ) -> dict[str, Tensor]: ...
