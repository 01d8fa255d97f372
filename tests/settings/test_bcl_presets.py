"""The presets of Bilevel Continual Learning's tables: what they say, and a few batches of the large ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cllab.data.base import Dataset, Split, TensorImages
from cllab.data.info import DatasetInfo
from cllab.data.where import dataset_status
from cllab.engine import run as engine
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.phases import Phase
from cllab.methods.bcl_dual import BCLDual
from cllab.record import events as ev
from cllab.record import traces
from cllab.settings import presets
from cllab.study import plan
from tests.conftest import Record
from tests.engine.sessions import begin

MNIST = [n for n in presets.names() if n.endswith(("-permuted20", "-rotated20"))]


def test_every_method_has_both_streams() -> None:
    assert {n.rsplit("-", 1)[0] for n in MNIST} == {
        "single", "lwf", "ewc", "ewc-published", "agem", "gem", "er-ring", "ftml", "bcl-single", "bcl-dual", "offline",
    }  # fmt: skip
    assert len(MNIST) == 22


@pytest.mark.parametrize("name", MNIST)
def test_protocol_is_that_of_the_table(name: str) -> None:
    config = presets.load(name).config
    scenario, train = config.scenario.values, config.train
    assert (scenario["tasks"], scenario["samples"], scenario["stream"]) == (20, 1000, "online")
    # every task draws images of its own, as the originals do: 20,000 different draws, not 1,000 twenty times
    assert scenario["same_samples"] is False
    assert (train.batch_size, train.momentum, train.weight_decay, train.normalize) == (10, 0.0, 0.0, "unit")
    assert config.memory.common["capacity"] in (0, 20 * 256)
    assert (config.evaluate.report, train.head) == ("last", "keep")
    reference = config.override(["fidelity=reference"])
    assert (reference.evaluate.report, reference.train.head) == ("last", "keep")


def test_the_table_can_be_planned() -> None:
    cells = list(plan.load("bcl-mnist").cells())
    assert {cell.row.preset for cell in cells} == set(MNIST)
    assert all(len(cell.configs) == 3 for cell in cells)


def test_no_cell_of_the_table_is_called_what_it_is_not() -> None:
    for cell in plan.load("bcl-mnist").cells():
        config = cell.configs[0]
        what = f"{cell.row.label}, {cell.column.label}"
        assert (config.fidelity == "reference") == cell.column.label.startswith("reference"), what
        if config.fidelity == "correct" and config.method.name == "ewc":
            assert config.method.values["estimate"] == "per-sample", what
        if config.method.name in ("agem", "lwf", "offline"):
            assert config.fidelity == "correct", f"{what}: nothing published that runs stands behind it"
        if config.scenario.name == "permuted":
            assert config.scenario.values["same_samples"] == ("the same images" in cell.row.label), what


def images(n_classes: int, side: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    n = 6 * n_classes
    pixels = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=generator)
    split = Split(TensorImages(pixels), torch.arange(n), torch.arange(n) % n_classes)
    info = DatasetInfo(
        "made up", n_classes, (3, side, side), n, n, (0.5,) * 3, (0.25,) * 3, base_augment=("crop", "flip")
    )
    return Dataset("cifar100", info, tuple(map(str, range(n_classes))), split, split)


@pytest.mark.parametrize("fidelity", ["reference", "correct"])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("bcl-dual-cifar100-cl17", 32),
        ("er-ring-cifar100-cl17", 32),
        pytest.param("bcl-dual-miniimagenet-cl17", 84, marks=pytest.mark.slow),
    ],
)
def test_a_few_batches_of_the_large_benchmarks(
    name: str, size: int, fidelity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "open_dataset", lambda *_args, **_options: images(100, size))
    config = presets.load(name).config.override(["device=cpu", f"fidelity={fidelity}", "memory.capacity=340"])
    session = Session(config, Record(), Control())
    session.start()
    assert session.stream.n_tasks == 17
    assert session.learner.heads is not None
    for task in session.stream.tasks[:2]:
        assert len(task.classes) == 5
        session.loop.begin()
        session.loop.do(lambda task=task: session._begin_task(task))  # type: ignore[misc]
        begin(session)
        session.loop.fit(Phase("stream", task.train))
    assert all(torch.isfinite(p).all() for p in session.learner.model.parameters())
    assert session.learner.model.n_classes == 10
    assert not session.learner.pipeline.names  # the originals do not augment
    if isinstance(session.method, BCLDual):
        assert session.learner.updates > session.learner.step
        assert session.learner.memory.buffers["targets"].shape[1] == 5  # type: ignore[attr-defined]


@pytest.mark.data
@pytest.mark.parametrize("name", ["bcl-dual-cifar100-cl17", "er-ring-cifar100-cl17"])
def test_a_few_batches_of_the_real_cifar100(name: str, tmp_path: Path) -> None:
    if not dataset_status("cifar100", scan=False).found:
        pytest.skip("cifar100 is not in $CLLAB_DATA")
    record, control = Record(), Control()
    control.trace_each = 1
    session = Session(presets.load(name).config.override(["device=cpu"]), record, control)
    session.loop.trace_folder = tmp_path / "traces"
    assert [len(t.train) for t in session.stream.tasks] == [2500] * 17
    assert [len(t.test) for t in session.stream.tasks] == [500] * 17
    label_of = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    named = [c for task in session.stream.tasks for c in task.classes]
    # the label that the published split gives a class: 15 to 19 are the first task after the three of the choice
    of_class = {session.dataset.classes[c]: int(label) for c, label in enumerate(label_of)}
    assert [of_class[session.stream.class_names[c]] for c in named] == list(range(15, 100))
    session.start()
    for task in session.stream.tasks[:2]:
        object.__setattr__(task, "train", task.train.subset(torch.arange(0, 2500, 84)))
        object.__setattr__(task, "test", task.test.subset(torch.arange(0, 500, 10)))
        session._task(task)
    assert session.learner.step == 2 * 3
    assert all(torch.isfinite(p).all() for p in session.learner.model.parameters())
    assert all(0 <= accuracy <= 1 for row in session.scores.rows for accuracy in row if accuracy is not None)
    assert len(session.scores.rows) == 2
    first, second = record.of(ev.Traced)
    assert (first.task, second.task) == (0, 1)
    if isinstance(session.method, BCLDual):
        found = traces.read(tmp_path / second.file)
        pictures = [name for name, kind in found.kinds.items() if kind == "pictures"]
        # of a first batch of ten one is held out; with what the first task left there is enough to validate on
        assert pictures == ["stream batch", "replayed batch 1", "replayed batch 2", "validation batch"]
        assert found.arrays["stream batch"].shape == (9, 3, 32, 32)
        owners = {c for task in session.stream.tasks[:1] for c in task.classes}
        assert set(found.arrays["replayed batch 1 labels"].astype(int)) <= owners


def test_where_the_class_order_is_the_published_one() -> None:
    config = presets.load("bcl-dual-cifar100-cl17").config
    assert config.scenario.values["class_order"] == "bilevel"
    label_of = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert label_of[:12].tolist() == [44, 19, 93, 90, 71, 69, 37, 95, 53, 91, 81, 42]
