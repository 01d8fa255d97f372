"""What the bilevel methods (Pham et al., arXiv:2007.15553) share: interpolation, soft targets, test-time adaptation."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.learner.heads import cross_entropy
from cllab.memory.ring import Ring
from cllab.methods._replay import forwards, ring
from cllab.methods._tell import Tell
from cllab.methods.base import Batch, Learner
from cllab.models.base import Network
from cllab.settings.spec import param

Tensors = list[Tensor]
Mean = Literal["batch", "element"]
Statistics = Literal["follow", "interpolate"]


@dataclass(frozen=True, kw_only=True)
class Adapting:
    """Settings of the adaptation at test time."""

    adapt: bool = param(False, "Adapt to a task's samples before its test, where the task is named")
    adapt_lr: float = param(0.1, "Learning rate of that adaptation", low=0, high=100)
    adapt_head: Literal["task", "all"] = param(
        "task", "Classes that compete in the adaptation: the task's, or all", reference="all"
    )


@dataclass(frozen=True, kw_only=True)
class Interpolating:
    """Settings of an interpolation, but for its share."""

    statistics: Statistics = param(
        "follow", "Running statistics: as the passes leave them, or interpolated", reference="interpolate"
    )


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """Settings of the distillation of former outputs."""

    strength: float = param(
        10.0, "Weight of the distillation", source="memory_strength", low=0, log=True, reference=100.0
    )
    temperature: float = param(5.0, "Softness of the targets", source="tau", low=0.01, high=1000)
    mean: Mean = param("batch", "Distillation: mean over the batch, or over its elements", reference="element")
    teacher: Literal["eval", "train"] = param("eval", "Mode of the pass that makes the targets", reference="train")


# -- interpolation


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


@contextlib.contextmanager
def part_of_the_way(learner: Learner, beta: float, statistics: Statistics, tell: Tell) -> Iterator[None]:
    """The weights go only a share `beta` of the way that they go inside."""
    values = moving(learner.model, buffers=statistics == "interpolate")
    start = copies(values) if beta < 1 or learner.tracing else []
    n = len(list(learner.model.parameters())) if learner.tracing else 0  # the weights alone are told of
    yield
    tell.way("displacement", values[:n], start[:n])
    interpolate(values, start, beta)
    tell.way("displacement kept", values[:n], start[:n])


# -- replay and distillation


def divergence(scores: Tensor, targets: Tensor, temperature: float, mean: Mean) -> Tensor:
    """KL(targets || softmax(scores / temperature)): the mean over the batch, or over its elements, C times less.

    scores, targets: (B, C), the targets probabilities. Without the factor temperature^2 of Hinton et al. 2015.
    """
    found = F.kl_div((scores / temperature).log_softmax(dim=1), targets, reduction="sum")
    return found / (len(scores) if mean == "batch" else scores.numel())


@torch.no_grad()
def remember_targets(learner: Learner, config: Distilling) -> None:
    """Keep what the model now says of the latest task's samples, softened, as their targets for ever.

    With `teacher = "train"` as one batch with its own statistics, which also moves the running ones.
    """
    if learner.memory.capacity == 0 or config.strength == 0:
        return
    memory = ring(learner.memory)
    if not memory.tasks:
        return
    rows = memory.rows(-1)
    raw, labels = memory.take(rows)
    was = learner.model.training
    # a batch of one has no statistics
    learner.model.train(config.teacher == "train" and len(rows) > 1)
    scores = learner.model(learner.normalize(raw))
    learner.model.train(was)
    # outputs that the new task has just brought know nothing of these samples
    own = scores[:, : max(learner.old) + 1] if learner.heads is None else learner.heads.scores(scores, labels)
    memory.attach("targets", own.shape[1])[rows, : own.shape[1]] = (own / config.temperature).softmax(dim=1)


def inner_loss(
    batch: Batch, learner: Learner, rows: Tensor, config: Distilling, *, apart: bool, tell: Tell
) -> dict[str, Tensor]:
    """The inner objective: cross-entropy of the stream, cross-entropy and distillation of replayed samples.

    Args:
        batch: of the stream.
        learner: with a memory `ring`.
        rows: (n,) long, what is replayed.
        config: weight and form of the distillation.
        apart: see `_replay.forwards`.
        tell: is told what is replayed.
    """
    memory = ring(learner.memory)
    raw, y = memory.take(rows)
    tell.replayed(raw, y)
    mine, old = forwards(learner.model, batch.x, learner.augment(raw), apart=apart)
    terms = {"cross-entropy": batch.cross_entropy(mine), "replay": cross_entropy(learner.heads, old, y)}
    if config.strength > 0:
        own = old if learner.heads is None else learner.heads.scores(old, y)
        targets = memory.attach("targets", own.shape[1]).index_select(0, rows)
        terms["distillation"] = config.strength * divergence(own, targets, config.temperature, config.mean)
    return terms


# -- adaptation


class Adapted:
    """The model, or a copy that took some full-batch steps on the stored samples of the task that is named.

    Running statistics are used and not moved. Made anew before every evaluation; a copy is made when its task is met.
    """

    def __init__(self, learner: Learner, steps: int, config: Adapting) -> None:
        self.learner, self.steps, self.lr = learner, steps if config.adapt else 0, config.adapt_lr
        self.every_class = config.adapt_head == "all"
        self._ready: dict[int, Network] = {}

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        """(B, K) scores of (B, C, H, W) normalized images by the network for a task."""
        return self.model(task_label)(x)  # type: ignore[no-any-return]

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
