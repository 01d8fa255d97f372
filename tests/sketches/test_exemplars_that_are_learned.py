"""Mnemonics in a few lines: exemplars are leaves, learned through an unrolled step of the network on them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cllab.learner.phases import Group, Optim, Phase, Piece, Work
from cllab.methods.base import Batch, Method, MethodInfo, Task
from tests.engine.sessions import begun

INNER, OUTER = 0.1, 5.0


class Sketch(Method):
    """Learn the stream, then the exemplars that teach a step of it best."""

    info = MethodInfo(title="Sketch", replay="none")

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Phase("stream", task.train, optim=Optim(key="sketch"))
        yield Work(lambda: self.draw(task))
        leaves = Optim((Group(lambda: [self.exemplars]),), "sgd", lr=OUTER, lives="phase")
        yield Phase("exemplars", task.train, epochs=1, loss=self.outer, optim=leaves, train_mode=False)

    def draw(self, task: Task) -> None:
        first = torch.arange(4)
        self.exemplars = nn.Parameter(self.learner.normalize(task.train.fetch(first)))
        self.labels = task.train.labels[first]

    def outer(self, batch: Batch) -> dict[str, Tensor]:
        model = self.learner.model
        weights = dict(model.named_parameters())
        inner = F.cross_entropy(functional_call(model, weights, (self.exemplars,)), self.labels)
        slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        moved = {name: w - INNER * g for (name, w), g in zip(weights.items(), slopes, strict=True)}
        return {"outer": F.cross_entropy(functional_call(model, moved, (batch.x,)), batch.y)}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}


def test_exemplars_learn_through_the_step_and_no_gradient_is_left_elsewhere() -> None:
    session = begun("finetune", model={"norm": False}, train={"momentum": 0.0, "weight_decay": 0.0})
    learner, task = session.learner, session.stream.tasks[0]
    method = session.method = session.loop.method = Sketch(None, learner)
    pieces = list(method.learn(task))
    for piece in pieces[:2]:
        session.go(task, piece)
    weights = [p.detach().clone() for p in learner.model.parameters()]
    began, batches = method.exemplars.detach().clone(), []
    method.after_backward = lambda batch: batches.append(  # type: ignore[method-assign]
        (batch, method.exemplars.detach().clone(), [p.grad for p in learner.model.parameters()])
    )
    session.go(task, pieces[2])
    assert len(batches) > 3
    assert all(g is None for _, _, gradients in batches for g in gradients), "the network gets none"
    assert all(torch.equal(a, b) for a, b in zip(weights, learner.model.parameters(), strict=True))
    # the first step by a difference quotient of what the unrolled step leads to, along the way that was gone
    batch, _, _ = batches[0]
    way = batches[1][1] - began
    assert way.norm() > 0

    def reached(share: float) -> float:
        with torch.enable_grad():
            method.exemplars = nn.Parameter(began + share * way)
            return float(method.outer(batch)["outer"].detach())

    slope = (reached(0.01) - reached(-0.01)) / 0.02
    assert torch.isclose(torch.tensor(slope), -way.square().sum() / OUTER, rtol=0.05), "down the gradient, by the rate"
