"""Latent replay, CWR and AR1*: their mini-batches, their rows and what holds the network, each by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.learner.phases import Phase
from cllab.methods import _cwr
from cllab.methods import _importance as imp
from cllab.methods._latent_replay import split_sizes
from cllab.methods.base import Batch
from cllab.models.heads.consolidated import Consolidated
from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.worker import train
from tests.conftest import Record, toy
from tests.engine.sessions import watch
from tests.every.test_methods import _stopping_at
from tests.memory.stores import make_learner, make_memory, split_of

# -- mini-batches


@pytest.mark.parametrize(
    ("n", "stored", "native", "iterations", "injected", "used"),
    [
        (300, 1500, 21, 14, 107, 1498),
        (293, 1500, 20, 14, 108, 1500),
        (600, 1500, 37, 16, 91, 1456),
        (1500, 1500, 65, 23, 63, 1449),
        (300, 500, 50, 6, 78, 468),
        (300, 3000, 12, 25, 116, 2900),
    ],
)
def test_the_published_table_of_mini_batches(
    n: int, stored: int, native: int, iterations: int, injected: int, used: int
) -> None:
    assert split_sizes(n, stored, 128) == (native, iterations, injected)
    assert min(stored, iterations * injected) == used


def test_all_of_the_published_iterations() -> None:
    """96 of the first batch of 3,072 (4 epochs of 24), then 390 batches of 300 beside 1,500."""
    assert split_sizes(3072, 0, 128) == (128, 24, 0)
    assert 4 * 24 + 390 * 4 * split_sizes(300, 1500, 128)[1] == 21_936


def test_sizes_that_the_published_formula_divides_by_zero_at() -> None:
    assert split_sizes(60, 40, 128) == (60, 1, 68)
    assert split_sizes(5, 1500, 128) == (1, 5, 127)
    assert split_sizes(300, 0, 128) == (128, 2, 0), "not 150, of which the rest is passed over"


def session(method: str, /, **tables: Any) -> Session:
    made = Session(toy(method, **{"memory": {"capacity": 60}, **tables}), Record(), Control())
    made.start()
    return made


def followed(made: Session, task: int) -> list[Batch]:
    """The mixed batches that task `task` is learned with."""
    found: list[Batch] = []
    method: Any = made.method
    mixed = method.mixed

    def note(batch: Batch) -> Batch:
        found.append(mixed(batch))
        return found[-1]

    method.mixed = note
    made._task(made.stream.tasks[task])
    del method.mixed
    made.loop.begin()
    return found


@pytest.mark.parametrize("method", ["latent-replay", "ar1"])
def test_a_batch_is_part_stream_and_part_memory_under_their_labels(method: str) -> None:
    made = session(method, train={"batch_size": 32}, scenario={"stream": "offline"})
    first = followed(made, 0)
    assert {len(b.y) for b in first[:-1]} == {32}
    n, held = len(made.stream.tasks[1].train), 60
    native, iterations, injected = split_sizes(n, held, 32)
    memory = made.learner.memory
    held_by = made.learner.normalize(memory.columns["images"])
    labels = {tuple(x.flatten().tolist()): c for x, c in zip(held_by, memory.columns["labels"].tolist(), strict=True)}
    batches = followed(made, 1)
    assert [b.n_stream for b in batches] == [native] * iterations + [n - native * iterations] * (n % native > 1)
    assert all(len(b.y) - b.n_stream <= injected for b in batches)
    replayed = torch.cat([b.y[b.n_stream :] for b in batches])
    assert set(replayed.tolist()) <= {0, 1}, "the first task's classes"
    for batch in batches:
        for x, c in zip(batch.x[batch.n_stream :], batch.y[batch.n_stream :].tolist(), strict=True):
            assert labels[tuple(x.flatten().tolist())] == c


def test_every_stored_sample_comes_once_before_any_comes_again() -> None:
    made = session("latent-replay")
    method: Any = made.method
    method.inject = 7
    drawn = torch.cat([method._next(30) for _ in range(10)])  # 4 times 7 and one of 2, twice
    assert sorted(drawn[:30].tolist()) == list(range(30))
    assert sorted(drawn[30:60].tolist()) == list(range(30))
    assert drawn[:30].tolist() != drawn[30:60].tolist()


def test_the_published_code_takes_stored_samples_as_they_lie() -> None:
    made = session("latent-replay", fidelity="reference")
    method: Any = made.method
    assert (method.config.order, method.config.tail, method.config.decay) == ("stored", "dropped", "all")
    method.inject, method.rounds = 108, 14
    slices = [method._next(1500).tolist() for _ in range(28)]
    assert slices[0] == list(range(108))
    assert slices[13] == list(range(1404, 1500)), "the last is short, of 96"
    assert slices[14:] == slices[:14]


def test_the_published_code_pads_the_first_batch_in_front() -> None:
    """2,999 samples become 3,072: the first 73 come twice. Others are left as they are."""
    made = session("latent-replay", fidelity="reference", train={"batch_size": 30}, scenario={"stream": "offline"})
    method: Any = made.method
    first, second = made.stream.tasks[:2]
    n = len(first.train)
    lacking = -n % 30
    assert lacking > 0
    padded = method._padded(first, 30)
    ids = first.train.sample_ids()
    assert torch.equal(padded.sample_ids(), torch.cat([ids[:lacking], ids]))
    assert method._padded(second, 30) is second.train
    batches = followed(made, 0)
    assert {len(b.y) for b in batches} == {30}
    assert sum(len(b.y) for b in batches) == n + lacking
    assert session("latent-replay").method._padded(first, 30) is first.train  # type: ignore[attr-defined]
    assert -2999 % 128 == 73


def test_labels_stay_with_their_latents_under_shuffling() -> None:
    """Of a front that is frozen, latents are stored; each with the label of the image that it is of."""
    made = session("latent-replay", model={"layers": 2, "cut": "hidden1", "front": "frozen", "latents": "float32"})
    made.walk()
    memory, learner = made.learner.memory, made.learner
    assert memory.payload_name == "latents"
    labels = {}
    for task in made.images.tasks:
        x = learner.normalize(task.train.fetch(slice(None)))
        for latent, c in zip(learner.model.front(x), task.train.labels.tolist(), strict=True):
            labels[tuple(latent.tolist())] = c
    held = memory.columns
    assert len(held["labels"]) == 60
    for latent, c in zip(held["images"], held["labels"].tolist(), strict=True):
        assert labels[tuple(latent.float().tolist())] == c


def test_optimizers_of_the_stream() -> None:
    """The first batch at train.lr, later ones at theirs, the head faster, scales and biases free of decay."""
    made = session(
        "latent-replay",
        train={"lr": 0.04, "weight_decay": 0.3, "momentum": 0.9},
        method={"later_lr": 0.01, "head_rate": 10.0},
    )
    seen: list[Any] = []
    watch(made, lambda batch: seen.append((made.learner.task, made.learner.rate)))
    for t in range(3):
        made._task(made.stream.tasks[t])
        made.loop.begin()
    assert {rate for t, rate in seen if t == 0} == {0.04}
    assert {rate for t, rate in seen if t > 0} == {0.01}
    optim: Any = made.method._optim(2)  # type: ignore[attr-defined]
    optimizer, factors = made.loop.optimizers.get(optim)
    assert factors == [1.0, 1.0, 10.0]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.3, 0.0, 0.3]
    kernels, vectors, head = (g["params"] for g in optimizer.param_groups)
    assert {p.dim() for p in kernels} == {2}
    assert {p.dim() for p in vectors} == {1}
    assert {id(p) for p in head} == {id(p) for p in made.learner.model.head.parameters()}
    gathered = optimizer.state[kernels[0]]["momentum_buffer"]
    assert gathered.abs().max() > 0
    made._begin_task(made.stream.tasks[3])
    assert made.loop.optimizers.get(optim)[0].state[kernels[0]]["momentum_buffer"] is gathered, "batch after batch"
    renewed = session("latent-replay", method={"momentum": "renewed"}).method._optim(2)  # type: ignore[attr-defined]
    assert (optim.lives, renewed.lives) == ("run", "task")


# -- the memory


def test_every_batch_has_the_same_share_of_the_memory() -> None:
    """K / (i + 1) of every batch so far, by a chi-square over many runs."""
    capacity, n, batches, runs = 40, 100, 8, 60
    counts = np.zeros(batches)
    for seed in range(runs):
        memory = make_memory("share", capacity)
        learner = make_learner(memory, seed=seed)
        for i in range(batches):
            learner.task = i
            memory.update(split_of(torch.zeros(n, dtype=torch.long), first=i * n), learner)
            assert len(memory) == capacity
        counts += np.bincount(memory.columns["tasks"].numpy(), minlength=batches)
    # what is expected with h = floor(K / i), which is a little less for what comes last
    expected = np.zeros(batches)
    for i in range(batches):
        h = capacity // (i + 1)
        expected *= 1 - h / capacity
        expected[i] = h
    assert expected.sum() == pytest.approx(capacity)
    statistic = ((counts - runs * expected) ** 2 / (runs * expected)).sum()
    assert stats.chi2.cdf(statistic, batches - 1) < 0.999
    assert expected.max() / expected.min() < 1.4


def test_batches_beyond_the_capacity_leave_nothing() -> None:
    memory = make_memory("share", 3)
    learner = make_learner(memory)
    for i in range(6):
        learner.task = i
        memory.update(split_of(torch.zeros(5, dtype=torch.long), first=i * 5), learner)
        newest = int((memory.columns["tasks"] == i).sum())
        assert newest == (3 // (i + 1))


# -- rows


def head_of(stored: list[list[float]], past: list[float], weight: list[list[float]]) -> Consolidated:
    made = Consolidated(2, len(stored))
    made.stored.copy_(torch.tensor(stored))
    made.past.copy_(torch.tensor(past))
    with torch.no_grad():
        made.weight.copy_(torch.tensor(weight))
    return made


@pytest.mark.parametrize(("rule", "new_share"), [("paper", 1 / 6), ("published", 1 - (5 / 6) ** 30)])
def test_closed_form_of_a_row(rule: Any, new_share: float) -> None:
    """wp = 5 and a class that is 30 times in the published list: .1667 and .9958 of the new."""
    head = head_of([[0.0, 0.0]], [25.0 * 30], [[1.0, -1.0]])
    share, present = _cwr.end(head, torch.tensor([1.0]), torch.tensor([29.0]), rule)
    assert new_share == pytest.approx(0.1667 if rule == "paper" else 0.9958, abs=1e-4)
    assert head.stored[0].tolist() == pytest.approx([new_share, -new_share], rel=1e-4)
    assert share.tolist() == pytest.approx([1 - new_share], rel=1e-3)
    assert present.tolist() == [True]
    assert head.past.tolist() == [25.0 * 30 + 30], "stored ones are counted again"


def test_the_shift_is_the_mean_over_the_rows_of_the_batch_and_the_memory() -> None:
    def made() -> Consolidated:
        return head_of([[9.0, 9.0]] * 4, [0.0, 0.0, 0.0, 7.0], [[1.0, 3.0], [5.0, 7.0], [100.0, 100.0], [11.0, 13.0]])

    current, stored = torch.tensor([10.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0, 2.0])
    paper = made()
    _cwr.end(paper, current, stored)
    g = (1 + 3 + 5 + 7 + 11 + 13) / 6
    assert paper.stored[0].tolist() == pytest.approx([1 - g, 3 - g])
    assert paper.stored[1].tolist() == pytest.approx([5 - g, 7 - g])
    assert paper.stored[2].tolist() == [9.0, 9.0]
    wp = (7 / 2) ** 0.5
    assert paper.stored[3].tolist() == pytest.approx([(wp * 9 + 11 - g) / (wp + 1), (wp * 9 + 13 - g) / (wp + 1)])
    published = made()
    _cwr.end(published, current, stored, "published")
    g = (1 * (1 + 3) + 4 * (5 + 7) + 2 * (11 + 13)) / (2 * 7)
    assert published.stored[1].tolist() == pytest.approx([5 - g, 7 - g], rel=1e-4)
    kept = (wp / (wp + 1)) ** 2
    assert published.stored[3].tolist() == pytest.approx(
        [kept * 9 + (1 - kept) * (11 - g), kept * 9 + (1 - kept) * (13 - g)]
    )


def test_published_consolidation_is_the_repeated_one() -> None:
    """Against a loop over the list with one entry for every stored sample, as it runs there."""
    generator = torch.Generator().manual_seed(0)
    head = Consolidated(5, 4)
    head.stored.copy_(torch.randn(4, 5, generator=generator))
    head.past.copy_(torch.tensor([40.0, 90.0, 0.0, 3.0]))
    current, stored = torch.tensor([0.0, 12.0, 6.0, 0.0]), torch.tensor([8.0, 3.0, 0.0, 0.0])
    rows, kept = head.weight.detach().clone(), head.stored.clone()
    names = [0] * 8 + [1] * 3 + [1, 2]
    g = rows[names].mean()
    known = head.known.clone()
    for c in names:
        wp = (head.past[c] / (current[c] + stored[c])).sqrt()
        kept[c] = (wp * kept[c] + rows[c] - g) / (wp + 1) if known[c] else rows[c] - g
    _cwr.end(head, current, stored, "published")
    assert torch.allclose(head.stored, kept, atol=1e-5)


def test_cwr_star_learns_rows_alone_after_the_first_batch() -> None:
    made = session("cwr", model={"norm": True})
    made._task(made.stream.tasks[0])
    made.loop.begin()
    model = made.learner.model
    before = {n: v.clone() for n, v in model.state_dict().items() if not n.startswith("head")}
    head: Any = model.head
    first = head.stored.clone()
    assert head.known.tolist() == [True] * 2 + [False] * 8
    assert (model.n_classes, head.past[:2].sum().item()) == (10, len(made.stream.tasks[0].train))
    assert first[:2].mean().abs() < 1e-6, "shifted"
    made._task(made.stream.tasks[1])
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), f"{name}: weights and statistics stand still"
    assert torch.equal(head.stored[:2], first[:2]), "classes that did not come keep their rows"
    assert head.known.tolist() == [True] * 4 + [False] * 6


def test_variants_of_cwr_on_a_class_that_comes_again() -> None:
    """CWR+ replaces; CWR takes the mean of n batches and begins each with the same random rows."""
    found: dict[str, Any] = {}
    for variant in ("cwr*", "cwr+", "cwr"):
        made = session("cwr", method={"variant": variant, "backbone": "frozen", "first_scale": 3.0})
        method, task = made.method, made.stream.tasks[0]
        trained, begun = [], []
        for i in range(3):
            made.learner.task = i
            method._begin(Task(i, task))  # type: ignore[attr-defined]
            head: Any = made.learner.model.head
            begun.append(head.weight.detach().clone())
            with torch.no_grad():
                head.weight.add_(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(i)))
            trained.append(head.weight.detach().clone())
            made.learner.step += 1
            method._consolidate()  # type: ignore[attr-defined]
        found[variant] = head.stored[:2], trained, begun
    stored, trained, begun = found["cwr+"]
    assert torch.allclose(stored, trained[2][:2] - trained[2][:2].mean(), atol=1e-6)
    assert all((b == 0).all() for b in begun)
    stored, trained, begun = found["cwr"]
    mean = 3 * trained[0][:2]
    for n in (1, 2):
        mean = (n * mean + trained[n][:2]) / (n + 1)
    assert torch.allclose(stored, mean, atol=1e-5)
    assert torch.equal(begun[0], begun[1])
    assert begun[0].std() > 0
    stored, trained, begun = found["cwr*"]
    row = trained[0][:2] - trained[0][:2].mean()
    assert torch.allclose(begun[1][:2], row, atol=1e-6), "it begins where it was"
    for n in (1, 2):
        wp = n**0.5
        row = (wp * row + trained[n][:2] - trained[n][:2].mean()) / (wp + 1)
    assert torch.allclose(stored, row, atol=1e-5)


class Task:
    """The same samples as task `index`."""

    def __init__(self, index: int, of: Any) -> None:
        self.index, self.train = index, of.train


def test_what_would_lose_the_rows_is_refused() -> None:
    for method in ("cwr", "ar1"):
        with pytest.raises(UsageError, match=r"train\.head = 'reset' would draw the consolidated rows anew"):
            session(method, train={"head": "reset"})


def test_shares_of_past_and_new_are_traced() -> None:
    made = session("ar1")
    made.loop.control.trace_each = 1
    made.loop.control.trace_steps = 0
    made._task(made.stream.tasks[0])
    made.loop.begin()
    traced: dict[str, Tensor] = {}
    made.learner.tracing = True
    made.learner.trace = lambda **values: traced.update(values)  # type: ignore[method-assign, assignment]
    batch = next(iter(made.learner.batches(made.stream.tasks[1].train, purpose="look", batch_size=8)))
    made.method.loss(batch)
    assert traced["rows consolidated"].tolist() == [1.0] * 2 + [0.0] * 8
    assert traced["share of the past"].tolist() == [0.0] * 10


def test_a_base_stage_in_the_place_of_the_first_batch_is_consolidated() -> None:
    for method in ("cwr", "ar1"):
        made = session(method, base={"on": "first-task", "epochs": 3, "batch_size": 16})
        made.walk()
        row = made.scores.rows[0][0]
        assert row is not None
        assert row > 0.8, "what the base stage has learned answers"


def test_ar1_zeroes_rows_of_classes_that_were_never_seen_where_asked() -> None:
    for unseen, zero in (("trained", False), ("zero", True)):
        made = session("ar1", method={"unseen": unseen})
        made._task(made.stream.tasks[0])
        assert bool((made.learner.model.head.rows[2:] == 0).all()) is zero


# -- what holds the network


def test_damping_stands_still_where_it_is_saturated() -> None:
    """F = sum d^2 / ((sum d)^2 + 1e-7), clipped; the step with its decay is multiplied by 1 - F / F_max."""
    made = session(
        "ar1",
        memory={"capacity": 0},
        method={"hold": "damping", "clip": 0.5, "gather": 0.05},
        train={"momentum": 0.0, "weight_decay": 0.1, "lr": 0.02},
    )
    method: Any = made.method
    kernels = method._trunk(vectors=False)
    steps: list[list[Tensor]] = []
    backward = method.after_backward
    last = [p.detach().clone() for p in kernels]

    def note(batch: Batch) -> None:
        nonlocal last
        now = [p.detach().clone() for p in kernels]
        steps.append([b - a for a, b in zip(last, now, strict=True)])
        last = now
        backward(batch)

    method.after_backward = note
    made._task(made.stream.tasks[0])
    steps.append([p.detach() - a for a, p in zip(last, kernels, strict=True)])
    made.loop.begin()
    hand = []
    for i in range(len(kernels)):
        d = torch.stack([s[i] for s in steps[1:]]).double()
        hand.append((0.05 * (d**2).sum(0) / (d.sum(0) ** 2 + 1e-7)).clamp(max=0.5))
    for mine, want in zip(method.importance, hand, strict=True):
        assert torch.allclose(mine.double(), want, rtol=2e-2, atol=1e-5)
        assert 0 < (mine == 0.5).float().mean() < 1, "some are saturated"
    # one step by hand
    del method.after_backward
    frozen = [f.clone() for f in method.importance]
    method.importance = frozen
    was = [p.detach().clone() for p in kernels]
    for p in kernels:
        p.grad = torch.ones_like(p)
    made.learner.rate = 0.02
    batch = next(iter(made.learner.batches(made.stream.tasks[1].train, purpose="look", batch_size=8)))
    method.after_backward(batch)
    for p, w, f in zip(kernels, was, frozen, strict=True):
        assert p.grad is not None
        assert torch.allclose(p.grad, (1 + 0.1 * w) * (1 - f / 0.5), atol=1e-6)
        p.grad = None
    assert method._optim(1).groups[0].decay == 0.0, "the optimizer does not decay them once more"


def test_free_holds_nothing_and_the_penalty_holds_kernels_alone() -> None:
    for hold in ("free", "penalty"):
        made = session("ar1", method={"hold": hold, "strength": 2.0})
        record: Any = made.emit
        for t in range(2):
            made._task(made.stream.tasks[t])
            made.loop.begin()
        terms = {name for e in record.of(ev.StepEnded) if e.task == 1 for name in e.losses}
        assert ("penalty" in terms) is (hold == "penalty")
        method: Any = made.method
        assert bool(method.importance) is (hold == "penalty")
        assert all(v.dim() == 2 and v.max() <= 1e-3 for v in method.importance)


# -- SI


def test_si_on_a_quadratic() -> None:
    """Plain descent of sum a (x - 1)^2 / 2 in small steps: the path integral is the loss that was saved."""
    from cllab.methods import _path

    a, rate = torch.tensor([1.0, 4.0, 0.0]), 1e-3
    x = torch.zeros(3)
    start, path = [x.clone()], [torch.zeros(3)]
    for _ in range(500):
        g, before = a * (x - 1), x.clone()
        x = x - rate * g
        _path.follow(path, [g], [before], [x])
    saved = a / 2 - a * (x - 1) ** 2 / 2
    assert torch.allclose(path[0], saved, rtol=3e-3)
    (omega,) = _path.consolidated([], path, start, [x], 0.1, 0.0)  # type: ignore[list-item]
    assert torch.allclose(omega, saved / (x**2 + 0.1), rtol=3e-3)
    (again,) = _path.consolidated([omega], [torch.tensor([-5.0, 1.0, 0.0])], [x - 1], [x], 1.0, 0.0)  # type: ignore[list-item]
    assert torch.allclose(again, omega + torch.tensor([0.0, 0.5, 0.0])), "what went uphill counts as nothing"
    (clipped,) = _path.consolidated([omega], path, start, [x], 0.1, 0.2)  # type: ignore[list-item]
    assert clipped.max() == pytest.approx(0.2)


def test_si_follows_the_loss_without_the_penalty_and_holds_where_it_arrived() -> None:
    made = session(
        "si", memory={"capacity": 0}, method={"strength": 3.0, "xi": 0.01, "step": "explicit"}, train={"momentum": 0.0}
    )
    method: Any = made.method
    made._task(made.stream.tasks[0])
    made.loop.begin()
    made._begin_task(made.stream.tasks[1])
    params = imp.trunk(made.learner.model)
    anchors, omega = [a.clone() for a in method.anchors], [w.clone() for w in method.importance]
    assert all(torch.equal(a, p) for a, p in zip(anchors, params, strict=True))
    path = [torch.zeros_like(p) for p in params]
    held: list[tuple[list[Tensor], list[Tensor]]] = []
    backward, after = method.after_backward, method.after_step

    def before_step(batch: Batch) -> None:
        pull = [2 * 3.0 * w * (p.detach() - a) for p, w, a in zip(params, omega, anchors, strict=True)]
        held.append(([p.grad - q for p, q in zip(params, pull, strict=True)], [p.detach().clone() for p in params]))
        backward(batch)

    def behind_step(batch: Batch) -> None:
        slopes, was = held[-1]
        for o, g, p, w in zip(path, slopes, params, was, strict=True):
            o -= g * (p.detach() - w)
        after(batch)

    method.after_backward, method.after_step = before_step, behind_step
    method._set_out()
    start = [p.detach().clone() for p in params]
    made.loop.fit(Phase("stream", made.stream.tasks[1].train))
    assert len(held) > 3
    for mine, hand in zip(method.path, path, strict=True):
        assert torch.allclose(mine, hand, rtol=1e-3, atol=1e-7)
    method._arrive()
    for new, old, o, p, s in zip(method.importance, omega, path, params, start, strict=True):
        assert torch.allclose(new, old + o.clamp(min=0) / ((p.detach() - s) ** 2 + 0.01), rtol=1e-3, atol=1e-6)
    batch = next(iter(made.learner.batches(made.stream.tasks[1].train, purpose="look", batch_size=8)))
    with torch.no_grad():
        for p in params:
            p.add_(0.1)
    terms = method.loss(batch)
    want = 3.0 * sum(float(w.sum()) * 0.01 for w in method.importance)
    assert terms["penalty"].item() == pytest.approx(want, rel=1e-3)


# -- a process that is killed


FRONT = {"layers": 2, "norm": True, "cut": "hidden1", "front": "frozen"}


@pytest.mark.parametrize(
    ("method", "model", "hold"),
    [
        ("latent-replay", {"renorm": True}, ""),
        ("ar1", FRONT, "damping"),
        ("ar1", {"renorm": True, "renorm_later": 0.01}, "penalty"),
        ("cwr", FRONT, ""),
    ],
    ids=["latent-replay", "ar1 on latents", "ar1 renormalized", "cwr on latents"],
)
def test_killed_anywhere_with_a_full_memory_it_ends_with_the_same_numbers(
    method: str, model: dict[str, Any], hold: str, store: RunStore
) -> None:
    own: dict[str, Any] = {} if method == "cwr" else {"head_rate": 5.0}
    if hold:
        own["hold"] = hold
    tables = {"memory": {"capacity": 60}, "method": {"later_lr": 0.02, **own}, "model": model}
    config = toy(method, scenario={"stream": "offline"}, **{**tables, "train": {"epochs": 2, "momentum": 0.9}})
    whole, torn = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    total = whole.result()["steps"]  # type: ignore[index]
    for i, share in enumerate((0.1, 0.45, 0.7, 0.95)):
        with _stopping_at(max(1, int(total * share))):
            train(torn, resume=i > 0, signals=False)
    assert train(torn, resume=True, signals=False) == 0
    a, b = whole.result(), torn.result()
    assert a is not None
    assert b is not None
    assert (a["accuracy_matrix"], a["memory"], a["steps"]) == (b["accuracy_matrix"], b["memory"], b["steps"])
