"""How much each weight did for the loss on the way it went: Synaptic Intelligence as functions over lists of tensors.

Zenke, Poole & Ganguli, "Continual Learning Through Synaptic Intelligence", ICML 2017, arXiv:1703.04200.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cllab.methods import _importance as imp
from cllab.methods._importance import Tensors


def of_task(
    gradients: Tensors, params: Sequence[Tensor], anchors: Tensors, weights: Tensors, strength: float
) -> Tensors:
    """`gradients` of loss and penalty, without that of the penalty strength sum_i w_i (theta_i - a_i)^2."""
    if not weights or strength == 0:
        return [g.clone() for g in gradients]
    pull = torch._foreach_sub([p.detach() for p in params], anchors)
    torch._foreach_mul_(pull, weights)
    return list(torch._foreach_sub(gradients, pull, alpha=2 * strength))


def follow(path: Tensors, gradients: Tensors, before: Tensors, params: Sequence[Tensor]) -> None:
    """omega_k <- omega_k - g_k (theta_k' - theta_k), for a step just taken (Eq. 3, in sum over steps)."""
    moved = torch._foreach_sub([p.detach() for p in params], before)
    torch._foreach_mul_(moved, gradients)
    torch._foreach_sub_(path, moved)


def consolidated(
    known: Tensors, path: Tensors, start: Tensors, params: Sequence[nn.Parameter], xi: float, clip: float
) -> Tensors:
    """Omega_k + relu(omega_k) / (Delta_k^2 + xi), at most `clip` where that is not 0 (Eq. 5).

    start: where the weights were when the task began.
    """
    gone = torch._foreach_sub([p.detach() for p in params], start)
    cost = torch._foreach_mul(gone, gone)
    torch._foreach_add_(cost, xi)
    out = [p.clamp(min=0) for p in path]
    torch._foreach_div_(out, cost)
    if known:
        torch._foreach_add_(out, imp.padded(known, out))
    if clip > 0:
        torch._foreach_clamp_max_(out, clip)
    return out
