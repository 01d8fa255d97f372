"""What presets claim in [[expect]]: the quick ones always, the MNIST ones as slow tests on real data."""

from __future__ import annotations

import statistics

import pytest

from cllab.data.where import dataset_status
from cllab.record.runs import RunStore
from cllab.settings import presets
from cllab.study import plan
from cllab.worker import train

MNIST = ("rm", "rm-da", "ewc", "rwalk", "gdumb", "icarl")


def holds(name: str, store: RunStore) -> None:
    preset = presets.load(name)
    assert preset.expect, "a preset of this list claims something"
    for claim in preset.expect:
        fidelity = [f"fidelity={claim.fidelity}"] if claim.fidelity else []
        values = []
        for seed in claim.seeds:
            run = store.create(preset.config.override([*fidelity, f"seed={seed}"]))
            assert train(run, signals=False) == 0
            result = run.result()
            assert result is not None
            values.append(result["metrics"][claim.metric])
        assert statistics.fmean(values) == pytest.approx(claim.value, abs=claim.tolerance), claim.source


@pytest.mark.parametrize("name", ["quickstart", "forgetting"])
def test_quick_presets(name: str, store: RunStore) -> None:
    holds(name, store)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("method", MNIST)
def test_mnist_table(method: str, store: RunStore) -> None:
    if not dataset_status("mnist", scan=False).found:
        pytest.skip("CLLAB_DATA names no MNIST")
    holds(f"{method}-mnist-blurry10", store)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [n for n in presets.names() if n.endswith("-split-mnist") and presets.load(n).expect])
def test_split_mnist_is_within_what_was_published(name: str, store: RunStore) -> None:
    if not dataset_status("mnist", scan=False).found:
        pytest.skip("CLLAB_DATA names no MNIST")
    holds(name, store)


def test_the_yard_stick_claims_what_it_stands_beside() -> None:
    """A preset beside a published number claims one, but GDumb, whose difference has a row of its own."""
    claimed = {n for n in presets.names() if n.endswith("-split-mnist") and presets.load(n).expect}
    cells = list(plan.load("split-mnist").cells())
    beside = {cell.row.preset for cell in cells if cell.row.published}
    assert claimed == beside - {"gdumb-split-mnist"}
    for cell in cells:
        for config in cell.configs:
            train, gdumb = config.train, config.method.name == "gdumb"
            steps = 10000 if config.method.name == "joint" else 2000  # those of all tasks together
            assert (train.steps, train.epochs) == ((0, 60) if gdumb else (steps, 1))
            assert (train.batch_size, train.lr, train.optimizer, train.normalize) == (128, 0.001, "adam", "unit")
            assert (config.model.name, config.model.values["width"], config.model.values["norm"]) == ("mlp", 400, False)
            assert (config.scenario.name, config.scenario.values["tasks"]) == ("disjoint", 5)
