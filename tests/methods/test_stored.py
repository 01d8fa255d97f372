"""What a method keeps from task to task beside the memory, in bytes."""

from __future__ import annotations

import torch

from tests.engine.sessions import walked


def test_ewc_keeps_two_numbers_for_every_weight_but_the_heads() -> None:
    session, _ = walked("ewc", memory={"capacity": 0})
    weights = sum(p.numel() for p in session.learner.model.parameters())
    head = sum(p.numel() for p in session.learner.model.head_parameters())
    assert session.method.stored() == {"anchors": 4 * (weights - head), "fisher": 4 * (weights - head)}
    assert session.result("done")["memory"]["bytes"] == 8 * (weights - head)


def test_lwf_keeps_a_network() -> None:
    session, _ = walked("lwf", memory={"capacity": 0})
    teacher = session.method.teacher  # type: ignore[attr-defined]
    size = sum(t.numel() * t.element_size() for t in teacher.state_dict().values())
    assert session.method.stored() == {"teacher": size}


def test_bic_keeps_its_validation_images() -> None:
    session, _ = walked("bic", memory={"name": "prototype", "capacity": 200})
    stored = session.method.stored()
    images = session.method.valid["images"]  # type: ignore[attr-defined]
    assert images.dtype == torch.uint8
    assert len(images) > 0
    assert stored["valid"] == images.numel() + 8 * len(images)


def test_replay_keeps_nothing_else() -> None:
    session, _ = walked("er", memory={"capacity": 50})
    assert session.method.stored() == {}
