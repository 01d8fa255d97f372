"""Metrics on matrices worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cllab import metrics as m

R = [[0.9, 0.1, 0.2], [0.7, 0.8, 0.3], [0.6, 0.75, 0.85]]
NAN = float("nan")


def test_the_oracle_of_the_gem_family() -> None:
    assert m.task_accuracy(R) == pytest.approx(0.7333, abs=1e-4)
    assert m.learning_accuracy(R) == pytest.approx(0.85)
    assert m.backward_transfer(R) == pytest.approx(-0.175)
    assert m.forgetting(R) == pytest.approx(0.175)
    assert m.forgetting_any_row(R) == pytest.approx(0.175)
    # over the two tasks that have something before them; the reference divides by three: .0667
    assert m.forward_transfer(R, [0.1, 0.1, 0.1]) == pytest.approx(0.1)
    assert m.forward_transfer(R, [0.1, 0.1, 0.1]) * 2 / 3 == pytest.approx(0.0667, abs=1e-4)


def test_forgetting_is_from_the_best_since_the_task_was_learned() -> None:
    r = [[0.5, 0.95, 0.0], [0.9, 0.6, 0.0], [0.4, 0.5, 0.7]]
    assert m.forgetting_per_task(r).tolist() == pytest.approx([0.5, 0.1])
    assert m.forgetting(r) == pytest.approx(0.3)
    # the published code also looks at rows before the task was learned: .95 - .5
    assert m.forgetting_any_row(r) == pytest.approx((0.5 + 0.45) / 2)
    # the last task counts as 0: (.5 + .1 + 0) / 3
    assert m.forgetting_all_tasks(r) == pytest.approx(0.2)
    assert m.summary(r, [0.5, 0.5, 0.5], n_tasks=3)["forgetting_all_tasks"] == pytest.approx(0.2)
    assert m.backward_transfer(r) == pytest.approx((-0.1 - 0.1) / 2)


def test_the_variants_of_published_code() -> None:
    # by hand, from R and a baseline of .05, .15, .25
    baseline = [0.05, 0.15, 0.25]
    assert m.backward_transfer_gem(R) == pytest.approx((-0.3 - 0.05 + 0) / 3)
    assert m.forward_transfer_gem(R, baseline) == pytest.approx((0 + (0.1 - 0.15) + (0.3 - 0.25)) / 3, abs=1e-12)
    assert m.forward_transfer_gem(R, [0.1, 0.1, 0.1]) == pytest.approx(0.0667, abs=1e-4)
    assert m.forward_transfer(R, [0.0, 0.15, 0.2]) == pytest.approx(((0.1 - 0.15) + (0.3 - 0.2)) / 2)
    assert m.forward_transfer_bcl(R) == pytest.approx((0 + 0 + (0.3 - 0.2)) / 3)
    ahead = m.summary(R, [0.9, 0.75, 0.73], n_tasks=3, baseline=baseline)
    assert ahead["backward_transfer_gem"] == m.backward_transfer_gem(R)
    assert ahead["forward_transfer_gem"] == m.forward_transfer_gem(R, baseline)
    assert ahead["forward_transfer_bcl"] == m.forward_transfer_bcl(R)


def test_improvement_is_negative_forgetting() -> None:
    r = [[0.5, NAN], [0.8, 0.9]]
    assert m.forgetting(r) == pytest.approx(-0.3)
    assert m.backward_transfer(r) == pytest.approx(0.3)


def test_missing_entries_are_left_out_not_counted_as_zero() -> None:
    r = m.matrix([[0.9, None, None], [0.7, 0.8, None], [0.6, 0.75, 0.85]], 3)
    assert np.isnan(r[0, 1])
    assert m.task_accuracy(r) == pytest.approx(0.7333, abs=1e-4)
    assert m.forgetting(r) == pytest.approx(0.175)
    assert math.isnan(m.forward_transfer(r, [0.1] * 3))
    r[2, 0] = np.nan
    assert m.forgetting(r) == pytest.approx(0.05)
    assert m.forgetting_any_row(r) == pytest.approx(0.05)
    assert math.isnan(m.forgetting_all_tasks(r)), "a task that is not known is not a task that forgot nothing"


def test_every_definition_of_forgetting_names_the_equation_it_reads() -> None:
    for name in ("forgetting", "forgetting_any_row", "forgetting_all_tasks"):
        assert "Chaudhry et al. 2018, Eq. 3" in m.METRICS[name].source
        assert not m.METRICS[name].higher_is_better


def test_one_task_has_no_transfer_and_no_forgetting() -> None:
    for value in (
        m.forgetting_all_tasks([[0.9]]),
        m.forgetting([[0.9]]),
        m.forgetting_any_row([[0.9]]),
        m.backward_transfer([[0.9]]),
    ):
        assert math.isnan(value)
    assert m.learning_accuracy([[0.9]]) == m.task_accuracy([[0.9]]) == 0.9


def test_last_and_average_accuracy() -> None:
    assert m.last_accuracy([0.9, 0.5, 0.4]) == 0.4
    assert m.average_accuracy([0.9, 0.5, 0.4]) == pytest.approx(0.6)
    assert math.isnan(m.last_accuracy([]))
    assert math.isnan(m.average_accuracy([]))
    assert m.intransigence(0.95, 0.8) == pytest.approx(0.15)


def test_area_under_the_stream_is_the_trapezoid_over_its_span() -> None:
    assert m.stream_area([0, 10, 30], [0.0, 1.0, 0.5]) == pytest.approx((0.5 * 10 + 0.75 * 20) / 30)
    assert m.stream_area([100, 200], [0.4, 0.6]) == pytest.approx(0.5)
    assert m.stream_area([7], [0.3]) == 0.3
    assert math.isnan(m.stream_area([], []))


def test_the_summary_holds_what_is_determined() -> None:
    rows = [[0.9, None, None], [0.7, 0.8, None], [0.6, 0.75, 0.85]]
    full = m.summary(rows, [0.9, 0.75, 0.73], n_tasks=3)
    assert full["last_accuracy"] == 0.73
    assert full["forgetting"] == pytest.approx(0.175)
    assert "forward_transfer" not in full
    assert "stream_area" not in full
    assert set(full) <= set(m.METRICS)
    part = m.summary(rows[:2], [0.9, 0.75], n_tasks=3)
    assert part["task_accuracy"] == pytest.approx(0.75)
    assert part["forgetting"] == pytest.approx(0.2)
    assert m.summary([], [], n_tasks=3) == {}
    ahead = m.summary(R, [0.9, 0.75, 0.73], n_tasks=3, baseline=[0.1, 0.1, None], stream=[(5, 0.2), (10, 0.4)])
    assert ahead["forward_transfer"] == pytest.approx(0.0)
    assert ahead["stream_area"] == pytest.approx(0.3)


def test_every_metric_explains_itself() -> None:
    for name, metric in m.METRICS.items():
        assert metric.name == name
        assert metric.help.endswith(".")
        assert metric.formula
        assert metric.source
    assert not m.METRICS["forgetting"].higher_is_better
    assert m.METRICS["last_accuracy"].higher_is_better
