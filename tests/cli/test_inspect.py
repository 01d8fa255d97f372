"""show, compare, export, list, explain: from hand-made runs, read back by other programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from cllab.cli.app import app
from cllab.record.runs import RunStore
from cllab.report.export import FORMATS
from tests.cli.conftest import Cllab
from tests.recorded import SEEN, TRIANGLE, config, write_run


def test_show_tells_what_was_asked_and_what_came_out(cllab: Cllab, store: RunStore) -> None:
    run = write_run(store, config("er", "memory.capacity=90"))
    said = cllab("show", run.id)
    assert (said.code, said.err) == (0, "")
    assert "memory    reservoir  capacity=90" in said.out
    assert "after 3    30.0    70.0    95.0  65.0" in said.out
    assert re.search(r"^forgetting \(points\) +35.00$", said.out, re.MULTILINE)
    assert str(run.folder) in said.out
    assert max(len(line) for line in said.out.splitlines() if not line.startswith(("machine", "run folder"))) <= 80


def test_show_rebuilds_the_result_from_the_records(cllab: Cllab, store: RunStore) -> None:
    whole = write_run(store, config())
    bare = write_run(store, config(), result=False)
    found = [json.loads(cllab("show", run.id, "--json").out) for run in (whole, bare)]
    for key in ("accuracy_matrix", "seen_accuracy", "metrics", "per_class_accuracy", "stream", "seed", "signature"):
        assert found[0][key] == found[1][key], key


def test_compare_groups_seeds_and_tells_differences(cllab: Cllab, store: RunStore) -> None:
    seen = ((0.9, 0.7, 0.60), (0.9, 0.7, 0.65), (0.9, 0.7, 0.73))
    for seed, values in enumerate(seen, 1):
        write_run(store, config("er", seed=seed), seen=values)
    write_run(store, config("er", "memory.capacity=90", name="er-large"), seen=(0.9, 0.8, 0.75))
    write_run(store, config("er", seed=4), status="failed")
    said = cllab("compare", "er-", "--json")
    assert "left out" in said.err
    small, large = sorted(json.loads(said.out)["experiments"], key=lambda e: e["name"])
    last = small["metrics"]["last_accuracy"]
    assert small["seeds"] == [1, 2, 3]
    assert last["n"] == 3
    assert math.isclose(last["mean"], np.mean([0.60, 0.65, 0.73]))
    assert math.isclose(last["deviation"], np.std([0.60, 0.65, 0.73], ddof=1))
    assert last["seeds"] == {"1": 0.60, "2": 0.65, "3": 0.73}
    assert large["metrics"]["last_accuracy"]["deviation"] is None
    assert (small["settings"], large["settings"]) == ({"memory.capacity": 60}, {"memory.capacity": 90})
    text = cllab("compare", "er-blobs", "er-large").out
    assert f"66.00 ± {100 * statistics.stdev([0.60, 0.65, 0.73]):.2f}" in text
    assert "memory.capacity" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "| er-large | 75.00 |" in cllab("compare", "er-large", "--md").out


def test_intransigence_is_measured_on_the_joint_run_of_the_seed(cllab: Cllab, store: RunStore) -> None:
    for seed, joint in ((1, 0.95), (2, 0.9)):
        write_run(store, config("er", seed=seed))
        write_run(store, config("joint", seed=seed), seen=(0.99, 0.97, joint))
    # other data, other evaluation: not what these runs are measured on
    write_run(store, config("joint", "dataset.per_class=50", name="other"), seen=(0.5, 0.5, 0.5))
    write_run(store, config("joint", "evaluate.top_k=2", name="top2"), seen=(0.5, 0.5, 0.5))
    groups = json.loads(cllab("compare", "er-blobs", "--json").out)["experiments"]
    found = groups[0]["metrics"]["intransigence"]["seeds"]
    assert math.isclose(found["1"], 0.95 - SEEN[-1])
    assert math.isclose(found["2"], 0.9 - SEEN[-1])
    lonely = write_run(store, config("er", seed=3))
    assert "intransigence" not in json.loads(cllab("show", lonely.id, "--json").out)["metrics"]


def test_compare_runs_the_missing_joint_run(cllab: Cllab, store: RunStore) -> None:
    run = write_run(store, config("er", "model.width=8"))
    said = cllab("compare", run.id, "--intransigence", "--json", "--quiet")
    assert said.code == 0
    made = [r for r in store if r.config().method.name == "joint"]
    assert len(made) == 1
    joint = made[0].result()
    assert joint is not None
    value = json.loads(said.out)["experiments"][0]["metrics"]["intransigence"]["mean"]
    assert math.isclose(value, joint["metrics"]["last_accuracy"] - SEEN[-1])


def test_csv_holds_matrix_classes_and_stream(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    run = write_run(store, config())
    said = cllab("export", run.id, "--csv", "--out", str(tmp_path / "er.csv"))
    paths = said.out.split()
    assert [Path(p).name for p in paths] == ["er.csv", "er-per-class.csv", "er-stream.csv"]
    tables = [list(csv.reader(io.StringIO(Path(p).read_text()))) for p in paths]
    assert tables[0][0] == ["after_task", "task_1", "task_2", "task_3", "seen"]
    for i, row in enumerate(tables[0][1:]):
        assert row == [str(i + 1), *("" if v is None else str(v) for v in TRIANGLE[i]), str(SEEN[i])]
    assert tables[1][1:3] == [["0", "class 0", "0.3"], ["1", "class 1", "0.3"]]
    assert tables[2][1:] == [["200", "0.85"], ["400", "0.65"], ["600", "0.6"]]
    assert cllab("export", run.id, "--csv", "--out", "-").out == Path(paths[0]).read_text()


def test_npy_is_named_and_shaped_as_rainbow_memory_writes_it(
    cllab: Cllab, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = config("rm", 'train.augment=["cutmix", "autoaugment"]', "train.memory_epochs=2", seed=3)
    run = write_run(store, asked)
    said = cllab("export", run.id, "--npy")
    assert said.out.strip() == "rm_uncertainty_online_msz60_rnd3_cutmix_autoaug.npy"
    array = np.load(tmp_path / said.out.strip())
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, SEEN)


def test_layouts_of_the_published_code(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    run = write_run(store, config())
    said = cllab("export", run.id, "--bcl", "--gem", "--out", str(tmp_path / "out"))
    names = [Path(path).name for path in said.out.split()]
    assert re.fullmatch(r"er_[\d_]{19}_[0-9a-f]{8}\.txt", names[0])
    assert re.fullmatch(r"er_blobs_disjoint_[\d_]{19}_[0-9a-f]{32}\.txt", names[1])
    bcl, gem = (Path(path).read_text().splitlines() for path in said.out.split())
    assert bcl[:3] == ["0.9000 nan nan", "|", "0.9000 nan nan"]
    assert gem[0] == "nan nan nan"
    assert bcl[4] == gem[4] == "0.3000 0.7000 0.9500"
    assert "Forgetting Measure: 0.3500" in bcl
    assert cllab("export", run.id, "--bcl", "--out", "-").out.splitlines() == bcl


def test_every_format_has_its_flag_and_its_help() -> None:
    command = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]
    flags = {param.opts[0]: param.help for param in command.params if getattr(param, "is_flag", False)}
    flags.pop("--help", None)
    assert flags == {f"--{name}": f"{form.help[:1].upper()}{form.help[1:]}." for name, form in FORMATS.items()}


def test_json_export_is_the_result(cllab: Cllab, store: RunStore) -> None:
    run = write_run(store, config())
    exported, result = json.loads(cllab("export", run.id, "--json", "--out", "-").out), run.result()
    assert result is not None
    assert {k: exported[k] for k in result} == result


def test_tensorboard_reads_the_scalars_back(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = write_run(store, config())
    folder = tmp_path / "board"
    assert cllab("export", run.id, "--tensorboard", "--out", str(folder)).out.strip() == str(folder)
    found = accumulator.EventAccumulator(str(folder)).Reload()
    seen = found.Scalars("accuracy/seen")
    assert [s.step for s in seen] == [20, 40, 60]
    np.testing.assert_allclose([s.value for s in seen], SEEN, rtol=1e-6)
    np.testing.assert_allclose([s.value for s in found.Scalars("accuracy/task_1")], [0.9, 0.6, 0.3], rtol=1e-6)
    assert len(found.Scalars("loss/cross-entropy")) == 6
    again = cllab("export", run.id, "--tensorboard", "--out", str(folder))
    assert again.code == 2
    assert "already" in again.err


def test_pictures_show_every_number_of_the_matrix(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    run = write_run(store, config(name="a < b"))
    assert cllab("export", run.id, "--svg", "--png", "--out", str(tmp_path / "pictures")).code == 0
    root = ElementTree.parse(tmp_path / "pictures" / f"{run.id}.svg").getroot()
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b" in texts
    assert all(f"{100 * v:.0f}" in texts for row in TRIANGLE for v in row if v is not None)
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    # five grid lines, a line for every task, and all seen
    assert len(lines) == 5 + 3 + 1
    with Image.open(tmp_path / "pictures" / f"{run.id}.png") as image:
        assert image.size == (1920, 840)
        colors = image.convert("RGB").getcolors(1 << 20)
    assert colors is not None
    # the matrix's 0.95 and 0.3 are painted in their own blues
    painted = {color for _, color in colors}
    for value in (0.95, 0.3):
        low, high = (247, 251, 255), (8, 81, 156)
        assert tuple(round(a + value * (b - a)) for a, b in zip(low, high, strict=True)) in painted


def test_markdown_page(cllab: Cllab, store: RunStore) -> None:
    run = write_run(store, config())
    text = cllab("export", run.id, "--md", "--out", "-").out
    assert "| after task 3 | 30.00 | 70.00 | 95.00 | 65.00 |" in text


def test_list_shows_what_there_is(cllab: Cllab, store: RunStore) -> None:
    write_run(store, config())
    write_run(store, config(seed=2), status="failed")
    for what, some in (
        ("methods", "rm"),
        ("datasets", "mnist"),
        ("scenarios", "blurry"),
        ("memories", "uncertainty"),
        ("models", "mlp400"),
        ("metrics", "forgetting"),
        ("presets", "quickstart"),
    ):
        text, rows = cllab("list", what).out, json.loads(cllab("list", what, "--json").out)
        names = [row["name"] for row in rows]
        assert some in names
        # in a pipe, a line each, under a line of titles
        assert [line.split()[0] for line in text.splitlines()[1:]] == names
    runs = json.loads(cllab("list", "runs", "--json").out)
    assert {(r["seed"], r["status"]) for r in runs} == {(1, "done"), (2, "failed")}
    assert "65.0 %" in cllab("list", "run").out


def test_explain_draws_a_scenario_and_varies_it(cllab: Cllab) -> None:
    text = cllab("explain", "blurry").out
    assert "arXiv:2103.17230" in text
    assert "scenario.percent = 10   a number from 0 to 100" in text
    assert "██90" in text
    assert "██60" in cllab("explain", "blurry", "--set", "percent=40").out.replace("▓", "█")
    assert "task 20" in cllab("explain", "disjoint", "--dataset", "cifar100", "--set", "tasks=20").out
    both = cllab("explain", "forgetting").out
    assert "Chaudhry" in both
    assert "run it   cllab run --headless forgetting" in both
    spec = json.loads(cllab("explain", "ewc", "--json").out)[0]
    assert (spec["kind"], spec["paper"]) == ("method", "arXiv:1612.00796")


def test_explain_covers_everything_there_is(cllab: Cllab) -> None:
    from cllab.metrics import METRICS
    from cllab.settings import catalog
    from cllab.settings.tables import COMMON

    for spec in catalog.load().components:
        said = cllab("explain", spec.name)
        assert said.code == 0, said.err
        for item in (*spec.fields, *COMMON[spec.kind]):
            assert f"{spec.kind}.{item.name} = " in said.out
        assert "Traceback" not in said.err
    for name in METRICS:
        assert METRICS[name].source.split(",")[0] in cllab("explain", name.replace("_", "-")).out


def test_data_tells_where_it_looks(cllab: Cllab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path))
    assert "digits" in cllab("data").out
    said = cllab("data", "cifar10", "--json")
    status = json.loads(said.out)
    assert (said.code, status["found"]) == (3, False)
    assert all(str(tmp_path) in place for place in status["where"])
    assert cllab("data", "digits").code == 0


def test_a_download_tells_its_progress_and_decodes(
    cllab: Cllab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cllab.data import where
    from cllab.errors import DataError

    monkeypatch.setenv("CLLAB_DATA", str(tmp_path))
    opened: list[dict[str, object]] = []

    def fetched(*_: object, **asked: Any) -> None:
        opened.append(asked)
        for done in range(0, 101, 2):
            asked["progress"]("downloading kmnist", done, 100)

    monkeypatch.setattr(where.source("kmnist"), "open", fetched)
    said = cllab("data", "kmnist", "--download")
    assert opened[0]["download"] is True
    assert [line.split()[-2] for line in said.err.splitlines()] == [str(n) for n in range(0, 101, 10)]
    # what came is looked at again, and this fetch brought nothing
    assert said.code == 3

    def refused(*_: object, **__: object) -> None:
        raise DataError("kmnist: the download failed: no route")

    monkeypatch.setattr(where.source("kmnist"), "open", refused)
    said = cllab("data", "kmnist", "--download")
    assert (said.code, said.out) == (3, "")
    assert said.err == "cllab: kmnist: the download failed: no route\n"
