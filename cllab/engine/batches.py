"""Which samples make a batch, and the batches themselves, made a chunk of many at a time.

What is drawn for the stream does not hang on what is drawn for replayed samples: order and augmentation have two
generators each, `STREAM` and `REPLAY`. In a stream phase the stream's samples come in the same order whatever memory is
mixed in, and their pixels do not depend on what the memory holds. With `replay = "half"` they do not depend on its
size either; with `concat` more stored samples move the stream's to later batches, and so to other draws. Other phases
train on the memory and draw from `REPLAY` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cllab.data.augment._draw import deliver
from cllab.data.augment.cutmix import cutmix
from cllab.data.base import Split
from cllab.learner.batch import Batch, Replay
from cllab.learner.learner import Learner
from cllab.learner.rng import Rng

STREAM = {"order": "order", "augment": "augment"}
REPLAY = {"order": "order-replay", "augment": "augment-replay"}
"""Names of generators by what they are for."""

CHUNK_FLOATS = {"cpu": 1 << 20, "cuda": 1 << 26}


@dataclass
class Position:
    """Where a phase stands; with the generators, enough to enter it again.

    Attributes:
        epoch, batch: next batch to train.
        order: states of the generators of the order, by name, when the epoch began.
        chunk: first batch of the chunk that `batch` lies in.
        augment: states of the generators of the augmentation, by name, when that chunk was made.
        ended: whether the epoch was reported as over, and only what follows it is still to do.
        sums, counts: of every loss term, its sum over the epoch so far and in how many steps it occurred.
        pending, pending_names: the terms of each step since the last record.
    """

    epoch: int = 0
    batch: int = 0
    ended: bool = False
    order: dict[str, Tensor] = field(default_factory=dict)
    chunk: int = 0
    augment: dict[str, Tensor] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    pending: list[list[float]] = field(default_factory=list)
    pending_names: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """An epoch.

    Attributes:
        flat: (n,) long, its samples as they are trained, counted in (memory, stream) as one split; in a batch the
            stream's samples come first.
        cuts: where its batches end.
        from_stream: how many of each batch are the stream's.
    """

    flat: Tensor
    cuts: list[int]
    from_stream: list[int]

    def first(self, n: int) -> Plan:
        """The first `n` batches, at least one."""
        return self if n >= len(self.cuts) else Plan(self.flat[: self.cuts[n - 1]], self.cuts[:n], self.from_stream[:n])


def generators(rng: Rng, purpose: str, phase: str) -> dict[str, torch.Generator]:
    """The generators of a phase for "order" or "augment", by name: first that of its split, last that of replay."""
    names = [STREAM[purpose]] if phase == "stream" else []
    return {name: rng.cpu(name) for name in [*names, REPLAY[purpose]]}


def states(found: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """The states of generators, by name."""
    return {name: generator.get_state() for name, generator in found.items()}


def set_states(found: Mapping[str, torch.Generator], to: Mapping[str, Tensor]) -> None:
    """The inverse of `states`."""
    for name, generator in found.items():
        generator.set_state(to[name])


def plan(
    n: int,
    n_memory: int,
    replay: Replay,
    batch_size: int,
    drop_last: bool,
    orders: tuple[torch.Generator, torch.Generator],
    device: torch.device,
) -> Plan:
    """An epoch over `n` samples of the stream and `n_memory` stored ones; `orders` draw the order of each of both."""
    order, order_replay = orders
    if replay == "half" and n_memory:
        n_half = batch_size // 2
        n_stream = batch_size - n_half
        steps = max(1, n // n_stream)
        stream = torch.randperm(n, generator=order)[: steps * n_stream] + n_memory
        rounds = max(1, -(-steps * n_half // n_memory))
        drawn = torch.cat([torch.randperm(n_memory, generator=order_replay) for _ in range(rounds)])[: steps * n_half]
        if len(stream) < steps * n_stream:
            return Plan(torch.cat([stream, drawn]).to(device), [len(stream) + len(drawn)], [len(stream)])
        flat = torch.cat([stream.view(steps, -1), drawn.view(steps, -1)], dim=1).flatten()
        return Plan(flat.to(device), [batch_size * (i + 1) for i in range(steps)], [n_stream] * steps)
    total = n + n_memory
    flat = torch.randperm(n, generator=order)
    if n_memory:  # the places and the order of the stored ones are drawn apart: all orders are equally likely
        mixed_in = torch.randperm(total, generator=order_replay)
        mixed_in[mixed_in >= n_memory] = flat + n_memory
        flat = mixed_in
    cuts = list(range(batch_size, total + 1, batch_size))
    rest = total % batch_size
    if not cuts or (not drop_last and rest > 1):  # a single sample cannot be batch-normalized
        cuts.append(total)
    flat = flat[: cuts[-1]]
    from_stream = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
    if n_memory:
        batch = torch.arange(len(flat)) // cuts[0]
        is_old = (flat < n_memory).long()
        flat = flat[torch.argsort(2 * batch + is_old, stable=True)]
        from_stream = torch.bincount(batch, weights=1 - is_old).long().tolist()
    return Plan(flat.to(device), cuts, from_stream)


def prepared(
    learner: Learner,
    whole: Split,
    ids: Tensor,
    epoch: Plan,
    position: Position,
    mix: bool,
    phase: str,
) -> Iterator[Batch]:
    """The batches from `position.batch` on, made a chunk at a time.

    Args:
        learner: whose pipeline, generators and heads are used.
        whole: memory and stream as one split, of the identities `ids` (n,).
        epoch: the plan.
        position: kept up to date, so that a checkpoint can enter the chunk again.
        mix: whether images are pasted into one another (CutMix).
        phase: see `Batch`.
    """
    flat, cuts = epoch.flat, epoch.cuts
    drawing = generators(learner.rng, "augment", phase)
    generator = next(iter(drawing.values()))
    floats = CHUNK_FLOATS.get(learner.device.type, 1 << 22)
    per_chunk = max(1, floats // (learner.floats(whole) * cuts[0]))
    first = position.chunk
    while first < len(cuts):
        last = min(first + per_chunk, len(cuts))
        later: dict[str, Tensor] = {}
        if position.augment and position.batch > first:
            later = states(drawing)  # resumed inside this chunk: make it again
            set_states(drawing, position.augment)
        position.chunk, position.augment = first, states(drawing)
        start = cuts[first - 1] if first else 0
        part = flat[start : cuts[last - 1]]
        raw = whole.fetch(part)
        if last < len(cuts):
            whole.prefetch(flat[cuts[last - 1] : cuts[min(last + per_chunk, len(cuts)) - 1]])
        y, sample_ids = whole.labels[part], ids[part]
        sizes = [b - a for a, b in zip([start, *cuts[first:last]], cuts[first:last], strict=False)]
        seen = augmented(learner, raw, sizes, epoch.from_stream[first:last], list(drawing.values()))
        y_mix: Tensor | None = None
        shares: Tensor | None = None
        if mix:
            seen, y_mix, shares = mixed(seen, y, [cuts[i] - start for i in range(first, last)], generator)
        x = learner.normalize(seen)
        if later:  # where a method that augments by itself had left the generators
            set_states(drawing, later)
        xs, ys, raws, named = (torch.split(column, sizes) for column in (x, y, raw, sample_ids))
        more = {name: torch.split(column[part], sizes) for name, column in whole.columns.items()}
        others = None if y_mix is None else torch.split(y_mix, sizes)
        for i in range(max(first, position.batch), last):
            k = i - first
            yield Batch(
                xs[k],
                ys[k],
                raws[k],
                named[k],
                epoch.from_stream[i],
                None if others is None else others[k],
                None if shares is None else shares[k],
                learner.label,
                phase,
                learner.heads,
                {name: column[k] for name, column in more.items()},
            )
        first = last


def augmented(
    learner: Learner, raw: Tensor, sizes: list[int], from_stream: list[int], drawing: list[torch.Generator]
) -> Tensor:
    """Raw images (N, C, H, W) uint8 of batches of `sizes` samples, augmented: the first `from_stream` of each batch by
    the first generator, the others, which are replayed, by the last."""
    if not learner.pipeline.names or sizes == from_stream or len(drawing) == 1:
        return learner.pipeline(raw, drawing[0])
    parts = [k for size, n in zip(sizes, from_stream, strict=True) for k in (n, size - n)]
    replayed = torch.repeat_interleave(torch.arange(len(parts)) % 2, torch.tensor(parts))
    out = torch.empty_like(raw)
    for of, generator in ((0, drawing[0]), (1, drawing[-1])):
        rows = deliver((replayed == of).nonzero().flatten(), raw.device)
        out.index_copy_(0, rows, learner.pipeline(raw.index_select(0, rows), generator))
    return out


def mixed(seen: Tensor, y: Tensor, cuts: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """CutMix of consecutive batches that end at `cuts`: images, the other labels (N,), and shares, one per batch."""
    size = cuts[0]
    full = len(cuts) if cuts[-1] == size * len(cuts) else len(cuts) - 1
    images, labels, shares = [], [], []
    for a, b, n in ((0, full * size, full), (full * size, cuts[-1], len(cuts) - full)):
        if n:
            part = seen[a:b].view(n, -1, *seen.shape[1:])
            pasted, permutation, share = cutmix(part, generator)
            images.append(pasted.flatten(0, 1))
            labels.append(y[a:b].view(n, -1).gather(1, permutation.to(y.device)).flatten())
            shares.append(share)
    return torch.cat(images), torch.cat(labels), torch.cat(shares).to(y.device)
