"""The language of the filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from cllab.errors import UsageError
from cllab.record.runs import Run
from cllab.tui.filters import NUMBERS, TEXTS, columns, parse
from cllab.tui.index import Entry

ER = Entry(
    Run(Path("20260101-er-mnist-s1")), "done", "", "er mnist", "er", "mnist", "blurry", "mlp", "reservoir", 200, 1, 5,
    average=0.62, last=0.5, forgetting=0.1, seconds=90.0,
)  # fmt: skip
EWC = Entry(
    Run(Path("20260101-ewc-cifar-s2")), "failed", "", "ewc", "ewc", "cifar10", "disjoint", "resnet18", "", 0, 2, 5
)


@pytest.mark.parametrize(
    ("text", "er", "ewc"),
    [
        ("", True, True),
        ("mnist", True, False),
        ("MNIST", True, False),
        ("method:e", True, True),
        ("method:er", True, False),
        ("method:er,ewc", True, True),
        ("method=e", False, False),
        ("method!=er", False, True),
        ("data:cifar", False, True),
        ("dataset:cifar", False, True),
        ("mem>=200", True, False),
        ("mem<200", False, True),
        ("mem:200", True, False),
        ("acc>0.5", True, False),
        ("acc>50", True, False),
        ("acc>=62%", True, False),
        ("acc<0.5", False, False),
        ("forget<0.2 state:done", True, False),
        ("-state:failed", True, False),
        ("-acc>0", False, True),
        ('"er mnist"', True, False),
        ('"er mni', True, False),
        ("minutes<2", True, False),
        ("seed=2 disjoint", False, True),
        ("mem>", True, True),
        ("-", True, True),
    ],
)
def test_terms(text: str, er: bool, ewc: bool) -> None:
    test = parse(text)
    assert (test(ER), test(EWC)) == (er, ewc)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methd:er", "did you mean 'method'"),
        ("mem>=many", "mem is a number"),
        ("method>3", "method is text"),
        ("zzz:1", "no column 'zzz'"),
        ("forgeting<3", "did you mean 'forgetting'"),
        ("last_accuracy<0.5", "no column 'last_accuracy'"),
        ("-m1:x", "no column 'm1'"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


def test_the_columns_are_told() -> None:
    for key in (*TEXTS, *NUMBERS):
        assert key in columns()
        parse(f"{key}:1")
