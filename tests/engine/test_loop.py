"""Facts of the one training loop: how many batches, what lies in them, and what it says when a loss is not a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from cllab.engine import batches as batches_module
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import TrainingError, UsageError
from cllab.learner.batch import Batch
from cllab.learner.phases import Optim, Phase
from cllab.record import events as ev
from cllab.record.runs import RunStore
from tests.conftest import Record, toy
from tests.engine.sessions import begin, begun, everything, learned, rehearse, walked

MEMORY_500: dict[str, Any] = {
    "dataset": {"per_class": 100},
    "memory": {"name": "random", "capacity": 500},
    "train": {"batch_size": 16, "memory_epochs": 1},
}


def filled(method: str, /, **tables: Any) -> Session:
    session = begun(method, **{**MEMORY_500, **tables})
    session.learner.memory.update(everything(session, 500), session.learner)
    assert len(session.learner.memory) == 500
    return session


# -- how many steps


@pytest.mark.parametrize("method", ["finetune", "ewc", "gdumb"])
def test_an_epoch_over_500_exemplars_has_31_batches_of_16(method: str) -> None:
    session = filled(method)
    batches = learned(session, lambda: rehearse(session))
    assert [len(b.y) for b in batches] == [16] * 31


def test_published_rm_has_63_batches_of_8_the_last_of_4() -> None:
    session = filled("rm", method={"memory_batch": "half"})
    batches = learned(session, lambda: rehearse(session))
    assert [len(b.y) for b in batches] == [8] * 62 + [4]


def test_rm_by_default_takes_whole_batches_and_keeps_the_last() -> None:
    session = filled("rm")
    batches = learned(session, lambda: rehearse(session))
    assert [len(b.y) for b in batches] == [16] * 31 + [4]


def test_a_last_batch_of_one_is_left_out_even_where_last_batches_are_kept() -> None:
    session = begun()
    for n, sizes in ((33, [16, 16]), (34, [16, 16, 2]), (1, [1]), (5, [5])):
        if n == 1:
            session.learner.model.eval()
        batches = learned(
            session,
            lambda n=n: session.loop.fit(
                Phase(
                    "other",  # type: ignore[misc]
                    everything(session, n),
                    drop_last=False,
                    train_mode=n > 1,
                )
            ),
        )
        assert [len(b.y) for b in batches[-len(sizes) :]] == sizes
        assert session.loop.steps_per_epoch(n, "none", 16, 0, drop_last=False) == len(sizes)


METHODS = ["finetune", "joint", "gdumb", "ewc", "rwalk", "icarl", "bic", "rm", "er"]


@pytest.mark.parametrize("capacity", [60, 150])
@pytest.mark.parametrize("method", METHODS)
def test_planned_steps_are_the_steps_taken(method: str, capacity: int) -> None:
    session, record = walked(
        method,
        memory={"capacity": capacity},
        train={"memory_epochs": 2},
        scenario={"tasks": 3},
        dataset={"per_class": 30},
        method={"strength": 1.0} if method == "ewc" else {},
    )
    (started,) = record.of(ev.RunStarted)
    taken = [0] * 3
    for event in record.of(ev.StepEnded):
        taken[event.task] = event.step
    assert taken[-1] == session.learner.step
    planned = [sum(started.steps[: i + 1]) for i in range(3)]
    # herding keeps capacity // classes of each class, BiC trains without what it holds out: a few less than planned
    slack = {"icarl": 0.05, "bic": 0.2}.get(method, 0.0)
    assert taken == pytest.approx(planned, rel=slack, abs=0)


# -- what lies in a batch


def test_half_and_half_batches_are_stream_first_then_memory() -> None:
    session = filled("rm")
    stored = set(session.learner.memory.columns["ids"].tolist())
    stream = everything(session, 1000).subset(torch.arange(700, 1000))
    batches = learned(session, lambda: session.loop.fit(Phase("stream", stream, replay="half")))
    assert len(batches) == 300 // 8
    fresh = set(stream.sample_ids().tolist())
    assert not fresh & stored
    for batch in batches:
        assert batch.replay is not None
        assert (len(batch.stream), len(batch.replay)) == (8, 8)
        assert set(batch.stream.ids.tolist()) == set(batch.ids[:8].tolist()) <= fresh
        assert set(batch.replay.ids.tolist()) == set(batch.ids[8:].tolist()) <= stored
        assert torch.equal(torch.cat([batch.stream.y, batch.replay.y]), batch.y)
        assert torch.equal(torch.cat([batch.stream.x, batch.replay.x]), batch.x)
        assert [v.tolist() for v in batch.parts(batch.ids)] == [batch.ids[:8].tolist(), batch.ids[8:].tolist()]
    read = [i for b in batches for i in b.ids[:8].tolist()]
    assert len(read) == len(set(read)) == 296, "each stream sample once"
    drawn = [i for b in batches for i in b.ids[8:].tolist()]
    assert len(drawn) == len(set(drawn)) == 296, "the memory is gone through before it begins again"
    assert session.loop.samples == 296


def test_a_small_memory_is_gone_through_evenly() -> None:
    session = begun("rm", memory={"capacity": 20, "name": "random"})
    session.learner.memory.update(everything(session, 20), session.learner)
    batches = learned(session, lambda: session.loop.fit(Phase("stream", everything(session, 120), replay="half")))
    drawn = torch.cat([b.ids[b.n_stream :] for b in batches])
    counts = torch.bincount(drawn)[torch.unique(drawn)]
    assert len(drawn) == 15 * 8
    assert counts.tolist() == [6] * 20


@pytest.mark.parametrize("n", [3, 8, 9])
def test_a_stream_shorter_than_its_half_still_makes_a_batch(n: int) -> None:
    session = filled("rm")
    stream = everything(session, 1000).subset(torch.arange(600, 600 + n))
    batches = learned(session, lambda: session.loop.fit(Phase("stream", stream, replay="half")))
    assert [(b.n_stream, len(b.y)) for b in batches] == [(min(n, 8), min(n, 8) + 8)]


def test_single_sample_batches_have_no_room_for_the_memory() -> None:
    session = begun("rm", model={"norm": False}, train={"batch_size": 1}, memory={"capacity": 20, "name": "random"})
    session.learner.memory.update(everything(session, 20), session.learner)
    batches = learned(session, lambda: session.loop.fit(Phase("stream", everything(session, 10), replay="half")))
    assert [(b.n_stream, len(b.y)) for b in batches] == [(1, 1)] * 10


def test_a_shuffled_set_counts_only_its_stream_samples_and_puts_them_first() -> None:
    session = filled("finetune")
    stream = everything(session, 1000).subset(torch.arange(700, 1000))
    fresh = set(stream.sample_ids().tolist())
    batches = learned(session, lambda: session.loop.fit(Phase("stream", stream, replay="concat")))
    assert len(batches) == 800 // 16
    for batch in batches:
        ids = batch.ids.tolist()
        assert [i in fresh for i in ids] == [True] * batch.n_stream + [False] * (16 - batch.n_stream)
    assert session.loop.samples == sum(b.n_stream for b in batches) == 300
    shares = [b.n_stream for b in batches]
    assert min(shares) < 6 < max(shares), "batches are mixed at random, 6 of 16 on average"


def test_labels_raw_images_and_identities_belong_together() -> None:
    session = filled("finetune")
    whole = everything(session, 1000)
    row = {int(i): k for k, i in enumerate(whole.sample_ids())}
    stream = whole.subset(torch.arange(700, 1000))
    for batch in learned(session, lambda: session.loop.fit(Phase("stream", stream, replay="concat"))):
        rows = torch.tensor([row[int(i)] for i in batch.ids])
        assert torch.equal(batch.y, whole.labels[rows])
        assert torch.equal(batch.raw, whole.fetch(rows))
        assert torch.allclose(batch.x, session.learner.normalize(batch.raw))


def test_chunks_do_not_change_what_is_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for floats in (1, 36 * 16 * 3, 1 << 22):
        monkeypatch.setitem(batches_module.CHUNK_FLOATS, "cpu", floats)
        session = filled("rm")
        stream = everything(session, 1000).subset(torch.arange(500, 1000))
        batches = learned(session, lambda: session.loop.fit(Phase("stream", stream, replay="half", epochs=2)))  # noqa: B023
        found.append([b.ids.tolist() for b in batches])
        assert len(batches) == 2 * 62
    assert found[0] == found[1] == found[2]
    assert found[0][:62] != found[0][62:], "every epoch has an order of its own"


def test_looking_at_data_does_not_change_the_order_of_training() -> None:
    def order(looks: int) -> list[list[int]]:
        session = begun()
        for _ in range(looks):
            list(session.learner.batches(everything(session, 100), purpose="fisher", augment=True))
        batches = learned(session, lambda: session.loop.fit(Phase("stream", everything(session, 200))))
        return [b.ids.tolist() for b in batches]

    assert order(looks=0) == order(looks=2)


def test_batches_to_look_at_hold_every_sample_once() -> None:
    session = begun()
    seen = list(session.learner.batches(everything(session, 100), purpose="means", batch_size=32))
    assert [len(b.y) for b in seen] == [32, 32, 32, 4]
    assert sorted(torch.cat([b.ids for b in seen]).tolist()) == sorted(everything(session, 100).sample_ids().tolist())


# -- cutmix


def mixed_batches(monkeypatch: pytest.MonkeyPatch, n: int, **tables: Any) -> list[Batch]:
    session = begun("finetune", train={"augment": ["cutmix"], "batch_size": 16}, **tables)
    # every image gets one gray level of its own: what is pasted can be read off the pixels
    split = everything(session, n)
    from cllab.data.base import Split, TensorImages

    levels = torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(n, 1, 6, 6).contiguous()
    split = Split(TensorImages(levels), torch.arange(n), split.labels)
    return learned(session, lambda: session.loop.fit(Phase("stream", split, drop_last=False, epochs=4)))


def test_cutmix_labels_and_shares_tell_what_is_in_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = mixed_batches(monkeypatch, 200)
    assert [len(b.y) for b in batches[:13]] == [16] * 12 + [8], "the short last batch is mixed too"
    touched = 0
    info = begun().learner.input
    for batch in batches:
        assert batch.y_mix is not None
        assert batch.share is not None
        levels = (batch.x * info.std[0] + info.mean[0]) * 255
        own = (levels.round().long() == batch.ids.view(-1, 1, 1, 1)).float().mean(dim=(1, 2, 3))
        share = float(batch.share)
        partner = {int(i): int(y) for i, y in zip(batch.ids, batch.y, strict=True)}
        for k in range(len(batch.y)):
            foreign = levels[k].round().long()
            foreign = foreign[foreign != batch.ids[k]]
            if len(foreign):
                assert own[k].item() == pytest.approx(share, abs=1e-6)
                assert partner[int(foreign[0])] == int(batch.y_mix[k])
                touched += 1
        if share == 1.0:
            assert bool((own == 1).all())
    assert touched > 50
    plain = [float(b.share) == 1.0 for b in batches if b.share is not None]
    assert 0.25 < sum(plain) / len(plain) < 0.85, "about half of the batches are mixed"


def test_loss_of_a_mixed_batch_weighs_both_labels() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    y, other = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    empty = torch.zeros(4, 1, 1, 1)
    batch = Batch(empty, y, empty.byte(), y, 4, y_mix=other, share=torch.tensor(0.7))
    expected = 0.7 * F.cross_entropy(logits, y) + 0.3 * F.cross_entropy(logits, other)
    assert batch.cross_entropy(logits).item() == pytest.approx(expected.item(), rel=1e-6)


def test_cutmix_stays_out_where_a_phase_says_so() -> None:
    session = begun("finetune", train={"augment": ["cutmix"]})
    batches = learned(session, lambda: session.loop.fit(Phase("stream", everything(session, 64), cutmix=False)))
    assert all(b.y_mix is None and b.share is None for b in batches)


# -- the journal


def test_phases_and_pieces_of_work_cannot_be_nested() -> None:
    session = begun()
    with pytest.raises(RuntimeError, match="inside one another"):
        session.loop.do(lambda: session.loop.do(lambda: None))
    session = begun()
    with pytest.raises(RuntimeError, match="inside one another"):
        session.loop.do(lambda: session.loop.fit(Phase("stream", everything(session, 32))))
    session = begun()
    session.method.after_step = lambda batch: session.loop.do(lambda: None)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="inside one another"):
        session.loop.fit(Phase("stream", everything(session, 32)))


def test_what_was_done_is_skipped() -> None:
    session = begun()
    done: list[str] = []
    session.loop.begin(done=2)
    for name in ("one", "two", "three"):
        session.loop.do(lambda name=name: done.append(name))  # type: ignore[misc]
    assert done == ["three"]
    session.loop.begin(done=1)
    before = session.learner.step
    session.loop.fit(Phase("stream", everything(session, 64)))
    assert session.learner.step == before, "the phase is done already"
    session.loop.fit(Phase("memory", everything(session, 64), epochs=1))
    assert session.learner.step == before + 4


def test_momentum_lives_through_the_phases_of_a_task_and_dies_with_it() -> None:
    session = begun(train={"memory_epochs": 1}, memory={"capacity": 50})
    optimizers = []
    session.loop.fit(Phase("stream", everything(session, 64)))
    optimizers.append(session.loop.optimizers.get(Optim())[0])
    session.loop.fit(Phase("memory", everything(session, 64)))
    optimizers.append(session.loop.optimizers.get(Optim())[0])
    assert optimizers[0] is optimizers[1]
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[1]))
    begin(session)
    assert session.loop.optimizers.get(Optim())[0] is not optimizers[0]


def test_rates_of_stream_and_memory_phase() -> None:
    session, record = walked(
        "finetune",
        memory={"capacity": 40},
        train={"lr": 0.1, "memory_epochs": 5, "schedule": "cos", "warmup_scale": 0.1, "stream_lr_scale": 0.5},
        scenario={"tasks": 2},
    )
    rates = {(e.phase, e.epoch): round(e.lr, 5) for e in record.of(ev.StepEnded)}
    assert rates[("stream", 0)] == 0.05
    assert [rates[("memory", e)] for e in range(5)] == [0.01, 0.1, 0.1, 0.0505, 0.1]
    assert session.learner.step == sum(record.of(ev.RunStarted)[0].steps)


def test_offline_epochs_follow_the_schedule() -> None:
    _, record = walked(
        "finetune",
        scenario={"tasks": 2, "stream": "offline"},
        train={"lr": 0.1, "epochs": 4, "schedule": "cos", "warmup_scale": 0.1, "stream_lr_scale": 0.5},
    )
    rates = {e.epoch: round(e.lr, 5) for e in record.of(ev.StepEnded)}
    assert [rates[e] for e in range(4)] == [0.01, 0.1, 0.1, 0.0505]


# -- losses


def test_recorded_losses_are_means_over_the_steps_since_the_last_record() -> None:
    session = begun("finetune")
    values: list[float] = []
    original = session.method.loss

    def loss(batch: Batch) -> dict[str, Any]:
        terms = original(batch)
        values.append(float(terms["cross-entropy"].detach()))
        return terms

    session.method.loss = loss  # type: ignore[method-assign]
    record = session.emit
    assert isinstance(record, Record)
    session.loop.fit(Phase("memory", everything(session, 1000), epochs=8))
    events = record.of(ev.StepEnded)
    last = 0
    for event in events:
        assert event.losses["cross-entropy"] == pytest.approx(
            sum(values[last : event.step]) / (event.step - last), rel=1e-5
        )
        last = event.step
    assert last == len(values) == 8 * 62
    assert 100 < len(events) < 300, "progress is reported about two hundred times a phase"
    for epoch in record.of(ev.EpochEnded):
        part = values[62 * epoch.epoch : 62 * (epoch.epoch + 1)]
        assert epoch.losses["cross-entropy"] == pytest.approx(sum(part) / 62, rel=1e-5)


@pytest.mark.parametrize("bad_step", [1, 7, 23, 62])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_phase_and_names_term_task_and_step(bad_step: int, value: float) -> None:
    session = begun("finetune")
    session.learner.task = 3
    original = session.method.loss
    calls = 0

    def loss(batch: Batch) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        terms = original(batch)
        terms["extra"] = terms["cross-entropy"] * 0 + (value if calls == bad_step else 0.0)
        return terms

    session.method.loss = loss  # type: ignore[method-assign]
    with pytest.raises(TrainingError) as caught:
        session.loop.fit(Phase("memory", everything(session, 1000), epochs=20))
    message = str(caught.value)
    assert message.startswith(f"loss term 'extra' is not finite at task 4, step {bad_step};") or (
        # a weight that is not a number spoils every term of the next step: the first term is named then
        f"is not finite at task 4, step {bad_step};" in message
    )
    assert "train.lr" in message
    assert calls <= bad_step + 50


def visiting(session: Session, when: Callable[[int], dict[str, float]]) -> list[dict[str, float]]:
    """Let terms come and go: `when(step)` says which there are beside the method's. Returns what every step had."""
    original, rows = session.method.loss, []

    def loss(batch: Batch) -> dict[str, Any]:
        terms = original(batch)
        own = terms["cross-entropy"]
        found = {name: own.detach() * 0 + value for name, value in when(session.learner.step).items()}
        # a visitor may stand before the others
        terms = {**found, **terms} if session.learner.step % 2 else {**terms, **found}
        rows.append({name: float(t.detach()) for name, t in terms.items()})
        return terms

    session.method.loss = loss  # type: ignore[method-assign]
    return rows


def mean_by_name(rows: list[dict[str, float]]) -> dict[str, float]:
    names = {name for row in rows for name in row}
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def test_a_term_that_comes_and_goes_is_averaged_over_the_steps_in_which_it_occurred() -> None:
    session = begun("finetune")

    def when(step: int) -> dict[str, float]:
        return {**({"third": step + 0.5} if step % 3 == 0 else {}), **({"late": 7.0} if step > 70 else {})}

    rows = visiting(session, when)
    record = session.emit
    assert isinstance(record, Record)
    session.loop.fit(Phase("memory", everything(session, 1000), epochs=16))
    last = 0
    for event in record.of(ev.StepEnded):
        expected = mean_by_name(rows[last : event.step])
        assert event.losses == pytest.approx(expected, rel=1e-5)
        last = event.step
    assert last == len(rows) == 16 * 62
    epochs = record.of(ev.EpochEnded)
    for epoch in epochs:
        assert epoch.losses == pytest.approx(mean_by_name(rows[62 * epoch.epoch : 62 * (epoch.epoch + 1)]), rel=1e-5)
    assert "late" not in epochs[0].losses
    assert epochs[5].losses["late"] == 7.0


@pytest.mark.parametrize("bad_step", [65, 80, 93])
def test_a_late_term_that_is_not_finite_is_found_under_its_name(bad_step: int) -> None:
    session = begun("finetune")
    session.learner.task = 1

    def when(step: int) -> dict[str, float]:
        late = {"late": float("nan") if step == bad_step - 1 else 1.0} if step >= 64 else {}
        return {"early": 2.0, **late} if step < 90 else late

    visiting(session, when)
    with pytest.raises(TrainingError) as caught:
        session.loop.fit(Phase("memory", everything(session, 1000), epochs=16))
    found = [name for name in ("late", "cross-entropy") if f"loss term '{name}' is not finite" in str(caught.value)]
    # the sum is not a number either, and with it all weights: only the step itself says where it began
    assert found == ["late"]
    assert f"at task 2, step {bad_step};" in str(caught.value)


@pytest.mark.parametrize("stop_at", [5, 13, 30])
def test_a_run_resumes_inside_an_epoch_with_terms_that_come_and_go(
    stop_at: int, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cllab.methods.finetune import Finetune
    from cllab.worker import train

    original = Finetune.loss

    def loss(self: Finetune, batch: Batch) -> dict[str, Any]:
        terms, step = original(self, batch), self.learner.step
        if step % 3 == 1:
            terms = {"guest": terms["cross-entropy"].detach() * 0.25, **terms}
        return {**terms, "late": terms["cross-entropy"].detach() * 0.5} if step > 20 else terms

    monkeypatch.setattr(Finetune, "loss", loss)
    tables: dict[str, Any] = {"scenario": {"tasks": 2}, "memory": {"capacity": 100}, "train": {"memory_epochs": 40}}
    whole, torn = store.create(toy(**tables)), store.create(toy(**tables))
    assert train(whole, signals=False) == 0
    steps = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        steps(session, phase)
        if session.learner.step == 31 + stop_at:  # inside the memory phase, whose records lie some steps apart
            session.save()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Session, "on_step", on_step)
        train(torn, signals=False)
    assert train(torn, resume=True, signals=False) == 0
    kinds = (ev.StepEnded, ev.EpochEnded)
    losses = [[e.losses for e in run.events() if isinstance(e, kinds)] for run in (whole, torn)]
    assert losses[0] == losses[1]
    assert any("guest" in found for found in losses[0])
    assert whole.result()["accuracy_matrix"] == torn.result()["accuracy_matrix"]


def test_nothing_is_logged_in_place_of_a_term_that_is_not_there() -> None:
    _, record = walked("er", method={"weighting": "halves"}, memory={"capacity": 40}, train={"memory_epochs": 0})
    first = record.of(ev.StepEnded)[0]
    assert set(first.losses) == {"cross-entropy"}, "nothing is stored before the first batch"
    assert min(e.losses["replay"] for e in record.of(ev.StepEnded)[1:]) > 0
    _, record = walked("ewc", method={"strength": 3.0})
    for event in record.of(ev.StepEnded):
        assert set(event.losses) == {"cross-entropy", *(["penalty"] if event.task else [])}


def test_traces_are_published_for_as_many_steps_as_asked() -> None:
    record = Record()
    control = Control()
    session = Session(toy("finetune", scenario={"tasks": 2}), record, control)
    original = session.method.loss

    def loss(batch: Batch) -> dict[str, Any]:
        session.learner.trace(batch=len(batch.y), table=torch.zeros(3))
        return original(batch)

    session.method.loss = loss  # type: ignore[method-assign]
    session.start()
    control.trace_steps = 3
    session.walk()
    traces = record.of(ev.Traced)
    assert [t.step for t in traces] == [1, 2, 3]
    assert all(t.scalars == {"batch": 16.0} for t in traces)
    assert session.learner.traces == {}


OFFLINE: dict[str, Any] = {"scenario": {"tasks": 2, "stream": "offline"}, "dataset": {"per_class": 20}}


@pytest.mark.parametrize("method", ["finetune", "icarl", "rm", "joint", "lwf"])
def test_steps_in_place_of_epochs(method: str) -> None:
    """100 samples of a task make 6 batches of 16: 15 steps are two passes and a half, and the memory adds batches."""
    session, record = walked(method, **OFFLINE, train={"batch_size": 16, "steps": 15, "memory_epochs": 0})
    phases = [e for e in record.of(ev.PhaseStarted) if e.phase == "stream"]
    assert [e.steps for e in phases] == [15, 15]
    assert session.learner.step == 30
    (started,) = record.of(ev.RunStarted)
    assert started.steps == (15, 15)
    ended = [e for e in record.of(ev.EpochEnded) if e.task == 0]
    assert [(e.epoch, e.epochs) for e in ended] == [(i, len(ended)) for i in range(len(ended))]
    last = [e for e in record.of(ev.StepEnded) if e.phase == "stream"][-1]
    assert (last.phase_step, last.phase_steps) == (15, 15)


def test_whole_epochs_counted_in_steps_are_those_epochs() -> None:
    by_steps, _ = walked("er", **OFFLINE, train={"batch_size": 16, "steps": 18, "memory_epochs": 0})
    by_epochs, _ = walked("er", **OFFLINE, train={"batch_size": 16, "epochs": 3, "memory_epochs": 0})
    for a, b in zip(by_steps.learner.model.parameters(), by_epochs.learner.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"scenario": {"stream": "online"}}, "an online stream is read once"),
        ({"train": {"epochs": 3}}, "only one can be given"),
        ({"method": {"name": "gdumb"}, "memory": {"capacity": 10}}, "learns from its memory"),
    ],
)
def test_steps_that_cannot_be(tables: dict[str, Any], says: str) -> None:
    data = {**OFFLINE, **{k: {**OFFLINE.get(k, {}), **v} for k, v in tables.items()}}
    train = {"steps": 15, "memory_epochs": 0, **data.pop("train", {})}
    with pytest.raises(UsageError, match=says):
        toy("finetune", **data, train=train)
