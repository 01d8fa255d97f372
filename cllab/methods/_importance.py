"""Importance of weights and the quadratic penalty that holds them, as functions over lists of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.data.base import Split, Task
from cllab.learner.heads import cross_entropy
from cllab.learner.learner import Learner
from cllab.models.base import Network

Tensors = list[Tensor]


def trunk(model: Network) -> list[nn.Parameter]:
    """The parameters that a penalty holds: all but the head's."""
    head = {id(p) for p in model.head_parameters()}
    return [p for p in model.parameters() if id(p) not in head]


def zeros(params: Sequence[Tensor]) -> Tensors:
    """One zero tensor like each of `params`."""
    return [torch.zeros_like(p) for p in params]


class _Quadratic(torch.autograd.Function):
    """sum_i w_i (theta_i - anchor_i)^2 over lists, with its gradient 2 w (theta - anchor) in one pass each."""

    @staticmethod
    def forward(ctx: Any, weights: Tensors, anchors: Tensors, *params: Tensor) -> Tensor:
        gaps = torch._foreach_sub(list(params), anchors)
        pulls = torch._foreach_mul(weights, gaps)
        ctx.pulls = pulls
        return torch.stack([torch.dot(p.flatten(), g.flatten()) for p, g in zip(pulls, gaps, strict=True)]).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, *torch._foreach_mul(ctx.pulls, 2 * grads[0]))


def quadratic(params: Sequence[nn.Parameter], anchors: Tensors, weights: Tensors) -> Tensor:
    """sum_i w_i (theta_i - theta*_i)^2, 0-d (Kirkpatrick et al. 2017, Eq. 3, without the factor 1/2)."""
    return _Quadratic.apply(weights, anchors, *params)  # type: ignore[no-any-return]


def damping(weights: Tensors, stiffness: float) -> Tensors:
    """1 + stiffness w_i, what `damp` divides by."""
    return list(torch._foreach_add(torch._foreach_mul(weights, stiffness), 1.0))


def damp(params: Sequence[nn.Parameter], dividers: Tensors) -> None:
    """Make the gradient step to come an implicit one with respect to a quadratic penalty, in place of the gradients.

    A penalty s sum_i w_i (theta_i - a_i)^2 has curvature h_i = 2 s w_i; a plain step at rate r diverges where
    r h_i > 2. The step that takes the penalty's gradient where it arrives, theta' = theta - r (g + h (theta' - a)), is
    theta' = argmin_u g u + h (u - a)^2 / 2 + (u - theta)^2 / (2 r), a proximal step; solved, it is the plain one with
    its gradient divided by 1 + r h: theta' - theta = -r (g + h (theta - a)) / (1 + r h). Whatever the strength, a
    weight goes from theta toward a and never past it for the penalty's sake. Weights at rest stay at rest, since
    gradients are only scaled; with momentum m the curvature that is stepped, r h / (1 + r h), is below 1 and so within
    the bounds of heavy ball, 2 (1 + m), and of Nesterov, 2 (1 + m) / (1 + 2 m).

    Args:
        params: with the gradient of loss and penalty together.
        dividers: `damping` of the w_i with stiffness 2 r s.
    """
    held = [(p.grad, d) for p, d in zip(params, dividers, strict=True) if p.grad is not None]
    torch._foreach_div_([g for g, _ in held], [d for _, d in held])


class Damping:
    """`damp` with its dividers kept as long as rate, strength and weights stay the same."""

    def __init__(self) -> None:
        self._of: tuple[float, Tensors] | None = None
        self._dividers: Tensors = []

    def __call__(self, params: Sequence[nn.Parameter], weights: Tensors, strength: float, rate: float) -> None:
        """Damp the gradients of `params` for a penalty `strength` sum_i w_i (...)^2 and a step at `rate`."""
        stiffness = 2 * strength * rate
        if self._of is None or self._of[0] != stiffness or self._of[1] is not weights:
            self._of, self._dividers = (stiffness, weights), damping(weights, stiffness)
        damp(params, self._dividers)


def padded(values: Sequence[Tensor], like: Sequence[Tensor]) -> Tensors:
    """`values` with zero rows added up to the shapes of `like`."""
    grown = [torch.zeros_like(p) for p in like]
    for new, old in zip(grown, values, strict=True):
        new[: len(old)] = old
    return grown


def merged(held: tuple[Tensors, Tensors], new: tuple[Tensors, Tensors]) -> tuple[Tensors, Tensors]:
    """Two penalties, each its weights and its anchors, as one of the same gradient everywhere.

    w (theta - a)^2 + v (theta - b)^2 has the weights w + v and the anchors a + (b - a) v / (w + v), but for a number
    that does not depend on theta. `held` may be empty; its anchors are written to.
    """
    (weights, anchors), (more, now) = held, new
    if not weights:
        return new
    total = list(torch._foreach_add(weights, more))
    for anchor, theta, v, t in zip(anchors, now, more, total, strict=True):
        anchor.add_((theta - anchor) * torch.where(t > 0, v / t, 0))
    return total, anchors


# -- estimates of the Fisher


def mean_of_squares(learner: Learner, task: Task, params: Sequence[nn.Parameter], samples: int) -> Tensors:
    """The diagonal of the Fisher matrix over `samples` of the task's stream: the mean of every sample's squared
    gradient, labels drawn from the model (where the scenario names the task, from the task's classes)."""
    model, split = learner.model, task.train
    new = zeros(params)
    n = min(samples, len(split))
    size = min(n, 256) if linear_only(params, model) else 32
    own = None if learner.heads is None else torch.tensor(task.classes, device=learner.device)
    count = 0
    with learner.bulk():
        for batch in learner.batches(split, purpose="fisher", batch_size=size):
            scores = _of(model(batch.x).detach(), own)
            labels = draw_labels(scores, learner.rng.cpu("estimate"))
            torch._foreach_add_(new, fisher_of_batch(model, params, batch.x, labels, own), alpha=len(labels))
            count += len(labels)
            if count >= n:
                break
    torch._foreach_div_(new, count)
    return new


def squared_mean(learner: Learner, split: Split, params: Sequence[nn.Parameter], samples: int) -> Tensors:
    """The squared gradient of the mean loss over the first `samples` of `split`: the estimate of GEM's EWC."""
    first = torch.arange(min(samples, len(split)), device=split.device)
    with learner.bulk():
        scores = learner.model(learner.normalize(split.fetch(first)))
        loss = cross_entropy(learner.heads, scores, split.labels[first])
        gradients = torch.autograd.grad(loss, params, allow_unused=True)
    known = [torch.zeros_like(p) if g is None else g for p, g in zip(params, gradients, strict=True)]
    return list(torch._foreach_mul(known, known))


def squared_batches(
    learner: Learner, split: Split, params: Sequence[nn.Parameter], penalty: Callable[[], Tensor] | None
) -> Tensors:
    """The mean over batches of `split` of their squared gradient: the estimate of Rainbow Memory's code.

    The gradient of the loss against the model's own most likely labels, and of the `penalty` where there is one.
    """
    total = zeros(params)
    with learner.bulk():
        for batch in learner.batches(split, purpose="fisher", augment=True):
            scores = learner.model(batch.x)
            own = scores if learner.heads is None else learner.heads.scores(scores, batch.y)
            loss = F.cross_entropy(own, own.detach().argmax(dim=1))
            if penalty is not None:
                loss = loss + penalty()
            add_batch_fisher(total, params, loss, len(batch.y) / len(split))
    return total


def fisher_of_batch(
    model: Network, params: Sequence[nn.Parameter], x: Tensor, labels: Tensor, own: Tensor | None = None
) -> Tensors:
    """Mean over samples of the squared gradient of log p(label | x), one tensor per parameter.

    The diagonal of the Fisher matrix when labels are drawn from the model, which must be in eval mode. x: (B, C, H, W);
    labels: (B,) long, places among the classes `own` (C,) where only those compete.
    """
    if linear_only(params, model):
        return _fisher_by_products(model, params, x, labels, own)
    return _fisher_by_samples(model, params, x, labels, own)


def linear_only(params: Sequence[nn.Parameter], model: Network) -> bool:
    """Whether all of `params` belong to linear layers and normalizations, where the Fisher is a matrix product."""
    owners = {id(p): m for m in model.modules() for p in m.parameters(recurse=False)}
    return all(isinstance(owners[id(p)], (nn.Linear, nn.BatchNorm1d)) for p in params)


def _of(scores: Tensor, own: Tensor | None) -> Tensor:
    return scores if own is None else scores.index_select(1, own)


def _fisher_by_products(
    model: Network, params: Sequence[nn.Parameter], x: Tensor, labels: Tensor, own: Tensor | None
) -> Tensors:
    """Without per-sample gradients: a linear layer's is an outer product, so its mean square is one matrix product."""
    inputs: dict[nn.Module, Tensor] = {}
    slopes: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        inputs[module] = args[0].detach().clone()  # a later layer may work in place
        out.register_hook(lambda gradient: slopes.__setitem__(module, gradient))  # type: ignore[no-untyped-call]

    chosen = {id(p) for p in params}
    layers = [m for m in model.modules() if any(id(p) in chosen for p in m.parameters(recurse=False))]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        log_p = _of(model(x), own).log_softmax(dim=1).gather(1, labels.view(-1, 1)).sum()
        torch.autograd.grad(log_p, [p for p in params if id(p) in chosen])
    finally:
        for handle in handles:
            handle.remove()
    found: dict[int, Tensor] = {}
    for layer in layers:
        a, g = inputs[layer], slopes[layer]
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            a = (a - layer.running_mean) * (layer.running_var + layer.eps).rsqrt()
            found[id(layer.weight)] = (g * a).square().mean(dim=0)
        else:
            found[id(layer.weight)] = g.square().T @ a.square() / len(x)
        if isinstance(layer.bias, Tensor):
            found[id(layer.bias)] = g.square().mean(dim=0)
    return [found[id(p)] for p in params]


def _fisher_by_samples(
    model: Network, params: Sequence[nn.Parameter], x: Tensor, labels: Tensor, own: Tensor | None
) -> Tensors:
    """Per-sample gradients by vectorization, for networks with other layers."""
    names = {id(p): n for n, p in model.named_parameters()}
    chosen = {names[id(p)]: p.detach() for p in params}
    others = {n: p.detach() for n, p in model.named_parameters() if n not in chosen}
    buffers = dict(model.named_buffers())

    def log_likelihood(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        scores = torch.func.functional_call(model, (weights, others, buffers), (image.unsqueeze(0),))
        return torch.log_softmax(_of(scores, own), dim=1).gather(1, label.view(1, 1)).squeeze()

    gradients = torch.func.vmap(torch.func.grad(log_likelihood), in_dims=(None, 0, 0))(chosen, x, labels)
    return [g.square().mean(dim=0) for g in gradients.values()]


def add_batch_fisher(total: Tensors, params: Sequence[nn.Parameter], loss: Tensor, share: float) -> None:
    """Add `share` times the squared gradient of a batch's mean loss: the published code's estimate.

    The square of a mean is smaller than the mean of squares by up to the batch size.
    """
    gradients = torch.autograd.grad(loss, list(params))
    torch._foreach_addcmul_(total, list(gradients), list(gradients), value=share)


def draw_labels(scores: Tensor, generator: torch.Generator) -> Tensor:
    """(B,) labels drawn from the softmax of (B, K) scores; `generator` is a CPU generator."""
    uniform = torch.rand(scores.shape[0], 1, generator=generator).to(scores.device)
    return (scores.softmax(dim=1).cumsum(dim=1) < uniform).sum(dim=1).clamp(max=scores.shape[1] - 1)


def grads(params: Sequence[nn.Parameter]) -> Tensors:
    """The gradients of `params`, zeros where there is none."""
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in params]


def normalized(values: Tensors) -> Tensors:
    """Values scaled to a largest one of 1 over the whole list."""
    top = torch.stack([v.max() for v in values]).max().clamp(min=1e-12)
    return torch._foreach_div(values, top)  # type: ignore[return-value]
