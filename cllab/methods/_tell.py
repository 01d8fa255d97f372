"""What the bilevel methods publish of a step that is traced; while none is, nothing here computes anything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.learner.heads import cross_entropy
from cllab.learner.learner import Learner
from cllab.methods._replay import publish, ring


class Tell:
    """Names what it is told after the part of the step that it belongs to, and counts the gradient steps of a part.

    In a step of one part it is "replayed batch 2", else "iteration 1: replayed batch 2".
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.part, self.number = "", 0

    def begin(self, name: str = "") -> None:
        """A part begins; without a name the whole step is one."""
        self.part, self.number = f"{name}: " if name else "", 0

    def samples(self, name: str, raw: Tensor, labels: Tensor) -> None:
        """Pictures with their labels. raw: (n, C, H, W) uint8; labels: (n,)."""
        if self.learner.tracing:
            publish(self.learner, f"{self.part}{name}", raw, labels)

    def replayed(self, raw: Tensor, labels: Tensor) -> None:
        """What the next gradient step replays. Shapes as for `samples`."""
        self.samples(f"replayed batch {self.number + 1}", raw, labels)

    def stepped(self, terms: dict[str, Tensor], name: str = "inner loss") -> None:
        """A gradient step was taken on `terms`: their sum as `name`, then each of them where there are several."""
        self.number += 1
        if self.learner.tracing:
            self._say(f"{name} {self.number}", torch.stack([t.detach() for t in terms.values()]).sum())
            if len(terms) > 1:
                for term, value in terms.items():
                    self._say(f"{term} {self.number}", value)

    def validated(self, raw: Tensor, labels: Tensor, loss: Tensor, replay_size: int) -> None:
        """An outer step is to be taken on `loss`, that of held samples: them, it, and how far the update agrees with a
        gradient of plain replay at the same weights, of `replay_size` samples. Shapes as for `samples`."""
        learner, memory = self.learner, ring(self.learner.memory)
        if not learner.tracing:
            return
        self.samples("validation batch", raw, labels)
        self._say("validation loss", loss)
        if not len(memory.earlier()):
            return
        params = list(learner.model.parameters())
        rows, _ = memory.draw(replay_size, learner.rng.cpu("trace"))
        images, y = memory.take(rows)
        own = torch.autograd.grad(loss, params, retain_graph=True)
        # with accumulated gradients the outer step takes the inner ones along
        update = [g if p.grad is None else p.grad + g for p, g in zip(params, own, strict=True)]
        was = learner.model.training
        learner.model.eval()  # a look must not move the running statistics
        plain = torch.autograd.grad(cross_entropy(learner.heads, learner.model(learner.normalize(images)), y), params)
        learner.model.train(was)
        self._say("cosine of outer and replay gradient", cosine(update, plain))

    def task(self, index: int) -> None:
        """Which task was drawn, from 0."""
        self.learner.trace(**{f"{self.part}task": index + 1})

    def way(self, name: str, values: Sequence[Tensor], start: Sequence[Tensor]) -> None:
        """How long the way from `start` to `values` is."""
        if self.learner.tracing:
            self._say(name, distance(values, start))

    def _say(self, name: str, value: Tensor) -> None:
        self.learner.trace(**{f"{self.part}{name}": value})


def distance(values: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """The Euclidean length of values - start, 0-d."""
    gaps: Tensor = torch.stack(torch._foreach_norm(torch._foreach_sub(list(values), list(start))))
    return gaps.square().sum().sqrt()


def cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """The cosine between two lists of gradients, 0-d."""
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (first, second))
    return F.cosine_similarity(a, b, dim=0)
