"""The memory: columns of stored samples on the device, and the contract of a policy that decides what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from cllab.data.augment._draw import deliver
from cllab.data.base import Images, Split, join
from cllab.memory._slots import Slots

if TYPE_CHECKING:
    from cllab.learner.learner import Learner

NEVER = -1
OWN = ("images", "labels", "ids", "tasks", "entered", "scores")
"""Columns that every memory has; others come with what it is offered."""


@dataclass(frozen=True)
class MemoryInfo:
    """A policy in a listing.

    Attributes:
        score: what its per-sample score means, empty if it has none.
        per_task: True when it can only be updated once per task, because an update looks at all candidates.
        refuses: methods it does not work with, and why.
    """

    title: str
    paper: str = ""
    score: str = ""
    per_task: bool = True
    refuses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Payload:
    """What is stored of a sample: its image, or the latent that stands in its place."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.uint8


class Memory:
    """Base of every policy; a concrete one is final and lives alone in its file.

    A policy fills in `choose`, which sees all candidates at once, or `update` when it works sample by sample.

    Attributes:
        capacity: how many samples it may hold.
        payload_name: what is stored, "images" or "latents".
        slots: where samples lie. What was taken from the memory, columns and splits, stays what it is when the memory
            is updated.
    """

    info: ClassVar[MemoryInfo]

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Replaced by every policy; fields are declared with `param`."""

    def __init__(self, config: Any, capacity: int, payload: Payload, device: torch.device) -> None:
        self.config = config
        self.capacity = capacity
        self.payload_name = payload.name
        self.device = device
        self.added = 0
        self.evicted = 0
        empty = torch.empty(0, dtype=torch.long, device=device)
        self.columns = {
            "images": torch.empty(0, *payload.shape, dtype=payload.dtype, device=device),
            "labels": empty,
            "ids": empty,
            "tasks": empty,
            "entered": empty,
            "scores": torch.empty(0, device=device),
        }

    @property
    def columns(self) -> dict[str, Tensor]:
        """By name, each (M, ...) on the device: images uint8, or the latents in their place; labels, ids, tasks and
        entered, long; scores, float; and the columns of the splits that were offered, for methods that store more."""
        return self.slots.columns()

    @columns.setter
    def columns(self, value: dict[str, Tensor]) -> None:
        self.slots = Slots(value)

    def __len__(self) -> int:
        return self.slots.size

    def begin_run(self, learner: Learner) -> None:
        """Called once before the first task."""

    def update(self, new: Split, learner: Learner) -> None:
        """Offer `new` samples: afterwards the memory holds a choice of (memory, new), at most `capacity`.

        All of them when they fit, otherwise what `choose` says.
        """
        if self.capacity == 0 or len(new) == 0:
            return
        candidates = self._candidates(self._split(), new, learner)
        if len(candidates) <= self.capacity:
            positions = torch.arange(len(candidates), device=self.device)
            scores = None
        else:
            positions, scores = self.choose(candidates, learner)
        self._keep(candidates, positions, scores, learner)

    def looks(self, n: int, task: int) -> int:
        """How many images `choose` passes through the network, of `n` candidates at the end of task `task`."""
        return 0

    def choose(self, candidates: Split, learner: Learner) -> tuple[Tensor, Tensor | None]:
        """Positions (m,) long of the candidates to keep, m <= capacity, and a score for each of them or None."""
        raise NotImplementedError

    def candidates(self, new: Split, learner: Learner) -> Split:
        """What is stored now, then `new`, as one split."""
        return self._candidates(self.split(), new, learner)

    def _candidates(self, stored: Split, new: Split, learner: Learner) -> Split:
        task = torch.full((len(new),), learner.task, dtype=torch.long, device=self.device)
        origin = task if new.origin is None else new.origin
        return join(stored, replace(new, origin=origin, ids=new.sample_ids()))

    def split(self) -> Split:
        """The stored samples as a split, to train or evaluate on."""
        return view(*self.slots.lend(), self.slots.columns("images"))

    def _split(self) -> Split:
        """The same, to look at before the next update and not to give away."""
        return view(*self.slots.images(), self.slots.columns("images"))

    def retrieve(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """`n` samples, uniformly without replacement (all when fewer are stored).

        generator: a CPU generator. Returns raw images (n, C, H, W) uint8, or latents (n, ...) float, labels (n,), and
        positions (n,) in the columns.
        """
        n = min(n, len(self))
        chosen = deliver(torch.randperm(len(self), generator=generator)[:n], self.device)
        return self.slots.rows("images", chosen), self.slots.rows("labels", chosen), chosen

    def payload(self, name: str, positions: Tensor) -> Tensor:
        """(n, ...) of the column `name` at `positions` (n,), as `retrieve` gives them.

        Raises:
            KeyError: when nothing that was offered had such a column.
        """
        return self.slots.rows(name, positions)

    def counts(self, column: str, n: int) -> Tensor:
        """(n,) long on the CPU: stored samples per value of a column ("labels", "tasks")."""
        return torch.bincount(self._held()[column], minlength=n).cpu()

    def bytes(self) -> dict[str, int]:
        """Bytes by kind of payload."""
        held = {k: v for k, v in self._held().items() if v.numel() and not _blank(k, v)}
        return {self.payload_name if k == "images" else k: v.numel() * v.element_size() for k, v in held.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything a checkpoint needs."""
        return {"columns": self.columns, "added": self.added, "evicted": self.evicted, "own": self.own_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns = {k: v.to(self.device) for k, v in state["columns"].items()}
        self.added, self.evicted = int(state["added"]), int(state["evicted"])
        self.load_own_state(state["own"])

    def own_state(self) -> dict[str, Any]:
        """What a policy keeps beside the columns (counters, means)."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore `own_state`."""

    def take_counts(self) -> tuple[int, int]:
        """(added, evicted) since the last call."""
        out = self.added, self.evicted
        self.added = self.evicted = 0
        return out

    def _held(self) -> dict[str, Tensor]:
        """The columns in any order, to look at before the next update and not to give away."""
        return self.slots.views()

    def _keep(self, candidates: Split, positions: Tensor, scores: Tensor | None, learner: Learner) -> None:
        """Hold the candidates at `positions` (m,) long, with a score each: stored ones stay in their slots."""
        n_old, new = len(self), positions >= len(self)
        come = positions[new]
        entered = torch.full_like(come, learner.step)
        rows = {
            "images": _gather(candidates, come, learner),
            "labels": candidates.labels[come],
            "ids": candidates.sample_ids()[come],
            "tasks": torch.zeros_like(come) if candidates.origin is None else candidates.origin[come],
            "entered": entered,
            "scores": torch.full(come.shape, float("nan"), device=self.device),
            **{name: column[come] for name, column in candidates.columns.items()},
        }
        self.slots.keep(positions, new, rows, max(self.capacity, len(positions)))
        blank = torch.full(positions.shape, float("nan"), device=self.device)
        self.slots.assign("scores", blank if scores is None else scores)
        self.added += len(come)
        self.evicted += n_old - (len(positions) - len(come))


def view(images: Images, index: Tensor, columns: Mapping[str, Tensor]) -> Split:
    """The samples at `index` (M,) of `images` as a split, with their `columns`, (M, ...) each."""
    more = {name: column for name, column in columns.items() if name not in OWN}
    return Split(images, index, columns["labels"], columns["tasks"], None, columns["ids"], more)


def _blank(name: str, column: Tensor) -> bool:
    return name == "scores" and bool(torch.isnan(column).all())


def _gather(split: Split, positions: Tensor, learner: Learner, chunk: int = 4096) -> Tensor:
    """Raw pixels at `positions` (m,), read in chunks so that a lazily decoded split stays within its budget."""
    if len(positions) == 0:
        return torch.empty(0, *split.shape, dtype=split.images.dtype, device=positions.device)
    if len(positions) <= chunk:
        return split.fetch(positions)
    return torch.cat([split.fetch(part) for part in learner.passes.over(torch.split(positions, chunk))])


def ranks_within_class(labels: Tensor, order: Tensor) -> Tensor:
    """(N,) long: position of each sample among those of its class, when samples are taken in `order`.

    labels: (N,) long; order: (N,) long, a permutation.
    """
    by_class = order[torch.argsort(labels[order], stable=True)]
    sorted_labels = labels[by_class]
    counts = torch.bincount(sorted_labels)
    starts = torch.cumsum(counts, 0) - counts
    ranks = torch.empty_like(order)
    ranks[by_class] = torch.arange(len(order), device=order.device) - starts[sorted_labels]
    return ranks


def fill(chosen: Tensor, capacity: int, generator: torch.Generator) -> Tensor:
    """`chosen` (N,) bool positions, and uniformly random others until `capacity` are taken; (m,) long, chosen ones
    first.

    generator: a CPU generator.
    """
    noise = torch.rand(len(chosen), generator=generator).to(chosen.device)
    key = noise - chosen.to(noise.dtype)  # chosen ones lie below 0, the others at random in 0..1
    return torch.argsort(key)[: min(capacity, len(chosen))]
