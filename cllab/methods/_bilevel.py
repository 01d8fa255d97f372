"""What the bilevel methods (Pham et al., arXiv:2007.15553) share: interpolation, soft targets, test-time adaptation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.memory.ring import Ring
from cllab.methods._heads import cross_entropy
from cllab.methods._replay import forwards, ring
from cllab.methods.base import Batch, Learner
from cllab.models.base import Network

Tensors = list[Tensor]
Mean = Literal["batch", "element"]


class Distilling(Protocol):
    """The settings of a method that distils."""

    @property
    def strength(self) -> float: ...
    @property
    def temperature(self) -> float: ...
    @property
    def mean(self) -> Mean: ...


def moving(model: nn.Module, *, buffers: bool) -> Tensors:
    """What an interpolation moves: the weights; with `buffers`, the running statistics of batch normalization too."""
    values: Tensors = [p.data for p in model.parameters()]
    return [*values, *(b for b in model.buffers() if b.is_floating_point())] if buffers else values


def copies(values: Sequence[Tensor]) -> Tensors:
    """A copy of every tensor of `values`."""
    return [v.clone() for v in values]


def interpolate(values: Tensors, start: Tensors, share: float) -> None:
    """start + share * (values - start), in place of `values`."""
    if share != 1:
        torch._foreach_lerp_(values, start, 1 - share)


def distance(values: Tensors, start: Tensors) -> Tensor:
    """The Euclidean length of values - start, 0-d."""
    gaps: Tensor = torch.stack(torch._foreach_norm(torch._foreach_sub(values, start)))
    return gaps.square().sum().sqrt()


def cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """The cosine between two lists of gradients, 0-d."""
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (first, second))
    return F.cosine_similarity(a, b, dim=0)


def divergence(scores: Tensor, targets: Tensor, temperature: float, mean: Mean) -> Tensor:
    """KL(targets || softmax(scores / temperature)): the mean over the batch, or over its elements, C times less.

    scores, targets: (B, C), the targets probabilities. Without the factor temperature^2 of Hinton et al. 2015.
    """
    found = F.kl_div((scores / temperature).log_softmax(dim=1), targets, reduction="sum")
    return found / (len(scores) if mean == "batch" else scores.numel())


@torch.no_grad()
def remember_targets(learner: Learner, temperature: float, mode: Literal["eval", "train"]) -> None:
    """Keep what the model now says of the latest task's samples, softened, as their targets for ever.

    In mode "train" as one batch with its own statistics, which also moves the running ones.
    """
    memory = ring(learner.memory)
    if not memory.tasks:
        return
    rows = memory.rows(-1)
    raw, labels = memory.take(rows)
    was = learner.model.training
    learner.model.train(mode == "train")
    scores = learner.model(learner.normalize(raw))
    learner.model.train(was)
    # outputs that the new task has just brought know nothing of these samples
    own = scores[:, : max(learner.old) + 1] if learner.heads is None else learner.heads.scores(scores, labels)
    memory.attach("targets", own.shape[1])[rows, : own.shape[1]] = (own / temperature).softmax(dim=1)


def inner_loss(batch: Batch, learner: Learner, rows: Tensor, config: Distilling, *, apart: bool) -> dict[str, Tensor]:
    """The inner objective: cross-entropy of the stream, cross-entropy and distillation of replayed samples.

    rows: (n,) long, what is replayed; apart: see `_replay.forwards`.
    """
    memory = ring(learner.memory)
    raw, y = memory.take(rows)
    mine, old = forwards(learner.model, batch.x, learner.augment(raw), apart=apart)
    terms = {"cross-entropy": batch.cross_entropy(mine), "replay": cross_entropy(learner.heads, old, y)}
    if config.strength > 0:
        own = old if learner.heads is None else learner.heads.scores(old, y)
        targets = memory.attach("targets", own.shape[1]).index_select(0, rows)
        terms["distillation"] = config.strength * divergence(own, targets, config.temperature, config.mean)
    return terms


class Adapted:
    """The model, or a copy that took some full-batch steps on the stored samples of the task that is named.

    Running statistics are used and not moved. Made anew before every evaluation; a copy is made when its task is met.
    """

    def __init__(self, learner: Learner, steps: int, lr: float, *, every_class: bool) -> None:
        self.learner, self.steps, self.lr, self.every_class = learner, steps, lr, every_class
        self._ready: dict[int, Network] = {}

    def model(self, task_label: int | None) -> Network:
        """The network for a task; the plain one without steps, for an unnamed task and for one not learned yet."""
        memory = self.learner.memory
        if self.steps == 0 or task_label is None or not isinstance(memory, Ring) or task_label >= len(memory.tasks):
            return self.learner.model
        if task_label not in self._ready:
            self._ready[task_label] = self._adapt(memory, task_label)
        return self._ready[task_label]

    def _adapt(self, memory: Ring, index: int) -> Network:
        heads = None if self.every_class else self.learner.heads
        with torch.inference_mode(False), torch.enable_grad():
            model = copy.deepcopy(self.learner.model).eval()
            raw, labels = memory.take(memory.rows(index))
            x = self.learner.normalize(raw)
            params = list(model.parameters())
            for _ in range(self.steps):
                gradients = torch.autograd.grad(cross_entropy(heads, model(x), labels), params)
                with torch.no_grad():
                    torch._foreach_add_([p.data for p in params], list(gradients), alpha=-self.lr)
        return model
