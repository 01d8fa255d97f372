"""Rows, seen accuracy, top-k, task labels and per-class accuracies, worked out by hand from planted scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cllab.engine.control import Control
from cllab.engine.evaluation import Evaluator
from cllab.engine.run import Session
from tests.conftest import Record, toy
from tests.engine.sessions import walked


def planted(scores_of: Any, **tables: Any) -> Session:
    """A session whose method scores each test image by `scores_of(label, position)`, read off the pixels.

    The position counts on over the test sets of all tasks.
    """
    session = Session(toy("finetune", **tables), Record(), Control())
    session.start()

    def predict(x: Tensor, task_label: int | None) -> Tensor:
        raw = ((x * session.dataset.info.std[0] + session.dataset.info.mean[0]) * 255).round().long().flatten(1)
        rows = [scores_of(labels[tuple(r)], places[tuple(r)]) for r in raw.tolist()]
        return torch.tensor(rows)

    labels: dict[tuple[int, ...], int] = {}
    places: dict[tuple[int, ...], int] = {}
    before = 0
    for task in session.stream.tasks:
        pixels = task.test.fetch(torch.arange(len(task.test))).long().flatten(1).tolist()
        for place, (row, y) in enumerate(zip(pixels, task.test.labels.tolist(), strict=True)):
            labels[tuple(row)], places[tuple(row)] = y, before + place
        before += len(task.test)
    session.method.predict = predict  # type: ignore[method-assign]
    return session


def one_hot(c: int, n: int = 10) -> list[float]:
    return [float(i == c) for i in range(n)]


def test_a_row_holds_the_tasks_so_far_and_seen_weighs_by_samples() -> None:
    # class 0 always right, class 1 never, class 2 right for even positions, class 3 always right, others wrong
    def scores(y: int, place: int) -> list[float]:
        right = {0: True, 1: False, 2: place % 2 == 0, 3: True}.get(y, False)
        return one_hot(y if right else (y + 1) % 10)

    session = planted(scores)
    found = session.evaluator.evaluate(session.method, session.learner, 0)
    assert found.tests == (0.5, None, None, None, None)
    assert found.seen == 0.5
    found = session.evaluator.evaluate(session.method, session.learner, 1)
    assert found.tests == (0.5, 0.75, None, None, None)
    assert found.seen == pytest.approx(0.625)
    assert found.per_class[:4] == (1.0, 0.0, 0.5, 1.0)
    assert found.per_class[4:] == (None,) * 6
    found = session.evaluator.evaluate(session.method, session.learner, 4)
    assert found.tests == (0.5, 0.75, 0.0, 0.0, 0.0)
    assert found.seen == pytest.approx(0.25)


def test_before_the_first_task_nothing_is_known() -> None:
    session = planted(lambda y, _: one_hot(y))
    found = session.evaluator.evaluate(session.method, session.learner, -1)
    assert found.tests == (None,) * 5
    assert found.seen is None


def test_future_tasks_are_rows_only_where_asked_and_never_count_as_seen() -> None:
    session = planted(lambda y, _: one_hot(y if y < 6 else 0), evaluate={"future": True})
    found = session.evaluator.evaluate(session.method, session.learner, 1)
    assert found.tests == (1.0, 1.0, 1.0, 0.0, 0.0)
    assert found.seen == 1.0
    assert found.per_class[4:] == (None,) * 6
    baseline = session.evaluator.evaluate(session.method, session.learner, -1)
    assert baseline.tests == (1.0, 1.0, 1.0, 0.0, 0.0)
    assert baseline.seen is None


@pytest.mark.parametrize("future", [False, True])
def test_where_all_tasks_share_their_classes_only_learned_ones_count(future: bool) -> None:
    # the pictures of the first task are recognized, those of the two permuted ones are not
    session = planted(
        lambda y, place: one_hot(y if place < 500 else (y + 1) % 10),
        scenario={"name": "permuted", "tasks": 3},
        evaluate={"future": future},
    )
    found = session.evaluator.evaluate(session.method, session.learner, 0)
    assert found.seen == 1.0, "the accuracy over what was learned does not depend on what else is looked at"
    assert found.tests == ((1.0, 0.0, 0.0) if future else (1.0, None, None))
    assert session.evaluator.evaluate(session.method, session.learner, 1).seen == 0.5


def test_blurry_streams_have_full_rows_from_the_first_task_on() -> None:
    session = planted(lambda y, _: one_hot(y), scenario={"name": "blurry"})
    assert session.evaluator.evaluate(session.method, session.learner, 0).tests == (1.0,) * 5


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 0.5), (3, 1.0), (10, 1.0), (50, 1.0)])
def test_top_k_counts_the_k_highest_scores(k: int, expected: float) -> None:
    # the label has the second highest score at even positions, the third highest at odd ones
    def scores(y: int, place: int) -> list[float]:
        row = [0.0] * 10
        row[(y + 1) % 10], row[(y + 2) % 10] = 9.0, 8.0 - 2 * (place % 2 == 0)
        row[y] = 7.0
        return row

    session = planted(scores)
    evaluator = Evaluator(session.stream, top_k=k)
    assert evaluator.evaluate(session.method, session.learner, 4).tests == (expected,) * 5


def test_with_task_labels_only_the_tasks_own_classes_compete() -> None:
    # everybody's favorite is class 9; among the own two classes the label wins
    def scores(y: int, _: int) -> list[float]:
        return [5.0 * (i == y) + 9.0 * (i == 9) for i in range(10)]

    labelled = planted(scores, scenario={"name": "task-incremental"})
    free = planted(scores)
    assert labelled.evaluator.evaluate(labelled.method, labelled.learner, 4).tests == (1.0,) * 4 + (0.5,)
    assert free.evaluator.evaluate(free.method, free.learner, 4).tests == (0.0,) * 4 + (0.5,)


def test_without_its_name_a_task_competes_with_all_classes_seen_and_no_others() -> None:
    """Read twice: with the task's name only its own classes compete, without it all that were seen; class 5, of a task
    that has not come, is everybody's favorite, and class 1 wins of the others where the position is even."""

    def scores(y: int, place: int) -> list[float]:
        return [5.0 * (i == y) + 7.0 * (i == 1) * (place % 2 == 0) + 9.0 * (i == 5) for i in range(10)]

    session = planted(scores, scenario={"name": "task-incremental"})
    asked: list[int | None] = []
    predict = session.method.predict
    found = session.evaluator.evaluate(session.method, session.learner, 1)
    # of the first task's samples, those of class 1 are right however they are read
    assert found.tests[0] is not None
    assert 0.5 < found.tests[0] < 1
    assert found.tests[1] == 1.0
    assert found.unnamed[1] == pytest.approx(0.5, abs=0.02), "class 1 takes every other one"
    assert found.unnamed[0] == found.tests[0]
    assert found.unnamed[2:] == (None,) * 3
    assert found.seen == pytest.approx((found.tests[0] + 1) / 2), "as the scenario has it: named"

    class Heeding(type(session.method)):  # type: ignore[misc]
        heeds_label = True

    session.method.__class__ = Heeding
    session.method.predict = lambda x, label: (asked.append(label), predict(x, label))[1]  # type: ignore
    again = session.evaluator.evaluate(session.method, session.learner, 1)
    assert again == found
    assert asked == [0, None, 1, None], "a method that is told the task is asked twice"


def test_a_task_counts_once_all_of_its_classes_were_seen() -> None:
    from dataclasses import replace

    stream = planted(lambda y, _: one_hot(y)).stream
    first = replace(stream.tasks[0], exposed=(0, 1, 2, 6, 7))
    mixed = Evaluator(replace(stream, tasks=(first, *stream.tasks[1:])))
    assert mixed.covered(0) == [0, 3]
    assert mixed.covered(1) == [0, 1, 3]


def test_a_row_counts_each_tasks_own_samples() -> None:
    from dataclasses import replace

    session = planted(lambda y, _: one_hot(y if y % 2 == 0 else 9))
    stream, method = session.stream, session.method
    tests = [
        task.test.subset(torch.arange(len(task.test))[task.test.labels % 2 < 1 + (task.index > 0)])
        for task in stream.tasks
    ]
    uneven = replace(stream, tasks=tuple(replace(t, test=s) for t, s in zip(stream.tasks, tests, strict=True)))
    prepared: list[bool] = []
    method.prepare_evaluation = lambda: prepared.append(session.learner.model.training)  # type: ignore[method-assign]
    session.learner.model.train()
    found = Evaluator(uneven).evaluate(method, session.learner, 1)
    first, second = len(tests[0]), len(tests[1])
    assert second == 2 * first
    assert found.tests[:2] == (1.0, 0.5)
    assert found.seen == pytest.approx((first + 0.5 * second) / (first + second)), "samples count alike, not tasks"
    assert prepared == [False], "told once, in eval mode"


def test_classes_without_an_output_yet_are_wrong_not_an_error() -> None:
    session = planted(lambda y, _: [1.0, 0.0], evaluate={"future": True})
    assert session.evaluator.evaluate(session.method, session.learner, 0).tests == (0.5, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("method", ["icarl", "bic", "lwf", "er"])
@pytest.mark.parametrize("scenario", ["disjoint", "task-incremental"])
def test_looking_ahead_changes_nothing_that_is_learned(method: str, scenario: str) -> None:
    # later classes would compete in training if their outputs were there from the start: iCaRL lost 18 points
    tables: dict[str, Any] = {"scenario": {"name": scenario}, "dataset": {"per_class": 60}}
    plain, _ = walked(method, **tables)
    ahead, _ = walked(method, **tables, evaluate={"future": True})
    for a, b in zip(plain.learner.model.parameters(), ahead.learner.model.parameters(), strict=True):
        assert torch.equal(a, b)
    for i, (a, b) in enumerate(zip(plain.scores.rows, ahead.scores.rows, strict=True)):
        assert a[: i + 1] == b[: i + 1]
        assert None not in b
    told = {"forward_transfer", "positive_forward_transfer"}
    assert {k: v for k, v in ahead.metrics().items() if k in plain.metrics()} == plain.metrics()
    assert told & set(ahead.metrics())


def test_a_task_that_is_named_before_it_is_learned_is_answered_by_untrained_outputs() -> None:
    session, _ = walked("finetune", scenario={"name": "task-incremental"}, evaluate={"future": True})
    ahead = [v for i, row in enumerate(session.scores.rows) for v in row[i + 1 :]]
    assert all(v is not None for v in ahead)
    assert 0.2 < sum(ahead) / len(ahead) < 0.8, "two classes, about chance"  # type: ignore[arg-type]
    assert len(set(ahead)) > 3
    assert session.learner.model.n_classes == 10
    free, _ = walked("finetune", evaluate={"future": True})
    assert all(v == 0 for i, row in enumerate(free.scores.rows) for v in row[i + 1 :]), "never named, never right"


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_batch_size_and_cache_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(toy("finetune"), Record(), Control())
    session.start()
    expected = session.evaluator.evaluate(session.method, session.learner, 0)
    monkeypatch.setitem(__import__("cllab.engine.evaluation", fromlist=["x"]).CACHE_BYTES, "cpu", 0)
    evaluator = Evaluator(session.stream, batch_size=size)
    assert evaluator.evaluate(session.method, session.learner, 0) == expected
    assert evaluator._cache == {}


def test_evaluating_leaves_the_model_in_training_mode_and_its_statistics_alone() -> None:
    session = Session(toy("finetune"), Record(), Control())
    session.start()
    session.learner.model.train()
    before = {k: v.clone() for k, v in session.learner.model.state_dict().items()}
    session.evaluator.evaluate(session.method, session.learner, 0)
    assert session.learner.model.training
    assert all(torch.equal(v, before[k]) for k, v in session.learner.model.state_dict().items())
