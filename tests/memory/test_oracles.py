"""What the policies keep, computed beside them in plain NumPy from the papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cllab.data.augment import perturbations
from cllab.data.augment.pipeline import Augment, Input
from cllab.data.base import Split, TensorImages
from cllab.learner.heads import Heads
from cllab.learner.learner import Learner
from cllab.learner.rng import Rng
from cllab.memory import uncertainty
from cllab.memory.base import Memory, fill
from cllab.memory.prototype import herd
from cllab.models.base import Backbone, Network
from tests.memory.stores import CPU, agrees, make_learner, make_memory, split_of
from tests.memory.test_policies import herded_by_hand, noise

SHAPE = (1, 6, 6)


class Normed(Backbone):
    """Features are the pixels, batch-normalized: another network in training mode than in evaluation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.norm = width, torch.nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1))  # type: ignore[no-any-return]


def normed_learner(memory: Memory, seed: int = 0) -> Learner:
    """A learner with a batch-normalized network of 10 classes, on data of mean .3 and deviation .2."""
    learner = Learner(
        lambda n, head: Network(Normed(36), n, head=head), memory, Rng(seed), Input((0.3,), (0.2,)), Augment(()), CPU
    )
    learner.model = learner.new_model(10)
    generator = torch.Generator().manual_seed(4)
    norm = learner.model.backbone.norm
    assert isinstance(norm, torch.nn.BatchNorm1d)
    for values in (norm.running_mean, norm.running_var):
        assert values is not None
        values.copy_(torch.rand(36, generator=generator) + 0.5)
    learner.seen, learner.task = tuple(range(10)), 1
    learner.model.train()
    return learner


def scores_by_hand(model: Network, raw: Tensor) -> np.ndarray[Any, Any]:
    """(N, K) scores of raw images with running statistics, in double precision."""
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    x = (raw.flatten(1).double().numpy() / 255 - 0.3) / 0.2
    x = (x - state["backbone.norm.running_mean"]) / np.sqrt(state["backbone.norm.running_var"] + 1e-5)
    found: np.ndarray[Any, Any] = x @ state["head.weight"].T + state["head.bias"]
    return found


def pictures(n: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "named"), [("vr_randaug", False), ("vr", False), ("vr", True)])
def test_uncertainty_counts_the_votes_of_twelve_views(name: str, named: bool) -> None:
    """Bang et al. 2021, Eqs. 2-4: u = 1 - the share of the views that agree on the most frequent class; where tasks are
    named, of the classes of the sample's own."""
    memory = make_memory("uncertainty", 20, SHAPE, perturbation=name)
    learner = normed_learner(memory)
    raw, labels = pictures(50, 1), torch.arange(50) % 10
    parts = [(0, 1, 2), (3, 4, 5, 6, 7, 8, 9)]
    learner.heads = Heads.of(parts, 10, CPU) if named else None
    closed = np.array([[named and not any(c in p and int(y) in p for p in parts) for c in range(10)] for y in labels])
    memory.update(Split(TensorImages(raw), torch.arange(50), labels), learner)
    votes = np.zeros((50, 10))
    generator = Rng(0).cpu("perturb")
    for view in perturbations(name):
        scores = scores_by_hand(learner.model, view(raw, generator))
        winner = np.where(closed, -np.inf, scores).argmax(1)
        votes[np.arange(50), winner] += 1
    u = 1 - votes.max(1) / 12
    assert len(set(u.tolist())) > 4, "the views disagree about some samples"
    ids = memory.columns["ids"].numpy()
    assert memory.columns["scores"].tolist() == pytest.approx(u[ids].tolist(), abs=1e-6)
    # of 5 candidates a class, 2 are kept: positions floor(j 5 / 2) = 0 and 2 of the sorted ones
    for c in range(10):
        own = np.sort(u[c::10])
        kept = np.sort(memory.columns["scores"][memory.columns["labels"] == c].numpy())
        assert kept == pytest.approx(own[[0, 2]], abs=1e-6)
    assert learner.model.training, "left as it was"


def test_only_the_first_task_is_drawn_at_random_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    scores = torch.rand(200, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(uncertainty, "vote_uncertainty", lambda s, *_: (looked.append(len(s)), scores[: len(s)])[1])
    for first, expected in (("uncertainty", [40, 60]), ("random", [60])):
        looked.clear()
        memory = make_memory("uncertainty", 20, first_task=first)
        learner = make_learner(memory)
        for task in (0, 1):
            learner.task = task
            memory.update(split_of(torch.arange(40) % 10, first=100 * task), learner)
        assert looked == expected


@pytest.mark.parametrize("policy", ["uncertainty", "prototype", "class-balanced"])
def test_the_quota_is_that_of_all_classes_seen_so_far(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "vote_uncertainty", lambda split, *_: torch.zeros(len(split)))
    memory = make_memory(policy, 30, **({"rule": "resample"} if policy == "class-balanced" else {}))
    learner = make_learner(memory, seen=6)
    learner.old = (0, 1)
    # class 5 was seen, but nothing of it is at hand: 30 // 6 = 5 of every class, and what is left is filled
    memory.update(split_of(torch.arange(100) % 5, pixels=noise(100, 0)), learner)
    counts = memory.counts("labels", 6).tolist()
    assert counts[5] == 0
    if policy == "prototype":
        assert counts[:5] == [5] * 5
    else:
        assert min(counts[:5]) == 5, "by chance alone the 5 that fill the room were one of each class"
        assert sum(counts) == 30


def test_quotas_are_drawn_and_not_the_first_samples() -> None:
    held = np.zeros(40)
    for seed in range(60):
        memory = make_memory("class-balanced", 10, rule="resample")
        memory.update(split_of(torch.arange(40) % 2), make_learner(memory, seed=seed, seen=2))
        assert memory.counts("labels", 2).tolist() == [5, 5]
        held[memory.columns["ids"].numpy()] += 1
    assert held.min() >= 3  # 15 expected, deviation 3.4


def test_the_greedy_sampler_meets_the_stream_in_a_random_order() -> None:
    held = np.zeros(30)
    for seed in range(40):
        memory = make_memory("class-balanced", 10)
        memory.update(split_of(torch.zeros(30, dtype=torch.long)), make_learner(memory, seed=seed, seen=1))
        held[memory.columns["ids"].numpy()] += 1
    assert held.min() >= 3  # 13 expected, deviation 3


def test_the_greedy_sampler_takes_from_a_random_largest_class() -> None:
    """GDumb, Algorithm 1: nobody but the largest classes loses, each of them and each of their samples alike."""
    losers, lost = np.zeros(3), np.zeros(24)
    for seed in range(200):
        memory = make_memory("class-balanced", 24)
        learner = make_learner(memory, seed=seed, seen=4)
        memory.update(split_of(torch.tensor([0, 1] * 9 + [2] * 6)), learner)  # 9, 9 and 6
        memory.update(split_of(torch.tensor([3]), first=100), learner)
        gone = set(range(24)) - set(memory.columns["ids"].tolist())
        assert len(gone) == 1
        assert 100 in memory.columns["ids"].tolist()
        assert agrees(memory)
        (one,) = gone
        losers[one % 2 if one < 18 else 2] += 1
        lost[one] += 1
    assert losers[2] == 0
    assert 70 < losers[0] < 130  # 100 expected, deviation 7
    assert lost[:18].min() >= 1  # 11 expected of each
    assert lost[:18].max() <= 26


def test_a_full_class_gives_up_nothing_for_its_own_kind() -> None:
    memory = make_memory("class-balanced", 10)
    learner = make_learner(memory, seen=2)
    memory.update(split_of(torch.arange(10) % 2), learner)
    memory.update(split_of(torch.arange(40) % 2, first=100), learner)
    assert sorted(memory.columns["ids"].tolist()) == list(range(10)), "both are among the largest: no exchange"


# -- herding


def by_hand(raw: Tensor) -> np.ndarray[Any, Any]:
    phi = raw.flatten(1).double().numpy() / 255
    normalized: np.ndarray[Any, Any] = phi / np.linalg.norm(phi, axis=1, keepdims=True)
    return normalized


def test_a_class_that_comes_again_is_herded_from_its_exemplars_and_the_new_samples() -> None:
    memory = make_memory("prototype", 12)
    learner = make_learner(memory, seen=2)
    first, second = noise(40, 3), noise(40, 4)
    labels = torch.arange(40) % 2
    memory.update(split_of(labels, pixels=first), learner)
    before = {c: memory.columns["images"][memory.columns["labels"] == c] for c in (0, 1)}
    ids = {c: memory.columns["ids"][memory.columns["labels"] == c].tolist() for c in (0, 1)}
    memory.update(split_of(labels, pixels=second, first=100), learner)
    for c in (0, 1):
        candidates = torch.cat([before[c], second[labels == c]])
        names = [*ids[c], *(100 + i for i in range(40) if i % 2 == c)]
        expected = [names[i] for i in herded_by_hand(by_hand(candidates), 6)]
        assert memory.columns["ids"][memory.columns["labels"] == c].tolist() == expected


def test_published_exemplars_are_cut_at_random() -> None:
    prefixes = 0
    for seed in range(8):
        memory = make_memory("prototype", 20, rule="published")
        learner = make_learner(memory, seed=seed, seen=2)
        memory.update(split_of(torch.arange(60) % 2, pixels=noise(60, 1)), learner)
        before = memory.columns["ids"][memory.columns["labels"] == 0].tolist()
        learner.seen = (0, 1, 2, 3)
        memory.update(split_of(2 + torch.arange(60) % 2, pixels=noise(60, 2), first=100), learner)
        now = memory.columns["ids"][memory.columns["labels"] == 0].tolist()
        assert set(now) < set(before)
        assert len(now) == 5
        prefixes += now == before[:5]
    assert prefixes == 0


def test_the_published_herding_follows_the_direction_of_the_mean() -> None:
    memory = make_memory("prototype", 12, rule="published")
    learner = make_learner(memory, seen=2)
    # few bright pixels each: the mean of such directions is far from a direction
    pixels, labels = noise(60, 8), torch.arange(60) % 2
    pixels = (pixels.float() ** 3 / 255**2).to(torch.uint8) + 1
    memory.update(split_of(labels, pixels=pixels), learner)
    for c in (0, 1):
        phi = by_hand(pixels[labels == c])
        mean = phi.mean(0) / np.linalg.norm(phi.mean(0))
        total, picks = np.zeros(4), []
        for _ in range(6):
            sums = total + phi
            distance = np.linalg.norm(mean - sums / np.linalg.norm(sums, axis=1, keepdims=True), axis=1)
            distance[picks] = np.inf
            picks.append(int(distance.argmin()))
            total = sums[picks[-1]]
        expected = [int(i) for i in torch.arange(60)[labels == c][picks]]
        assert memory.columns["ids"][memory.columns["labels"] == c].tolist() == expected


def test_fewer_published_candidates_than_the_quota_are_all_kept_in_their_order() -> None:
    memory = make_memory("prototype", 20, rule="published")
    learner = make_learner(memory, seen=2)
    memory.update(split_of(torch.tensor([0] * 4 + [1] * 30), pixels=noise(34, 5)), learner)
    assert memory.columns["ids"][memory.columns["labels"] == 0].tolist() == [0, 1, 2, 3]
    assert memory.columns["ids"][memory.columns["labels"] == 1].shape == (10,)


@pytest.mark.parametrize("seed", range(3))
def test_herding_takes_features_of_any_length(seed: int) -> None:
    phi = np.random.default_rng(seed).standard_normal((30, 4)) * 3
    assert herd(torch.from_numpy(phi), 12).tolist() == herded_by_hand(phi, 12)


# -- what all policies share


def test_a_sample_keeps_the_task_that_it_came_from() -> None:
    memory = make_memory("random", 30)
    learner = make_learner(memory)
    learner.task = 4
    part = split_of(torch.arange(10))
    origin = torch.arange(10) % 3
    memory.update(Split(part.images, part.index, part.labels, origin, None, part.ids), learner)
    assert memory.columns["tasks"].tolist() == [int(origin[i]) for i in memory.columns["ids"]]
    memory.update(split_of(torch.arange(10), first=50), learner)
    assert (memory.columns["tasks"][memory.columns["ids"] >= 50] == 4).all()


@pytest.mark.parametrize("policy", ["random", "ring"])
def test_retrieving_is_uniform(policy: str) -> None:
    memory = make_memory(policy, 20)
    memory.update(split_of(torch.arange(20) % 10), make_learner(memory))
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(400):
        raw, labels, rows = memory.retrieve(5, generator)
        ids = raw.flatten(1)[:, 0].long()
        assert torch.equal(labels, ids % 10)
        assert len(set(rows.tolist())) == 5
        counts[ids] += 1
    assert (counts - 100).abs().max() < 40  # deviation 8.7


def test_room_is_filled_at_random() -> None:
    counts = torch.zeros(30)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.arange(30) < 3
    for _ in range(300):
        found = fill(chosen, 12, generator)
        assert set(found[:3].tolist()) == {0, 1, 2}
        counts[found] += 1
    assert (counts[:3] == 300).all()
    assert (counts[3:] - 100).abs().max() < 40  # 9 of 27, deviation 8.2


def test_the_later_of_two_draws_of_a_slot_stays_and_everything_belongs_together() -> None:
    """Algorithm R by hand, from the same draws: sample s (0-based) goes to slot floor(u (s + 1)) if that is one."""
    for rule, extra in (("exact", 1), ("published", 0)):
        memory = make_memory("reservoir", 5, rule=rule)
        learner = make_learner(memory, seed=2)
        generator = Rng(2).cpu("memory")
        slots: list[int] = []
        sizes = (3, 9, 1, 20, 150)
        for task, n in enumerate(sizes):
            learner.task, learner.step = task, 7 * task
            draws = torch.rand(n, generator=generator).tolist()
            first = sum(sizes[:task])
            for i, u in enumerate(draws):
                s = first + i
                if len(slots) < 5:
                    slots.append(s)
                elif int(u * (s + extra)) < 5:
                    slots[int(u * (s + extra))] = s
            memory.update(split_of(torch.arange(first, first + n) % 10, first=first), learner)
            assert memory.columns["ids"].tolist() == slots
        task_of = [next(t for t, end in enumerate((3, 12, 13, 33, 183)) if s < end) for s in slots]
        assert agrees(memory)
        assert memory.columns["labels"].tolist() == [s % 10 for s in slots]
        assert memory.columns["tasks"].tolist() == task_of
        assert memory.columns["entered"].tolist() == [7 * t for t in task_of]
