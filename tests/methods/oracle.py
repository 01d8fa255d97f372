"""Formulas in plain NumPy and plain gradients, and sessions in the middle of a stream, for the methods' oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.learner.phases import Offer, Phase
from cllab.memory.ring import Ring
from tests.conftest import Record, toy
from tests.engine.sessions import begin, pieces

PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "memory_epochs": 0, "batch_size": 16, "lr": 0.05}
NAMED = {"name": "task-incremental", "tasks": 5}
Array = np.ndarray[Any, Any]


def at_task(method: str, index: int, /, **tables: Any) -> Session:
    """A session that has learned the tasks before `index` and stands before the first batch of that one."""
    tables = {
        **tables,
        "train": {**PLAIN, **tables.get("train", {})},
        "model": {"norm": False, **tables.get("model", {})},
    }
    session = Session(toy(method, **tables), Record(), Control())
    session.start()
    for task in session.stream.tasks[:index]:
        session._task(task)
    task = session.stream.tasks[index]
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(task))
    begin(session)
    return session


def learn(session: Session, n: int | None = None, index: int | None = None) -> None:
    """Learn the current task's stream, or its first `n` samples, and do what the method does before the memory is
    offered anything."""
    task = session.stream.tasks[session.learner.task if index is None else index]
    whole = pieces(session, index)
    first = next(i for i, piece in enumerate(whole) if isinstance(piece, Phase))
    for piece in whole[first:]:
        if isinstance(piece, Offer):
            break
        if isinstance(piece, Phase) and piece.name == "stream" and n is not None:
            piece = replace(piece, data=task.train.subset(torch.arange(n)))
        session.go(task, piece)


def next_batch(session: Session, n: int = 16) -> Batch:
    """A batch of the current task's stream, as the loop would hand it over."""
    task = session.stream.tasks[session.learner.task]
    batch = next(iter(session.learner.batches(task.train, purpose="test", batch_size=n)))
    batch.phase = "stream"
    session.learner.model.train()
    return batch


def spied(store: Any, name: str) -> list[Any]:
    """What `store.name` returns from now on, in order."""
    found: list[Any] = []
    method = getattr(store, name)

    def noting(*args: Any, **kwargs: Any) -> Any:
        found.append(method(*args, **kwargs))
        return found[-1]

    setattr(store, name, noting)
    return found


def ring(session: Session) -> Ring:
    memory = session.learner.memory
    assert isinstance(memory, Ring)
    return memory


def scores_of(model: Any, x: Tensor) -> Array:
    """(B, K) scores in double precision; the model is left as it was."""
    with torch.no_grad():
        found: Array = model(x).double().numpy()
    return found


def log_softmax(z: Array) -> Array:
    z = z - z.max(1, keepdims=True)
    found: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
    return found


def softmax(z: Array) -> Array:
    found: Array = np.exp(log_softmax(z))
    return found


def sigmoid(z: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-z))
    return found


def binary_cross_entropy(z: Array, target: Array) -> Array:
    """Of every entry."""
    p = sigmoid(z)
    found: Array = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    return found


def cross_entropy(z: Array, y: Tensor, classes: Sequence[Sequence[int]] | None = None) -> float:
    """Mean of -log p(y); with `classes`, each sample's among those of the one of them that has its label."""
    if classes is None:
        return float(-log_softmax(z)[np.arange(len(y)), y.numpy()].mean())
    total = 0.0
    for row, label in zip(z, y.tolist(), strict=True):
        own = next(list(part) for part in classes if label in part)
        total -= float(log_softmax(row[own][None])[0, own.index(label)])
    return total / len(y)


def parts_of(session: Session) -> list[tuple[int, ...]] | None:
    """The classes of every task where the scenario names tasks."""
    return [t.classes for t in session.stream.tasks] if session.learner.heads is not None else None


def loss_of(session: Session, scores: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy with a graph, sample by sample among its own task's classes where tasks are named."""
    classes = parts_of(session)
    if classes is None:
        return torch.nn.functional.cross_entropy(scores, y)
    rows = []
    for row, label in zip(scores, y.tolist(), strict=True):
        own = next(list(part) for part in classes if label in part)
        rows.append(-row[own].log_softmax(0)[own.index(label)])
    return torch.stack(rows).mean()


def weights(session: Session) -> list[Tensor]:
    return [p.detach().clone() for p in session.learner.model.parameters()]


def flat(values: Sequence[Tensor]) -> Array:
    found: Array = torch.cat([v.detach().flatten() for v in values]).double().numpy()
    return found


def gradient(session: Session, loss: Tensor) -> list[Tensor]:
    """Of all weights, which are left without gradients."""
    return list(torch.autograd.grad(loss, list(session.learner.model.parameters())))


def move(session: Session, loss: Callable[[], Tensor], rate: float) -> None:
    """One plain gradient step by hand."""
    found = gradient(session, loss())
    with torch.no_grad():
        for p, g in zip(session.learner.model.parameters(), found, strict=True):
            p -= rate * g


def put(session: Session, values: Sequence[Tensor]) -> None:
    """Set the weights."""
    with torch.no_grad():
        for p, v in zip(session.learner.model.parameters(), values, strict=True):
            p.copy_(v)
