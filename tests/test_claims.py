"""What presets claim in [[expect]]: the quick ones always, the MNIST ones as slow tests on real data."""

from __future__ import annotations

import statistics

import pytest

from cllab import presets
from cllab.data.where import dataset_status
from cllab.runs import RunStore
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
