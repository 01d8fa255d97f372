"""Glances within a long task: something to watch, at a small cost, that no number of the result depends on."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from cllab.engine import forecast
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.worker import train
from tests.conftest import Record, toy
from tests.engine.sessions import walked

LONG: dict[str, Any] = {"scenario": {"tasks": 3}, "train": {"memory_epochs": 100}}


def glances(record: Record) -> list[ev.Evaluated]:
    return [e for e in record.of(ev.Evaluated) if e.moment == "glance"]


OTHERS = [pytest.param(method, marks=pytest.mark.slow) for method in ("icarl", "ewc", "gdumb")]


@pytest.mark.parametrize("method", ["rm", "bic", *OTHERS])
def test_glances_change_no_number(method: str) -> None:
    tables = LONG if method != "ewc" else {"scenario": {"tasks": 3, "stream": "offline"}, "train": {"epochs": 12}}
    with_them, record = walked(method, **tables)
    assert len(glances(record)) >= 3
    without, silent = walked(method, **{**tables, "evaluate": {"glances": 0}})
    assert not glances(silent)
    for a, b in zip(with_them.learner.model.parameters(), without.learner.model.parameters(), strict=True):
        assert torch.equal(a, b)
    a, b = with_them.result("done"), without.result("done")
    assert a.pop("config")["evaluate"].pop("glances") == 10
    assert b.pop("config")["evaluate"].pop("glances") == 0
    # the signature among them: seeds with and without are of one experiment
    assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}
    kept = [e for e in record.events if e not in glances(record)]
    left_out = (ev.RunStarted, *ev.BY_CLOCK)
    assert [ev.without_times(e) for e in kept if not isinstance(e, left_out)] == [
        ev.without_times(e) for e in silent.events if not isinstance(e, left_out)
    ]


def test_they_are_few_spread_over_the_task_and_cheap() -> None:
    session, record = walked("rm", **LONG)
    for task in session.stream.tasks:
        mine = [e for e in glances(record) if e.task == task.index]
        assert 2 <= len(mine) <= 10
        planned = session.forecast.steps(task)
        looked = sum(e.images for e in mine)
        votes = session.forecast.passes(task, glancing=False)["select"]
        assert looked <= forecast.GLANCING * (planned * 16 / forecast.FORWARD + votes)
        gaps = {b.step - a.step for a, b in itertools.pairwise(mine)}
        assert len(gaps) <= 1, "at even distances"
        assert all(v is not None for e in mine for v in e.tasks[: task.index + 1])
        assert all(e.images >= forecast.LEAST_IMAGES * (task.index + 1) for e in mine)


@pytest.mark.parametrize("most", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 1000))])
def test_there_are_as_many_as_were_asked_for_and_can_be_afforded(most: int) -> None:
    long = {**LONG, "train": {"memory_epochs": 200}} if most == 1000 else LONG
    session, record = walked("rm", **{**long, "evaluate": {"glances": most}})
    counts = [sum(e.task == t.index for e in glances(record)) for t in session.stream.tasks]
    assert max(counts) <= most
    assert counts[0] == most or most == 1000
    assert min(counts) >= 1
    if most == 1000:
        assert max(counts) > 10, "nothing but their share of the work holds them back"


def test_a_number_of_glances_that_is_none_is_refused_in_one_line() -> None:
    for wrong in (-1, 2.5, True, "often"):
        with pytest.raises(UsageError, match=r"^evaluate\.glances must be a whole number from 0 to 1000, not \S+$"):
            toy("rm", evaluate={"glances": wrong})


@pytest.mark.parametrize(
    "tables",
    [
        {"evaluate": {"every": 100}},
        {"evaluate": {"epochs": True}},
        {"train": {"memory_epochs": 1}, "dataset": {"per_class": 20}},
    ],
)
def test_there_are_none_where_others_were_asked_for_or_a_task_is_short(tables: dict[str, Any]) -> None:
    _, record = walked("rm", **{**LONG, **tables, "scenario": {"tasks": 3}})
    assert not glances(record)


def test_a_run_killed_around_a_glance_glances_as_often(store: RunStore) -> None:
    config = toy("rm", **LONG)
    whole, torn = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    at = [e.step for e in whole.events() if isinstance(e, ev.Evaluated) and e.moment == "glance"]
    old = Session.on_step
    for count, step in enumerate((at[0], at[2] - 1, at[3] + 1)):

        def on_step(session: Session, phase: str, step: int = step) -> None:
            old(session, phase)
            if session.learner.step == step:
                session.save()
                raise SystemExit

        Session.on_step = on_step  # type: ignore[method-assign]
        try:
            with pytest.raises(SystemExit):
                train(torn, resume=count > 0, signals=False)
        finally:
            Session.on_step = old  # type: ignore[method-assign]
    assert train(torn, resume=True, signals=False) == 0
    left_out = (ev.Resumed, *ev.BY_CLOCK)
    lines = [[ev.without_times(e) for e in r.events() if not isinstance(e, left_out)] for r in (whole, torn)]
    assert lines[0] == lines[1]
