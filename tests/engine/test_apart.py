"""Test sets that stand apart from the tasks: one for all, or one a group of classes, evaluated once at every moment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cllab.data import base
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.record import events as ev
from cllab.record.outcome import read
from cllab.record.runs import RunStore
from cllab.report.console import task_line
from cllab.report.export import contents, csv_tables, scalars
from cllab.report.tables import run_markdown
from cllab.scenarios.base import Stream
from cllab.scenarios.disjoint import Disjoint
from cllab.settings.config import RunConfig
from cllab.worker import train
from tests.conftest import Record, toy
from tests.engine.test_checkpoint import torn_at, without_results

TINY: dict[str, Any] = {"dataset": {"per_class": 30}}


def apart(stream: Stream, groups: list[list[int]]) -> Stream:
    """The stream of tasks without tests of their own: all of their images are in one test set a group of classes."""
    whole = stream.tasks[0].test
    for task in stream.tasks[1:]:
        whole = base.join(whole, task.test)
    sets = []
    for group in groups:
        rows = torch.isin(whole.labels, torch.tensor(group)).nonzero().flatten()
        sets.append(base.TestSet(f"classes {group[0]}-{group[-1]}", whole.subset(rows), tuple(group)))
    none = whole.subset(torch.arange(0))
    return dataclasses.replace(
        stream, tasks=tuple(dataclasses.replace(t, test=none) for t in stream.tasks), apart=tuple(sets)
    )


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[list[int]]:
    groups: list[list[int]] = getattr(request, "param", [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]])
    made = Disjoint.stream
    monkeypatch.setattr(Disjoint, "stream", lambda self, data, rng: apart(made(self, data, rng), groups))
    return groups


def run_of(record: Record, method: str = "er", **tables: Any) -> Session:
    session = Session(toy(method, **{**TINY, **tables}), record, Control())
    session.start()
    session.walk()
    return session


def test_every_test_set_is_measured_every_time_and_unseen_classes_are_errors(
    grouped: list[list[int]], record: Record
) -> None:
    session = run_of(record)
    sizes = [len(test.split) for test in session.stream.apart]
    assert record.of(ev.RunStarted)[0].tests == (
        {"name": "classes 0-6", "classes": list(range(7)), "n": sizes[0]},
        {"name": "classes 7-9", "classes": [7, 8, 9], "n": sizes[1]},
    )
    rows = [e for e in record.of(ev.Evaluated) if e.moment == "task"]
    assert len(rows) == 5
    assert all(e.images == sum(sizes) for e in rows), "each test image is looked at once"
    for i, e in enumerate(rows):
        learned = 2 * (i + 1)
        # two classes of equally many images a task: by hand from the accuracies of the classes
        per_class = [v for v in e.per_class if v is not None]
        assert [v is not None for v in e.per_class] == [c < learned for c in range(10)]
        assert e.tasks[0] == pytest.approx(sum(per_class[:7]) / 7)
        assert e.tasks[1] == pytest.approx(sum(per_class[7:]) / 3)
        assert e.seen == pytest.approx(sum(per_class) / learned)
    assert rows[0].tasks[1] == 0.0
    assert 0 < rows[0].tasks[0] <= 2 / 7
    result = session.result("done")
    assert result["tests"] == [{"name": "classes 0-6", "n": sizes[0]}, {"name": "classes 7-9", "n": sizes[1]}]
    assert [len(row) for row in result["accuracy_matrix"]] == [2] * 5
    over_all = [0.7 * e.tasks[0] + 0.3 * e.tasks[1] for e in rows]
    assert result["metrics"]["test_accuracy"] == pytest.approx(over_all[-1])
    assert result["metrics"]["average_test_accuracy"] == pytest.approx(sum(over_all) / 5)
    assert result["metrics"]["last_accuracy"] == pytest.approx(over_all[-1])
    # what speaks of a task when it was learned is not given, rather than false
    assert set(result["metrics"]) == {"last_accuracy", "average_accuracy", "test_accuracy", "average_test_accuracy"}


@pytest.mark.parametrize("grouped", [[list(range(10))]], indirect=True)
def test_one_test_set_for_all_gives_the_numbers_of_a_test_set_a_task(
    grouped: list[list[int]], record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = run_of(record).result("done")
    monkeypatch.undo()
    own = run_of(Record()).result("done")
    assert shared["seen_accuracy"] == pytest.approx(own["seen_accuracy"])
    assert shared["per_class_accuracy"] == own["per_class_accuracy"]
    for i, row in enumerate(shared["accuracy_matrix"]):
        assert row[0] == pytest.approx(own["seen_accuracy"][i] * (i + 1) / 5)


def test_runs_with_test_sets_apart_are_resumed_read_told_and_exported(
    grouped: list[list[int]], store: RunStore, tmp_path: Path
) -> None:
    run = store.create(toy("er", **TINY))
    assert train(run, signals=False) == 0
    outcome = read(run)
    assert (outcome.tests, outcome.n_tasks, len(outcome.matrix)) == (("classes 0-6", "classes 7-9"), 5, 5)
    table = csv_tables(outcome)[""].splitlines()
    assert table[0] == "after_task,classes_0-6,classes_7-9,seen"
    assert len(table) == 6
    assert "| classes 0-6 | classes 7-9 | seen |" in " ".join(run_markdown(outcome).split())
    tags = {tag for _, _, tag, _ in scalars(run) if tag.startswith("accuracy/")}
    assert tags == {"accuracy/classes 0-6", "accuracy/classes 7-9", "accuracy/seen"}
    for form in ("svg", "json", "md"):
        assert "classes 7-9" in str(contents(outcome, form)[1][""])
    for form in ("bcl", "gem"):
        with pytest.raises(Exception, match="stand apart"):
            contents(outcome, form)
    state = run.state()
    line = task_line(state, ev.TaskEnded(task=4, seconds={}))
    assert "tests " in line
    assert "forgetting" not in line
    # without its result, from the records alone: the same
    told = run.result()
    run.result_path.unlink()
    again = read(run)
    assert told is not None
    assert dict(again.metrics) == pytest.approx(told["metrics"])
    assert (again.tests, again.n_tasks, again.matrix) == (outcome.tests, 5, outcome.matrix)


def test_a_log_that_does_not_say_how_large_its_test_sets_are_gives_no_metric(
    grouped: list[list[int]], store: RunStore
) -> None:
    run = store.create(toy("er", **TINY))
    assert train(run, signals=False) == 0
    run.result_path.unlink()
    log = run.events_path.read_text()
    assert log.count('"n":') == 2
    run.events_path.write_text("\n".join(x for x in log.replace('"n":', '"m":').splitlines() if "RunEnded" not in x))
    assert dict(read(run).metrics) == {}


def test_a_killed_run_of_a_session_stream_goes_on_to_the_same_numbers(store: RunStore, tmp_path: Path) -> None:
    """Folders of images, classes and sessions that come back, a run killed in the middle of one of its 15 tasks."""
    draw = np.random.default_rng(0)
    for c, s, i in np.ndindex(4, 5, 12):
        pixels = draw.integers(0, 120, (8, 8, 3), dtype=np.uint8)
        pixels[2 * c : 2 * c + 2] += np.uint8(90 + 5 * s)
        path = tmp_path / "data" / f"class {c}" / f"s{s + 1}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    config = RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "session-folder", "root": str(tmp_path / "data"), "size": 8},
            "scenario": {"name": "nicv2", "first": 2, "tests": "classes"},
            "model": {"name": "mlp", "width": 32, "layers": 1},
            "memory": {"name": "reservoir", "capacity": 40},
            "method": {"name": "er"},
            "train": {"batch_size": 8, "epochs": 4, "lr": 0.05},
        }
    )
    whole, run = store.create(config), store.create(config)
    assert train(whole, signals=False) == 0
    torn_at(run, 40)
    assert run.status().state == "lost"
    assert train(run, resume=True, signals=False) == 0
    assert without_results(run) == without_results(whole)
    result = run.result()
    assert result is not None
    # four classes in four training sessions, two units of which come first
    assert [len(row) for row in result["accuracy_matrix"]] == [4] * 15
    assert [test["n"] for test in result["tests"]] == [12] * 4
    assert result["metrics"]["test_accuracy"] > 0.6
