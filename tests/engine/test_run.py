"""What a run says, in which order, and what it leaves behind."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.worker import train
from tests.conftest import Record, toy
from tests.engine.sessions import begin, walked

TWO: dict[str, Any] = {
    "scenario": {"tasks": 2},
    "dataset": {"per_class": 8, "n_classes": 4},
    "memory": {"capacity": 8, "name": "reservoir"},
    "train": {"batch_size": 8, "memory_epochs": 1},
}

SEQUENCE = [
    "",
    "RunStarted",
    "TaskStarted 0",
    "PhaseStarted stream 0",
    "StepEnded 0",
    "StepEnded 0",
    "EpochEnded 0",
    "PhaseStarted select 0",
    "MemoryUpdated 0",
    "PhaseStarted memory 0",
    "StepEnded 0",
    "EpochEnded 0",
    "Evaluated 0 task",
    "TaskEnded 0",
    "TaskStarted 1",
    "PhaseStarted stream 1",
    "StepEnded 1",
    "StepEnded 1",
    "StepEnded 1",
    "StepEnded 1",
    "EpochEnded 1",
    "PhaseStarted select 1",
    "MemoryUpdated 1",
    "PhaseStarted memory 1",
    "StepEnded 1",
    "EpochEnded 1",
    "Evaluated 1 task",
    "TaskEnded 1",
    "CheckpointSaved 1",
    "RunEnded",
    "",
][1:-1]

KEYS = {
    "name", "status", "seed", "config", "accuracy_matrix", "metrics", "per_class_accuracy", "seconds", "memory",
    "versions",
}  # fmt: skip


def told(event: ev.Event) -> str:
    parts = [type(event).__name__, getattr(event, "phase", "") if isinstance(event, ev.PhaseStarted) else ""]
    parts += [str(event.task) if hasattr(event, "task") else "", getattr(event, "moment", "")]
    return " ".join(p for p in parts if p)


def test_the_records_of_a_small_run_in_order(store: RunStore) -> None:
    run = store.create(toy("rm", **TWO))
    assert train(run, signals=False) == 0
    events = [e for e in run.events() if not (isinstance(e, ev.PhaseStarted) and e.phase == "loading")]
    assert [told(e) for e in events] == SEQUENCE
    steps = [(e.step, e.phase_step, e.phase_steps, e.samples) for e in events if isinstance(e, ev.StepEnded)]
    # 16 samples a task in batches of 8, then the 8 in the memory; in task 2 half of each batch is the memory's
    assert steps == [
        (1, 1, 2, 8), (2, 2, 2, 16), (3, 1, 1, 16),
        (4, 1, 4, 20), (5, 2, 4, 24), (6, 3, 4, 28), (7, 4, 4, 32), (8, 1, 1, 32),
    ]  # fmt: skip
    started = events[0]
    assert isinstance(started, ev.RunStarted)
    assert started.steps == (3, 5)
    assert steps[-1][0] == sum(started.steps)


def test_the_result_has_the_promised_keys_and_agrees_with_the_records(store: RunStore) -> None:
    run = store.create(toy("rm", **TWO, evaluate={"every": 8, "future": True}))
    assert train(run, signals=False) == 0
    result = run.result()
    assert result is not None
    assert set(result) >= KEYS
    assert result["status"] == "done"
    assert set(result["seconds"]) >= {"total", "train", "evaluate", "memory"}
    assert set(result["memory"]) >= {"samples", "bytes"}
    assert set(result["metrics"]) >= {
        "last_accuracy", "average_accuracy", "forgetting", "backward_transfer", "forward_transfer", "learning_accuracy",
        "stream_area",
    }  # fmt: skip
    events = list(run.events())
    rows = [list(e.tasks) for e in events if isinstance(e, ev.Evaluated) and e.moment == "task" and e.task >= 0]
    assert result["accuracy_matrix"] == rows
    assert result["metrics"]["last_accuracy"] == [e for e in events if isinstance(e, ev.Evaluated)][-1].seen
    last = events[-1]
    assert isinstance(last, ev.RunEnded)
    assert last.metrics == result["metrics"]
    update = [e for e in events if isinstance(e, ev.MemoryUpdated)][-1]
    assert result["memory"] == {"samples": update.samples, "bytes": sum(update.bytes.values()), "by_kind": update.bytes}
    assert result["config"] == ev.plain(run.config().to_dict())
    assert run.state().metrics == result["metrics"]
    json.dumps(result, allow_nan=False)


def test_accuracies_not_evaluated_are_null(store: RunStore) -> None:
    run = store.create(toy("finetune", scenario={"tasks": 3}, dataset={"per_class": 8}))
    assert train(run, signals=False) == 0
    matrix = run.result()["accuracy_matrix"]  # type: ignore[index]
    assert [[v is None for v in row] for row in matrix] == [
        [False, True, True], [False, False, True], [False, False, False],
    ]  # fmt: skip


def test_seconds_add_up_and_none_is_negative(store: RunStore) -> None:
    run = store.create(toy("rm", evaluate={"every": 50, "epochs": True}))
    assert train(run, signals=False) == 0
    seconds = run.result()["seconds"]  # type: ignore[index]
    kinds = {k: v for k, v in seconds.items() if k != "total"}
    assert all(v > 0 for v in kinds.values()), kinds
    assert sum(kinds.values()) <= seconds["total"] + 0.01
    assert sum(kinds.values()) > 0.8 * seconds["total"], "hardly anything is not accounted for"
    by_task = [e.seconds for e in run.events() if isinstance(e, ev.TaskEnded)]
    for kind in ("train", "evaluate", "memory"):
        assert sum(s[kind] for s in by_task) == pytest.approx(seconds[kind], abs=0.01)


def test_time_spent_before_a_checkpoint_inside_a_task_is_not_lost(store: RunStore) -> None:
    run = store.create(toy("finetune", scenario={"tasks": 2}, dataset={"per_class": 8}))
    old = Session.on_step

    def on_step(session: Session, phase: str) -> None:
        if session.learner.step == 1:
            session.seconds["train"] += 1000.0  # as if this step had taken long
            session.save()
            raise KeyboardInterrupt
        old(session, phase)

    Session.on_step = on_step  # type: ignore[method-assign]
    try:
        train(run, signals=False)
    finally:
        Session.on_step = old  # type: ignore[method-assign]
    assert train(run, resume=True, signals=False) == 0
    assert run.result()["seconds"]["train"] > 1000.0  # type: ignore[index]


def lines(**tables: Any) -> list[dict[str, Any]]:
    return walked("rm", **{**TWO, **tables})[1].lines()


def test_one_seed_says_the_same_and_another_something_else() -> None:
    assert lines() == lines()
    assert lines() != lines(seed=2)


def test_the_seed_also_decides_what_code_draws_from_torchs_own_generator() -> None:
    import torch

    def draws(seed: int) -> float:
        torch.rand(seed + 3)  # whatever happened in this process before
        session = Session(toy("finetune", seed=seed), Record(), Control())
        session.start()
        return torch.rand(1).item()

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_evaluations_along_the_stream_come_every_so_many_samples() -> None:
    session, record = walked("finetune", scenario={"tasks": 2}, evaluate={"every": 120})
    found = [e for e in record.of(ev.Evaluated) if e.moment == "stream"]
    # 1,000 samples, 500 a task in 31 batches of 16: the first batch end at or past every multiple of 120
    assert [e.samples for e in found] == [128, 240, 368, 480, 608, 720, 848, 960]
    assert session.metrics()["stream_area"] == pytest.approx(
        sum((a.seen + b.seen) / 2 * (b.samples - a.samples) for a, b in itertools.pairwise(found))
        / (found[-1].samples - found[0].samples)
    )


@pytest.mark.parametrize("method", ["finetune", "gdumb"])
def test_reporting_the_best_epoch(method: str) -> None:
    train_table = {"epochs": 4, "memory_epochs": 0}
    session, record = walked(
        method,
        scenario={"tasks": 2, "stream": "offline"},
        train=train_table,
        evaluate={"report": "best"},
        memory={"capacity": 100},
    )
    for task in range(2):
        epochs = [e.seen for e in record.of(ev.Evaluated) if e.moment == "epoch" and e.task == task]
        assert len(epochs) == 4
        assert session.scores.seen[task] == max(epochs)
    plain, _ = walked(method, scenario={"tasks": 2, "stream": "offline"}, train=train_table, memory={"capacity": 100})
    assert plain.scores.rows == session.scores.rows, "reporting another epoch changes no row and no training"
    assert "best_accuracy" not in plain.metrics()
    found = session.metrics()
    assert found["last_accuracy"] == found["best_accuracy"] == max(epochs)
    assert found["left_accuracy"] == plain.metrics()["last_accuracy"] == epochs[-1]


def test_head_keep_and_head_reset() -> None:
    import torch

    for head, equal in (("keep", True), ("reset", False)):
        session = Session(toy("finetune", train={"head": head}), Record(), Control())
        session.start()
        session._task(session.stream.tasks[0])
        before = {k: v.clone() for k, v in session.learner.model.head.state_dict().items()}
        trunk = {k: v.clone() for k, v in session.learner.model.backbone.state_dict().items()}
        session.loop.begin()
        session.loop.do(lambda session=session: session._begin_task(session.stream.tasks[1]))  # type: ignore[misc]
        begin(session)
        after = session.learner.model.head.state_dict()
        assert after["weight"].shape[0] == 4
        assert torch.equal(after["weight"][:2], before["weight"]) is equal
        assert torch.equal(after["bias"][:2], before["bias"]) is equal
        assert all(torch.equal(v, trunk[k]) for k, v in session.learner.model.backbone.state_dict().items())


def test_a_memory_larger_than_the_stream_is_refused() -> None:
    from cllab.errors import UsageError

    config = toy("rm", memory={"capacity": 60}, dataset={"n_classes": 10, "per_class": 10})
    small = toy("rm", memory={"capacity": 60}, dataset={"n_classes": 10, "per_class": 10})
    object.__setattr__(small.memory, "common", {"capacity": 101})
    Session(config, Record(), Control())
    with pytest.raises(UsageError, match=r"memory.capacity = 101 is larger than the data: the stream has 100 samples"):
        Session(small, Record(), Control())


def test_a_failure_ends_the_run_with_one_sentence_and_a_traceback_in_the_log(
    store: RunStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create(toy("finetune", **TWO))

    def fail(self: Session, task: Any, before: Any) -> None:
        raise ValueError("a size that does not fit\nand more")

    monkeypatch.setattr(Session, "_end_task", fail)
    assert train(run, signals=False) == 1
    result = run.result()
    assert result is not None
    assert result["reason"] == "ValueError at task 1, step 3: a size that does not fit"
    assert "Traceback" in capsys.readouterr().err
    assert run.status().state == "failed"


def test_a_nan_ends_the_run_as_failed_with_term_task_and_step(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create(toy("finetune", **TWO, method={}))
    from cllab.methods.finetune import Finetune

    original = Finetune.loss

    def loss(self: Finetune, batch: Any) -> Any:
        terms = original(self, batch)
        return {k: v * float("nan") if self.learner.step == 4 else v for k, v in terms.items()}

    monkeypatch.setattr(Finetune, "loss", loss)
    assert train(run, signals=False) == 1
    assert run.result()["reason"] == (  # type: ignore[index]
        "loss term 'cross-entropy' is not finite at task 2, step 5; a smaller train.lr may help"
    )
    assert run.result()["accuracy_matrix"][0][0] is not None  # type: ignore[index]
