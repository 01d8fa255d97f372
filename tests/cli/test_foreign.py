"""Run folders of others: whatever their files hold, looking at them runs nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cllab.cli import many
from cllab.errors import UsageError
from cllab.record import described, outcome
from cllab.record.runs import Run, RunStore
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.tui.estimates import estimate
from cllab.tui.index import RunIndex
from tests.cli.conftest import Cllab
from tests.recorded import config, write_run

OWN = Path(__file__).parents[1] / "my_method.py"


def own(path: Path, **tables: object) -> RunConfig:
    asked = config()
    data = {**asked.given, "name": "foreign", "method": {"file": str(path)}, **tables}
    return RunConfig.from_dict(data)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def poison(path: Path, marker: Path) -> None:
    """What the file was when the run was made is not what lies there when it is looked at."""
    path.write_text(f"open({str(marker)!r}, 'w').write('x')\n" + OWN.read_text(), encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the method of others lies: always the same, for to describe a file takes seconds."""
    return tmp_path_factory.mktemp("theirs")


@pytest.fixture(params=["described", "old"])
def foreign(request: pytest.FixtureRequest, store: RunStore, place: Path, marker: Path) -> list[Run]:
    """A finished run, one that was stopped and one whose method file is in the folder; all with a file that tells."""
    path = place / "theirs.py"
    shutil.copy(OWN, path)
    runs = [
        write_run(store, own(path, seed=1)),
        write_run(store, own(path, seed=2), status="stopped", result=False),
        write_run(store, own(path, seed=3), status="stopped", result=False),
    ]
    inside = runs[2].folder / "theirs.py"
    shutil.copy(OWN, inside)
    text = runs[2].config_path.read_text().replace(str(path), "theirs.py")
    assert 'file = "theirs.py"' in text
    runs[2].config_path.write_text(text)
    for run in runs:
        run.checkpoint_path.write_bytes(b"")
        if request.param == "old":
            run.described_path.unlink()
    poison(path, marker)
    poison(inside, marker)
    return runs


def test_looking_at_a_foreign_run_never_runs_its_method(
    cllab: Cllab, foreign: list[Run], store: RunStore, marker: Path, place: Path, tmp_path: Path
) -> None:
    for run in foreign:
        shown = cllab("show", run.id)
        assert (shown.code, shown.err) == (0, "")
        assert "theirs" in shown.out
        assert cllab("show", run.id, "--json").code == 0
        out = str(tmp_path / run.id)
        forms = ("--csv", "--md", "--json", "--svg", "--png", "--npy", "--tensorboard")
        assert cllab("export", run.id, *forms, "--out", out).code == 0
    assert cllab("list", "runs").code == 0
    assert cllab("list", "runs", "--json").code == 0
    assert cllab("compare", "foreign").code == 0
    index = RunIndex(store)
    index.refresh()
    assert len(index.entries) == 3
    estimate(config(seed=9), index.entries, load())
    many._Begun(store).find(config())
    assert not marker.exists()
    # the file would tell: naming it runs it
    cllab("explain", str(place / "theirs.py"))
    assert marker.exists()


def test_what_showing_needs_is_in_the_folder(store: RunStore, cllab: Cllab, place: Path) -> None:
    path = place / "theirs.py"
    shutil.copy(OWN, path)
    asked = own(path)
    run = write_run(store, asked)
    path.unlink()
    assert run.config() == asked
    assert run.config().signature == asked.signature
    found = run.described()
    assert [c.kind for c in found.components] == ["dataset", "scenario", "model", "memory", "method"]
    assert found.components[-1].title == "My method"
    assert found.titles["last_accuracy"] == "last accuracy"
    # a setting at its default is not told, which only the description can know
    assert "pull" not in cllab("show", run.id).out
    run.described_path.unlink()
    assert "pull=0.1" in cllab("show", run.id).out
    with pytest.raises(UsageError, match="theirs"):
        run.config()


def test_a_metric_of_another_version_has_its_title(store: RunStore, cllab: Cllab) -> None:
    run = write_run(store, config())
    result = json.loads(run.result_path.read_text())
    result["metrics"]["curiosity"] = 0.25
    run.result_path.write_text(json.dumps(result))
    assert "curiosity" in cllab("show", run.id).out
    stored = json.loads(run.described_path.read_text())
    stored["metrics"]["curiosity"] = {"title": "how curious it was"}
    run.described_path.write_text(json.dumps(stored))
    assert "how curious it was" in cllab("show", run.id).out


@pytest.mark.parametrize(
    ("key", "value"),
    [("fields", 3), ("fields", [3]), ("title", {}), ("name", []), ("facts", []), ("facts", {"needs": 3})],
)
def test_a_component_out_of_shape_is_no_description(key: str, value: object, store: RunStore, cllab: Cllab) -> None:
    run = write_run(store, config())
    stored = json.loads(run.described_path.read_text())
    stored["components"][-1][key] = value
    run.described_path.write_text(json.dumps(stored))
    assert cllab("show", run.id).code == 0
    assert cllab("compare", run.id).code == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", {}), ("type", "nonsense"), ("help", 3), ("choices", [[1]]), ("default", {}), ("low", "x")],
)
def test_a_parameter_out_of_shape_is_no_description(key: str, value: object, store: RunStore, cllab: Cllab) -> None:
    run = write_run(store, config())
    stored = json.loads(run.described_path.read_text())
    stored["components"][-1]["fields"][0][key] = value
    run.described_path.write_text(json.dumps(stored))
    assert run.described() == described.Described()
    assert cllab("show", run.id).code == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "components": [3], "metrics": {}}']
)
def test_a_description_out_of_shape_is_none(text: str, store: RunStore, cllab: Cllab) -> None:
    run = write_run(store, config())
    whole = cllab("show", run.id).out
    run.described_path.write_text(text)
    assert run.described() == described.Described()
    assert cllab("show", run.id).out == whole
    assert outcome.read(run).signature == config().signature
