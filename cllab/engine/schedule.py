"""Learning rates of Rainbow Memory's protocol (arXiv:2103.17230; its code's settings)."""

from __future__ import annotations

import math

MILESTONES = (30, 60, 80, 90)


def learning_rate(schedule: str, epoch: int, lr: float, *, warmup_scale: float = 1.0) -> float:
    """The rate of `epoch` (0-based) of a phase.

    Epoch 0 is the warm-up at `warmup_scale * lr`; the schedule's own clock starts at epoch 1. `cos` restarts with
    periods 1, 2, 4, ... down to lr / 100 (Loshchilov & Hutter 2017); `multistep` drops by 10 at its epochs 30, 60, 80,
    90; `anneal` divides by 1.1.
    """
    if epoch == 0:
        return lr * warmup_scale
    step = epoch - 1
    if schedule == "cos":
        cycle = (step + 1).bit_length() - 1
        length = 2**cycle
        position = step - (length - 1)
        return 0.01 * lr + 0.99 * lr * (1 + math.cos(math.pi * position / length)) / 2
    if schedule == "multistep":
        return lr * 0.1 ** sum(step >= m for m in MILESTONES)
    if schedule == "anneal":
        return float(lr * 1.1**-step)
    return lr
