"""Tracing: what is published, where it goes, that it changes nothing, and that a paused run takes exactly N steps."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cllab.engine import trace
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import CllabError
from cllab.record import events as ev
from cllab.record import traces
from cllab.record.runs import Run, RunStore
from cllab.settings.config import RunConfig
from cllab.worker import train
from tests.conftest import Record, toy

TRACING = ["bcl-dual", "bcl-single", "ftml", "gem", "agem"]
TASKS: dict[str, Any] = {"scenario": {"name": "task-incremental", "tasks": 3}, "dataset": {"per_class": 30}}


def config(method: str, /, **tables: Any) -> RunConfig:
    """Three tasks, and no steps but those on the stream."""
    return toy(method, **{**TASKS, **tables, "train": {"memory_epochs": 0, **tables.get("train", {})}})


def walked(method: str, steps: int, /, **tables: Any) -> tuple[Session, Record]:
    record, control = Record(), Control()
    control.trace_steps = steps
    session = Session(config(method, **tables), record, control)
    session.start()
    session.walk()
    return session, record


# -- a look changes nothing


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
@pytest.mark.parametrize("method", [*TRACING, "er"])
def test_a_traced_run_is_the_untraced_one(method: str, fidelity: str) -> None:
    # the toy network is batch-normalized, and the pipeline draws
    tables: dict[str, Any] = {"fidelity": fidelity, "train": {"augment": ["crop"]}, "evaluate": {"every": 60}}
    plain, silent = walked(method, 0, **tables)
    looked, told = walked(method, 10**9, **tables)
    assert not silent.of(ev.Traced)
    assert len(told.of(ev.Traced)) == looked.learner.step
    assert [ev.without_times(e) for e in told.events if not isinstance(e, (ev.Traced, *ev.BY_CLOCK))] == silent.lines()
    before, after = plain.learner.model.state_dict(), looked.learner.model.state_dict()
    assert any(name.endswith("running_var") for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    drawn = looked.learner.rng.state_dict()["generators"]
    for name, state in plain.learner.rng.state_dict()["generators"].items():
        assert torch.equal(state, drawn[name]), name
    assert set(drawn) - set(plain.learner.rng.state_dict()["generators"]) <= {"cpu:trace"}


@pytest.mark.parametrize("method", TRACING)
def test_nothing_is_published_while_tracing_is_off(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(*_: Any) -> Any:
        raise AssertionError("computed for nobody")

    monkeypatch.setattr("cllab.methods._tell.distance", distance)
    monkeypatch.setattr("cllab.methods._tell.cosine", distance)
    monkeypatch.setattr("cllab.methods.agem.length", distance)
    session, _ = walked(method, 0)
    assert session.learner.traces == {}


# -- what methods say of a step


def late(method: str, /, **tables: Any) -> tuple[list[str], ev.Traced]:
    """Names of the scalars of the last step, in the third task, and its record."""
    _, record = walked(method, 10**9, **tables)
    last = record.of(ev.Traced)[-1]
    return list(last.scalars), last


def test_bcl_dual_tells_every_iteration_in_order() -> None:
    names, event = late("bcl-dual", method={"inner_steps": 2, "meta_steps": 2})
    terms = ("inner loss", "cross-entropy", "replay", "distillation")
    assert names == [
        f"iteration {i}: {name}"
        for i in (1, 2)
        for name in (
            *(f"{term} {k}" for k in (1, 2) for term in terms),
            "validation loss",
            "cosine of outer and replay gradient",
            "displacement",
            "displacement kept",
        )
    ]
    for i in (1, 2):
        say = {name: event.scalars[f"iteration {i}: {name}"] for name in ("inner loss 1", "validation loss")}
        parts = [event.scalars[f"iteration {i}: {term} 1"] for term in terms[1:]]
        assert say["inner loss 1"] == pytest.approx(sum(p for p in parts if p is not None), rel=1e-5)
        long = event.scalars[f"iteration {i}: displacement"]
        short = event.scalars[f"iteration {i}: displacement kept"]
        assert long is not None
        assert short == pytest.approx(0.3 * long, rel=1e-3)
    assert event.scalars["iteration 1: inner loss 1"] != event.scalars["iteration 2: inner loss 1"]
    names, _ = late("bcl-dual", method={"meta_steps": 1})
    assert names[0] == "inner loss 1"  # of one iteration there is nothing to tell apart


def test_bcl_single_and_ftml_tell_their_steps() -> None:
    names, _ = late("bcl-single", method={"strength": 0.0})
    assert names == [
        *(f"{term} {k}" for k in (1, 2) for term in ("inner loss", "cross-entropy", "replay")),
        "displacement",
        "displacement kept",
    ]
    names, _ = late("ftml")
    told = ("loss 1", "loss 2", "displacement", "displacement kept")
    assert names == [
        *(f"stream: {name}" for name in told),
        *(f"draw {i}: {name}" for i in (1, 2) for name in ("task", *told)),
    ]
    _, record = walked("ftml", 10**9)
    drawn = [
        {e.scalars[f"draw {i}: task"] for e in record.of(ev.Traced) if e.task == t for i in (1, 2)} for t in range(3)
    ]
    assert drawn == [{1}, {1, 2}, {1, 2, 3}]


def test_gem_tells_its_constraints_and_agem_its_projection() -> None:
    _, record = walked("gem", 10**9, method={"margin": 0.5}, train={"lr": 0.2})
    events = [e for e in record.of(ev.Traced) if e.task == 2]
    assert all(0 <= (e.scalars["violated constraints"] or 0) <= 2 for e in events)
    assert any(e.scalars["violated constraints"] for e in events)
    for event in events:
        same = event.scalars["gradient length"] == event.scalars["projected gradient length"]
        assert same == (event.scalars["violated constraints"] == 0)
    names, event = late("agem")
    assert names[:2] == ["reference loss", "inner product"]
    assert -1 <= (event.scalars["cosine"] or 0) <= 1
    _, record = walked("agem", 10**9)
    for event in record.of(ev.Traced):
        product = event.scalars.get("inner product")
        if product is None:
            continue
        added, left = (event.scalars[n] for n in ("reference gradient added",
                                                  "projected inner product"))  # fmt: skip
        assert (added or 0) >= 0
        assert (added == 0) == (product >= 0)
        assert left == pytest.approx(max(product, 0), abs=1e-4)


def test_a_method_that_publishes_nothing_is_told_by_its_losses() -> None:
    names, _ = late("er")
    assert names == ["cross-entropy"]


# -- files


def traced(store: RunStore, method: str, steps: int, /, **tables: Any) -> tuple[Run, list[ev.Traced]]:
    run = store.create(config(method, **tables))
    assert train(run, signals=False, trace=steps) == 0
    return run, [e for e in run.events() if isinstance(e, ev.Traced)]


def test_pictures_and_vectors_lie_in_a_file_that_is_read_without_torch(store: RunStore) -> None:
    method = {"inner_steps": 1, "replay_size": 100}
    run, events = traced(store, "bcl-dual", 2, dataset={"name": "digits"}, method=method, memory={"capacity": 600})
    event = events[-1]
    assert event.file == f"traces/step_{event.step:07d}.npz"
    found = traces.read(run.folder / event.file)
    assert list(found.arrays) == [
        "stream batch",
        "stream batch labels",
        *(
            f"iteration {i}: {name}{suffix}"
            for i in (1, 2)
            for name in ("replayed batch 1", "validation batch")
            for suffix in ("", " labels")
        ),
    ]
    pictures = found.arrays["iteration 1: replayed batch 1"]
    assert (found.kinds["stream batch"], found.kinds["stream batch labels"]) == ("pictures", "vector")
    assert pictures.dtype == np.uint8
    assert pictures.shape == (64, 1, 8, 8)  # of 100
    assert found.arrays["iteration 1: replayed batch 1 labels"].shape == (100,)
    labels = found.arrays["iteration 1: validation batch labels"]
    assert labels.dtype == np.float32
    assert set(labels.astype(int)) <= set(range(10))


def test_gem_writes_one_number_a_task(store: RunStore) -> None:
    run, events = traced(store, "gem", 5, train={"lr": 0.2})
    seen = 0
    for event in events:
        if event.task == 0:
            assert event.file == ""
            continue
        found = traces.read(run.folder / event.file)
        products, multipliers = found.arrays["inner products"], found.arrays["multipliers"]
        assert products.shape == multipliers.shape == (event.task,)
        assert event.scalars["violated constraints"] == (products < 0).sum()
        after = found.arrays["projected inner products"]
        assert (after >= -1e-4 - 1e-2 * np.abs(products).max()).all()  # what is left is the ridge's
        seen += int((multipliers > 0).any())
    assert seen


def test_trace_takes_the_first_steps_of_every_task(store: RunStore) -> None:
    _, events = traced(store, "er", 2)
    assert [e.task for e in events] == [0, 0, 1, 1, 2, 2]
    first = [e.step for e in events[::2]]
    assert first[0] == 1
    assert [e.step for e in events[1::2]] == [n + 1 for n in first]
    run, events = traced(store, "er", 10**6)
    result = run.result()
    assert result is not None
    assert len(events) == result["steps"]


def test_large_pictures_are_small_and_other_values_are_float(tmp_path: Path) -> None:
    pixels = torch.arange(3 * 84 * 60).view(1, 3, 84, 60).remainder(256).byte()
    values = {
        "images": pixels,
        "mask": torch.ones(3, 4, dtype=torch.uint8),
        "kernel": torch.randn(2, 3, 4, dtype=torch.float64),
        "file": torch.tensor([1, 2]),
        "half: a/b": torch.tensor([1.5], dtype=torch.bfloat16),
        "scalar": torch.tensor(2),
    }
    scalars, file = trace.write(values, 12, tmp_path / "traces")
    assert (scalars, file) == ({"scalar": 2.0}, "traces/step_0000012.npz")
    found = traces.read(tmp_path / file)
    assert found.kinds == {
        "images": "pictures", "mask": "matrix", "kernel": "tensor", "file": "vector", "half: a/b": "vector",
    }  # fmt: skip
    assert found.arrays["images"].shape == (1, 3, 32, 23)
    assert {a.dtype.name for name, a in found.arrays.items() if name != "images"} == {"float32"}
    assert found.arrays["half: a/b"].tolist() == [1.5]
    with pytest.raises(ValueError, match="under the name 'kinds'"):
        trace.write({"kinds": torch.ones(2)}, 1, tmp_path / "traces")
    assert trace.write(values, 12, None) == ({"scalar": 2.0}, "")


def test_a_file_that_is_missing_torn_or_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    _, file = trace.write({"a": torch.randn(50), "b": torch.randn(5, 6)}, 1, tmp_path / "traces")
    whole = (tmp_path / file).read_bytes()
    path = tmp_path / "torn.npz"
    with pytest.raises(CllabError, match="the trace is missing"):
        traces.read(path)
    refused = 0
    for n in range(0, len(whole), 7):
        path.write_bytes(whole[:n])
        with pytest.raises(CllabError, match="not a trace, or torn") as caught:
            traces.read(path)
        assert "\n" not in str(caught.value)
        refused += 1
    assert refused > 50
    for at in range(30, len(whole) - 30, 11):  # a bit that flipped is found, or harmless
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with contextlib.suppress(CllabError):
            traces.read(path)
    for kinds in ('{"a": "pictures"}', '{"a": "matrix"}', '["a"]', "3", "{", '{"z": "vector"}'):
        np.savez(path, a=np.zeros(3, np.float32), kinds=np.array(kinds))
        with pytest.raises(CllabError):
            traces.read(path)
    np.savez(path, a=np.array([{}], dtype=object), kinds=np.array(json.dumps({"a": "vector"})))
    with pytest.raises(CllabError):
        traces.read(path)


def test_a_resumed_run_writes_its_files_anew(store: RunStore) -> None:
    whole, expected = traced(store, "bcl-dual", 10**6, dataset={"per_class": 100})
    torn = store.create(whole.config())
    step, original = len(expected) // 2, Session.on_step

    def on_step(session: Session, phase: str) -> None:
        original(session, phase)
        if session.learner.step == step - 3:
            session.save()
        if session.learner.step == step:
            raise KeyboardInterrupt

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        train(torn, signals=False, trace=10**6)
    finally:
        Session.on_step = original  # type: ignore[method-assign]
    for k in range(step - 2, step + 1):  # written after the checkpoint: another future's
        (torn.traces_folder / f"step_{k:07d}.npz").write_bytes(b"stale")
    assert train(torn, resume=True, signals=False, trace=10**6) == 0
    again = [e for e in torn.events() if isinstance(e, ev.Traced)]
    assert [ev.without_times(e) for e in again] == [ev.without_times(e) for e in expected]
    for event in again:
        mine, other = (traces.read(run.folder / event.file) for run in (torn, whole))
        assert mine.kinds == other.kinds
        assert all(np.array_equal(mine.arrays[name], other.arrays[name]) for name in mine.arrays)


# -- a viewer that pauses, looks and goes on


class Viewer:
    """Follows a run in a thread of its own and answers its pauses."""

    def __init__(self, run: Run, answers: list[str]) -> None:
        self.run, self.answers, self.pauses = run, answers, 0
        self.thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Viewer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def _follow(self) -> None:
        end = time.monotonic() + 60
        while not self.run.events_path.exists() and time.monotonic() < end:
            time.sleep(0.005)
        for event in self.run.events(follow=True, poll=0.005):
            if isinstance(event, ev.Paused):
                self.run.command(self.answers[self.pauses] if self.pauses < len(self.answers) else "stop")
                self.pauses += 1


def answered(store: RunStore, answers: list[str]) -> tuple[list[ev.Event], int]:
    """A run that pauses after its fifth step, its records, and its exit code."""
    run = store.create(config("bcl-dual"))
    original = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        if session.learner.step == 5:
            session.control.paused = True
        original(session, phase)

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        with Viewer(run, answers):
            code = train(run, signals=False)
    finally:
        Session.on_step = original  # type: ignore[method-assign]
    return list(run.events()), code


def moments(events: list[ev.Event]) -> list[tuple[str, int]]:
    return [(type(e).__name__, e.step) for e in events if isinstance(e, (ev.Paused, ev.Resumed, ev.Traced))]


def test_a_paused_run_takes_exactly_the_steps_that_are_traced_and_pauses_again(store: RunStore) -> None:
    events, code = answered(store, ["trace 3", "trace", "resume"])
    assert code == 0
    assert moments(events) == [
        ("Paused", 5), ("Resumed", 5), ("Traced", 6), ("Traced", 7), ("Traced", 8),
        ("Paused", 8), ("Resumed", 8), ("Traced", 9),
        ("Paused", 9), ("Resumed", 9),
    ]  # fmt: skip
    _, undisturbed = walked("bcl-dual", 0)
    learned = [[ev.without_times(e) for e in which if isinstance(e, (ev.StepEnded, ev.Evaluated))]
               for which in (events, undisturbed.events)]  # fmt: skip
    assert learned[0] == learned[1]


def test_a_run_can_be_stopped_where_it_paused_again(store: RunStore) -> None:
    events, code = answered(store, ["trace 2", "stop"])
    assert code == 143
    assert moments(events)[-1] == ("Paused", 7)
    assert isinstance(events[-1], ev.RunEnded)
