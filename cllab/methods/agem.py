"""A-GEM: a step that would raise the loss on replayed samples loses its part against their gradient.

Chaudhry, Ranzato, Rohrbach & Elhoseiny, "Efficient Lifelong Learning with A-GEM", ICLR 2019, arXiv:1812.00420, Eq. 11:
one constraint, on the gradient of a batch drawn from the memory of all earlier tasks, instead of GEM's one a task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cllab.learner.heads import cross_entropy
from cllab.methods import _replay as rp
from cllab.methods.base import Batch, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


class AGEM(Method):
    """Cross-entropy on the stream, along a gradient that does not point against replay's."""

    info = MethodInfo(
        title="A-GEM",
        paper="arXiv:1812.00420",
        year=2019,
        family="projection",
        needs=frozenset({"memory", "boundaries"}),
        inert={"memory.capacity": 0},
        memory="ring",
        policies=("ring",),
        replay="none",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        reference_size: int = param(256, "Replayed samples behind the reference gradient", low=1)

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(lambda: rp.begin_task(self.learner))
        yield Phase("stream", task.train)
        yield from self.remember(None)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def after_backward(self, batch: Batch) -> None:
        learner = self.learner
        if batch.phase != "stream" or learner.memory.capacity == 0:
            return
        memory = rp.ring(learner.memory)
        if not len(memory.earlier()):
            return
        rows, _ = memory.draw(self.config.reference_size, learner.rng.cpu("replay"))
        raw, y = memory.take(rows)
        params = [p for p in learner.model.parameters() if p.grad is not None]
        loss = cross_entropy(learner.heads, learner.model(learner.augment(raw)), y)
        reference = torch.autograd.grad(loss, params, allow_unused=True)
        pairs = [(p.grad, r) for p, r in zip(params, reference, strict=True) if p.grad is not None and r is not None]
        own, past = [g for g, _ in pairs], [r for _, r in pairs]
        before = length(own) if learner.tracing else None
        product, share = project(own, past)
        if before is not None:
            rp.publish(learner, "reference batch", raw, y)
            learner.trace(
                **{
                    "reference loss": loss,
                    "inner product": product,
                    "cosine": product / (before * length(past)).clamp(min=1e-30),
                    "reference gradient added": -share,
                    "projected inner product": sum(torch.sum(g * r) for g, r in zip(own, past, strict=True)),
                    "gradient length": before,
                    "projected gradient length": length(own),
                }
            )

    def after_step(self, batch: Batch) -> None:
        if batch.phase == "stream":
            rp.store(batch, self.learner)


def project(gradients: list[Tensor], reference: list[Tensor]) -> tuple[Tensor, Tensor]:
    """g - min(0, g.r) / r.r r, in place of `gradients`, without a look at the numbers (Eq. 11).

    Returns g.r and the factor of r, both 0-d.
    """
    flat = torch.cat([r.flatten() for r in reference])
    product = torch.cat([g.flatten() for g in gradients]) @ flat
    share = product.clamp(max=0) / (flat @ flat).clamp(min=1e-30)
    torch._foreach_sub_(gradients, torch._foreach_mul(reference, share))
    return product, share


def length(gradients: list[Tensor]) -> Tensor:
    """The Euclidean length of all `gradients` together, 0-d."""
    total: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return total
