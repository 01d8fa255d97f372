"""Continual-learning metrics, each with its definition and source.

Everything follows from the accuracy matrix R, (E, E) floats: R[i, j] is the accuracy on task j after learning task i,
NaN where it was not evaluated; and from the accuracies over all classes seen so far, one after each task.
All accuracies are fractions in 0..1.

Where test sets stand apart from the tasks, R is (E, T), and what speaks of "task j when it was learned" has no meaning:
forgetting, transfer and learning accuracy are not given then. What is: the accuracy on all test images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric as `cllab explain` shows it."""

    name: str
    title: str
    formula: str
    help: str
    source: str
    higher_is_better: bool = True


def matrix(rows: Sequence[Sequence[float | None]], n_tasks: int, n_tests: int | None = None) -> Array:
    """Rows of accuracies, None for missing, as an (E, T) array with NaN; T is E unless given."""
    n_tests = n_tasks if n_tests is None else n_tests
    r = np.full((n_tasks, n_tests), np.nan)
    for i, row in enumerate(rows[:n_tasks]):
        for j, value in enumerate(row[:n_tests]):
            if value is not None:
                r[i, j] = value
    return r


def last_accuracy(seen: Sequence[float]) -> float:
    """Accuracy over all seen classes after the last task; seen: (E,)."""
    return float(seen[-1]) if len(seen) else float("nan")


def average_accuracy(seen: Sequence[float]) -> float:
    """Mean over tasks i of the accuracy over the classes seen after task i; seen: (E,)."""
    return float(np.mean(seen)) if len(seen) else float("nan")


def task_accuracy(r: ArrayLike) -> float:
    """ACC = mean_j R[E-1, j] (Lopez-Paz & Ranzato 2017, Eq. 2); r: (E, E)."""
    r = np.asarray(r, float)
    return _mean(r[-1])


def accuracies_on_all(r: ArrayLike, sizes: Sequence[int]) -> Array:
    """(E,) accuracy over the images of all test sets after each task; r: (E, T), sizes: (T,) their images.

    NaN where a test set was not evaluated.
    """
    n = np.asarray(sizes, float)
    over_all: Array = np.asarray(r, float) @ n / n.sum()
    return over_all


def forgetting(r: ArrayLike) -> float:
    """F = mean_{j<E-1} (max_{j<=i<E-1} R[i, j] - R[E-1, j]); r: (E, E).

    Chaudhry et al. 2018, arXiv:1801.10112, Eq. 3: there the maximum is written over all earlier rows, of an accuracy
    that is defined for j <= i. Where tasks not learned yet are evaluated too, the two readings differ:
    `forgetting_any_row` is the literal one.
    """
    return _mean(forgetting_per_task(r))


def forgetting_per_task(r: ArrayLike) -> Array:
    """(E-1,): best earlier accuracy on each old task minus the last one; NaN where it cannot be known."""
    r = np.asarray(r, float)
    last = len(r) - 1
    out = np.full(max(last, 0), np.nan)
    for j in range(last):
        earlier = r[j:last, j]
        if np.isfinite(earlier).any() and np.isfinite(r[last, j]):
            out[j] = np.nanmax(earlier) - r[last, j]
    return out


def forgetting_any_row(r: ArrayLike) -> float:
    """As `forgetting`, but the maximum runs over all rows before the last, also before task j was learned.

    Chaudhry et al. 2018, Eq. 3, to the letter, and what the published code of Rainbow Memory (Bang et al. 2021) and of
    Bilevel Continual Learning (Pham et al. 2020) computes; in blurry streams, where every class is seen from the first
    task on, it is the natural reading. r: (E, E).
    """
    r = np.asarray(r, float)
    if len(r) < 2:
        return float("nan")
    earlier, last = r[:-1, :-1], r[-1, :-1]
    known = np.isfinite(earlier).any(axis=0) & np.isfinite(last)
    if not known.any():
        return float("nan")
    return float(np.mean(np.nanmax(earlier[:, known], axis=0) - last[known]))


def forgetting_all_tasks(r: ArrayLike) -> float:
    """As `forgetting`, but divided by E: the last task, which nothing came after, counts as 0.

    The divisor of GEM's published code for backward transfer, applied to forgetting; means over all tasks are reported
    too, and are smaller by (E - 1) / E. NaN where the forgetting of an earlier task is not known. r: (E, E).
    """
    lost = forgetting_per_task(r)
    return float(np.sum(lost) / (len(lost) + 1)) if len(lost) else float("nan")


def backward_transfer(r: ArrayLike) -> float:
    """BWT = mean_{j<E-1} (R[E-1, j] - R[j, j]) (Lopez-Paz & Ranzato 2017, Eq. 3); r: (E, E)."""
    r = np.asarray(r, float)
    return _mean(r[-1, :-1] - np.diag(r)[:-1])


def forward_transfer(r: ArrayLike, baseline: ArrayLike) -> float:
    """FWT = mean_{j>0} (R[j-1, j] - b[j]) (Lopez-Paz & Ranzato 2017, Eq. 4).

    r: (E, E); baseline: (E,) accuracy on each task of the model before any training.
    """
    r, b = np.asarray(r, float), np.asarray(baseline, float)
    return _mean(np.array([r[j - 1, j] - b[j] for j in range(1, len(r))]))


def backward_transfer_gem(r: ArrayLike) -> float:
    """As `backward_transfer`, but divided by E: the last task, which nothing came after, counts as 0.

    What GEM's published code computes. r: (E, E).
    """
    r = np.asarray(r, float)
    return float(np.mean(r[-1] - np.diag(r))) if len(r) else float("nan")


def forward_transfer_gem(r: ArrayLike, baseline: ArrayLike) -> float:
    """As `forward_transfer`, but divided by E: the first task counts as 0.

    What GEM's published code computes. r: (E, E); baseline: (E,) before any training.
    """
    r, b = np.asarray(r, float), np.asarray(baseline, float)
    return float(np.sum([r[j - 1, j] - b[j] for j in range(1, len(r))]) / len(r)) if len(r) else float("nan")


def forward_transfer_bcl(r: ArrayLike) -> float:
    """As `forward_transfer_gem`, with the model after the first task in the place of the untrained one.

    What Bilevel Continual Learning's published code computes; its second entry is 0 by definition. r: (E, E).
    """
    r = np.asarray(r, float)
    return forward_transfer_gem(r, r[0]) if len(r) else float("nan")


def learning_accuracy(r: ArrayLike) -> float:
    """LA = mean_j R[j, j]: how well each task was learned when it was its turn (Riemer et al. 2019); r: (E, E)."""
    return _mean(np.diag(np.asarray(r, float)))


def intransigence(joint: float, last: float) -> float:
    """I = accuracy of joint training minus the last accuracy (Chaudhry et al. 2018, Eq. 4, for the last task)."""
    return joint - last


def stream_area(samples: Sequence[int], accuracy: Sequence[float]) -> float:
    """Mean accuracy over the stream: area under accuracy over samples, divided by the span (Koh et al. 2022, A_AUC).

    samples: (n,) ascending; accuracy: (n,). One point gives its value.
    """
    if not len(samples):
        return float("nan")
    x, y = np.asarray(samples, float), np.asarray(accuracy, float)
    span = x[-1] - x[0]
    return float(np.trapezoid(y, x) / span) if span > 0 else float(y[-1])


def _mean(values: Array) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "last_accuracy",
            "last accuracy",
            "a[E-1]",
            "Accuracy over all test samples of the classes seen so far, after the last task.",
            "A_last in Bang et al. 2021",
        ),
        Metric(
            "average_accuracy",
            "average accuracy",
            "mean_i a[i]",
            "Mean over tasks of the accuracy over the classes seen so far.",
            "Rebuffi et al. 2017; A_avg in Bang et al. 2021",
        ),
        Metric(
            "task_accuracy",
            "task accuracy",
            "mean_j R[E-1, j]",
            "Mean of the last row of the accuracy matrix: every task counts the same.",
            "ACC, Lopez-Paz & Ranzato 2017, Eq. 2",
        ),
        Metric(
            "test_accuracy",
            "test accuracy",
            "sum_j n[j] R[E-1, j] / sum_j n[j]",
            "Accuracy over all test images after the last task, of streams whose test sets stand apart from the tasks; "
            "classes that were not seen count as errors.",
            "Lomonaco & Maltoni 2017, arXiv:1705.03550",
        ),
        Metric(
            "average_test_accuracy",
            "average test accuracy",
            "mean_i sum_j n[j] R[i, j] / sum_j n[j]",
            "Mean over tasks of the accuracy over all test images, classes not seen yet counted as errors; of streams "
            "whose test sets stand apart from the tasks.",
            "Lomonaco et al. 2019, arXiv:1907.03799",
        ),
        Metric(
            "forgetting",
            "forgetting",
            "mean_{j<E-1} (max_{j<=i<E-1} R[i,j] - R[E-1,j])",
            "How far old tasks fell from the best they ever were, from when they were learned.",
            "Chaudhry et al. 2018, Eq. 3, where the accuracy on j is defined from row j on",
            False,
        ),
        Metric(
            "forgetting_all_tasks",
            "forgetting (all tasks)",
            "(1/E) sum_{j<E-1} (max_{j<=i<E-1} R[i,j] - R[E-1,j])",
            "As forgetting, divided by the number of tasks: the last task counts as 0.",
            "Chaudhry et al. 2018, Eq. 3, with the divisor of the code of Lopez-Paz & Ranzato 2017",
            False,
        ),
        Metric(
            "forgetting_any_row",
            "forgetting (all rows)",
            "mean_{j<E-1} (max_{i<E-1} R[i,j] - R[E-1,j])",
            "As forgetting, with the best over all earlier rows: the published code's, natural in blurry streams.",
            "Chaudhry et al. 2018, Eq. 3, to the letter; the code of Bang et al. 2021 and Pham et al. 2020",
            False,
        ),
        Metric(
            "backward_transfer",
            "backward transfer",
            "mean_{j<E-1} (R[E-1,j] - R[j,j])",
            "What later tasks did to earlier ones; negative is forgetting.",
            "BWT, Lopez-Paz & Ranzato 2017, Eq. 3",
        ),
        Metric(
            "forward_transfer",
            "forward transfer",
            "mean_{j>0} (R[j-1,j] - b[j])",
            "What earlier tasks did for later ones, against the untrained model b; needs evaluate.future = true.",
            "FWT, Lopez-Paz & Ranzato 2017, Eq. 4",
        ),
        Metric(
            "backward_transfer_gem",
            "backward transfer (GEM)",
            "(1/E) sum_{j<E-1} (R[E-1,j] - R[j,j])",
            "As backward transfer, divided by the number of tasks: GEM's published code; needs evaluate.future = true.",
            "the code of Lopez-Paz & Ranzato 2017",
        ),
        Metric(
            "forward_transfer_gem",
            "forward transfer (GEM)",
            "(1/E) sum_{j>0} (R[j-1,j] - b[j])",
            "As forward transfer, divided by the number of tasks: GEM's published code; needs evaluate.future = true.",
            "the code of Lopez-Paz & Ranzato 2017",
        ),
        Metric(
            "forward_transfer_bcl",
            "forward transfer (BCL)",
            "(1/E) sum_{j>0} (R[j-1,j] - R[0,j])",
            "Against the model after the first task, divided by the number of tasks: the published code of Bilevel "
            "Continual Learning; needs evaluate.future = true.",
            "the code of Pham et al. 2020",
        ),
        Metric(
            "class_incremental_accuracy",
            "class-incremental accuracy",
            "mean_j R'[E-1, j]",
            "The same model when the task is not named at test time and all classes seen so far compete; of streams "
            "that name the task.",
            "van de Ven & Tolias 2019, arXiv:1904.07734",
        ),
        Metric(
            "learning_accuracy",
            "learning accuracy",
            "mean_j R[j,j]",
            "How well each task was learned when it was its turn.",
            "LA, Riemer et al. 2019",
        ),
        Metric(
            "intransigence",
            "intransigence",
            "a_joint - a[E-1]",
            "What was lost against training on all data at once, measured on a joint run of the same seed.",
            "Chaudhry et al. 2018, Eq. 4",
            False,
        ),
        Metric(
            "stream_area",
            "area under the stream",
            "(1/span) integral a d(samples)",
            "Mean accuracy while the stream passes; needs evaluate.every > 0.",
            "A_AUC, Koh et al. 2022",
        ),
        Metric(
            "left_accuracy",
            "accuracy of the model left",
            "a[E-1] of the last epoch",
            "As last accuracy, of the model that is left after the last task, also where a run reports its best test "
            "epoch; of runs that evaluate epochs.",
            "the code of Bang et al. 2021, its final epoch",
        ),
        Metric(
            "best_accuracy",
            "best test epoch",
            "max over epochs of the last task",
            "The best test epoch of the last task, as published code reports; chosen on test data: never the default.",
            "the code of Bang et al. 2021",
        ),
    )
}


def unit(name: str) -> str:
    """What a metric of this name is given in once it is multiplied by 100: a difference of two accuracies is in
    percentage points ("points"), an accuracy in percent ("%")."""
    return "points" if name.startswith(_DIFFERENCES) else "%"


_DIFFERENCES = ("forgetting", "backward_transfer", "forward_transfer", "intransigence")


def summary(
    rows: Sequence[Sequence[float | None]],
    seen: Sequence[float],
    *,
    n_tasks: int,
    tests: Sequence[int] | None = None,
    baseline: Sequence[float | None] | None = None,
    stream: Sequence[tuple[int, float]] = (),
) -> dict[str, float]:
    """Every metric that these accuracies determine; NaN entries are left out.

    rows: (i, E) accuracy rows so far; seen: (i,) accuracy over seen classes; tests: (T,) images of every test set,
    where those stand apart from the tasks: rows are (i, T) then; baseline: (E,) before training; stream: (samples,
    accuracy) pairs.
    """
    r = matrix(rows, n_tasks)[: len(rows), : len(rows)] if rows and tests is None else np.zeros((0, 0))
    values: dict[str, float] = {
        "last_accuracy": last_accuracy(seen),
        "average_accuracy": average_accuracy(seen),
    }
    square: dict[str, Callable[[Any], float]] = {
        "task_accuracy": task_accuracy,
        "forgetting": forgetting,
        "forgetting_any_row": forgetting_any_row,
        "forgetting_all_tasks": forgetting_all_tasks,
        "backward_transfer": backward_transfer,
        "learning_accuracy": learning_accuracy,
    }
    if len(r):
        values.update({name: f(r) for name, f in square.items()})
        if baseline is not None:
            b = np.array([np.nan if v is None else v for v in baseline])[: len(r)]
            values["forward_transfer"] = forward_transfer(r, b)
            values["forward_transfer_gem"] = forward_transfer_gem(r, b)
            values["forward_transfer_bcl"] = forward_transfer_bcl(r)
            values["backward_transfer_gem"] = backward_transfer_gem(r)
    if tests and rows:
        over_all = accuracies_on_all(matrix(rows, n_tasks, len(tests))[: len(rows)], tests)
        values["test_accuracy"] = float(over_all[-1])
        values["average_test_accuracy"] = float(over_all.mean())
    if stream:
        values["stream_area"] = stream_area([s for s, _ in stream], [a for _, a in stream])
    return {k: v for k, v in values.items() if np.isfinite(v)}
