"""Latent replay: every mini-batch is part stream and part memory, and the memory holds what lies behind a frozen front.

Pellegrini et al., "Latent Replay for Real-Time Continual Learning", IROS 2020, arXiv:1912.01100, with a plain output
layer: what AR1* adds to it is consolidation. Of a mini-batch of B samples as many are the stream's as let one epoch
pass once through batch and memory; the memory is updated after the batch. With `model.cut` and `model.front = "frozen"`
latents are stored, without a front images (native rehearsal). Under `fidelity = "reference"` the tail of a batch is
dropped and the first batch padded, stored samples come as they lie, and weight decay acts on normalization layers too,
as in the published code.
"""

from __future__ import annotations

from dataclasses import dataclass

from cllab.methods._latent_replay import LatentRehearsal, Rehearsal
from cllab.methods.base import MethodInfo


class LatentReplay(LatentRehearsal):
    """Cross-entropy on stream and memory together."""

    info = MethodInfo(
        title="Latent replay",
        paper="arXiv:1912.01100",
        year=2020,
        family="replay",
        needs=frozenset({"boundaries"}),
        memory="share",
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(Rehearsal):
        """Settings."""
