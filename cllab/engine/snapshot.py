"""What the memory held after a task, as a file that viewers read without torch."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.io.files import write_atomically
from cllab.memory.base import Memory

MAX_THUMBS = 2000
MAX_SIDE = 32
ALL, LEAST, MOST, BUDGET = 26, 8, 64, 64_000_000
"""Up to so many tasks the memory is written after each; of more, after as many as take so many bytes, within bounds."""
_COLUMNS = 40
"""Bytes of a sample's identity, label, task, step of entry and score."""


def written(n_tasks: int, capacity: int, shape: tuple[int, ...]) -> frozenset[int]:
    """The tasks after which the memory is written, the first and the last among them, at even distances.

    shape: of an image, (C, H, W).
    """
    if n_tasks <= ALL:
        return frozenset(range(n_tasks))
    side = max(shape[1:])
    pixels = shape[0] * shape[1] * shape[2] * min(1.0, MAX_SIDE / side) ** 2
    each = capacity * _COLUMNS + min(capacity, MAX_THUMBS) * pixels
    n = min(n_tasks, MOST, max(LEAST, int(BUDGET / max(1.0, each))))
    return frozenset(round(i * (n_tasks - 1) / (n - 1)) for i in range(n))


def thumbnails(images: Tensor) -> Tensor:
    """(N, C, h, w) uint8 of (N, C, H, W) uint8, at most 32 pixels wide and high."""
    side = max(images.shape[-2:]) if len(images) else 0
    if side <= MAX_SIDE:
        return images
    size = [max(1, round(s * MAX_SIDE / side)) for s in images.shape[-2:]]
    return F.interpolate(images.float(), size=size, mode="area").round().byte()


def write(path: Path, memory: Memory, pictures: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
    """Identities and columns of all samples, and thumbnails (at most 32 pixels wide) of up to 2,000 of them, all
    classes alike.

    pictures: where latents are stored, the images (n, C, H, W) uint8 of sample `ids` and their `tasks`.
    """
    columns = memory.columns
    n = len(memory)
    if n > MAX_THUMBS:
        by_class = torch.argsort(columns["labels"], stable=True)
        chosen = by_class[torch.linspace(0, n - 1, MAX_THUMBS).long().to(by_class.device)].sort().values
    else:
        chosen = torch.arange(n, device=memory.device)
    if pictures is None or columns["images"].dtype == torch.uint8:
        images = columns["images"].index_select(0, chosen)
    else:
        images = pictures(columns["ids"].index_select(0, chosen), columns["tasks"].index_select(0, chosen))
    thumbs = thumbnails(images)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        ids=columns["ids"].cpu().numpy(),
        labels=columns["labels"].int().cpu().numpy(),
        tasks=columns["tasks"].int().cpu().numpy(),
        entered=columns["entered"].cpu().numpy(),
        scores=columns["scores"].float().cpu().numpy(),
        score_name=np.array(memory.info.score),
        thumb_index=chosen.cpu().numpy(),
        thumbs=thumbs.cpu().numpy(),
    )
    write_atomically(path, buffer.getvalue())
