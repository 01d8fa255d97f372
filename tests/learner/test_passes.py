"""Passes over data: they tell how far they are, and wherever they are paused, stopped or killed the numbers stay."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cllab.data.blobs import Blobs
from cllab.engine import run as engine
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner import passes
from cllab.learner.passes import Passes
from cllab.memory import class_balanced, prototype
from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from cllab.worker import train
from tests.conftest import toy

SMALL: dict[str, Any] = {"scenario": {"tasks": 3}, "dataset": {"per_class": 60}}


def at_pass(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[Passes], None]) -> None:
    """`act` when the passes of a session look around for the `number`-th time."""
    looks, old = 0, Passes.worked

    def worked(self: Passes, n: int) -> None:
        nonlocal looks
        looks += 1
        if looks == number:
            act(self)
        old(self, n)

    monkeypatch.setattr(Passes, "worked", worked)


def looks_of(config: Any) -> list[str]:
    """The names of the passes at every look of an undisturbed run."""
    names: list[str] = []
    old = Passes.worked

    def worked(self: Passes, n: int) -> None:
        names.append(str(self._name))
        old(self, n)

    Passes.worked = worked  # type: ignore[method-assign]
    try:
        session = Session(config, lambda _: None, Control())
        session.start()
        session.walk()
    finally:
        Passes.worked = old  # type: ignore[method-assign]
    return names


def told(run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = run.result()
    assert result is not None
    left_out = (ev.Paused, ev.Resumed, *ev.BY_CLOCK)
    return (
        {k: v for k, v in result.items() if k != "seconds"},
        [ev.without_times(e) for e in run.events() if not isinstance(e, left_out)],
    )


def configured(method: str, /, **tables: Any) -> Any:
    merged = {k: {**SMALL.get(k, {}), **tables.get(k, {})} for k in {*SMALL, *tables}}
    return toy(method, **merged)


CASES = [
    ("rm", {"evaluate": {"every": 40}}),
    ("icarl", {"evaluate": {"epochs": True}, "train": {"memory_epochs": 2}}),
    pytest.param(
        "ewc",
        {"evaluate": {"epochs": True}, "scenario": {"stream": "offline"}, "train": {"epochs": 2}},
        marks=pytest.mark.slow,
    ),
    ("ewc", {"method": {"estimate": "published"}}),
    ("bic", {"train": {"memory_epochs": 1}}),
    pytest.param("gdumb", {"scenario": {"stream": "offline"}, "train": {"memory_epochs": 1}}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("method", "tables"), CASES)
def test_killed_inside_of_any_pass_a_run_ends_with_the_same_numbers(
    method: str, tables: dict[str, Any], store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "UNSAVED_SECONDS", -1.0)  # saves before every piece of work
    monkeypatch.setattr(engine, "SAVING", 0.0)
    config = configured(method, **tables)
    whole, torn = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    names = looks_of(config)
    # one of the last looks of each kind of pass, and two in the middle
    wanted = {max(i for i, n in enumerate(names, 1) if n == name) for name in set(names)}
    for count, number in enumerate(sorted({*wanted, len(names) // 3, len(names) // 2})):
        with monkeypatch.context() as patch:

            def die(_: Passes) -> None:
                raise SystemExit

            at_pass(patch, number if count == 0 else max(1, number // 4), die)
            try:
                train(torn, resume=count > 0, signals=False)
            except SystemExit:
                continue
    assert train(torn, resume=True, signals=False) == 0
    assert told(torn) == told(whole)


@pytest.mark.parametrize("where", ["select", "evaluate"])
@pytest.mark.parametrize("command", ["stop", "pause"])
def test_inside_of_a_pass_a_run_is_stopped_and_paused_at_once(
    where: str, command: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured("rm", evaluate={"every": 40}, train={"memory_epochs": 2})
    whole, run = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    names = looks_of(config)
    number = [i for i, name in enumerate(names, 1) if name == where][7]
    asked: list[float] = []

    def ask(now: Passes) -> None:
        asked.append(now._done)
        run.command(command)

    def wait(self: Control, seconds: float = 0.05) -> None:
        time.sleep(0.3)
        run.command("resume")

    monkeypatch.setattr(Control, "wait", wait)
    with monkeypatch.context() as patch:
        at_pass(patch, number, ask)
        code = train(run, signals=False)
    assert asked
    if command == "stop":
        assert code == 143
        assert run.status().state == "stopped"
        assert train(run, resume=True, signals=False) == 0
    else:
        assert code == 0
        assert [type(e).__name__ for e in run.events() if isinstance(e, (ev.Paused, ev.Resumed))] == [
            "Paused",
            "Resumed",
        ]
        looking = [e for e in run.events() if isinstance(e, (ev.MemoryUpdated, ev.Evaluated))]
        assert max(e.seconds for e in looking) < 0.3, "a pause is no work"
    assert told(run) == told(whole)


@pytest.mark.parametrize("method", ["gdumb", "icarl"])
def test_a_choice_that_takes_long_is_seen_and_stopped_inside(
    method: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(class_balanced, "PART", 16)
    monkeypatch.setattr(prototype, "PICKS", 4)
    config = configured(method, memory={"capacity": 60}, train={"memory_epochs": 2})
    whole, run = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    inside = {"gdumb": "over", "icarl": "look_around"}[method]
    chosen = [e for e in whole.events() if isinstance(e, ev.Working) and e.phase == "select"]
    assert len({e.done for e in chosen if e.task == 2}) >= 3
    asked, old = 0, Passes.worked

    def worked(self: Passes, n: int) -> None:
        nonlocal asked
        if self._name == "select" and sys._getframe(1).f_code.co_name == inside:
            asked += 1
            if asked == 14:
                run.command("stop")
        old(self, n)

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "worked", worked)
        assert train(run, signals=False) == 143
    assert asked == 14, "stopped where it was asked"
    assert train(run, resume=True, signals=False) == 0
    assert told(run) == told(whole)


def test_a_stop_in_the_middle_of_a_step_waits_for_its_end(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # a memory that is offered every batch goes through the same sampler between the parts of a step
    monkeypatch.setattr(class_balanced, "PART", 4)
    config = configured("er", memory={"name": "class-balanced", "capacity": 30})
    whole, run = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    names = looks_of(config)
    assert names.count("select") > 50
    with monkeypatch.context() as patch:
        at_pass(patch, names.index("select") + 40, lambda _: run.command("stop"))
        assert train(run, signals=False) == 143
    assert run.checkpoint_path.exists()
    assert train(run, resume=True, signals=False) == 0
    assert told(run) == told(whole)


def test_a_stop_inside_a_pass_keeps_what_was_trained_before_it(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "UNSAVED_SECONDS", 0.0)
    monkeypatch.setattr(engine, "SAVING", 0.0)
    config = configured("rm", train={"memory_epochs": 2})
    run = store.create(config)
    with monkeypatch.context() as patch:
        at_pass(patch, 3, lambda _: run.command("stop"))
        assert train(run, signals=False) == 143
    steps = run.result()["steps"]  # type: ignore[index]
    assert steps > 0
    assert train(run, resume=True, signals=False) == 0
    back = next(e for e in run.events() if isinstance(e, ev.Resumed))
    assert back.step == steps


def test_every_pass_tells_how_far_it_is(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "TELL_SECONDS", 0.0)
    run = store.create(
        configured("ewc", memory={"capacity": 30, "name": "uncertainty"}, method={"estimate": "published"})
    )
    assert train(run, signals=False) == 0
    found: dict[str, list[ev.Working]] = {}
    for event in run.events():
        if isinstance(event, ev.Working):
            found.setdefault(event.phase, []).append(event)
    assert set(found) >= {"select", "evaluate", "fisher"}
    for records in found.values():
        assert all(0 < e.done <= e.total and e.seconds >= 0 for e in records)
        assert any(e.done == e.total for e in records)
    first = [e for e in found["select"] if e.task == 0]
    assert [e.done for e in first] == sorted(e.done for e in first)
    assert first[-1].total == run.state().started.passes[0]["select"] == 12 * 240


def test_what_is_planned_is_what_is_looked_at(store: RunStore) -> None:
    run = store.create(configured("rm", evaluate={"every": 40, "epochs": True}, memory={"capacity": 40}))
    assert train(run, signals=False) == 0
    state = run.state()
    looked = [0, 0, 0]
    for e in state.evaluations:
        looked[e.task] += e.images
    # where a last batch that is not full is left out, an evaluation may fall away
    for seen, planned, each in zip(looked, (p["evaluate"] for p in state.started.passes), (240, 240, 360), strict=True):
        assert planned - each <= seen <= planned
    assert state.fraction == 1.0


def test_reading_the_data_tells_how_far_it_is_and_can_be_stopped(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "TELL_SECONDS", 0.0)
    content = Blobs.content

    def slow(place: Any, config: Any, progress: Any) -> Any:
        for done in (1, 2, 3):
            progress("decoding blobs", done, 3)
            if done == 2 and stop:
                run.command("stop")
        return content(place, config, progress)

    monkeypatch.setattr(Blobs, "content", staticmethod(slow))
    stop, run = False, store.create(configured("finetune"))
    assert train(run, signals=False) == 0
    records = [e for e in run.events() if isinstance(e, ev.Working) and e.phase == "loading"]
    assert [(e.done, e.total) for e in records][:3] == [(1, 3), (2, 3), (3, 3)]
    stop, run = True, store.create(configured("finetune"))
    assert train(run, signals=False) == 143
    stop = False
    assert train(run, resume=True, signals=False) == 0
    # a run that goes on says so first: the time in which there was no process is a break
    run = store.create(configured("finetune"))
    at_pass(monkeypatch, 5, lambda _: run.command("stop"))
    assert train(run, signals=False) == 143
    before = sum(isinstance(e, ev.Working) and e.phase == "loading" for e in run.events())
    assert train(run, resume=True, signals=False) == 0
    assert sum(isinstance(e, ev.Working) and e.phase == "loading" for e in run.events()) == before


def test_a_pass_of_nobody_costs_nothing_and_one_inside_of_another_adds_to_it() -> None:
    alone = Passes()
    assert list(alone.over([torch.arange(2), torch.arange(3)])) is not None
    heard: list[tuple[Any, ...]] = []
    mine = Passes()
    mine.tell = lambda *told: heard.append(told[:3])
    passes_seconds, passes.TELL_SECONDS = passes.TELL_SECONDS, 0.0
    try:
        with mine.work("outer", 10):
            mine.worked(4)
            for _ in mine.over([torch.arange(5), torch.arange(5)], "inner"):
                pass
    finally:
        passes.TELL_SECONDS = passes_seconds
    assert heard == [("outer", 4, 10), ("outer", 9, 14), ("outer", 14, 14), ("outer", 14, 14)]
