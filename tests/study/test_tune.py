"""Choosing settings on tasks set aside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cllab.errors import UsageError
from cllab.settings.config import RunConfig
from cllab.study import tune
from tests.conftest import toy


def split(**tables: Any) -> RunConfig:
    scenario = {"name": "task-incremental", "tasks": 5, "cv_tasks": 3, "part": "cl"}
    return toy("bcl-dual", scenario=scenario, memory={"capacity": 20}, train={"memory_epochs": 0}, **tables)


def test_trials_meet_other_tasks_with_the_same_memory_a_task() -> None:
    aside = tune.aside(split())
    assert aside.scenario.values["part"] == "cv"
    assert aside.memory.common["capacity"] == 30
    permuted = toy("single", scenario={"name": "permuted", "tasks": 20, "samples": 50})
    assert tune.aside(permuted).scenario.values["tasks"] == 3
    with pytest.raises(UsageError, match="leaves no task to choose settings on"):
        tune.aside(toy("single", scenario={"name": "task-incremental", "tasks": 5}))
    with pytest.raises(UsageError, match="scenario 'benchmark-file' has nothing to set aside"):
        tune.aside(toy("single", scenario={"name": "benchmark-file"}))


@pytest.mark.parametrize("samples", [0, 50])
@pytest.mark.parametrize("scenario", ["permuted", "rotated", "disjoint", "blurry"])
def test_no_trial_is_scored_on_a_test_image_or_on_one_it_was_trained_on(scenario: str, samples: int) -> None:
    import torch

    from cllab.engine.control import Control
    from cllab.engine.run import Session

    table = {"samples": samples} if scenario in ("permuted", "rotated") else {}
    asked = toy("er", scenario={"name": scenario, "tasks": 5, **table}, memory={"capacity": 20})
    trial = Session(tune.aside(asked), lambda event: None, Control())
    reported = Session(asked, lambda event: None, Control())
    pixels = reported.dataset.train.images.pixels  # type: ignore[attr-defined]
    trained = torch.cat([task.train.sample_ids() for task in trial.stream.tasks])
    scored = torch.cat([task.test.sample_ids() for task in trial.stream.tasks])
    assert len(scored)
    assert not torch.isin(scored, trained).any()
    for task in trial.stream.tasks:
        # the scored images are pixel by pixel images of the training set, of their own labels
        assert torch.equal(task.test.images.pixels, pixels)  # type: ignore[attr-defined]
    assert trial.dataset.test.labels.unique().tolist() == reported.dataset.train.labels.unique().tolist()
    n = len(reported.dataset.train)
    assert len(trial.dataset.train) + len(trial.dataset.test) == n
    assert abs(len(trial.dataset.test) - n / 6) <= reported.dataset.n_classes


def test_where_a_trial_is_scored_is_told() -> None:
    assert tune.where(split()) == "3 tasks set aside"
    permuted = toy("single", scenario={"name": "permuted", "tasks": 20, "samples": 50})
    assert tune.where(permuted) == "3 other tasks and one in 6 training images, held out"
    assert tune.where(toy("single")) == "one in 6 training images, held out"


def test_a_trial_never_asks_for_more_images_than_are_left() -> None:
    every = toy("single", scenario={"name": "permuted", "tasks": 5, "samples": 60000}, dataset={"name": "mnist"})
    assert tune.aside(every).scenario.values["samples"] == 0


def test_every_point_is_tried_once_with_seeds_of_its_own_and_the_best_is_taken() -> None:
    seen: list[tuple[float, float, int]] = []

    def run_one(config: RunConfig) -> Mapping[str, Any]:
        point = (config.train.lr, float(config.method.values["beta"]), config.seed)
        seen.append(point)
        score = (
            1 - abs(config.train.lr - 0.1) - abs(float(config.method.values["beta"]) - 0.3) + 0.001 * (config.seed % 10)
        )
        return {"metrics": {"task_accuracy": score}, "seconds": {"total": 2.0}}

    grid = tune.parse_grid(["train.lr=0.01,0.1", "method.beta=0.3,1.0"])
    found = tune.tune(split(), grid, run_one, seeds=(1, 2))
    assert len(set(seen)) == len(seen) == 8
    assert {s for _, _, s in seen} == {tune.SEEDS_APART + 1, tune.SEEDS_APART + 2}
    assert found.best.assignments == ("train.lr=0.1", "method.beta=0.3")
    chosen = RunConfig.from_toml(found.preset())
    assert (chosen.train.lr, chosen.method.values["beta"]) == (0.1, 0.3)
    assert chosen.scenario.values["part"] == "cl"
    assert chosen.name == "toy-bcl-dual-tuned"
    comment = [line for line in found.preset().splitlines() if line.startswith("#")]
    assert sum("train.lr=" in line for line in comment) == 5  # the best, and all four
    assert "16 s" in "".join(comment)


def test_a_lower_is_better_metric_is_lowered() -> None:
    def run_one(config: RunConfig) -> Mapping[str, Any]:
        return {"metrics": {"forgetting": config.train.lr}, "seconds": {"total": 0.0}}

    found = tune.tune(split(), {"train.lr": [0.3, 0.1]}, run_one, metric="forgetting")
    assert found.best.assignments == ("train.lr=0.1",)


def test_bad_grids_are_refused_before_anything_runs() -> None:
    def never(config: RunConfig) -> Mapping[str, Any]:
        raise AssertionError

    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        tune.parse_grid(["train.lr"])
    with pytest.raises(UsageError, match="learning_rate"):
        tune.tune(split(), {"train.lr": [0.1], "train.learning_rate": [1]}, never)
    with pytest.raises(UsageError, match="beta must be"):
        tune.tune(split(), {"method.beta": [0.3, 3.0]}, never)
    with pytest.raises(UsageError, match="no metric 'acuracy'"):
        tune.tune(split(), {"train.lr": [0.1]}, never, metric="acuracy")
    with pytest.raises(UsageError, match="at most 1000"):
        tune.tune(split(), {"train.lr": [0.1] * 40, "method.beta": [0.1] * 40}, never)


def test_default_grid_varies_the_rate_and_the_methods_main_setting() -> None:
    grid = tune.default_grid(split())
    assert set(grid) == {"train.lr", "method.beta"}
    assert len(list(tune.trials(split(), grid))) == 9
    assert set(tune.default_grid(toy("single"))) == {"train.lr"}


def test_real_runs() -> None:
    from cllab.engine.control import Control
    from cllab.engine.run import run

    found = tune.tune(split(), {"train.lr": [0.0001, 0.05]}, lambda c: run(c, lambda e: None, Control()))
    assert found.best.assignments == ("train.lr=0.05",)
    assert found.trials[1].mean > found.trials[0].mean + 0.1
