"""What the README says is what there is."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from cllab.metrics import unit
from cllab.settings import catalog, presets
from cllab.study import plan
from tests.readme import README, ROOT, written

TEXT = README.read_text(encoding="utf-8")


def test_generated_sections_are_fresh() -> None:
    assert written(TEXT) == TEXT, "run: python -m tests.readme"


def test_the_first_two_commands_are_the_documented_ones() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("python3 -m venv")]
    assert lines[0].endswith("cllab run --headless presets/quickstart.toml")
    assert lines[1].endswith(".venv/bin/pytest")
    assert TEXT.index(lines[0]) < 200


def test_every_picture_and_file_it_names_exists() -> None:
    for name in re.findall(r"\]\(((?:screenshots|presets|tests)/[^)]+)\)", TEXT):
        assert (ROOT / name).is_file(), name


def test_every_command_it_names_exists() -> None:
    from cllab.cli.app import app

    known = {c.name for c in app.registered_commands}
    for name in re.findall(r"cllab ([a-z][a-z-]+)", TEXT):
        if name not in ("is", "in", "trains"):
            assert name in known, name


def test_the_example_method_is_short() -> None:
    source = Path(ROOT / "tests" / "my_method.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 60


def test_every_shipped_preset_can_be_read_and_every_built_in_component_is_listed() -> None:
    assert len(presets.names()) > 40
    for component in catalog.load().components:
        if component.name != "blobs":
            assert f"`{component.name}`" in TEXT, component.name


@pytest.mark.parametrize(
    "name", ["rm-mnist", "rm-mnist-switches", "bcl-mnist", "split-mnist", "cifar100-nic79", "latents-mnist"]
)
def test_a_table_has_the_rows_and_columns_of_its_plan(name: str) -> None:
    found = re.search(rf"<!-- table {name} -->\n(.*?)\n<!-- /table {name} -->", TEXT, re.DOTALL)
    assert found is not None
    loaded = plan.load(name)
    lines = [line for line in found[1].splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [row.label for row in loaded.rows]
    head = [cell.strip() for cell in lines[0].split("|")[2:-1]]
    assert head[: len(loaded.columns)] == [f"{column.label} ({unit(column.metric)})" for column in loaded.columns]
    assert f"Made by `cllab table {name}`." in found[1]


def test_the_published_bic_is_apart_from_ours_by_no_more_than_chance() -> None:
    """The sentence about BiC's spread is this test: Welch's, of the published code's three runs against ours."""
    from scipy import stats

    rerun = [float(v) for v in re.search(r"code gives ([\d.]+), ([\d.]+) and ([\d.]+) when", TEXT).groups()]  # type: ignore[union-attr]
    found = re.search(r"over the\s+seeds 1 to (\d+) (\d+\.\d) ± (\d+\.\d)", TEXT)
    said = re.search(r"Welch's t-test of three against (\w+): p = (\.\d+)", TEXT)
    assert found is not None
    assert said is not None
    n, mean, deviation = int(found[1]), float(found[2]), float(found[3])
    assert said[1] == {9: "nine", 10: "ten"}[n]
    p = stats.ttest_ind_from_stats(
        statistics.fmean(rerun), statistics.stdev(rerun), 3, mean, deviation, n, equal_var=False
    ).pvalue
    assert p > 0.05
    assert f"{p:.2f}" == f"0{said[2]}"
