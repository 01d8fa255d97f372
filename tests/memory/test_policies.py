"""Facts of the policies: quotas, probabilities, balance, herding, uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from cllab.memory import uncertainty
from cllab.memory.base import Memory, fill, ranks_within_class
from cllab.memory.prototype import herd
from cllab.memory.uncertainty import pick, vote_uncertainty
from cllab.settings import catalog
from tests.memory.stores import agrees, make_learner, make_memory, split_of

# -- reservoir


def inclusions(rule: str, n: int, capacity: int, runs: int, pieces: int) -> np.ndarray[Any, Any]:
    counts = np.zeros(n)
    for seed in range(runs):
        memory = make_memory("reservoir", capacity, rule=rule)
        learner = make_learner(memory, seed=seed)
        for part in torch.split(torch.arange(n), -(-n // pieces)):
            memory.update(split_of(torch.zeros(len(part), dtype=torch.long), first=int(part[0])), learner)
        assert len(memory) == capacity
        counts[memory.columns["ids"].numpy()] += 1
    return counts


@pytest.mark.parametrize("pieces", [1, 4, 40])
def test_exact_reservoir_holds_every_sample_with_equal_probability(pieces: int) -> None:
    n, capacity, runs = 40, 8, 500 if pieces == 40 else 1500
    counts = inclusions("exact", n, capacity, runs, pieces)
    # counts of one run are negatively correlated: the statistic is a chi-square with n - 1 degrees, scaled
    expected = runs * capacity / n
    statistic = ((counts - expected) ** 2 / (expected * (1 - capacity / n))).sum() * (n - 1) / n
    assert stats.chi2.cdf(statistic, n - 1) < 0.9999


def test_published_reservoir_inserts_with_k_over_seen() -> None:
    # sample number s (0-based, s >= K) enters with K / s instead of K / (s + 1), and one of K leaves
    n, capacity, runs = 24, 4, 3000
    expected = np.ones(n)
    for s in range(capacity, n):
        enters = capacity / s
        expected[:s] *= 1 - enters / capacity
        expected[s] = enters
    counts = inclusions("published", n, capacity, runs, 3)
    spread = np.sqrt(runs * expected * (1 - expected)) + 1e-9
    assert np.abs((counts - runs * expected) / spread)[capacity:].max() < 4.5
    assert counts[:capacity].sum() == pytest.approx(runs * expected[:capacity].sum(), abs=4.5 * np.sqrt(runs))
    exact = runs * capacity / n
    assert abs(counts[:capacity].mean() - exact) > 5 * np.sqrt(exact / capacity), "and that is not the exact rule"


def test_reservoir_sample_by_sample_equals_one_update() -> None:
    kept = []
    for pieces in ([100], [1] * 100, [7, 50, 43]):
        memory = make_memory("reservoir", 10)
        learner = make_learner(memory, seed=3)
        first = 0
        for n in pieces:
            memory.update(split_of(torch.zeros(n, dtype=torch.long), first=first), learner)
            first += n
        kept.append(memory.columns["ids"].tolist())
        assert agrees(memory)
        assert memory.own_state() == {"seen": 100}
    assert kept[0] == kept[1] == kept[2]


def reservoir_of(sizes: list[int], capacity: int, look: bool) -> tuple[Memory, list[dict[str, torch.Tensor]]]:
    memory = make_memory("reservoir", capacity)
    learner, first, looks = make_learner(memory, seed=5), 0, []
    for n in sizes:
        learner.step += 1
        memory.update(split_of(torch.arange(n) % 10, first=first), learner)
        first += n
        if look:
            looks.append(memory.columns)
    return memory, looks


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v.nan_to_num(-1.0), b[k].nan_to_num(-1.0)) for k, v in a.items())


def test_a_reservoir_writes_in_place_what_it_wrote_into_copies() -> None:
    sizes = [3, 30, 1, 16, 50, 7]
    unseen, _ = reservoir_of(sizes, 40, look=False)
    seen, looks = reservoir_of(sizes, 40, look=True)
    assert same(unseen.columns, seen.columns)
    for i, look in enumerate(looks):  # what was given away is what the memory held then
        assert same(look, reservoir_of(sizes[: i + 1], 40, look=False)[0].columns)


def test_a_reservoir_nobody_looks_into_stays_where_it_is() -> None:
    memory = make_memory("reservoir", 40)
    learner = make_learner(memory)
    places = set()
    for i in range(20):
        memory.update(split_of(torch.arange(8), first=8 * i), learner)
        places.add(memory.slots.views()["images"].data_ptr())
        memory.retrieve(5, torch.Generator())
        memory.counts("labels", 10), memory.bytes(), len(memory)
    assert len(places) == 1
    split = memory.split()
    ids, pixels = split.sample_ids().clone(), split.fetch(torch.arange(40)).clone()
    for i in range(20):
        memory.update(split_of(torch.arange(8), first=1000 + 8 * i), learner)
    assert torch.equal(split.sample_ids(), ids)
    assert torch.equal(split.fetch(torch.arange(40)), pixels)
    assert not torch.equal(memory.columns["ids"], ids)


def test_a_half_filled_reservoir_is_saved_without_its_empty_slots() -> None:
    memory = make_memory("reservoir", 40)
    memory.update(split_of(torch.arange(8)), make_learner(memory))
    assert all(len(v) == 8 for v in memory.columns.values())
    for column in memory.state_dict()["columns"].values():
        assert column.untyped_storage().nbytes() == column.numel() * column.element_size()


# -- random and class-balanced


def test_random_keeps_a_uniform_choice_of_memory_and_stream() -> None:
    counts = np.zeros(30)
    for seed in range(1500):
        memory = make_memory("random", 6)
        learner = make_learner(memory, seed=seed)
        memory.update(split_of(torch.zeros(30, dtype=torch.long)), learner)
        counts[memory.columns["ids"].numpy()] += 1
    expected = 1500 * 6 / 30
    assert ((counts - expected) ** 2 / (expected * 0.8)).sum() * 29 / 30 < stats.chi2.ppf(0.9999, 29)


def test_balanced_draw_gives_every_class_its_quota_and_fills_up_at_random() -> None:
    # quota 50 // 4 = 12: class 0 has only 5, so 12 * 3 + 5 = 41 are by quota and 9 more are drawn from the others
    labels = torch.tensor([0] * 5 + [1] * 40 + [2] * 40 + [3] * 100)
    extra = np.zeros(4)
    for seed in range(300):
        memory = make_memory("class-balanced", 50, rule="resample")
        memory.update(split_of(labels), make_learner(memory, seed=seed, seen=4))
        counts = memory.counts("labels", 4).numpy()
        assert counts.sum() == 50
        assert counts[0] == 5
        assert (counts[1:] >= 12).all()
        extra += counts - np.array([5, 12, 12, 12])
    share = extra[1:] / extra[1:].sum()
    assert share == pytest.approx(np.array([28, 28, 88]) / 144, abs=0.05), "empty slots go to what is left, uniformly"


@pytest.mark.parametrize("classes", [3, 4, 7])
def test_greedy_sampler_balances_whatever_the_order(classes: int) -> None:
    memory = make_memory("class-balanced", 40)
    learner = make_learner(memory, seen=classes)
    for c in range(classes):  # one class after another, sizes very unequal
        memory.update(split_of(torch.full((30 + 60 * (c % 2),), c), first=1000 * c), learner)
    counts = memory.counts("labels", classes)
    assert counts.sum() == 40
    assert counts.max() - counts.min() <= 1
    assert agrees(memory)


def test_greedy_sampler_keeps_all_of_a_rare_class_and_is_uniform_within_a_class() -> None:
    held = np.zeros(60)
    for seed in range(400):
        memory = make_memory("class-balanced", 20)
        learner = make_learner(memory, seed=seed, seen=2)
        memory.update(split_of(torch.tensor([0] * 60 + [1] * 4)), learner)
        ids = memory.columns["ids"]
        assert (ids >= 60).sum() == 4
        held[ids[ids < 60].numpy()] += 1
    assert held.sum() == 400 * 16
    assert held.max() < 400 * 16 / 60 * 1.6


# -- uncertainty


class _Voter(torch.nn.Module):
    """Predicts what the first pixel says in one pass and the next pixel in the others."""

    n_classes = 10

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first, self.calls = first, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        column = 0 if self.calls <= self.first else 1
        return torch.nn.functional.one_hot((x.flatten(1)[:, column] * 255).round().long(), 10).float()


@pytest.mark.parametrize(("first", "u"), [(12, 0.0), (0, 0.0), (7, 5 / 12), (5, 5 / 12), (6, 0.5), (11, 1 / 12)])
def test_uncertainty_is_the_share_of_views_that_do_not_vote_with_the_most(
    first: int, u: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncertainty, "perturbations", lambda name, dtype: (lambda raw, generator: raw,) * 12)
    memory = make_memory("uncertainty", 5)
    learner = make_learner(memory)
    learner.model = _Voter(first)  # type: ignore[assignment]
    pixels = torch.tensor([[3, 4, 0, 0], [7, 2, 0, 0], [5, 5, 0, 0]], dtype=torch.uint8).view(3, 1, 2, 2)
    found = vote_uncertainty(split_of(torch.tensor([9, 9, 9]), pixels=pixels), learner, "vr_randaug")
    assert found.tolist() == pytest.approx([u, u, 0.0])


def test_votes_of_many_batches_equal_votes_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = [lambda raw, generator, k=k: raw.roll(k, 3) for k in range(12)]
    monkeypatch.setattr(uncertainty, "perturbations", lambda name, dtype: tuple(shift))
    memory = make_memory("uncertainty", 5)
    learner = make_learner(memory)
    split = split_of(torch.zeros(50, dtype=torch.long))
    learner.bulk_size = 1000
    whole = vote_uncertainty(split, learner, "vr")
    learner.bulk_size = 7
    assert torch.equal(vote_uncertainty(split, learner, "vr"), whole)


def ranks_taken(n: int, q: int, rule: str) -> list[int]:
    scores = torch.arange(n, dtype=torch.float).flip(0)
    taken = pick(torch.zeros(n, dtype=torch.long), scores, q, rule, torch.Generator().manual_seed(0))
    return sorted(n - 1 - i for i in taken.nonzero().flatten().tolist())


def test_published_stride_example() -> None:
    assert ranks_taken(120, 50, "stride") == list(range(0, 100, 2))
    assert ranks_taken(75, 50, "stride") == list(range(50)), "below twice the quota: the least uncertain"


@pytest.mark.parametrize(("n", "q"), [(120, 50), (75, 50), (51, 50), (1000, 7), (100, 50), (9, 2), (3, 1)])
def test_even_picks_are_at_floor_of_j_n_over_q(n: int, q: int) -> None:
    assert ranks_taken(n, q, "even") == [j * n // q for j in range(q)]


@pytest.mark.parametrize("rule", ["even", "stride"])
def test_small_classes_are_kept_whole(rule: str) -> None:
    labels = torch.tensor([0] * 3 + [1] * 50 + [2] * 10)
    scores = torch.rand(63, generator=torch.Generator().manual_seed(1))
    taken = pick(labels, scores, 10, rule, torch.Generator())
    assert torch.bincount(labels[taken]).tolist() == [3, 10, 10]
    assert not pick(labels, scores, 0, rule, torch.Generator()).any()


def test_ties_are_broken_by_the_seed_and_not_by_position() -> None:
    labels, scores = torch.zeros(40, dtype=torch.long), torch.zeros(40)

    def taken(seed: int) -> list[int]:
        return pick(labels, scores, 10, "even", torch.Generator().manual_seed(seed)).nonzero().flatten().tolist()

    assert taken(1) == taken(1)
    assert taken(1) != taken(2)
    counts = np.bincount(np.concatenate([taken(s) for s in range(600)]), minlength=40)
    assert ((counts - 150) ** 2 / (150 * 0.75)).sum() * 39 / 40 < stats.chi2.ppf(0.9999, 39)


def test_every_class_gets_its_quota_and_scores_are_kept_beside_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.rand(200, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(uncertainty, "vote_uncertainty", lambda split, learner, name: scores[: len(split)])
    memory = make_memory("uncertainty", 50)
    learner = make_learner(memory)
    memory.update(split_of(torch.arange(200) % 10), learner)
    assert memory.counts("labels", 10).tolist() == [5] * 10
    assert torch.equal(memory.columns["scores"], scores[memory.columns["ids"]])
    for c in range(10):
        own = scores[torch.arange(200) % 10 == c].sort().values
        kept = memory.columns["scores"][memory.columns["labels"] == c].sort().values
        assert torch.equal(kept, own[[0, 4, 8, 12, 16]])


def test_the_published_first_task_is_a_balanced_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "vote_uncertainty", lambda *_: pytest.fail("looked at the model"))
    memory = make_memory("uncertainty", 20, first_task="random")
    memory.update(split_of(torch.arange(100) % 10), make_learner(memory))
    assert memory.counts("labels", 10).tolist() == [2] * 10
    assert torch.isnan(memory.columns["scores"]).all()


# -- herding


def herded_by_hand(phi: np.ndarray[Any, Any], quota: int) -> list[int]:
    mean, total, picks = phi.mean(0), np.zeros(phi.shape[1]), []
    for k in range(1, quota + 1):
        distance = [np.inf if i in picks else np.linalg.norm(mean - (total + phi[i]) / k) for i in range(len(phi))]
        picks.append(int(np.argmin(distance)))
        total = total + phi[picks[-1]]
    return picks


@pytest.mark.parametrize("seed", range(5))
def test_herding_equals_the_papers_algorithm_computed_naively(seed: int) -> None:
    phi = np.random.default_rng(seed).standard_normal((40, 6))
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    picks = herd(torch.from_numpy(phi), 15).tolist()
    assert picks == herded_by_hand(phi, 15)
    assert picks[0] == int(np.argmin(np.linalg.norm(phi - phi.mean(0), axis=1))), "the first is nearest the mean"
    assert herd(torch.from_numpy(phi), 7).tolist() == picks[:7], "best first: fewer are a prefix"
    assert sorted(herd(torch.from_numpy(phi), 100).tolist()) == list(range(40))


@pytest.mark.parametrize("seed", range(3))
def test_the_published_herding_compares_directions(seed: int) -> None:
    phi = np.random.default_rng(seed).standard_normal((30, 5))
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    mean = phi.mean(0) / np.linalg.norm(phi.mean(0))
    total, picks = np.zeros(5), []
    for _ in range(12):
        sums = total + phi
        distance = np.linalg.norm(mean - sums / np.linalg.norm(sums, axis=1, keepdims=True), axis=1)
        distance[picks] = np.inf
        picks.append(int(distance.argmin()))
        total = sums[picks[-1]]
    assert herd(torch.from_numpy(phi), 12, torch.from_numpy(mean), normalize=True).tolist() == picks


def noise(n: int, seed: int) -> Tensor:
    return torch.randint(1, 255, (n, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_prototype_memory_holds_the_herded_exemplars_best_first() -> None:
    memory = make_memory("prototype", 20)
    learner = make_learner(memory, seen=4)
    pixels, labels = noise(80, 0), torch.arange(80) % 4
    memory.update(split_of(labels, pixels=pixels), learner)
    assert memory.counts("labels", 4).tolist() == [5] * 4
    for c in range(4):
        phi = pixels[labels == c].flatten(1).double().numpy() / 255
        phi /= np.linalg.norm(phi, axis=1, keepdims=True)
        expected = torch.arange(80)[labels == c][herded_by_hand(phi, 5)]
        own = memory.columns["labels"] == c
        assert memory.columns["ids"][own].tolist() == expected.tolist()
        assert memory.columns["scores"][own].tolist() == [0, 1, 2, 3, 4]


def test_more_classes_cut_exemplars_by_rank() -> None:
    memory = make_memory("prototype", 20)
    learner = make_learner(memory, seen=2)
    memory.update(split_of(torch.arange(60) % 2, pixels=noise(60, 1)), learner)
    before = {c: memory.columns["ids"][memory.columns["labels"] == c].tolist() for c in (0, 1)}
    learner.seen = (0, 1, 2, 3)
    memory.update(split_of(2 + torch.arange(60) % 2, pixels=noise(60, 2), first=100), learner)
    assert memory.counts("labels", 4).tolist() == [5] * 4
    for c in (0, 1):
        assert memory.columns["ids"][memory.columns["labels"] == c].tolist() == before[c][:5]


def test_a_class_that_comes_again_is_herded_anew_unless_as_published() -> None:
    found = {}
    for rule in ("herding", "published"):
        memory = make_memory("prototype", 10, rule=rule)
        learner = make_learner(memory, seen=2)
        memory.update(split_of(torch.arange(40) % 2, pixels=noise(40, 3)), learner)
        first = set(memory.columns["ids"].tolist())
        memory.update(split_of(torch.arange(40) % 2, pixels=noise(40, 4), first=100), learner)
        found[rule] = bool((memory.columns["ids"] >= 100).any())
        assert memory.counts("labels", 2).tolist() == [5, 5]
        assert first
    assert found == {"herding": True, "published": False}


# -- every policy

POLICIES = [
    p
    for p in catalog.load().names("memory")
    if p in ("random", "reservoir", "class-balanced", "uncertainty", "prototype")
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capacity", [1, 7, 60])
def test_after_many_updates_the_memory_is_full_and_no_fuller(policy: str, capacity: int) -> None:
    memory = make_memory(policy, capacity)
    learner = make_learner(memory)
    generator = torch.Generator().manual_seed(0)
    entered: dict[int, int] = {}
    for task in range(5):
        learner.task, learner.step = task, 10 * task
        labels = torch.randint(0, 10, (50,), generator=generator)
        before = set(memory.columns["ids"].tolist())
        memory.update(split_of(labels, first=1000 * task), learner)
        now = memory.columns["ids"].tolist()
        assert len(memory) <= capacity
        assert len(set(now)) == len(now), "no sample twice"
        if policy != "prototype":
            assert len(memory) == min(capacity, 50 * (task + 1))
        added, evicted = memory.take_counts()
        assert added == len(set(now) - before)
        assert evicted == len(before - set(now))
        assert memory.take_counts() == (0, 0)
        assert agrees(memory)
        assert (memory.columns["tasks"] == memory.columns["ids"] // 1000).all()
        for i, step in zip(now, memory.columns["entered"].tolist(), strict=True):
            assert entered.setdefault(i, step) == step == 10 * (i // 1000), "a sample entered when it came"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_restored_memory_goes_on_like_the_saved_one(policy: str) -> None:
    memory = make_memory(policy, 20)
    learner = make_learner(memory)
    memory.update(split_of(torch.arange(50) % 10), learner)
    saved = {"memory": memory.state_dict(), "rng": learner.rng.state_dict()}
    copy = make_memory(policy, 20)
    other = make_learner(copy)
    other.model.load_state_dict(learner.model.state_dict())
    copy.load_state_dict(saved["memory"])
    other.rng.load_state_dict(saved["rng"])
    assert copy.take_counts() == (20, 0)
    more = split_of(torch.arange(60) % 10, first=100)
    for m, who in ((memory, learner), (copy, other)):
        who.task = 1
        m.update(more, who)
    for name, column in memory.columns.items():
        assert (
            torch.equal(column.nan_to_num(-1), copy.columns[name].nan_to_num(-1))
            if column.is_floating_point()
            else (torch.equal(column, copy.columns[name]))
        )


def test_no_capacity_takes_nothing() -> None:
    for policy in POLICIES:
        memory = make_memory(policy, 0)
        memory.update(split_of(torch.arange(5)), make_learner(memory))
        assert len(memory) == 0
        assert memory.bytes() == {}


def test_bytes_are_what_the_columns_take() -> None:
    memory = make_memory("random", 30, shape=(3, 4, 5))
    learner = make_learner(memory, shape=(3, 4, 5))
    memory.update(split_of(torch.arange(100) % 10, shape=(3, 4, 5)), learner)
    assert memory.bytes() == {"images": 30 * 60, "labels": 30 * 8, "ids": 30 * 8, "tasks": 30 * 8, "entered": 30 * 8}
    memory.columns = {**memory.columns, "scores": torch.zeros(30)}
    assert memory.bytes()["scores"] == 30 * 4


def test_retrieving_draws_without_replacement_and_leaves_the_memory_alone() -> None:
    memory = make_memory("random", 30)
    memory.update(split_of(torch.arange(30) % 10), make_learner(memory))
    generator = torch.Generator().manual_seed(0)
    raw, labels, rows = memory.retrieve(12, generator)
    assert len(set(rows.tolist())) == 12
    assert torch.equal(raw, memory.columns["images"][rows])
    assert torch.equal(labels, memory.columns["labels"][rows])
    assert len(memory.retrieve(100, generator)[1]) == 30
    raw.zero_()
    assert agrees(memory)


def test_ranks_within_a_class_follow_the_given_order() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0])
    order = torch.tensor([3, 4, 0, 1, 2])
    assert ranks_within_class(labels, order).tolist() == [1, 1, 2, 0, 0]


def test_filling_takes_the_chosen_first() -> None:
    chosen = torch.zeros(50, dtype=torch.bool)
    chosen[[3, 40, 7]] = True
    found = fill(chosen, 10, torch.Generator().manual_seed(0))
    assert set(found[:3].tolist()) == {3, 7, 40}
    assert len(set(found.tolist())) == 10
    assert len(fill(chosen, 1000, torch.Generator())) == 50
