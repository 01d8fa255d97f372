"""A base stage, a frozen front, and latents in the place of images: for methods that know nothing of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cllab.data import base
from cllab.data.base import TensorImages
from cllab.engine import said
from cllab.engine.control import Control
from cllab.engine.latents import Latents, LatentStream
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.learner.passes import Passes
from cllab.memory.ring import Ring
from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.settings.config import RunConfig
from cllab.worker import train
from tests.conftest import OWN_METHODS, Record, toy

METHODS = ["er", "gem", "rm", "ewc", "bcl-dual", "icarl", OWN_METHODS[0]]
NET = {"name": "mlp", "width": 32, "layers": 2, "norm": True, "cut": "hidden1", "front": "frozen", "latents": "float32"}


def behind(method: str, /, on: str = "classes", **tables: Any) -> RunConfig:
    """`method` on the toy stream behind a front that was trained on half of the classes."""
    model = {**NET, **tables.pop("model", {})}
    return toy(method, model=model, base={"on": on, "epochs": 2, "batch_size": 32, **tables.pop("base", {})}, **tables)


def walked(config: RunConfig) -> tuple[Session, Record]:
    record = Record()
    session = Session(config, record, Control())
    session.start()
    session.walk()
    return session, record


def short(method: str) -> str:
    return Path(method).stem


@pytest.mark.parametrize("method", METHODS, ids=short)
def test_kept_and_fresh_latents_give_the_same_numbers(method: str) -> None:
    # the votes of Rainbow Memory are of perturbed images here and of perturbed latents there
    same = {"memory": {"name": "class-balanced"}} if method == "rm" else {}
    kept, _ = walked(behind(method, **same))
    fresh, _ = walked(behind(method, model={"latents": "fresh"}, **same))
    a = np.array(kept.scores.rows[-1], float)
    b = np.array(fresh.scores.rows[-1], float)
    assert a == pytest.approx(b, abs=0.021), "two of a hundred test images of a task: sums in another order"
    assert kept.metrics()["last_accuracy"] == pytest.approx(fresh.metrics()["last_accuracy"], abs=0.005)
    if kept.capacity:
        stored = kept.learner.memory.split().sample_ids()
        assert torch.equal(stored, fresh.learner.memory.split().sample_ids())


@pytest.mark.parametrize("method", METHODS, ids=short)
def test_a_method_learns_behind_a_front_what_it_learns_without(method: str) -> None:
    session, record = walked(behind(method))
    plain, _ = walked(toy(method, model={k: v for k, v in NET.items() if k not in ("cut", "front", "latents")}))
    assert session.metrics()["last_accuracy"] > plain.metrics()["last_accuracy"] - 0.1
    (ended,) = record.of(ev.BaseEnded)
    assert ended.classes == (0, 1, 2, 3, 4)
    assert ended.accuracy > 0.9
    assert not any("hidden1" in name for name in session.learner.model.state_dict())


KILLED = [*((method, "classes") for method in METHODS), ("er", "first-task"), ("bcl-dual", "first-task")]


@pytest.mark.parametrize(("method", "on"), KILLED, ids=[f"{short(method)}-{on}" for method, on in KILLED])
def test_killed_in_the_base_stage_and_in_the_stream_it_ends_with_the_same_numbers(
    method: str, on: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cllab.engine.base_stage import BaseStage

    config = behind(method, on, model={"latents": "float16"}, train={"memory_epochs": 0 if method == "ewc" else 1})
    whole, torn = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    usual = {"base": BaseStage.on_step, "stream": Session.on_step}

    def in_base(stage: BaseStage, phase: str) -> None:
        usual["base"](stage, phase)  # type: ignore[arg-type]
        if stage.learner.step == 5:
            stage.session.save()
        if stage.learner.step == 8:
            raise KeyboardInterrupt

    def in_stream(session: Session, phase: str) -> None:
        usual["stream"](session, phase)  # type: ignore[arg-type]
        if session.learner.step == 40:
            session.save()
        if session.learner.step == 44:
            raise KeyboardInterrupt

    with monkeypatch.context() as inside:
        inside.setattr(BaseStage, "on_step", in_base)
        train(torn, signals=False)
    assert torn.result() is None or torn.result()["status"] != "done"  # type: ignore[index]
    with monkeypatch.context() as inside:
        inside.setattr(Session, "on_step", in_stream)
        train(torn, resume=True, signals=False)
    assert train(torn, resume=True, signals=False) == 0
    a, b = whole.result(), torn.result()
    assert a is not None
    assert b is not None
    for key in ("accuracy_matrix", "metrics", "per_class_accuracy", "memory", "steps"):
        assert a[key] == b[key], key
    left_out = (ev.Resumed, *ev.BY_CLOCK)
    lines = [[ev.without_times(e) for e in r.events() if not isinstance(e, left_out)] for r in (whole, torn)]
    assert lines[0] == lines[1]


def test_a_stop_in_the_base_stage_is_a_checkpoint(store: RunStore) -> None:
    from cllab.engine.base_stage import BaseStage
    from cllab.record.control import ask

    config = behind("er")
    run, whole = store.create(config), store.create(config)
    usual = BaseStage.on_step

    def stopping(stage: BaseStage, phase: str) -> None:
        if stage.learner.step == 5:
            ask(run.control_path, "stop")
        usual(stage, phase)

    with pytest.MonkeyPatch.context() as inside:
        inside.setattr(BaseStage, "on_step", stopping)
        train(run, signals=False)
    assert run.checkpoint_path.is_file(), "the steps so far are not lost"
    steps: list[int] = []

    def noting(stage: BaseStage, phase: str) -> None:
        steps.append(stage.learner.step)
        usual(stage, phase)

    with pytest.MonkeyPatch.context() as inside:
        inside.setattr(BaseStage, "on_step", noting)
        assert train(run, resume=True, signals=False) == 0
    assert steps[0] == 6
    assert train(whole, signals=False) == 0
    assert run.result()["metrics"] == whole.result()["metrics"]  # type: ignore[index]


# -- what latents are


def test_a_latent_is_what_the_front_says_of_the_image_of_that_sample() -> None:
    session, _ = walked(behind("er"))
    learner, task = session.learner, session.stream.tasks[2]
    raw = session.images.tasks[2].train.fetch(slice(0, 50))
    assert raw.dtype == torch.uint8
    assert torch.allclose(task.train.fetch(slice(0, 50)), learner.model.front(learner.normalize(raw)), atol=1e-5)
    assert torch.equal(task.train.labels, session.images.tasks[2].train.labels)
    test = session.images.tasks[2].test.fetch(slice(0, 20))
    assert torch.allclose(task.test.fetch(slice(0, 20)), learner.model.front(learner.normalize(test)), atol=1e-5)
    held = learner.memory.split()
    images = session.dataset.train.images.fetch(held.sample_ids())
    assert torch.allclose(held.fetch(slice(None)), learner.model.front(learner.normalize(images)), atol=1e-5)


def test_images_that_a_task_sees_its_own_way_have_latents_of_their_own() -> None:
    config = behind("er", "first-task", scenario={"name": "permuted", "tasks": 3, "stream": "online", "samples": 90})
    session, _ = walked(config)
    learner = session.learner
    for t in range(3):
        raw = session.images.tasks[t].train.fetch(slice(0, 30))
        expected = learner.model.front(learner.normalize(raw))
        assert torch.allclose(session.stream.tasks[t].train.fetch(slice(0, 30)), expected, atol=1e-5)
        assert torch.equal(session.stream.tasks[t].train.sample_ids(), session.images.tasks[t].train.sample_ids())
    assert not torch.equal(*(session.stream.tasks[t].test.fetch(slice(0, 30)) for t in (0, 1)))
    held = learner.memory.split()
    assert held.origin is not None
    pictures = said.pictures(session, held.sample_ids(), held.origin)
    assert torch.allclose(held.fetch(slice(None)), learner.model.front(learner.normalize(pictures)), atol=1e-5)


def test_images_of_all_tasks_are_encoded_once() -> None:
    session, record = walked(behind("er", model={"latents": "float16"}))
    (taken,) = record.of(ev.LatentsTaken)
    n = len(session.dataset.train) + len(session.dataset.test)
    assert (taken.cut, taken.shape, taken.dtype) == ("hidden1", (32,), "float16")
    assert taken.samples == n
    assert taken.bytes == n * 32 * 2


def test_test_sets_that_stand_apart_are_encoded_as_well() -> None:
    session, _ = walked(behind("finetune"))
    stream = session.images
    whole = base.TestSet("all", session.dataset.test, tuple(range(10)))
    from dataclasses import replace

    apart = LatentStream(replace(stream, apart=(whole,)), (4,), torch.float32, torch.device("cpu"))
    apart.take(lambda raw: raw.flatten(1)[:, :4].float(), 64, Passes())
    expected = session.dataset.test.fetch(slice(0, 9)).flatten(1)[:, :4].float()
    assert torch.equal(apart.stream.apart[0].split.fetch(slice(0, 9)), expected)


def test_latents_that_do_not_fit_are_refused_with_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllab.engine.latents.machine_bytes", lambda: 90_000)
    with pytest.raises(UsageError, match=r"latents of 32 need .* kB; this machine has .*latents = 'fresh'"):
        Session(behind("er"), Record(), Control())


@pytest.mark.parametrize("bulk", [1, 3, 7, 100])
def test_latents_are_taken_in_bulks_of_any_size(bulk: int) -> None:
    pixels = torch.arange(7 * 4, dtype=torch.uint8).view(7, 1, 2, 2)
    store = Latents(TensorImages(pixels), (4,), torch.float16, torch.device("cpu"))
    store.take(lambda raw: raw.flatten(1).float() / 2, bulk, Passes())
    expected = pixels.flatten(1).float() / 2
    assert torch.equal(store.fetch(torch.tensor([6, 0, 3])), expected[[6, 0, 3]].half())
    store.fetch(torch.tensor([1])).float().requires_grad_().sum().backward()


# -- what the memory holds


def test_memory_says_its_bytes_and_shows_the_pictures_behind_latents(store: RunStore) -> None:
    config = behind("er", model={"latents": "float16"}, memory={"capacity": 40})
    run = store.create(config)
    assert train(run, signals=False) == 0
    told = [e for e in run.events() if isinstance(e, ev.MemoryUpdated)][-1]
    assert told.samples == 40
    assert told.bytes["latents"] == 40 * 32 * 2
    assert "images" not in told.bytes
    with np.load(run.memory_folder / told.snapshot) as snapshot:
        session = Session(config, Record(), Control())
        expected = session.dataset.train.images.fetch(torch.from_numpy(snapshot["ids"]))
        assert np.array_equal(snapshot["thumbs"], expected[snapshot["thumb_index"]].numpy())


def test_a_task_that_is_offered_as_a_whole_fills_both_parts_of_its_ring() -> None:
    session, _ = walked(behind("bcl-dual", "first-task"))
    ring = session.learner.memory
    assert isinstance(ring, Ring)
    for part in ("replay", "held"):
        block = ring.blocks[part][0]
        assert block.filled == block.size > 0
    apart = [ring.buffers["ids"][ring.rows(0, part)] for part in ("replay", "held")]
    assert not torch.isin(*apart).any()


# -- the base stage


def test_the_first_task_is_learned_by_the_base_stage_and_taken_up_by_the_method() -> None:
    stopped: list[int] = []

    class Told(Record):
        def __call__(self, event: ev.Event) -> None:
            super().__call__(event)
            if isinstance(event, ev.TaskEnded) and event.task == 0:
                stopped.append(session.learner.step)

    record = Told()
    session = Session(behind("ewc", "first-task", memory={"capacity": 30}), record, Control())
    session.start()
    started = record.of(ev.RunStarted)[0]
    session.walk()
    assert stopped == [0], "its stream is not learned a second time"
    assert started.steps[0] == 0
    assert started.steps[1] > 0
    assert session.learner.step == sum(started.steps)
    first = record.of(ev.Evaluated)[0]
    assert first.tasks[0] == pytest.approx(record.of(ev.BaseEnded)[0].accuracy), "the network is that of the base stage"
    assert record.of(ev.MemoryUpdated)[0].samples == 30


def test_classes_of_the_base_stage_leave_nothing_above_the_cut() -> None:
    record = Record()
    session = Session(behind("finetune", evaluate={"future": True}), record, Control())
    before = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    front = {k: v.clone() for k, v in session.networks.state().items()}  # type: ignore[union-attr]
    session.start()
    session._prepare()
    after = session.learner.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    moved = [k for k, v in session.networks.state().items() if not torch.equal(v, front[k])]  # type: ignore[union-attr]
    assert len(moved) == len(front), "weights and statistics of the front"


def test_without_a_cut_the_whole_backbone_is_taken_over_and_the_head_is_not() -> None:
    plain = {"cut": "", "front": "learn"}
    session = Session(behind("finetune", model=plain), Record(), Control())
    before = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    session.start()
    session._prepare()
    moved = {k for k, v in session.learner.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if k.startswith("backbone.")}


def test_a_front_that_goes_on_learning_begins_where_the_base_stage_ended() -> None:
    session = Session(behind("finetune", model={"front": "learn"}), Record(), Control())
    before = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    session.start()
    session._prepare()
    moved = {k for k, v in session.learner.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if "hidden1" in k}
    session.walk()


def test_the_base_stage_trains_with_its_own_table() -> None:
    session, record = walked(behind("finetune", base={"epochs": 3, "batch_size": 50, "lr": 0.02, "optimizer": "adam"}))
    assert session.base is not None
    n = len(session.base.task.train)
    assert session.base.learner.step == 3 * (n // 50)
    ended = [e for e in record.of(ev.EpochEnded) if e.phase == "base"]
    assert [e.epoch for e in ended] == [0, 1, 2]
    assert ended[0].losses["cross-entropy"] > ended[-1].losses["cross-entropy"]
    assert session.base.learner.rate == 0.02
    _, said = walked(behind("finetune", base={"lr": 0.0}))
    assert said.of(ev.BaseEnded)[0].accuracy < 0.6, "nothing is learned at rate 0"


def test_a_front_is_made_of_the_classes_that_a_dataset_sets_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from cllab.engine import run as engine

    usual = engine.open_dataset

    def halved(*args: Any, **options: Any) -> Any:
        whole = usual(*args, **options)
        own, others = (m.nonzero().flatten() for m in (whole.train.labels < 5, whole.train.labels >= 5))
        aside = whole.train.subset(others).relabel(torch.arange(10) - 5)
        tested = whole.test.subset((whole.test.labels < 5).nonzero().flatten())
        return replace(whole, classes=whole.classes[:5], train=whole.train.subset(own), test=tested, aside=aside)

    monkeypatch.setattr(engine, "open_dataset", halved)
    config = behind("er", scenario={"name": "disjoint", "tasks": 2, "class_order": "natural"})
    session, record = walked(replace(config, base=replace(config.base, on="aside")))
    (ended,) = record.of(ev.BaseEnded)
    assert (ended.classes, ended.accuracy) == (tuple(range(5)), None)
    assert session.base is not None
    learned = set(session.base.task.train.sample_ids().tolist())
    met = {i for task in session.images.tasks for i in task.train.sample_ids().tolist()}
    assert learned
    assert not learned & met
    assert session.metrics()["last_accuracy"] > 0.5


@pytest.mark.parametrize("classes", [0, 3])
def test_as_many_classes_as_asked_for_are_in_the_base_stage(classes: int) -> None:
    session = Session(behind("finetune", base={"classes": classes}), Record(), Control())
    assert session.base is not None
    n = classes or 5
    task = session.base.task
    assert sorted(set(task.train.labels.tolist())) == list(range(n))
    assert sorted(set(task.test.labels.tolist())) == list(range(n))
    expected = sum(int((t.train.labels < n).sum()) for t in session.images.tasks)
    assert len(task.train) == expected
