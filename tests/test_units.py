"""One unit for each kind of number, everywhere: accuracies in percent, differences of accuracies in points."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cllab.metrics import METRICS, unit

DIFFERENCES = {
    "forgetting", "forgetting_any_row", "backward_transfer", "forward_transfer", "backward_transfer_gem",
    "forward_transfer_gem", "forward_transfer_bcl", "intransigence",
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_a_difference_is_in_points_and_an_accuracy_in_percent(name: str) -> None:
    # a formula with a minus between accuracies is a difference
    assert unit(name) == ("points" if " - " in METRICS[name].formula else "%")
    assert (unit(name) == "points") == (name in DIFFERENCES or name.startswith("forgetting"))


def test_no_text_of_the_package_gives_a_difference_in_percent() -> None:
    """What is printed, drawn or exported: sources, presets, tables and the README."""
    wrong = re.compile(r"(forgetting|forgot|transfer|intransigence)[^\n\"'|,;{}]{0,30}(\(%\)| %)", re.IGNORECASE)
    root = Path(__file__).parent.parent
    files = [*root.glob("cllab/**/*.py"), *root.glob("presets/**/*.toml"), root / "README.md"]
    assert len(files) > 100
    found = [f"{path.name}: {m[0]}" for path in files for m in wrong.finditer(path.read_text(encoding="utf-8"))]
    assert not found
