"""What every method must pass, without a line written for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cllab.engine import checkpoint
from cllab.engine.control import Control
from cllab.engine.run import Session, run
from cllab.learner.phases import Offer, Phase
from cllab.record.runs import RunStore
from cllab.settings.config import RunConfig
from cllab.worker import train
from tests.conftest import Record, method_spec, toy


def walk(config: RunConfig) -> tuple[Session, Record]:
    record = Record()
    session = Session(config, record, Control())
    session.start()
    session.walk()
    return session, record


SMALLER: dict[str, dict[str, Any]] = {"bic": {"features": 512}}
"""Settings at which a method does what it does by default in less time: extra blocks of 2,048 features take seconds."""


def config_for(method: str, /, **tables: Any) -> RunConfig:
    tables["method"] = {**SMALLER.get(method, {}), **tables.get("method", {})}
    if "task-labels" in method_spec(method).facts["needs"]:
        tables["scenario"] = {"name": "task-incremental", "tasks": 5, **tables.get("scenario", {})}
    return toy(method, **tables)


def test_declares_idea_family_and_every_parameter(method: str) -> None:
    spec = method_spec(method)
    assert spec.summary
    assert spec.title
    assert spec.family in {"bound", "replay", "regularization", "distillation", "projection", "bilevel", "meta"}
    for field in spec.fields:
        assert len(field.help) > 10, field.name
        assert field.default == field.parse(field.default)
        if field.has_reference:
            assert field.reference == field.parse(field.reference)


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
def test_learns_the_current_task_and_beats_chance_at_the_end(method: str, fidelity: str) -> None:
    session, _ = walk(config_for(method, fidelity=fidelity))
    values = session.metrics()
    chance = 1 / session.stream.n_classes
    assert values["last_accuracy"] > 1.5 * chance
    last = session.scores.rows[-1][-1]
    assert last is not None
    assert last > 0.35, "the newest task"


def test_says_the_same_twice(method: str) -> None:
    config = config_for(method, evaluate={"every": 200, "epochs": True})
    first, second = walk(config)[1], walk(config)[1]
    assert first.lines() == second.lines()


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
def test_killed_anywhere_and_resumed_it_ends_with_the_same_numbers(method: str, fidelity: str, store: RunStore) -> None:
    config = config_for(method, fidelity=fidelity, evaluate={"every": 200})
    whole = store.create(config)
    assert train(whole, signals=False) == 0
    torn = store.create(config)
    total = whole.result()["steps"]  # type: ignore[index]
    stops = sorted({max(1, int(total * share)) for share in (0.13, 0.5, 0.77, 0.98)})
    for i, step in enumerate(stops):
        with _stopping_at(step):
            train(torn, resume=i > 0, signals=False)
    assert train(torn, resume=True, signals=False) == 0
    a, b = whole.result(), torn.result()
    assert a is not None
    assert b is not None
    assert a["accuracy_matrix"] == b["accuracy_matrix"]
    assert a["metrics"] == b["metrics"]
    assert a["per_class_accuracy"] == b["per_class_accuracy"]
    assert a["memory"] == b["memory"]
    from cllab.record import events as ev

    left_out = (ev.Resumed, *ev.BY_CLOCK)
    lines = [[ev.without_times(e) for e in r.events() if not isinstance(e, left_out)] for r in (whole, torn)]
    assert lines[0] == lines[1]


class _stopping_at:  # noqa: N801 - reads as a statement
    """Inside, a session ends like a killed one, with a timed checkpoint a few steps before."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __enter__(self) -> None:
        self.old = Session.on_step
        limit = self.step

        def on_step(session: Session, phase: str) -> None:
            self.old(session, phase)
            if session.learner.step == limit:
                session.save()
            if session.learner.step == limit + 3:
                raise KeyboardInterrupt

        Session.on_step = on_step  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Session.on_step = self.old  # type: ignore[method-assign]


def test_is_fine_tuning_at_its_inert_setting(method: str) -> None:
    inert = method_spec(method).facts["inert"]
    if inert is None:
        assert method_spec(method).facts["needs"], "a method without an inert setting needs a reason"
        return
    tables: dict[str, Any] = {"memory": {"capacity": 0}, "train": {"memory_epochs": 0}}
    for key, value in inert.items():
        table, name = key.split(".")
        tables.setdefault(table, {})[name] = value
    tables["memory"]["capacity"] = inert.get("memory.capacity", 0)
    own, _ = walk(config_for(method, **tables))
    plain_tables = {"memory": {"capacity": 0}, "train": {"memory_epochs": 0}}
    scenario = {"scenario": {"name": own.config.scenario.name, "tasks": 5}}
    plain, _ = walk(toy("finetune", **plain_tables, **scenario))
    for a, b in zip(own.learner.model.parameters(), plain.learner.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert own.scores.rows == plain.scores.rows


def test_does_not_look_ahead(method: str) -> None:
    session = Session(config_for(method), Record(), Control())
    reading = {"test": False}
    for task in session.stream.tasks:
        object.__setattr__(task, "test", _Guarded(task.test, reading))
    evaluate = session._evaluate

    def allowed(*args: Any, **kwargs: Any) -> Any:
        reading["test"] = True
        try:
            return evaluate(*args, **kwargs)
        finally:
            reading["test"] = False

    session._evaluate = allowed  # type: ignore[method-assign]
    session.start()
    session.walk()
    assert len(session.scores.rows) == 5


class _Guarded:
    """A test split that may only be read while evaluating."""

    def __init__(self, split: Any, reading: dict[str, bool]) -> None:
        self._split, self._reading = split, reading

    def __len__(self) -> int:
        return len(self._split)

    def __getattr__(self, name: str) -> Any:
        if name in ("fetch", "images", "labels") and not self._reading["test"]:
            raise AssertionError("the test split was touched while learning")
        return getattr(self._split, name)


def test_respects_the_capacity_and_predicts_finite_scores(method: str) -> None:
    session, record = walk(config_for(method))
    capacity = session.config.memory.common["capacity"]
    from cllab.record import events as ev

    for update in record.of(ev.MemoryUpdated):
        assert update.samples <= capacity
        assert sum(update.per_class) == update.samples
        assert sum(update.per_task) == update.samples
    before = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    test = session.stream.tasks[0].test
    x = session.learner.normalize(test.fetch(torch.arange(7)))
    with session.learner.bulk(), torch.inference_mode():
        session.method.prepare_evaluation()
        scores = session.method.predict(x, 0 if session.stream.tasks[0].has_label else None)
    assert scores.shape == (7, session.stream.n_classes)
    assert torch.isfinite(scores).all()
    for name, value in session.learner.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_memory_policy_leaves_the_stream_order_as_it_was(method: str) -> None:
    orders = []
    facts = method_spec(method).facts
    for policy in facts["policies"] or ("random", "reservoir"):
        seen: list[int] = []
        session = Session(config_for(method, memory={"name": policy, "capacity": 60}), Record(), Control())
        after = session.method.after_step

        def note(batch: Any, after: Any = after, seen: list[int] = seen, session: Session = session) -> None:
            seen.extend(batch.stream.ids.tolist())
            after(batch)

        session.method.after_step = note  # type: ignore[method-assign]
        session.start()
        session._task(session.stream.tasks[0])
        streamed = session.loop.samples
        orders.append(seen[:streamed])
    assert all(o == orders[0] for o in orders)
    assert orders[0] or facts["memory_only"] or "past-data" in facts["needs"]


def test_its_list_of_pieces_says_how_it_replays_and_changes_nothing_by_being_read(method: str) -> None:
    session = Session(config_for(method, memory={"capacity": 60}), Record(), Control())
    session.start()
    session._task(session.stream.tasks[0])
    session._begin_task(session.stream.tasks[1])
    learner = session.learner

    def everything() -> str:
        held = checkpoint.encode(session.method.state()), learner.memory.state_dict(), learner.rng.state_dict()
        return str((held, learner.model.state_dict(), torch.get_rng_state()))

    before = everything()
    pieces = list(session.method.learn(session.stream.tasks[1]))
    assert everything() == before, "what changes something is Work"
    facts = method_spec(method).facts
    streams = [piece for piece in pieces if isinstance(piece, Phase) and piece.name == "stream"]
    assert all(piece.replay == facts["replay"] for piece in streams)
    assert not streams or not facts["memory_only"]
    assert any(isinstance(piece, Offer) for piece in pieces) == facts["uses_memory"]


def test_runs_without_a_folder_through_the_public_function(method: str) -> None:
    record = Record()
    result = run(config_for(method), record, Control())
    assert result["status"] == "done"
    assert len(result["accuracy_matrix"]) == 5
