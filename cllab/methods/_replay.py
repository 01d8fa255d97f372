"""Replay from a ring of every task, as functions that several methods share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cllab.data.base import Split, TensorImages
from cllab.memory.ring import Ring
from cllab.methods.base import Batch, Learner
from cllab.models._renorm import BatchRenorm

if TYPE_CHECKING:
    from cllab.memory.base import Memory


def ring(memory: Memory) -> Ring:
    """`memory`, which the catalogue allows to be nothing else."""
    assert isinstance(memory, Ring)
    return memory


def begin_task(learner: Learner, *, held: float = 0.0) -> None:
    """Open the current task's ring where the memory is one; a share `held` of it is kept apart."""
    if isinstance(learner.memory, Ring):
        learner.memory.open(learner, held=held)


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a sample's scores depend on the samples beside it in training."""
    return any(isinstance(module, (_BatchNorm, BatchRenorm)) for module in model.modules())


def forwards(model: nn.Module, *batches: Tensor, apart: bool) -> list[Tensor]:
    """Scores of every batch of `batches`, each (b, C, H, W).

    With `apart`, each in a pass of its own with its own batch statistics; otherwise all in one pass, which gives the
    same scores where there is no batch normalization.
    """
    if apart or len(batches) == 1:
        return [model(x) for x in batches]
    return list(torch.split(model(torch.cat(batches)), [len(x) for x in batches]))


def with_replay(batch: Batch, x: Tensor, y: Tensor) -> Batch:
    """What a loss of `batch` and replayed samples together is taken of; the replayed ones' labels are not mixed.

    x: (n, C, H, W), as the network takes them; y: (n,).
    """
    mix = None if batch.y_mix is None else torch.cat([batch.y_mix, y])
    return replace(batch, x=torch.cat([batch.x, x]), y=torch.cat([batch.y, y]), y_mix=mix)


def publish(learner: Learner, name: str, raw: Tensor, labels: Tensor) -> None:
    """Samples as pictures with their labels, where the step is traced. raw: (n, C, H, W) uint8; labels: (n,)."""
    learner.trace(**{name: raw, f"{name} labels": labels})


def store(batch: Batch, learner: Learner) -> None:
    """Offer a batch of the stream to the memory."""
    if learner.memory.capacity == 0:
        return
    fresh = batch.stream
    positions = torch.arange(len(fresh), device=fresh.y.device)
    new = Split(TensorImages(fresh.raw), positions, fresh.y, ids=fresh.ids)
    learner.memory.update(new, learner)
