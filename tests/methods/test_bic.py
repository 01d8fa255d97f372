"""BiC: what is held out, what stage 2 does, and which outputs are corrected."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.methods.bic import TEMPERATURE, BiC
from tests.conftest import Record, toy
from tests.engine.sessions import begin, watch


def session_of(**tables: Any) -> tuple[Session, BiC]:
    data: dict[str, Any] = {"memory": {"capacity": 200}, "train": {"memory_epochs": 1}, "scenario": {"tasks": 2}}
    for table, values in tables.items():
        data[table] = {**data.get(table, {}), **values} if isinstance(values, dict) else values
    session = Session(toy("bic", **data), Record(), Control())
    session.start()
    assert isinstance(session.method, BiC)
    return session, session.method


def identities(session: Session, images: torch.Tensor) -> set[int]:
    """Which training samples these pixels are of."""
    rows = {r.numpy().tobytes(): i for i, r in enumerate(session.dataset.train.fetch(torch.arange(1000)))}
    return {rows[image.numpy().tobytes()] for image in images}


@pytest.mark.parametrize("name", ["disjoint", "blurry"])
def test_validation_images_are_never_trained_on_and_the_budget_is_kept(name: str) -> None:
    session, method = session_of(scenario={"name": name, "tasks": 5})
    learner = session.learner
    held_so_far: set[int] = set()
    leaks: set[int] = set()

    def note(batch: Batch) -> None:
        assert len(learner.memory) + len(method.valid["labels"]) <= 200
        if batch.phase in ("stream", "memory"):
            leaks.update(set(batch.ids.tolist()) & held_so_far)

    begin = method._begin

    def begin_(task: Any) -> None:
        begin(task)
        held_so_far.update(identities(session, method.valid["images"]))

    method._begin = begin_  # type: ignore[method-assign]
    watch(session, note)
    session.walk()
    assert len(held_so_far) >= 20
    assert not leaks
    assert not set(learner.memory.columns["ids"].tolist()) & held_so_far
    assert method.n_valid == 20
    assert learner.memory.capacity == 180
    counts = torch.bincount(method.valid["labels"], minlength=10)
    assert counts.tolist() == [2] * 10, "as many of every class"


def planted(offset: float, spread: float, n: int = 20) -> tuple[Session, BiC]:
    """Stage 2 of the second task on a network whose outputs for the new classes are `offset` too low.

    Classes 0-4 are old, 5-9 new. A validation image of class y scores `spread` at its class, 0 elsewhere, and old
    classes have `offset` on top.
    """
    session, method = session_of(method={"bias_epochs": 400, "bias_lr": 0.05})
    learner = session.learner
    session.loop.begin()
    learner.old, learner.seen, learner.task = tuple(range(5)), tuple(range(10)), 1
    learner.model.grow(10)
    method.bias = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    method.group = torch.tensor([0] * 5 + [1] * 5)
    labels = torch.arange(10).repeat(n)
    pixels = torch.zeros(len(labels), 1, 6, 6, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = labels.byte()
    method.valid = {"images": pixels, "labels": labels}
    info = session.dataset.info

    def forward(x: torch.Tensor) -> torch.Tensor:
        y = ((x[:, 0, 0, 0] * info.std[0] + info.mean[0]) * 255).round().long()
        return spread * F.one_hot(y, 10).float() + offset * (torch.arange(10) < 5).float()

    learner.model.forward = forward  # type: ignore[method-assign,assignment]
    return session, method


@pytest.mark.parametrize("offset", [2.0, -1.5, 0.0])
def test_without_any_evidence_stage_2_levels_the_groups(offset: float) -> None:
    # all images look alike, so the best that can be said is the uniform distribution: the shift is the offset
    session, method = planted(offset, spread=0.0)
    session.loop.optimizers.drop("task")
    for piece in method._stage_2(session.stream.tasks[1], 1):
        session.go(session.stream.tasks[1], piece)
    assert method.bias[1, 1].item() == pytest.approx(offset, abs=0.05)
    assert method.bias[0].tolist() == [1.0, 0.0], "old groups keep theirs"
    assert method.live == []


def test_stage_2_raises_classes_that_score_too_low() -> None:
    session, method = planted(offset=4.0, spread=3.0)
    x = session.learner.normalize(method.valid["images"])
    before = (method.predict(x, None).argmax(1) == method.valid["labels"]).float().mean().item()
    weights = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    for piece in method._stage_2(session.stream.tasks[1], 1):
        session.go(session.stream.tasks[1], piece)
    after = (method.predict(x, None).argmax(1) == method.valid["labels"]).float().mean().item()
    assert before == pytest.approx(0.5)
    assert after == 1.0
    assert all(torch.equal(v, weights[k]) for k, v in session.learner.model.state_dict().items()), "the network stands"


def test_only_the_newest_classes_are_corrected() -> None:
    _, method = session_of()
    method.bias = torch.tensor([[2.0, 1.0], [0.5, -3.0], [4.0, 7.0]])
    method.group = torch.tensor([0, 0, 1, 1, 2])
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    assert method._corrected(scores).tolist() == [[1.0, 2.0, 3.0, 4.0, 27.0]]
    assert method._corrected(scores, before=True).tolist() == [[1.0, 2.0, -1.5, -1.0, 5.0]]


def test_the_first_stage_follows_the_corrected_teacher() -> None:
    session, method = session_of()
    task = session.stream.tasks[0]
    session._task(task)
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)
    method.bias[0] = torch.tensor([1.5, -0.5])
    x = torch.randn(8, 1, 6, 6)
    y = torch.arange(8)
    batch = Batch(x, y, x.byte(), y, 8)
    model = session.learner.model.eval()
    terms = method.loss(batch)
    assert method.teacher is not None
    target = ((1.5 * method.teacher(x)[:, :5] - 0.5) / TEMPERATURE).softmax(1)
    distillation = -(target * (model(x)[:, :5] / TEMPERATURE).log_softmax(1)).sum(1).mean()
    assert terms["distillation"].item() == pytest.approx(0.5 * distillation.item(), rel=1e-4)
    assert terms["cross-entropy"].item() == pytest.approx(0.5 * F.cross_entropy(model(x), y).item(), rel=1e-4)


def test_correction_helps_where_the_newest_classes_are_favored() -> None:
    def last(seed: int, **method: Any) -> float:
        session, _ = session_of(
            seed=seed,
            scenario={"tasks": 5, "stream": "offline"},
            train={"epochs": 4, "memory_epochs": 0},
            method=method,
        )
        session.walk()
        return session.metrics()["last_accuracy"]

    gains = [last(seed) - last(seed, bias_epochs=0) for seed in (1, 2, 3)]
    assert sum(gains) / 3 > 0.02


def test_published_code_only_ever_corrects_the_last_group() -> None:
    session, method = session_of(
        scenario={"name": "blurry", "tasks": 5},
        train={"head": "reset"},
        method={"algorithm": "published", "features": 8, "bias_epochs": 2},
    )
    groups = []
    begin = method._begin

    def begin_(task: Any) -> None:
        begin(task)
        groups.append(method.group.tolist())

    method._begin = begin_  # type: ignore[method-assign]
    session.walk()
    assert groups[:4] == [[-1] * 10] * 4, "in a blurry stream none before the last task"
    assert groups[4] == [-1] * 8 + [4, 4]
    assert len(session.learner.model.blocks) == 5, "another block at every task"
