"""Checkpoints: complete, readable without running code, never half written; what goes wrong is said in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cllab import events as ev
from cllab.engine import checkpoint
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.methods.base import Method
from cllab.models.base import Network
from cllab.models.mlp import MLP
from cllab.runs import Run, RunStore
from cllab.worker import train
from tests.conftest import toy

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"scenario": {"tasks": 2}, "dataset": {"per_class": 20}}


def part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def finished(store: RunStore, method: str = "finetune", **tables: Any) -> Run:
    run = store.create(toy(method, **{**SMALL, **tables}))
    assert train(run, signals=False) == 0
    return run


def test_a_checkpoint_holds_everything_and_needs_no_code_to_read(store: RunStore) -> None:
    run = finished(store, "icarl")
    state = torch.load(run.checkpoint_path, weights_only=True)
    assert set(state) >= {"model", "loop", "method", "memory", "rng", "learner", "accuracy", "position", "seconds"}
    assert state["position"] == 2
    assert len(state["memory"]["columns"]["labels"]) == 60
    assert {"cpu:order", "cpu:init", "cpu:memory"} <= set(state["rng"]["generators"])
    assert state["loop"]["optimizer"]["param_groups"][0]["momentum"] == 0.9
    assert run.events_path.read_bytes()[: state["events_bytes"]].endswith(b"\n")


def test_a_write_that_fails_leaves_the_former_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    checkpoint.save(path, {"value": 1})
    part_of(path).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(path, {"value": 2, "big": torch.zeros(300_000)})
    assert caught.value.errno == 28
    assert caught.value.filename == str(path)
    assert checkpoint.load(path, CPU)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pt"]


def test_an_interrupted_write_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest.pt"
    checkpoint.save(path, {"value": 1})

    def interrupted(state: Any, file: Any) -> None:
        file.write(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"value": 2})
    monkeypatch.undo()
    assert checkpoint.load(path, CPU)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pt"]


def test_halves_that_killed_processes_left_are_removed_by_the_next_save(tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    (tmp_path / "latest.pt.4711.part").write_bytes(b"half")
    checkpoint.save(path, {"value": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pt"]


def test_another_failure_than_a_full_disk_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(state: Any, file: Any) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        checkpoint.save(tmp_path / "latest.pt", {})


class _Evil:
    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/cllab-evil",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["empty", "torn", "garbage", "code"])
def test_a_damaged_checkpoint_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint" / "latest.pt"
    path.parent.mkdir()
    checkpoint.save(path, {"value": torch.zeros(1000)})
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "torn": whole[: len(whole) // 2],
        "garbage": os.urandom(2000),
        "code": pickle.dumps(_Evil()),
    }[kind]
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match="not a readable checkpoint") as caught:
        checkpoint.load(path, CPU)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/cllab-evil").exists()


def test_a_checkpoint_of_another_version_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint" / "latest.pt"
    path.parent.mkdir(parents=True)
    with pytest.raises(UsageError, match="run: no checkpoint to resume from"):
        checkpoint.load(path, CPU)
    torch.save({"format": 99}, path)
    with pytest.raises(UsageError, match="another version of cllab"):
        checkpoint.load(path, CPU)
    torch.save([1, 2], path)
    with pytest.raises(UsageError):
        checkpoint.load(path, CPU)


def test_resuming_from_a_torn_checkpoint_exits_2_and_leaves_the_folder_alone(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(store)
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:1000])
    log = run.events_path.read_bytes()
    assert train(run, resume=True, signals=False) == 2
    error = capsys.readouterr().err
    assert error.startswith("cllab: ")
    assert error.count("\n") == 1
    assert run.events_path.read_bytes() == log


def test_resuming_under_another_configuration_is_refused(store: RunStore) -> None:
    run = finished(store)
    text = run.config_path.read_text().replace("lr = 0.05", "lr = 0.07")
    run.config_path.write_text(text)
    assert train(run, resume=True, signals=False) == 2
    last = run.last_event()
    assert isinstance(last, ev.RunEnded)
    assert last.status == "failed"
    assert "another configuration" in last.reason


def test_a_full_disk_ends_the_run_with_the_reason_and_all_that_was_written(store: RunStore) -> None:
    run = store.create(toy("finetune", **SMALL))
    old = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        if session.learner.task == 1:
            part_of(run.checkpoint_path).symlink_to("/dev/full")
            session.save()
        old(session, phase)

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        assert train(run, signals=False) == 1
    finally:
        Session.on_step = old  # type: ignore[method-assign]
    result = run.result()
    assert result is not None
    assert result["status"] == "failed"
    assert result["reason"] == f"the disk is full: {run.checkpoint_path}"
    assert result["accuracy_matrix"][0][0] is not None
    assert run.status().state == "failed"
    assert train(run, resume=True, signals=False) == 0, "the checkpoint of task 1 is intact"
    assert run.result()["metrics"] == finished(store).result()["metrics"]  # type: ignore[index]


def test_a_log_that_cannot_be_written_ends_the_run_with_exit_1(
    store: RunStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create(toy("finetune", **SMALL))
    sink = Run.sink

    def full(self: Run, *, keep_bytes: int | None = None) -> Any:
        writer = sink(self, keep_bytes=keep_bytes)
        writer._file.close()
        writer._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115 - the writer closes it
        return writer

    monkeypatch.setattr(Run, "sink", full)
    assert train(run, signals=False) == 1
    assert "the disk is full" in capsys.readouterr().err
    monkeypatch.undo()
    assert train(run, signals=False) == 0, "the lock was given back"


# -- what a method may keep


class _Holder(Method):
    def __init__(self) -> None:
        self.values: Any = None


def network(n_classes: int = 3, widths: tuple[int, ...] = ()) -> Network:
    torch.manual_seed(0)
    return Network(MLP.build(MLP.Config(width=4, layers=1), (1, 2, 2)), n_classes, widths=widths)


def rebuild(weights: dict[str, Any], n_classes: int, head: str) -> Network:
    widths = tuple(w.shape[0] for k, w in weights.items() if k.startswith("blocks.") and k.endswith("linear.weight"))
    made = network(n_classes, widths)
    made.load_state_dict(weights)
    return made


def test_what_a_method_keeps_survives_a_round_trip(tmp_path: Path) -> None:
    value = {
        "none": None,
        "numbers": (1, 2.5, True, "text"),
        "nested": [{"a": torch.arange(3)}, (torch.ones(2), [])],
        3: {4, 2},
        ("task", 1): torch.zeros(0, 2),
    }
    path = tmp_path / "x.pt"
    checkpoint.save(path, {"value": checkpoint.encode(value)})
    back = checkpoint.decode(checkpoint.load(path, CPU)["value"], None, rebuild)
    assert back["none"] is None
    assert back["numbers"] == (1, 2.5, True, "text")
    assert torch.equal(back["nested"][0]["a"], torch.arange(3))
    assert isinstance(back["nested"][1], tuple)
    assert back[3] == {2, 4}
    assert back[("task", 1)].shape == (0, 2)


def test_teachers_are_rebuilt_with_their_own_shape_and_mode(tmp_path: Path) -> None:
    teacher = network(5, (6, 7)).eval()
    path = tmp_path / "x.pt"
    checkpoint.save(path, {"value": checkpoint.encode({"teacher": teacher})})
    back = checkpoint.decode(checkpoint.load(path, CPU)["value"], None, rebuild)["teacher"]
    assert (back.n_classes, back.widths, back.training) == (5, (6, 7), False)
    x = torch.randn(4, 1, 2, 2)
    assert torch.equal(back(x), teacher(x))


def test_modules_of_a_methods_own_are_filled_in_place(tmp_path: Path) -> None:
    saved, fresh = nn.Linear(2, 3), nn.Linear(2, 3)
    path = tmp_path / "x.pt"
    checkpoint.save(path, {"value": checkpoint.encode({"layer": saved})})
    back = checkpoint.decode(checkpoint.load(path, CPU)["value"], {"layer": fresh}, rebuild)["layer"]
    assert back is fresh
    assert torch.equal(fresh.weight, saved.weight)


@pytest.mark.parametrize("value", [lambda: 0, object(), {object(): 1}, [Path()]])
def test_what_cannot_be_saved_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match="a method's state may h"):
        checkpoint.encode(value)
