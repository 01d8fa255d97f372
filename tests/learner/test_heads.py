"""Slices of the output layer, against slicing by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.learner.heads import Heads, cross_entropies
from cllab.methods import _distill as distill
from cllab.methods.bic import TEMPERATURE, BiC
from cllab.methods.icarl import ICaRL
from cllab.record import events as ev
from cllab.settings import catalog
from tests.engine.sessions import begun, walked

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


def test_a_tasks_classes_need_not_lie_together() -> None:
    parts = [(0, 3), (1, 2, 4)]
    heads = Heads.of(parts, 5, CPU)
    assert heads is not None
    logits, y = torch.randn(5, 5), torch.arange(5)
    by_hand = []
    for z, c in zip(logits, y.tolist(), strict=True):
        own = next(list(part) for part in parts if c in part)
        by_hand.append(-z[own].log_softmax(0)[own.index(c)])
    assert heads.cross_entropy(logits, y).item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-6)


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


NAMED = {"name": "task-incremental", "tasks": 5}
METHODS = [spec.name for spec in catalog.load().components if spec.kind == "method"]


def first_batch(session: Session, task: int = 0) -> Batch:
    split = session.stream.tasks[task].train.subset(torch.arange(16))
    return next(iter(session.learner.batches(split, purpose="test")))


@pytest.mark.parametrize("method", METHODS)
def test_no_method_pushes_the_outputs_of_other_tasks(method: str) -> None:
    session = begun(method, scenario=NAMED)
    batch, model = first_batch(session), session.learner.model
    terms = session.method.loss(batch)
    torch.stack(list(terms.values())).sum().backward()
    (weight,) = [p for p in model.head_parameters() if p.dim() == 2]
    assert weight.grad is not None
    own = list(session.stream.tasks[0].classes)
    moved = weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert sorted(moved) == sorted(own)


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
def test_bic_distils_task_by_task_and_corrects_nothing_where_tasks_are_named(fidelity: str) -> None:
    session = begun("bic", scenario=NAMED, memory={"capacity": 60}, fidelity=fidelity)
    method, learner = session.method, session.learner
    assert isinstance(method, BiC)
    assert (method.n_valid, learner.memory.capacity) == (0, 60), "nothing is held out"
    method.teacher = learner.new_model(10)
    if fidelity == "reference":
        return
    learner.task, learner.old, learner.own = 2, learner.seen[:4], session.stream.tasks[2].classes
    method._begin(session.stream.tasks[2])
    batch = first_batch(session, 2)
    terms = method.loss(batch)
    assert learner.heads is not None
    scores, before = learner.model(batch.x), method.teacher(batch.x)
    own = list(session.stream.tasks[2].classes)
    places = torch.tensor([own.index(int(y)) for y in batch.y])
    share = 4 / 10
    classification = F.cross_entropy(scores[:, own], places)
    assert terms["cross-entropy"].item() == pytest.approx((1 - share) * classification.item(), rel=1e-5)
    each = []
    for t in (0, 1):
        c = list(session.stream.tasks[t].classes)
        target = (before[:, c] / TEMPERATURE).softmax(1)
        each.append(-(target * (scores[:, c] / TEMPERATURE).log_softmax(1)).sum(1).mean())
    assert terms["distillation"].item() == pytest.approx(share * torch.stack(each).mean().item(), rel=1e-5)


def test_bic_has_no_second_stage_where_tasks_are_named() -> None:
    session, record = walked("bic", scenario=NAMED, memory={"capacity": 60})
    assert {e.phase for e in record.of(ev.PhaseStarted)} == {"stream", "memory", "select"}
    assert sum(record.of(ev.RunStarted)[0].steps) == session.learner.step


def test_icarls_labels_speak_of_their_own_tasks_outputs() -> None:
    session = begun("icarl", scenario=NAMED)
    method = session.method
    assert isinstance(method, ICaRL)
    batch = first_batch(session, 3)
    scores = session.learner.model(batch.x)
    own = list(session.stream.tasks[3].classes)
    target = distill.binary_targets(batch.y, 10)
    expected = F.binary_cross_entropy_with_logits(scores[:, own], target[:, own], reduction="none").sum(1).mean()
    assert method.loss(batch)["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_published_fisher_asks_for_the_most_likely_class_of_a_samples_task(monkeypatch: pytest.MonkeyPatch) -> None:
    from cllab.methods import _importance as imp

    session = begun("ewc", scenario=NAMED, method={"estimate": "published"})
    losses: list[float] = []
    monkeypatch.setattr(imp, "add_batch_fisher", lambda total, params, loss, share: losses.append(float(loss.detach())))
    split = session.stream.tasks[1].train.subset(torch.arange(16))
    session.method._overwrite(split)  # type: ignore[attr-defined]
    model = session.learner.model.eval()
    own = model(session.learner.normalize(split.fetch(torch.arange(16))))[:, list(session.stream.tasks[1].classes)]
    assert losses == [pytest.approx(F.cross_entropy(own, own.argmax(1)).item(), rel=1e-5)]


def test_uncertainty_is_of_the_classes_of_a_samples_task() -> None:
    from cllab.memory.uncertainty import vote_uncertainty

    session = begun("er", scenario=NAMED)
    split = session.stream.tasks[1].train.subset(torch.arange(20))
    own = list(session.stream.tasks[1].classes)
    found = vote_uncertainty(split, session.learner, "vr_randaug")
    session.learner.rng._generators.clear()
    # the same, with the outputs of all other tasks far above: they are not asked
    with torch.no_grad():
        (bias,) = [p for p in session.learner.model.head_parameters() if p.dim() == 1]
        bias += 100.0
        bias[own] -= 100.0
    assert torch.equal(vote_uncertainty(split, session.learner, "vr_randaug"), found)
    assert len(found.unique()) > 1


def test_cross_entropies_are_those_whose_mean_is_taken() -> None:
    heads = Heads.of([(0, 1, 2), (3, 4)], 5, CPU)
    assert heads is not None
    logits, y = torch.randn(6, 5), torch.tensor([0, 3, 4, 2, 1, 3])
    for h in (heads, None):
        each = cross_entropies(h, logits, y)
        for i in range(6):
            own = slice(0, 5) if h is None else (slice(0, 3) if y[i] < 3 else slice(3, 5))
            expected = F.cross_entropy(logits[i : i + 1, own], y[i : i + 1] - (own.start or 0))
            assert each[i].item() == pytest.approx(expected.item(), rel=1e-5)
    assert heads.mask(y, 5).tolist() == [[1, 1, 1, 0, 0] if c < 3 else [0, 0, 0, 1, 1] for c in y.tolist()]


# -- methods that keep no samples


@pytest.mark.parametrize("method", ["single", "lwf", "joint", "offline"])
def test_a_method_that_keeps_no_samples_is_given_no_memory(method: str) -> None:
    tables = {"train": {"memory_epochs": 2}, "scenario": {"tasks": 3}}
    session, record = walked(method, memory={"capacity": 60}, **tables)
    plain, other = walked(method, memory={"capacity": 0}, scenario={"tasks": 3})
    assert len(session.learner.memory) == 0
    assert {e.phase for e in record.of(ev.PhaseStarted)} <= {"stream"}
    assert session.learner.step == plain.learner.step == sum(record.of(ev.RunStarted)[0].steps)
    assert session.metrics() == plain.metrics()
    assert (record.of(ev.RunStarted)[0].memory, record.of(ev.RunStarted)[0].capacity) == ("none", 0)
    (warned,) = record.of(ev.Warned)
    assert warned.message == f"memory.capacity = 60 is not used: method '{method}' keeps no samples"
    assert other.of(ev.Warned) == []
