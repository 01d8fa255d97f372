"""The originals' metrics and result files, on the matrix that the published code was run on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cllab import metrics
from cllab.errors import UsageError
from cllab.report.export_bcl import bcl_text, write_bcl_result

R = np.array([[0.9, 0.1, 0.2], [0.7, 0.8, 0.3], [0.6, 0.75, 0.85]])
BASELINE = np.array([0.1, 0.1, 0.1])
RESULT: dict[str, Any] = {
    "name": "r",
    "config": {"method": {"name": "bcl-dual"}, "dataset": {"name": "mnist"}, "scenario": {"name": "permuted"}},
    "accuracy_matrix": R.tolist(),
    "baseline": BASELINE.tolist(),
}


def test_published_metrics() -> None:
    assert metrics.task_accuracy(R) == pytest.approx(0.7333, abs=5e-5)
    assert metrics.learning_accuracy(R) == pytest.approx(0.85)
    assert metrics.backward_transfer(R) == pytest.approx(-0.175)
    assert metrics.forgetting_any_row(R) == pytest.approx(0.175)
    assert metrics.forward_transfer_bcl(R) == pytest.approx(0.0333, abs=5e-5)
    assert metrics.backward_transfer_gem(R) == pytest.approx(-0.1167, abs=5e-5)
    assert metrics.forward_transfer_gem(R, BASELINE) == pytest.approx(0.0667, abs=5e-5)


def test_where_the_published_metrics_differ_from_the_definitions() -> None:
    assert metrics.backward_transfer(R) == pytest.approx(metrics.backward_transfer_gem(R) * 3 / 2)
    assert metrics.forward_transfer(R, BASELINE) == pytest.approx(metrics.forward_transfer_gem(R, BASELINE) * 3 / 2)
    lucky = R.copy()
    lucky[0, 1] = 0.9  # good at task 1 before it was learned
    assert metrics.forgetting_any_row(lucky) > metrics.forgetting(lucky) + 0.04


def test_summary_has_them_when_future_tasks_are_measured() -> None:
    values = metrics.summary(R.tolist(), [0.9, 0.75, 0.73], n_tasks=3, baseline=BASELINE.tolist())
    assert values["forward_transfer_gem"] == pytest.approx(0.0667, abs=5e-5)
    assert "forward_transfer_gem" not in metrics.summary(R.tolist(), [0.9, 0.75, 0.73], n_tasks=3)
    assert set(values) <= set(metrics.METRICS)


def test_file_of_bilevel_continual_learning() -> None:
    assert bcl_text(RESULT).splitlines() == [
        "0.9000 0.1000 0.2000",
        "|",
        "0.9000 0.1000 0.2000",
        "0.7000 0.8000 0.3000",
        "0.6000 0.7500 0.8500",
        "",
        "Diagonal Accuracy: 0.8500",
        "Final Accuracy: 0.7333",
        "Backward: -0.1750",
        "Forward: 0.0333",
        "Forgetting Measure: 0.1750",
        "LCA: 0.0000",
    ]


def test_file_of_gem() -> None:
    lines = bcl_text(RESULT, "gem").splitlines()
    assert lines[0] == "0.1000 0.1000 0.1000"
    assert lines[6:] == ["Final Accuracy: 0.7333", "Backward: -0.1167", "Forward: 0.0667"]


def test_names_and_gaps(tmp_path: Path) -> None:
    path = write_bcl_result(RESULT, tmp_path)
    assert re.fullmatch(r"bcl_dual_\d{4}(_\d\d){5}_[0-9a-f]{8}\.txt", path.name)
    path = write_bcl_result(RESULT, tmp_path, layout="gem")
    assert re.fullmatch(r"bcl_dual_mnist_permuted_\d{4}(_\d\d){5}_[0-9a-f]{32}\.txt", path.name)
    assert write_bcl_result(RESULT, tmp_path / "mine.txt").read_text() == bcl_text(RESULT)
    half = {**RESULT, "accuracy_matrix": [[0.9, None, None], [0.7, 0.8, None], [None, None, None]]}
    half.pop("baseline")
    assert bcl_text(half).splitlines()[2:4] == ["0.9000 nan", "0.7000 0.8000"]
    with pytest.raises(UsageError, match="no accuracies"):
        write_bcl_result({**RESULT, "accuracy_matrix": [[None]]}, tmp_path)
