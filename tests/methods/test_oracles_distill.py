"""Distilling methods in NumPy: who teaches whom, over which classes, at which temperature, and in which mode."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.learner.phases import Offer
from tests.engine.sessions import close, pieces, rehearse, watch
from tests.methods.oracle import (
    NAMED,
    at_task,
    binary_cross_entropy,
    cross_entropy,
    learn,
    log_softmax,
    next_batch,
    parts_of,
    scores_of,
    sigmoid,
    softmax,
    weights,
)

DISJOINT = {"name": "disjoint", "tasks": 5}
BLURRY = {"name": "blurry", "tasks": 5}


def distillation(student: np.ndarray[Any, Any], teacher: np.ndarray[Any, Any], t: float) -> float:
    """Mean over the batch of -sum_c softmax(teacher / t)_c log softmax(student / t)_c."""
    return float(-(softmax(teacher / t) * log_softmax(student / t)).sum(1).mean())


def shaken(session: Any, seed: int = 0) -> None:
    """Move the student away from its teacher."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in session.learner.model.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator)


# -- LwF


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("scenario", [DISJOINT, NAMED])
def test_lwf_holds_the_old_outputs_to_the_network_that_there_was(scenario: dict[str, Any], norm: bool) -> None:
    """Li & Hoiem 2016, Eqs. 3-5: the old network's softened outputs are the targets, on the new task's images, over
    the old classes; head by head where tasks are named."""
    settings = {"strength": 3.0, "temperature": 2.5}
    session = at_task("lwf", 2, scenario=scenario, model={"norm": norm}, memory={"capacity": 0}, method=settings)
    learner, method = session.learner, session.method
    learner.model.eval()
    batch = next_batch(session)
    learner.model.eval()
    old = scores_of(learner.model, batch.x)[:, :4]
    learn(session)
    shaken(session)
    learner.model.train()
    terms = method.loss(batch)
    new = scores_of(learner.model, batch.x)
    assert terms["cross-entropy"].item() == pytest.approx(cross_entropy(new, batch.y, parts_of(session)), rel=1e-4)
    heads = [(0, 1), (2, 3)] if scenario is NAMED else [(0, 1, 2, 3)]
    expected = sum(distillation(new[:, list(h)], old[:, list(h)], 2.5) for h in heads)
    exchanged = sum(distillation(old[:, list(h)], new[:, list(h)], 2.5) for h in heads)
    assert abs(expected / exchanged - 1) > 0.02
    assert terms["distillation"].item() == pytest.approx(3.0 * expected, rel=1e-4)
    before = {k: v.clone() for k, v in method.teacher.state_dict().items()}  # type: ignore[attr-defined]
    learn(session, 32)
    assert all(torch.equal(v, before[k]) for k, v in method.teacher.state_dict().items())  # type: ignore[attr-defined]


def test_lwf_has_nobody_to_learn_from_in_its_first_task() -> None:
    session = at_task("lwf", 0, memory={"capacity": 0})
    assert list(session.method.loss(next_batch(session))) == ["cross-entropy"]


# -- iCaRL


@pytest.mark.parametrize(("scenario", "kept"), [(DISJOINT, [0, 1]), (BLURRY, [0, 1, 4, 5, 6, 7, 8, 9])])
def test_icarl_distils_the_old_classes_that_are_not_its_own(scenario: dict[str, Any], kept: list[int]) -> None:
    """Rebuffi et al. 2017, Algorithm 3: for the classes that were there, and are not learned now, the target is the
    earlier network's sigmoid; for all others it is the label."""
    session = at_task("icarl", 1, scenario=scenario, model={"norm": True}, memory={"capacity": 40})
    learner, method = session.learner, session.method
    batch = next_batch(session)
    learner.model.eval()
    q = sigmoid(scores_of(learner.model, batch.x))
    learn(session)
    shaken(session)
    learner.model.train()
    terms = method.loss(batch)
    z = scores_of(learner.model, batch.x)
    k = z.shape[1]
    own = [c for c in range(k) if c not in kept]
    label = np.eye(k)[batch.y.numpy()]
    classification = binary_cross_entropy(z, label)[:, own].sum(1).mean()
    held = binary_cross_entropy(z, q[:, :k])[:, kept].sum(1).mean()
    assert terms["classification"].item() == pytest.approx(classification, rel=1e-4)
    assert terms["distillation"].item() == pytest.approx(held, rel=1e-4)
    assert learner.own == (2, 3)


@pytest.mark.parametrize("scenario", [DISJOINT, NAMED])
def test_the_published_icarl_distils_the_network_that_its_phase_began_with(scenario: dict[str, Any]) -> None:
    """Rainbow Memory's code: in the memory phase the teacher is this same task's network after the stream; it is shown
    the images as they are stored."""
    session = at_task(
        "icarl",
        1,
        fidelity="reference",
        scenario=scenario,
        memory={"capacity": 40},
        method={"features": 12},
        train={"memory_epochs": 1},
    )
    learner, method = session.learner, session.method
    seen: dict[str, Any] = {}

    def note(batch: Any) -> None:
        teacher = method.teacher  # type: ignore[attr-defined]
        seen.setdefault(batch.phase, [p.detach().clone() for p in teacher.parameters()])

    watch(session, note)
    task = session.stream.tasks[1]
    began = weights(session)
    learn(session)
    after = weights(session)
    learner.memory.update(task.train, learner)
    rehearse(session)
    assert all(torch.equal(a, b) for a, b in zip(seen["stream"], began, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(seen["memory"], after, strict=True))
    batch = next_batch(session)
    batch.y = torch.tensor([0, 1, 2, 3] * 4)
    q = sigmoid(scores_of(method.teacher, learner.normalize(batch.raw)))[:, :2]  # type: ignore[attr-defined]
    batch.x = -3 * batch.x  # augmented, so to speak
    shaken(session)
    terms = method.loss(batch)
    z = scores_of(learner.model, batch.x)
    new = batch.y.numpy() >= 2
    assert terms["classification"].item() == pytest.approx(
        cross_entropy(z[new], batch.y[new], parts_of(session)), rel=1e-3
    )
    held = binary_cross_entropy(z[~new][:, :2], q[~new]).sum(1).mean()
    assert terms["distillation"].item() == pytest.approx(held, rel=1e-3)


def test_icarl_has_no_teacher_in_its_first_task_and_the_last_model_after_it() -> None:
    session = at_task("icarl", 0, memory={"capacity": 40})
    assert list(session.method.loss(next_batch(session))) == ["classification"]
    learn(session)
    close(session)
    teacher = session.method.teacher  # type: ignore[attr-defined]
    assert not teacher.training
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), session.learner.model.parameters(), strict=True))


# -- BiC


@pytest.mark.parametrize(
    ("scenario", "kept", "share"),
    [(DISJOINT, [0, 1, 2, 3], 4 / 6), (BLURRY, [0, 1, 2, 3, 6, 7, 8, 9], 8 / 10)],
)
def test_bics_first_stage_weighs_by_the_share_of_old_classes(
    scenario: dict[str, Any], kept: list[int], share: float
) -> None:
    """Wu et al. 2019, Eqs. 1-3: lambda = n / (n + m), n old classes (in a blurry stream those that are not the task's
    own), T = 2, and the teacher's outputs are corrected as they were at its end."""
    session = at_task(
        "bic", 2, scenario=scenario, model={"norm": True}, memory={"capacity": 60}, method={"bias_epochs": 3}
    )
    learner, method = session.learner, session.method
    method.bias[1] = torch.tensor([1.7, -0.4])  # type: ignore[attr-defined]
    batch = next_batch(session)
    learner.model.eval()
    old = scores_of(learner.model, batch.x)
    corrected = list(session.stream.tasks[1].classes)
    old[:, corrected] = 1.7 * old[:, corrected] - 0.4
    learn(session)
    shaken(session)
    learner.model.train()
    terms = method.loss(batch)
    z = scores_of(learner.model, batch.x)
    assert terms["cross-entropy"].item() == pytest.approx((1 - share) * cross_entropy(z, batch.y), rel=1e-4)
    expected = distillation(z[:, kept], old[:, kept], 2.0)
    assert terms["distillation"].item() == pytest.approx(share * expected, rel=1e-3)


def test_the_published_bic_is_pure_distillation_in_a_blurry_stream() -> None:
    """Rainbow Memory's code: every class counts as old after the first task, so lambda is 1; the teacher is the network
    at the end of the latest pass: in the memory phase this same task's after the stream."""
    session = at_task(
        "bic",
        1,
        fidelity="reference",
        scenario=BLURRY,
        memory={"capacity": 60},
        method={"features": 8},
        train={"memory_epochs": 1},
    )
    learner, method = session.learner, session.method
    shaken(session)
    batch = next_batch(session)
    terms = method.loss(batch)
    assert terms["cross-entropy"].item() == pytest.approx(0, abs=1e-6)
    z, old = scores_of(learner.model, batch.x), scores_of(method.teacher, batch.x)  # type: ignore[attr-defined]
    assert terms["distillation"].item() == pytest.approx(distillation(z, old, 2.0), rel=1e-3)
    learn(session)
    now = weights(session)
    teacher = method.teacher  # type: ignore[attr-defined]
    assert not teacher.training
    assert all(torch.equal(a, b) for a, b in zip(now, teacher.parameters(), strict=True))


def test_the_published_validation_images_are_also_trained_on() -> None:
    session = at_task(
        "bic", 0, fidelity="reference", memory={"capacity": 60}, method={"features": 8}, train={"memory_epochs": 1}
    )
    task, trained = session.stream.tasks[0], Counter[int]()
    watch(session, lambda batch: trained.update(batch.ids.tolist()))
    learn(session)
    assert len(trained) == len(task.train) // 16 * 16, "whole batches of all that there is"
    (offered,) = (piece.split for piece in pieces(session) if isinstance(piece, Offer))
    assert offered is task.train
    valid = session.method.valid  # type: ignore[attr-defined]
    assert torch.bincount(valid["labels"]).tolist() == [3, 3], "6 held out, for 2 classes"


def test_stage_2_is_cross_entropy_of_the_corrected_scores_and_moves_two_numbers() -> None:
    """Eqs. 4-5, on validation images of all classes; the old groups keep theirs."""
    session = at_task(
        "bic",
        1,
        model={"norm": True},
        memory={"capacity": 80},
        method={"bias_epochs": 1, "bias_lr": 0.1},
        train={"memory_epochs": 1},  # stage 2 comes after the memory phase then
    )
    learner, method = session.learner, session.method
    learn(session)
    learner.model.eval()
    valid = method.valid  # type: ignore[attr-defined]
    assert sorted(set(valid["labels"].tolist())) == [0, 1, 2, 3]
    z = torch.tensor(scores_of(learner.model, learner.normalize(valid["images"]))).float()
    scale, shift = torch.ones((), requires_grad=True), torch.zeros((), requires_grad=True)
    loss = F.cross_entropy(torch.cat([z[:, :2], z[:, 2:] * scale + shift], 1), valid["labels"])
    slopes = torch.autograd.grad(loss, [scale, shift])
    batches: list[Tensor] = []
    watch(session, lambda b: batches.append(b.y))
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    for piece in method._stage_2(session.stream.tasks[1], 1):  # type: ignore[attr-defined]
        session.go(session.stream.tasks[1], piece)
    assert [len(b) for b in batches] == [len(valid["labels"])]
    assert all(torch.equal(v, before[k]) for k, v in learner.model.state_dict().items()), "the network stands"
    # the first step of Adam goes the rate against the sign of the slope
    expected = [1 - 0.1 * float(slopes[0].sign()), -0.1 * float(slopes[1].sign())]
    assert method.bias[1].tolist() == pytest.approx(expected, abs=1e-3)  # type: ignore[attr-defined]
    assert method.bias[0].tolist() == [1.0, 0.0]  # type: ignore[attr-defined]
    x = learner.normalize(session.stream.tasks[0].test.fetch(torch.arange(5)))
    learner.model.eval()
    with torch.no_grad():
        plain, found = learner.model(x), method.predict(x, None)
    assert torch.equal(found[:, :2], plain[:, :2])
    assert torch.allclose(found[:, 2:], plain[:, 2:] * expected[0] + expected[1], atol=1e-3)
