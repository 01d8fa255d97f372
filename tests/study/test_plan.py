"""Plans of tables: what is refused, what is missing, and the Markdown of what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cllab.errors import UsageError
from cllab.record import outcome
from cllab.record.runs import RunStore
from cllab.study import plan
from cllab.study.plan import Done
from tests.recorded import write_run

PRESET = '[dataset]\nname = "blobs"\n[method]\nname = "er"\n[scenario]\nname = "disjoint"\ntasks = 3\n'
PLAN = """title = "Toys"
note = "By hand."
seeds = [1, 2]
references = ["paper", "rerun"]

[[columns]]
label = "plain"

[[columns]]
label = "lost"
metric = "intransigence"

[[rows]]
label = "ER"
preset = "PRESET"
set = ["memory.capacity=50"]
published = ["66.0 ± 1.0"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    preset = tmp_path / "er.toml"
    preset.write_text(PRESET)
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace("PRESET", str(preset)))
    return path


def test_cells_are_rows_by_columns(path: Path) -> None:
    cells = list(plan.load(str(path)).cells())
    assert [(c.row.label, c.column.label) for c in cells] == [("ER", "plain"), ("ER", "lost")]
    assert [c.seed for c in cells[0].configs] == [1, 2]
    assert all(c.memory.common["capacity"] == 50 for c in cells[0].configs)


def test_missing_counts_shared_and_joint_runs_once(path: Path, store: RunStore) -> None:
    cells = list(plan.load(str(path)).cells())
    wanted = plan.missing(cells, Done())
    assert sorted((c.method.name, c.seed) for c in wanted) == [("er", 1), ("er", 2), ("joint", 1), ("joint", 2)]
    write_run(store, cells[0].configs[0])
    assert len(plan.missing(cells, Done(outcome.finished(store)))) == 3


def test_markdown_tells_means_seeds_and_published_numbers(path: Path, store: RunStore) -> None:
    loaded = plan.load(str(path))
    cells = list(loaded.cells())
    for config, last in zip(plan.missing(cells, Done()), (0.6, 0.7, 0.95, 0.95), strict=True):
        value = 0.95 if config.method.name == "joint" else last
        write_run(store, config, seen=(0.9, 0.8, value))
    done = Done(outcome.finished(store))
    text = plan.markdown(loaded, cells, done)
    lines = text.splitlines()
    assert lines[0] == "**Toys**"
    assert lines[2] == "|  | plain (%) | lost (points) | paper (%) | rerun (%) | seconds a run |"
    assert lines[4] == "| ER | 65.00 ± 7.07 | 30.00 ± 7.07 | 66.0 ± 1.0 | - | 4.0 |"
    assert "over seeds 1-2, torch 2.15.0 on cpu" in text
    assert "cllab table" in text
    assert text.rstrip().endswith("By hand.")
    half = Done(o for o in outcome.finished(store) if o.seed == 1)
    assert "| 60.00 (n = 1) |" in plan.markdown(loaded, cells, half)


def test_the_model_that_is_left_stands_beside_the_best_epoch(path: Path, store: RunStore) -> None:
    """A run that reports its last model needs no metric of its own for it; one that reports another epoch does."""
    path.write_text(path.read_text().replace('metric = "intransigence"', 'metric = "left_accuracy"'))
    cells = list(plan.load(str(path)).cells())
    for config in plan.missing(cells, Done()):
        write_run(store, config, seen=(0.9, 0.8, 0.7))
    done = Done(outcome.finished(store))
    plain, left = cells
    assert done.stat(left) == done.stat(plain)
    best = [config.override(["evaluate.report=best"]) for config in plain.configs]
    for config in best:
        write_run(store, config, seen=(0.9, 0.8, 0.7))
    again = Done(outcome.finished(store))
    assert [again.metric(config, "last_accuracy") for config in best] == [0.7, 0.7]
    assert [again.metric(config, "left_accuracy") for config in best] == [None, None]


def test_the_rate_of_a_row_stands_in_the_table(path: Path, store: RunStore) -> None:
    lines = two_configurations(path, store, 'costs = ["rate"]\n')
    assert lines[2].endswith("| seconds a run | learning rate |")
    assert lines[4].endswith("| 0.05 / 0.5 |")


def test_a_shipped_plan_is_called_by_its_name() -> None:
    loaded = plan.load("rm-mnist-switches")
    cells = list(loaded.cells())
    assert "Made by `cllab table rm-mnist-switches`." in plan.markdown(loaded, cells, Done())
    assert plan.load(str(plan.find("rm-mnist-switches"))).name == "rm-mnist-switches"


def two_configurations(path: Path, store: RunStore, top: str = "") -> list[str]:
    """The lines of a filled table whose three columns show two configurations."""
    path.write_text(
        top
        + path.read_text()
        .replace('metric = "intransigence"', 'metric = "average_accuracy"')
        .replace("[[rows]]", '[[columns]]\nlabel = "fast"\nset = ["train.lr=0.5"]\n\n[[rows]]')
    )
    loaded = plan.load(str(path))
    cells = list(loaded.cells())
    for config in plan.missing(cells, Done()):
        write_run(store, config)
    return plan.markdown(loaded, cells, Done(outcome.finished(store))).splitlines()


def test_seconds_stand_once_for_each_configuration(path: Path, store: RunStore) -> None:
    lines = two_configurations(path, store)
    assert lines[4].endswith("| 4.0 / 4.0 |")


def test_what_a_run_takes_stands_once_where_it_is_the_same(path: Path, store: RunStore) -> None:
    lines = two_configurations(path, store, 'costs = ["gradient_steps", "memory"]\n')
    assert lines[2].endswith("| seconds a run | gradient steps | memory (MB) |")
    taken = outcome.read(next(iter(store))).gradient_steps
    assert taken > 0
    assert lines[4].endswith(f"| 4.0 / 4.0 | {taken:,} | 0.00 |")


def test_a_cost_that_is_not_known_is_named(path: Path) -> None:
    path.write_text('costs = ["memery"]\n' + path.read_text())
    with pytest.raises(UsageError, match=r"costs: no cost 'memery'; did you mean 'memory'\?"):
        plan.load(str(path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('title = "Toys"', ""), "title must be text and is missing"),
        (("note =", "nota ="), "did you mean 'note'"),
        (("seeds = [1, 2]", "seeds = 3"), "seeds must be a list of seeds"),
        (('metric = "intransigence"', 'metric = "intransigent"'), "did you mean 'intransigence'"),
        (('set = ["memory.capacity=50"]', 'set = "x"'), "rows\\[0\\].set must be a list of texts"),
        (('published = ["66.0 ± 1.0"]', 'published = ["1", "2", "3"]'), "3 numbers for 2 references"),
        (('label = "ER"', 'label = "ER"\ncolumns = ["plane"]'), "did you mean 'plain'"),
        (("[[rows]]", "[[rows]"), "not TOML"),
    ],
)
def test_a_plan_that_cannot_be_meant(path: Path, change: tuple[str, str], says: str) -> None:
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UsageError, match=says):
        plan.load(str(path))


def test_settings_that_cannot_be_name_the_row(path: Path) -> None:
    path.write_text(path.read_text().replace("capacity=50", "capacity=-5"))
    with pytest.raises(UsageError, match=r"row 'ER', column 'plain': .*memory\.capacity"):
        list(plan.load(str(path)).cells())
