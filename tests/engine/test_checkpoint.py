"""Checkpoints: complete, readable without running code, never half written; what goes wrong is said in one line."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
import types
from pathlib import Path
from typing import Any, TextIO

import pytest
import torch
from torch import nn

from cllab.engine import checkpoint
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.io.files import write_error
from cllab.methods.base import Method
from cllab.models.base import Network
from cllab.models.mlp import MLP
from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from cllab.worker import train
from tests.conftest import toy
from tests.forked import forked

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
    assert state["loop"]["optimizers"][0][2]["param_groups"][0]["momentum"] == 0.9
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


def test_where_there_is_no_room_for_a_third_the_former_one_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latest.pt"
    checkpoint.save(path, {"value": 1})
    checkpoint.save(path, {"value": 2})
    save = torch.save

    def two_fit(state: Any, file: Any) -> None:
        if checkpoint.former(path).exists():
            part_of(path).unlink()
            part_of(path).symlink_to("/dev/full")
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", two_fit)
    checkpoint.save(path, {"value": 3})
    monkeypatch.undo()
    assert checkpoint.load(path, CPU)["value"] == 3
    assert checkpoint.load(checkpoint.former(path), CPU)["value"] == 2


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


def test_the_checkpoint_before_the_latest_is_kept_and_taken_where_the_latest_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "latest.pt"
    assert checkpoint.newest(path, CPU) == (None, "")
    checkpoint.save(path, {"value": 1})
    checkpoint.save(path, {"value": 2})
    state, said = checkpoint.newest(path, CPU)
    assert (state and state["value"], said) == (2, "")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    state, said = checkpoint.newest(path, CPU)
    assert state is not None
    assert state["value"] == 1
    assert "going on from the one before" in said
    path.unlink()  # killed between the two renames of a save
    state, said = checkpoint.newest(path, CPU)
    assert (state and state["value"], said) == (1, "")
    checkpoint.former(path).write_bytes(b"")
    state, said = checkpoint.newest(path, CPU)
    assert state is None
    assert "begins again" in said


def torn_at(run: Run, step: int) -> None:
    """Train until `step` and die there without a word, with a checkpoint four and two steps before."""
    old = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        old(session, phase)
        if session.learner.step in (step - 4, step - 2):
            session.save()
        if session.learner.step == step:
            raise SystemExit

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        with pytest.raises(SystemExit):
            train(run, signals=False)
    finally:
        Session.on_step = old  # type: ignore[method-assign]


def without_results(run: Run) -> tuple[Any, list[dict[str, Any]]]:
    """What a run came to, without what depends on the clock or on how often it was begun."""
    result = run.result()
    assert result is not None
    events = [e for e in run.events() if not isinstance(e, (ev.Resumed, ev.Warned, *ev.BY_CLOCK))]
    return {k: v for k, v in result.items() if k != "seconds"}, [ev.without_times(e) for e in events]


@pytest.mark.parametrize("damage", ["none", "torn", "missing", "both torn", "no checkpoint", "nothing but a config"])
def test_a_killed_run_goes_on_from_whatever_is_left_to_the_same_numbers(damage: str, store: RunStore) -> None:
    whole, run = finished(store), store.create(toy("finetune", **SMALL))
    torn_at(run, 8)
    latest = run.checkpoint_path
    if damage in ("torn", "both torn"):
        latest.write_bytes(latest.read_bytes()[:1000])
    if damage == "both torn":
        checkpoint.former(latest).write_bytes(b"PK")
    if damage == "missing":
        latest.unlink()
    if damage in ("no checkpoint", "nothing but a config"):
        shutil.rmtree(latest.parent)
    if damage == "nothing but a config":
        for path in (run.events_path, run.lock_path):
            path.unlink()
        run.memory_folder.rmdir()
    assert run.status().state in ("lost", "starting")
    assert train(run, resume=True, signals=False) == 0
    assert without_results(run) == without_results(whole)
    warned = [e.message for e in run.events() if isinstance(e, ev.Warned)]
    assert len(warned) == (damage in ("torn", "both torn"))
    assert not checkpoint.former(latest).exists(), "a finished run keeps one checkpoint"


@pytest.mark.parametrize("log", [b"", b'{"v":1,"kind":"PhaseStarted","ph'])
def test_a_run_killed_while_it_wrote_its_first_record_begins_again(log: bytes, store: RunStore) -> None:
    whole, run = finished(store), store.create(toy("finetune", **SMALL))
    run.events_path.write_bytes(log)
    run.lock_path.write_text("4711")
    assert run.status().state == "lost"
    assert train(run, resume=True, signals=False) == 0
    assert without_results(run) == without_results(whole)


def test_a_run_killed_between_its_last_record_and_its_result_is_lost_and_goes_on(store: RunStore) -> None:
    run = finished(store)
    told = without_results(run)
    run.result_path.unlink()
    assert run.status().state == "lost"
    assert train(run, resume=True, signals=False) == 0
    assert without_results(run) == told


def test_the_log_is_on_disk_before_the_checkpoint_that_counts_its_bytes(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.split(".")[0])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    run = finished(store)
    saves = [i for i, name in enumerate(synced) if name == "latest"]
    assert len(saves) == 1, "at the end, and not at every task"
    assert all(synced[i - 1] == "events" for i in saves)
    state = checkpoint.load(run.checkpoint_path, CPU)
    log = run.events_path.read_bytes()
    assert isinstance(ev.from_line(log[: state["events_bytes"]].splitlines()[-1]), ev.CheckpointSaved)


def test_checkpoints_come_by_the_clock_and_at_the_end_not_at_every_task(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten tasks of 25 seconds each, with work of no time in them: a checkpoint is due every minute."""
    clock, saved = [0.0], []
    ticking = types.SimpleNamespace(monotonic=lambda: clock[0], perf_counter=time.perf_counter)
    monkeypatch.setattr("cllab.engine.run.time", ticking)
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saved.append(state["position"]))
    run = store.create(toy("er", scenario={"tasks": 10}, dataset={"per_class": 20}))

    def tick(event: ev.Event) -> None:
        clock[0] += 25 * isinstance(event, ev.TaskEnded)

    assert train(run, sinks=[tick], signals=False) == 0
    assert saved == [3, 6, 9, 10]
    assert [e.task for e in run.events() if isinstance(e, ev.CheckpointSaved)] == [2, 5, 8, 9]


def test_work_that_was_long_in_the_task_before_has_a_checkpoint_before_it(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = [0.0], []
    ticking = types.SimpleNamespace(monotonic=lambda: clock[0], perf_counter=time.perf_counter)
    for module in ("run", "loop"):
        monkeypatch.setattr(f"cllab.engine.{module}.time", ticking)
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saved.append((state["position"], clock[0])))
    run = store.create(toy("er", scenario={"tasks": 4}, dataset={"per_class": 20}))

    def tick(event: ev.Event) -> None:
        clock[0] += 2 * isinstance(event, ev.EpochEnded | ev.Evaluated)

    assert train(run, sinks=[tick], signals=False) == 0
    # an epoch of the stream and three of the memory, then two seconds of evaluation. In the first task nothing is known
    # of any work; later there is a checkpoint before the evaluation, and none before choosing, which took no time
    assert saved == [(0, 2), (0, 8), (1, 18), (2, 28), (3, 38), (4, 40)]


def test_a_log_that_a_crash_has_shortened_is_cut_at_its_last_whole_line(store: RunStore) -> None:
    run = finished(store)
    told = without_results(run)
    run.result_path.unlink()
    state = checkpoint.load(run.checkpoint_path, CPU)
    run.events_path.write_bytes(run.events_path.read_bytes()[: state["events_bytes"] - 7])
    assert train(run, resume=True, signals=False) == 0
    assert all(ev.from_line(line) for line in run.events_path.read_bytes().splitlines())
    assert without_results(run)[0] == told[0]


def test_a_disk_that_is_full_anywhere_in_a_checkpoint_is_said_in_one_line(tmp_path: Path) -> None:
    """A limit on the size of files is met as a full disk is: by a short write."""
    resource = pytest.importorskip("resource", reason="limits on files are POSIX")
    path = tmp_path / "latest.pt"
    checkpoint.save(path, {"value": 1})
    many = {"many": [torch.zeros(50) for _ in range(300)], "big": torch.zeros(2_000_000)}

    def save(out: TextIO) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for room in (40_000, 3_000_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, 3_000_000))
            try:
                checkpoint.save(path, many)
            except OSError as error:
                print(error.errno, error.filename, write_error(error), file=out)

    child, said = forked(save)
    assert said.read().splitlines() == 2 * [f"27 {path} File too large: {path}"]
    assert os.waitpid(child, 0)[1] == 0
    assert checkpoint.load(path, CPU)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pt"]


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
        if session.learner.task == 0:
            if not run.checkpoint_path.exists():
                session.save()
        else:
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


def rebuild(weights: dict[str, Any], structure: dict[str, Any]) -> Network:
    made = network(structure["classes"])
    made.rebuild(structure)
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
