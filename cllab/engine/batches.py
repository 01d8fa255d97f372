"""Which samples make a batch, and the batches themselves, made a chunk of many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cllab.data.augment.cutmix import cutmix
from cllab.data.base import Split
from cllab.methods.base import Batch, Learner, Replay

CHUNK_FLOATS = {"cpu": 1 << 20, "cuda": 1 << 26}


@dataclass
class Position:
    """Where a phase stands; with the generators, enough to enter it again.

    Attributes:
        epoch, batch: next batch to train.
        order: state of the "order" generator when the epoch began.
        chunk: first batch of the chunk that `batch` lies in.
        augment: state of the "augment" generator when that chunk was made.
        sums, count: losses of the epoch so far; `pending` (n, k): those since the last record.
    """

    epoch: int = 0
    batch: int = 0
    order: Tensor | None = None
    chunk: int = 0
    augment: Tensor | None = None
    sums: list[float] = field(default_factory=list)
    count: int = 0
    names: list[str] = field(default_factory=list)
    pending: list[list[float]] = field(default_factory=list)


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


def plan(
    n: int,
    n_memory: int,
    replay: Replay,
    batch_size: int,
    drop_last: bool,
    order: torch.Generator,
    device: torch.device,
) -> Plan:
    """An epoch over `n` samples of the stream and `n_memory` stored ones."""
    if replay == "half" and n_memory:
        n_half = batch_size // 2
        n_stream = batch_size - n_half
        steps = max(1, n // n_stream)
        stream = torch.randperm(n, generator=order)[: steps * n_stream] + n_memory
        rounds = max(1, -(-steps * n_half // n_memory))
        drawn = torch.cat([torch.randperm(n_memory, generator=order) for _ in range(rounds)])[: steps * n_half]
        if len(stream) < steps * n_stream:
            return Plan(torch.cat([stream, drawn]).to(device), [len(stream) + len(drawn)], [len(stream)])
        flat = torch.cat([stream.view(steps, -1), drawn.view(steps, -1)], dim=1).flatten()
        return Plan(flat.to(device), [batch_size * (i + 1) for i in range(steps)], [n_stream] * steps)
    total = n + n_memory
    flat = torch.randperm(total, generator=order)
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
    label: int | None,
    phase: str,
) -> Iterator[Batch]:
    """The batches from `position.batch` on, made a chunk at a time.

    Args:
        learner: whose pipeline, generators and heads are used.
        whole: memory and stream as one split, of the identities `ids` (n,).
        epoch: the plan.
        position: kept up to date, so that a checkpoint can enter the chunk again.
        mix: whether images are pasted into one another (CutMix).
        label, phase: see `Batch`.
    """
    flat, cuts = epoch.flat, epoch.cuts
    generator = learner.rng.cpu("augment")
    c, h, w = whole.shape
    floats = CHUNK_FLOATS.get(learner.device.type, 1 << 22)
    per_chunk = max(1, floats // (c * h * w * cuts[0]))
    first = position.chunk
    while first < len(cuts):
        last = min(first + per_chunk, len(cuts))
        later: Tensor | None = None
        if position.augment is not None and position.batch > first:
            later = generator.get_state()  # resumed inside this chunk: make it again
            generator.set_state(position.augment)
        position.chunk, position.augment = first, generator.get_state()
        start = cuts[first - 1] if first else 0
        part = flat[start : cuts[last - 1]]
        raw = whole.fetch(part)
        if last < len(cuts):
            whole.prefetch(flat[cuts[last - 1] : cuts[min(last + per_chunk, len(cuts)) - 1]])
        y, sample_ids = whole.labels[part], ids[part]
        seen = learner.pipeline(raw, generator)
        y_mix: Tensor | None = None
        shares: Tensor | None = None
        if mix:
            seen, y_mix, shares = mixed(seen, y, [cuts[i] - start for i in range(first, last)], generator)
        x = learner.normalize(seen)
        if later is not None:  # where a method that augments by itself had left the generator
            generator.set_state(later)
        for i in range(max(first, position.batch), last):
            a, b = (cuts[i - 1] if i else 0) - start, cuts[i] - start
            yield Batch(
                x[a:b],
                y[a:b],
                raw[a:b],
                sample_ids[a:b],
                epoch.from_stream[i],
                None if y_mix is None else y_mix[a:b],
                None if shares is None else shares[i - first],
                label,
                phase,
                learner.heads,
            )
        first = last


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
