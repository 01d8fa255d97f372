"""The gradients of several sets of samples, as rows of one matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cllab.learner.heads import cross_entropy
from cllab.learner.learner import Learner
from cllab.methods._replay import has_batch_norm


def of_each(learner: Learner, params: list[nn.Parameter], sets: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(t, P) gradients of the mean cross-entropy on each of t `sets`, network inputs with their labels."""
    sizes = {len(y) for _, y in sets}
    if learner.device.type != "cpu" and len(sizes) == 1 and not has_batch_norm(learner.model):
        return stacked_gradients(learner, params, sets)
    rows = []
    for x, y in sets:
        loss = cross_entropy(learner.heads, learner.model(x), y)
        gradients = torch.autograd.grad(loss, params, allow_unused=True)
        rows.append(torch.cat([flat(g, p) for g, p in zip(gradients, params, strict=True)]))
    return torch.stack(rows)


def flat(gradient: Tensor | None, like: Tensor) -> Tensor:
    """(P,) a gradient, zeros where there is none."""
    return torch.zeros_like(like).flatten() if gradient is None else gradient.flatten()


def stacked_gradients(learner: Learner, params: list[nn.Parameter], sets: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(t, P) as the one-by-one way, all tasks in one vectorized pass: a fraction of the calls on an accelerator.

    For sets of equal size and networks without batch normalization.
    """
    model = learner.model
    names = {id(p): name for name, p in model.named_parameters()}
    weights = {names[id(p)]: p.detach() for p in params}
    rest = {**{n: p.detach() for n, p in model.named_parameters() if n not in weights}, **dict(model.named_buffers())}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(learner.heads, torch.func.functional_call(model, (weights, rest), (x,)), y)

    x, y = (torch.stack(column) for column in zip(*sets, strict=True))
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, x, y)
    return torch.cat([found[names[id(p)]].flatten(1) for p in params], dim=1)
