"""LwF where the task is not named: both losses by hand, at every weighting and over either choice of outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cllab.learner.batch import Batch
from cllab.methods.lwf import LwF
from cllab.models.base import Network
from tests.memory.stores import Flat, make_learner, make_memory


def log_softmax(
    z: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return z - np.log(np.exp(z).sum(1, keepdims=True))


@pytest.mark.parametrize("outputs", ["old", "all"])
@pytest.mark.parametrize("weighting", ["fixed", "tasks"])
def test_losses_by_hand(weighting: str, outputs: str) -> None:
    learner = make_learner(make_memory("random", 0), seen=5)
    method = LwF(LwF.Config(strength=1.5, temperature=2.0, weighting=weighting, outputs=outputs), learner)  # type: ignore[arg-type]
    torch.manual_seed(1)
    learner.task, learner.old = 2, (0, 1, 2)
    teacher = method.teacher = Network(Flat(4), 3).eval()
    raw = torch.randint(0, 255, (6, 1, 2, 2), dtype=torch.uint8)
    y = torch.tensor([3, 4, 3, 4, 4, 3])
    batch = Batch(raw / 255, y, raw, torch.arange(6), 6)
    terms = {name: term.item() for name, term in method.loss(batch).items()}

    z, before = (net(batch.x).detach().double().numpy() for net in (learner.model, teacher))
    cross_entropy = -log_softmax(z)[np.arange(6), y.numpy()].mean()
    target = np.exp(log_softmax(before / 2))
    # of all outputs, the new ones have a target of 0: they only stand in the denominator
    student = log_softmax(z[:, :3] / 2) if outputs == "old" else log_softmax(z / 2)[:, :3]
    distillation = -(target * student).sum(1).mean()
    share, factor = (1 / 3, 2 / 3 * 4) if weighting == "tasks" else (1.0, 1.0)
    assert terms == {
        "cross-entropy": pytest.approx(share * cross_entropy, rel=1e-5),
        "distillation": pytest.approx(1.5 * factor * distillation, rel=1e-5),
    }


def test_the_first_task_is_plain_cross_entropy() -> None:
    learner = make_learner(make_memory("random", 0), seen=3)
    method = LwF(LwF.Config(weighting="tasks", outputs="all"), learner)
    raw = torch.randint(0, 255, (4, 1, 2, 2), dtype=torch.uint8)
    batch = Batch(raw / 255, torch.tensor([0, 1, 2, 0]), raw, torch.arange(4), 4)
    (term,) = method.loss(batch).values()
    assert term.item() == pytest.approx(torch.nn.functional.cross_entropy(learner.model(batch.x), batch.y).item())
