"""Runs as numbers: means, deviations, groups, differences, and what a joint run is measured on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cllab.errors import UsageError
from cllab.record import outcome
from cllab.record.outcome import Group, Stat
from cllab.record.runs import RunStore
from cllab.settings import presets
from cllab.study import joint
from tests.recorded import TRIANGLE, config, write_run


def test_stat_is_the_sample_deviation() -> None:
    values = [0.9265, 0.9318, 0.9278]
    stat = Stat.of(values)
    assert stat is not None
    assert math.isclose(stat.mean, np.mean(values))
    assert stat.deviation is not None
    assert math.isclose(stat.deviation, np.std(values, ddof=1))
    assert stat.text() == "92.87 ± 0.28"
    assert Stat.of([0.5]) == Stat(0.5, None, 1)
    assert Stat.of([0.5, math.nan]) == Stat(0.5, None, 1)
    assert Stat.of([]) is None


def test_groups_are_signatures_and_hold_each_seed_once(store: RunStore) -> None:
    asked = [config(seed=2), config(seed=1), config("er", "train.lr=0.1"), config(seed=1)]
    runs = [write_run(store, c, seen=(0.9, 0.7, 0.1 * i)) for i, c in enumerate(asked)]
    groups = outcome.group(outcome.read(run) for run in runs)
    assert [g.seeds for g in groups] == [(1, 2), (1,)]
    # of two runs of one seed the first that is given counts
    assert groups[0].outcomes[0].run == runs[1]
    assert [g.label for g in groups] == ["er-blobs (train.lr=0.05)", "er-blobs (train.lr=0.1)"]
    newest = outcome.group(outcome.finished(store))
    assert sum(len(g.outcomes) for g in newest) == 3


def test_mean_matrix_has_holes_where_any_seed_has(store: RunStore) -> None:
    rows = ((1.0, 0.0, None), (0.8, None, None), (0.5, 0.9, 0.75))
    runs = [write_run(store, config(seed=1)), write_run(store, config(seed=2), rows)]
    group = Group("", tuple(outcome.read(r) for r in runs))
    matrix = group.matrix()
    assert matrix[0] == (0.95, None, None)
    assert matrix[1][1] is None
    np.testing.assert_allclose([v for v in matrix[2] if v is not None], [0.4, 0.8, 0.85])
    assert group.seen() == (0.9, 0.7, 0.65)


def test_differences_leave_seed_device_and_folder_aside(store: RunStore) -> None:
    a = write_run(store, config("er", 'dataset.root="/a"', 'device="cpu"', seed=1))
    b = write_run(store, config("er", "memory.capacity=90", 'dataset.root="/b"', seed=2), result=False)
    assert outcome.differences([outcome.read(a), outcome.read(b)]) == {"memory.capacity": [60, 90]}


def test_a_half_finished_run_has_what_it_has(store: RunStore) -> None:
    run = write_run(store, config(), TRIANGLE[:2], (0.9, 0.7), status="stopped", result=False)
    found = outcome.read(run)
    assert (found.status, len(found.matrix), found.n_tasks) == ("stopped", 2, 3)
    assert math.isclose(found.metrics["last_accuracy"], 0.7)


def test_a_torn_result_is_refused_by_name(store: RunStore) -> None:
    run = write_run(store, config())
    run.result_path.write_text('{"accuracy_matrix": [[1]], "name": "x", "status": "done"}')
    with pytest.raises(UsageError, match="not a result"):
        outcome.read(run)


def test_the_joint_run_of_a_table_is_its_preset() -> None:
    asked = presets.load("rm-mnist-blurry10").config.override(["seed=3", "fidelity=reference"])
    made = joint.config_for(asked)
    assert (made.name, made.seed, made.fidelity) == ("joint-mnist-blurry10", 3, "reference")
    assert joint.problem_of(made.to_dict()) == joint.problem_of(asked.to_dict())


def test_a_joint_run_is_made_where_no_preset_fits() -> None:
    asked = presets.load("quickstart").config.override(["seed=5", "model.width=50"])
    made = joint.config_for(asked)
    assert (made.method.name, made.seed, made.memory.common["capacity"]) == ("joint", 5, 0)
    assert (made.scenario.values["stream"], made.train.epochs) == ("offline", 15)
    assert joint.problem_of(made.to_dict()) == joint.problem_of(asked.to_dict())
