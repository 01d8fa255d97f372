"""Slices of the output layer, against slicing by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cllab.methods._heads import Heads
from tests.engine.sessions import walked

CPU = torch.device("cpu")


def test_even_slices() -> None:
    parts = [range(5 * t, 5 * t + 5) for t in range(17)]
    heads = Heads.of(parts, 85, CPU)
    assert heads is not None
    assert heads.tasks[16].tolist() == list(range(80, 85))
    assert heads.open is None
    logits, y = torch.randn(40, 85), torch.randint(0, 85, (40,))
    by_hand = torch.stack(
        [
            F.cross_entropy(z[5 * (c // 5) : 5 * (c // 5) + 5].unsqueeze(0), (c % 5).view(1))
            for z, c in zip(logits, y, strict=True)
        ]
    ).mean()
    assert heads.cross_entropy(logits, y).item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_uneven_slices_and_their_gradient() -> None:
    heads = Heads.of([(0, 1, 2), (3, 4)], 5, CPU)
    assert heads is not None
    logits = torch.randn(2, 5, requires_grad=True)
    y = torch.tensor([1, 4])
    loss = heads.cross_entropy(logits, y)
    (found,) = torch.autograd.grad(loss, logits)
    want = (F.cross_entropy(logits[:1, :3], y[:1]) + F.cross_entropy(logits[1:, 3:], y[1:] - 3)) / 2
    (expected,) = torch.autograd.grad(want, logits)
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    assert torch.allclose(found, expected, atol=1e-7)
    assert torch.equal(heads.earlier(logits, 1)[:, 0], logits[:, :3])


def test_shared_labels_have_no_slices() -> None:
    assert Heads.of([(0, 1), (0, 1)], 2, CPU) is None
    assert Heads.of([(0, 1), (1, 2)], 3, CPU) is None


def test_the_same_run_is_read_with_and_without_task_labels() -> None:
    named, _ = walked("single", scenario={"name": "task-incremental", "tasks": 5})
    result = named.result("done")
    rows, unnamed = result["accuracy_matrix"], result["class_incremental_matrix"]
    assert len(unnamed) == len(rows) == 5
    for row, other in zip(rows, unnamed, strict=True):
        for a, b in zip(row, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert b <= a
    assert result["metrics"]["class_incremental_accuracy"] == pytest.approx(sum(unnamed[-1]) / 5)
    assert unnamed[0][0] == rows[0][0]  # with one task there is nothing else to compete
    assert result["metrics"]["class_incremental_accuracy"] < result["metrics"]["task_accuracy"] - 0.1


def test_only_the_own_slice_learns() -> None:
    session, _ = walked(
        "single", scenario={"name": "task-incremental", "tasks": 5}, train={"epochs": 1, "momentum": 0.0}
    )
    plain, _ = walked("single", scenario={"name": "disjoint", "tasks": 5}, train={"epochs": 1, "momentum": 0.0})
    # outputs of task 1 get no gradient after task 1, so decay alone moves them; without slices they are pushed down
    assert session.metrics()["task_accuracy"] > plain.metrics()["task_accuracy"] + 0.2
