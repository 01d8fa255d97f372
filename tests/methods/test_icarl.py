"""iCaRL: losses by hand, and classification by the nearest mean of exemplars."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cllab.learner.batch import Batch
from cllab.methods import _distill as distill
from cllab.methods.icarl import ICaRL
from cllab.models.base import Network
from tests.engine.sessions import walked
from tests.memory.stores import Flat, make_learner, make_memory, split_of


def method_with(n_classes: int = 4, algorithm: str = "paper", **settings: float) -> ICaRL:
    memory = make_memory("prototype", 100)
    learner = make_learner(memory, seen=n_classes)
    config = ICaRL.Config(algorithm=algorithm, **settings)  # type: ignore[arg-type]
    return ICaRL.variant(config)(config, learner)  # type: ignore[return-value]


def batch_of(n: int, classes: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 255, (n, 1, 2, 2), dtype=torch.uint8, generator=generator)
    y = torch.randint(0, classes, (n,), generator=generator)
    return Batch(raw / 255, y, raw, torch.arange(n), n)


def test_the_nearest_mean_of_normalized_exemplars_wins() -> None:
    method = method_with(3)
    pixels = torch.tensor(
        [[200, 0, 0, 0], [100, 100, 0, 0], [0, 50, 0, 0], [0, 250, 50, 0], [0, 0, 0, 90], [0, 0, 30, 90]],
        dtype=torch.uint8,
    )
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    method.learner.memory.update(split_of(labels, pixels=pixels.view(6, 1, 2, 2)), method.learner)
    phi = F.normalize(pixels.double() / 255, dim=1)
    means = F.normalize(torch.stack([phi[labels == c].mean(0) for c in range(3)]), dim=1)
    queries = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    distance = (F.normalize(queries.flatten(1).double(), dim=1)[:, None] - means).square().sum(2)
    with torch.inference_mode():
        method.prepare_evaluation()
        scores = method.predict(queries, None)
    assert torch.allclose(scores.double(), -distance, atol=1e-5)
    assert scores.argmax(1).tolist() == distance.argmin(1).tolist()


def test_a_class_without_exemplars_cannot_win_unless_as_published() -> None:
    query = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).view(1, 1, 2, 2)
    pixels = torch.tensor([[255, 0, 0, 0], [0, 255, 0, 0]], dtype=torch.uint8).view(2, 1, 2, 2)
    for algorithm, winner in (("paper", (0, 1)), ("published", (2,))):
        method = method_with(3, algorithm)
        method.learner.memory.update(split_of(torch.tensor([0, 1]), pixels=pixels), method.learner)
        with torch.inference_mode():
            method.prepare_evaluation()
            scores = method.predict(query, None)
        # orthogonal to both means: squared distance 2; the zero vector is at distance 1
        assert int(scores.argmax()) in winner
        assert scores[0, 0].item() == pytest.approx(-2.0, abs=1e-5)
        assert scores[0, 2].item() == (pytest.approx(-1.0, abs=1e-5) if algorithm == "published" else float("-inf"))


def test_first_task_is_binary_cross_entropy_of_every_output() -> None:
    method, batch = method_with(3), batch_of(7, 3)
    scores = method.learner.model(batch.x)
    p, t = scores.sigmoid(), F.one_hot(batch.y, 3).float()
    by_hand = -(t * p.log() + (1 - t) * (1 - p).log()).sum(1).mean()
    terms = method.loss(batch)
    assert list(terms) == ["classification"]
    assert terms["classification"].item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_later_the_old_classes_follow_the_teacher_and_the_own_ones_the_label(temperature: float) -> None:
    method, batch = method_with(5, temperature=temperature), batch_of(9, 5)
    learner = method.learner
    torch.manual_seed(7)
    teacher = Network(Flat(4), 3).eval()  # knew three classes; one of them is the current task's own again
    method.teacher = teacher
    learner.old, learner.own = (0, 1, 2), (2, 3, 4)
    method.kept = distill.columns((0, 1), 5, learner.device)
    scores, q = learner.model(batch.x), 1 / (1 + (-teacher(batch.x) / temperature).exp())
    t = F.one_hot(batch.y, 5).float()
    bce = F.binary_cross_entropy_with_logits
    old = sum(bce(scores[:, c], q[:, c]).item() for c in (0, 1))
    own = sum(bce(scores[:, c], t[:, c]).item() for c in (2, 3, 4))
    terms = method.loss(batch)
    assert terms["distillation"].item() == pytest.approx(old, rel=1e-5)
    assert terms["classification"].item() == pytest.approx(own, rel=1e-5)


def test_mixed_images_have_mixed_targets() -> None:
    method, batch = method_with(3), batch_of(6, 3)
    batch.y_mix, batch.share = batch.y.roll(1), torch.tensor(0.3)
    target = 0.3 * F.one_hot(batch.y, 3).float() + 0.7 * F.one_hot(batch.y_mix, 3).float()
    expected = F.binary_cross_entropy_with_logits(method.learner.model(batch.x), target, reduction="none").sum(1).mean()
    assert method.loss(batch)["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_published_loss_is_cross_entropy_on_new_and_distillation_on_old_samples() -> None:
    method, batch = method_with(4, "published"), batch_of(12, 4)
    torch.manual_seed(3)
    method.teacher = Network(Flat(4), 4).eval()
    method.learner.old = (0, 1)
    scores, q = method.learner.model(batch.x), method.teacher(batch.raw / 255)[:, :2].sigmoid()
    new = batch.y >= 2
    terms = method.loss(batch)
    assert terms["classification"].item() == pytest.approx(F.cross_entropy(scores[new], batch.y[new]).item(), rel=1e-5)
    by_sample = F.binary_cross_entropy_with_logits(scores[~new][:, :2], q[~new], reduction="none").sum(1)
    assert terms["distillation"].item() == pytest.approx(by_sample.mean().item(), rel=1e-5)
    method.learner.old = (0, 1, 2, 3)  # a blurry stream after its first task
    assert method.loss(batch)["classification"].item() == 0.0


def test_the_teacher_is_the_network_that_the_task_before_left_behind_even_if_its_head_is_drawn_anew() -> None:
    for head in ("keep", "reset"):
        session, _ = walked("icarl", train={"head": head, "memory_epochs": 0}, scenario={"tasks": 2})
        teacher = session.method.teacher
        assert teacher is not None
        x = session.learner.normalize(session.stream.tasks[0].test.fetch(torch.arange(5)))
        session.learner.model.eval()
        with torch.no_grad():
            assert torch.equal(teacher(x), session.learner.model(x))
        assert not any(p.requires_grad for p in teacher.parameters())


def test_published_classifier_never_moves() -> None:
    session, _ = walked("icarl", fidelity="reference", method={"features": 16}, scenario={"tasks": 2})
    moved = {id(p) for p in session.method._trained()}
    model = session.learner.model
    assert not {id(p) for p in model.head.parameters()} & moved
    assert not {id(p) for p in model.blocks[0].norm.parameters()} & moved
    assert model.head.bias is None
    block = model.blocks[0].norm
    assert torch.equal(block.weight, torch.ones(16)), "the affine part stays as it was drawn"
    assert not torch.equal(block.running_mean, torch.zeros(16)), "its statistics move"


def test_soft_cross_entropy_by_hand() -> None:
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    expected = -((b / 2).softmax(1) * (a / 2).log_softmax(1)).sum() / 5
    assert distill.soft_cross_entropy(a, b, 2.0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert distill.mean_where(torch.tensor([1.0, 5.0]), torch.zeros(2)).item() == 0.0
    assert distill.binary_targets(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert distill.columns((1, 7), 3, torch.device("cpu")).tolist() == [0, 1, 0]
