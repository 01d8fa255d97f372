"""What the lists know of run folders, whatever state these are in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cllab.record import described
from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run, RunStore
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.tui.draft import Draft
from cllab.tui.estimates import EVALUATION, Estimate, duration, estimate, work
from cllab.tui.index import Entry, RunIndex, age, read_entry
from cllab.tui.rows import note_for
from cllab.tui.widgets.setup_foot import expectation
from tests.conftest import toy
from tests.tui.recorded import make_run

QUICK = {"name": "quick", "method": {"name": "er"}, "dataset": {"name": "digits"}, "memory": {"capacity": 100}}


def config(**tables: object) -> RunConfig:
    return RunConfig.from_dict({**QUICK, **tables}, load())


def result_of(chosen: RunConfig, *, seconds: float = 10.0) -> dict[str, object]:
    return {
        "name": chosen.name,
        "status": "done",
        "signature": chosen.signature,
        "config": ev.plain(chosen.to_dict()),
        "metrics": {"average_accuracy": 0.5, "last_accuracy": 0.4, "forgetting": 0.1},
        "seconds": {"total": seconds},
        "memory": {"samples": 50, "bytes": 4000, "by_kind": {"images": 3200, "labels": 800}},
        "device": "cpu",
    }


def ended(store: RunStore, chosen: RunConfig, *, seconds: float = 10.0) -> Run:
    run = store.create(chosen)
    run.lock_path.write_text("1")
    sink = run.sink()
    sink(ev.RunEnded(status="done"))
    sink.close()
    run.result_path.write_text(json.dumps(result_of(chosen, seconds=seconds)))
    return run


def test_a_finished_run(finished: Run) -> None:
    entry = read_entry(finished)
    assert (entry.state, entry.is_over, entry.problem) == ("done", True, "")
    assert entry.last == json.loads(finished.result_path.read_text())["metrics"]["last_accuracy"]
    assert (entry.method, entry.dataset, entry.memory, entry.capacity) == ("er", "cifar10", "reservoir", 200)


TORN = {
    "empty folder but a config": {"config.toml": ""},
    "config is not TOML": {"config.toml": "name = ", "events.jsonl": "{}\n"},
    "config is binary": {"config.toml": b"\xff\xfe\x00"},
    "config of the wrong shape": {"config.toml": 'method = 3\n[memory]\ncapacity = "many"\n[scenario]\ntasks = "x"'},
    "torn last line": {"config.toml": "name = 'x'", "events.jsonl": '{"v":1,"kind":"RunSta'},
    "only nonsense": {"config.toml": "name = 'x'", "events.jsonl": "nonsense\n\n[1,2]\nnull\n"},
    "newer records": {"config.toml": "name = 'x'", "events.jsonl": '{"v":9,"kind":"Dreamed","t":1}\n'},
    "result is torn": {"config.toml": "name = 'x'", "result.json": '{"metrics": {"average_acc'},
    "result of the wrong shape": {
        "config.toml": "",
        "result.json": '{"metrics": [], "seconds": 3, "device": 7, "memory": "x"}',
    },
    "result is a list": {"config.toml": "", "result.json": "[1]"},
    "numbers that are none": {
        "config.toml": "",
        "result.json": '{"metrics": {"average_accuracy": NaN, "forgetting": true}}',
    },
    "lock holds text": {"config.toml": "", "lock": "hello", "events.jsonl": ""},
}


@pytest.mark.parametrize("files", TORN.values(), ids=TORN.keys())
def test_a_torn_folder_gives_an_entry_with_blanks(files: dict[str, str | bytes], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260101-000000-torn-s1"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    index = RunIndex(RunStore(folder.parent))
    assert index.refresh()
    (entry,) = index.entries
    assert entry.state in ("starting", "lost")
    assert entry.average is None
    assert not index.refresh()


def test_only_what_changed_is_read_again(store: RunStore) -> None:
    runs = [ended(store, config(seed=i)) for i in range(20)]
    index = RunIndex(store)
    index.refresh()
    assert index.n_read == 20
    assert not index.refresh()
    assert index.n_read == 20
    runs[3].result_path.write_text(json.dumps({**result_of(config(seed=3)), "metrics": {"average_accuracy": 0.9}}))
    assert index.refresh()
    assert index.n_read == 21
    runs[5].delete()
    assert index.refresh()
    assert len(index.entries) == 19


def test_a_run_whose_process_dies_is_noticed_without_a_change_of_files(store: RunStore) -> None:
    run = store.create(config())
    lock = RunLock(run.lock_path)
    sink = run.sink()
    sink(ev.PhaseStarted(phase="loading"))
    index = RunIndex(store)
    index.refresh()
    assert index.entries[0].state == "training"
    lock.release()
    assert index.refresh()
    assert index.entries[0].state == "lost"
    sink.close()


def test_progress_of_a_run_that_trains(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20260101-000000-half-s1", until_task=2, finished=False)
    lock = RunLock(run.lock_path)
    entry = read_entry(run)
    assert entry.state == "training"
    assert entry.fraction is None or 0 < entry.fraction < 1
    lock.release()


def test_progress_is_the_live_screens_and_never_goes_back(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", pictures=0, n_tasks=4, steps=8)
    lines = whole.events_path.read_bytes().splitlines(keepends=True)
    run = make_run(tmp_path / "runs" / "20260101-000000-half-s1", pictures=0)
    run.events_path.write_bytes(b"")
    run.result_path.unlink()
    lock = RunLock(run.lock_path)
    index = RunIndex(RunStore(tmp_path / "runs"))
    index.refresh()
    assert index.entries[0].fraction is None
    seen = []
    for line in lines[:-1]:
        with run.events_path.open("ab") as file:
            file.write(line)
        index.glance()
        fraction = index.entries[0].fraction
        # after an evaluation or a record of the memory as well as after a step
        assert fraction == (run.state().fraction if run.state().started else None)
        seen.append(fraction or 0.0)
    assert seen == sorted(seen)
    assert seen[-1] > 0.9
    # a log that begins again
    run.events_path.unlink()
    run.events_path.write_bytes(b"".join(lines[:12]))
    index.glance()
    assert index.entries[0].fraction == run.state().fraction
    lock.release()


def test_of_five_hundred_runs_none_is_read_again(store: RunStore) -> None:
    first = ended(store, config())
    for i in range(1, 500):
        folder = store.folder / f"20260101-{i:06}-copy-s1"
        folder.mkdir()
        for path in ("config.toml", "events.jsonl", "result.json", "lock"):
            os.link(first.folder / path, folder / path)
    index = RunIndex(store)
    index.refresh()
    assert len(index.entries) == 500
    assert index.n_read == 500
    assert not index.refresh()
    assert index.n_read == 500


def test_looking_is_paced_by_what_it_costs_but_runs_that_train_are_seen_at_once(store: RunStore) -> None:
    over = ended(store, config(seed=1))
    run = store.create(config(seed=2))
    lock = RunLock(run.lock_path)
    sink = run.sink()
    sink(ev.PhaseStarted(phase="loading"))
    index = RunIndex(store)
    index.glance()
    assert {e.state for e in index.entries} == {"done", "training"}
    index._due = float("inf")
    ended(store, config(seed=3))
    over.delete()
    sink(ev.RunEnded(status="stopped"))
    lock.release()
    assert index.glance()
    # what ended is known; what came and went in other folders is seen when a look at all of them is due
    assert sorted(e.state for e in index.entries) == ["done", "stopped"]
    assert index.refresh()
    assert sorted((e.state, e.seed) for e in index.entries) == [("done", 3), ("stopped", 2)]
    sink.close()


def test_who_did_not_look_first_still_learns_of_it(store: RunStore) -> None:
    index = RunIndex(store)
    ended(store, config(seed=1))
    drawn = index.version
    assert index.refresh()
    assert not index.refresh()
    assert index.version != drawn


@pytest.mark.parametrize(
    ("log", "command", "wish"),
    [
        ((), "stop", "stopping"),
        ((), "pause", "pausing"),
        ((ev.Paused(task=0, step=1),), "pause", ""),
        ((ev.Paused(task=0, step=1),), "resume", "resuming"),
        ((ev.Paused(task=0, step=1),), "stop", "stopping"),
        ((), "trace 3", ""),
    ],
)
def test_what_a_run_was_asked_for_is_known_until_it_does_it(
    store: RunStore, log: tuple[ev.Event, ...], command: str, wish: str
) -> None:
    run = store.create(config())
    run.control_path.write_text("1 stop\n")  # what a former process was asked for is nobody's wish now
    lock = RunLock(run.lock_path)
    sink = run.sink()
    for event in (ev.PhaseStarted(phase="stream"), *log):
        sink(event)
    index = RunIndex(store)
    index.refresh()
    assert index.entries[0].wish == ""
    run.command(command)
    assert index.glance() == bool(wish)
    assert index.entries[0].wish == wish
    assert index.entries[0].word == (wish or index.entries[0].state)
    lock.release()
    index.refresh()
    assert index.entries[0].wish == ""
    sink.close()


# -- estimates


def entries(store: RunStore) -> tuple[Entry, ...]:
    index = RunIndex(store)
    index.refresh()
    return index.entries


def test_nothing_is_known_before_anything_has_run(store: RunStore) -> None:
    found = estimate(config(), (), load())
    assert (found.seconds, found.bytes) == (None, None)


def test_the_same_setup_takes_the_same_time(store: RunStore) -> None:
    ended(store, config(seed=1), seconds=8.0)
    ended(store, config(seed=2), seconds=10.0)
    ended(store, config(seed=3), seconds=30.0)
    found = estimate(config(seed=9), entries(store), load())
    assert found.seconds == 10.0
    assert "3 runs of this very setup" in found.basis


def test_twice_the_work_takes_twice_the_time(store: RunStore) -> None:
    ended(store, config(train={"epochs": 10}, scenario={"name": "disjoint"}, memory={"capacity": 0}), seconds=10.0)
    more = config(train={"epochs": 20}, scenario={"name": "disjoint"}, memory={"capacity": 0})
    found = estimate(more, entries(store), load())
    assert found.seconds == pytest.approx(20.0, rel=0.1)
    assert not found.rough


def test_another_method_gives_a_rough_answer_and_other_data_none(store: RunStore) -> None:
    ended(store, config(), seconds=10.0)
    assert estimate(config(method={"name": "finetune"}), entries(store), load()).rough
    assert estimate(config(dataset={"name": "mnist"}), entries(store), load()).seconds is None
    assert estimate(config(train={"epochs": 100}), entries(store), load()).seconds is None


def test_bytes_by_kind_grow_with_the_capacity(store: RunStore) -> None:
    ended(store, config())
    found = estimate(config(memory={"capacity": 500}), entries(store), load())
    assert found.bytes == {"images": 32000, "labels": 8000}
    assert estimate(config(memory={"capacity": 0}), entries(store), load()).bytes == {}


def test_bytes_of_latents_are_told_by_runs_with_the_same_cut_alone(store: RunStore) -> None:
    behind = {"name": "mlp", "cut": "hidden1", "front": "frozen"}
    assert estimate(config(model=behind), entries(store), load()).bytes is None
    ended(store, config())
    assert estimate(config(model=behind), entries(store), load()).bytes is None, "those are of images"
    run = ended(store, config(model=behind))
    kinds = {"latents": 20000, "labels": 800}
    memory = {"samples": 100, "bytes": 20800, "by_kind": kinds}
    run.result_path.write_text(json.dumps({**result_of(config(model=behind)), "memory": memory}))
    found = estimate(config(model=behind, memory={"capacity": 500}), entries(store), load())
    assert found.bytes == {"latents": 100000, "labels": 4000}
    assert estimate(config(model={**behind, "latents": "float32"}), entries(store), load()).bytes is None
    assert "images" in (estimate(config(), entries(store), load()).bytes or {})


def test_a_base_stage_is_work(store: RunStore) -> None:
    plain = work(config(), load())
    assert plain is not None
    total = load().get("dataset", "digits").facts["n_train"]
    found = {on: work(config(base={"on": on, "epochs": 4}), load()) for on in ("first-task", "classes")}
    tasks = config().scenario.values["tasks"]
    assert found["first-task"] == pytest.approx(plain + 4 * total / tasks)
    assert found["classes"] == pytest.approx(plain + 4 * total / 2)
    assert work(config(base={"on": "classes", "classes": 2, "epochs": 4}), load()) == pytest.approx(plain + 0.8 * total)


def test_a_method_that_keeps_no_samples_has_no_memory_whatever_its_capacity(store: RunStore, tmp_path: Path) -> None:
    chosen = config(method={"name": "joint"}, memory={"capacity": 500})
    assert chosen.memory.common["capacity"] == 500
    assert chosen.capacity == 0
    assert work(chosen, load()) == work(config(method={"name": "joint"}, memory={"capacity": 0}), load())
    run = ended(store, chosen)
    kept = {"samples": 0, "bytes": 700, "by_kind": {"teacher": 700}}
    run.result_path.write_text(json.dumps({**result_of(chosen), "memory": kept}))
    assert [e.capacity for e in entries(store)] == [0]
    # what it keeps beside samples is as large for any capacity
    found = estimate(config(method={"name": "joint"}, memory={"capacity": 900}), entries(store), load())
    assert found.bytes == {"teacher": 700}
    draft = Draft.of(chosen.to_dict(), load())
    assert expectation(draft, found)[-1] == "no memory, but teacher 700 B"
    assert expectation(draft, Estimate())[-1] == "no memory"
    assert note_for(draft, "memory.capacity", draft.field("memory.capacity")) == "not used: joint keeps none"
    # a method that its maker alone has is described in the folder
    text = run.config_path.read_text().replace('name = "joint"', 'name = "own"')
    run.config_path.write_text(text)
    spec = next(s for s in chosen.specs if s.kind == "method")
    for keeps in (False, True):
        own = replace(spec, name="own", facts={**spec.facts, "uses_memory": keeps})
        run.described_path.write_text(described.text((own,)))
        assert read_entry(run).capacity == (500 if keeps else 0)


def test_what_a_method_keeps_beside_its_samples_does_not_grow_with_the_capacity(store: RunStore) -> None:
    run = ended(store, config())
    kinds = {"images": 3200, "labels": 800, "teacher": 5000}
    run.result_path.write_text(
        json.dumps({**result_of(config()), "memory": {"samples": 50, "bytes": 9000, "by_kind": kinds}})
    )
    found = estimate(config(memory={"capacity": 500}), entries(store), load())
    assert found.bytes == {"images": 32000, "labels": 8000, "teacher": 5000}


def test_a_result_edited_by_hand_is_no_ground_for_an_estimate(store: RunStore) -> None:
    run = ended(store, config())
    run.result_path.write_text(
        '{"status": "done", "seconds": {"total": 5}, "memory": {"by_kind": 3, "samples": 0}, "config": 7}'
    )
    run.config_path.write_text(
        '[method]\nname = "er"\n[dataset]\nname = "digits"\n[model]\nname = "mlp"\nwidth = "wide"\n'
    )
    assert estimate(config(), entries(store), load()).seconds is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "under 1 s"),
        (59, "59 s"),
        (130, "2 min 10 s"),
        (600, "10 min"),
        (3599, "60 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages() -> None:
    assert [age(s) for s in (5, 90, 7200, 200000, 4e8)] == ["now", "1 min", "2 h", "2 d", "12 y"]


def test_steps_count_in_place_of_epochs_in_what_a_run_may_take() -> None:
    table = {"scenario": {"name": "disjoint", "tasks": 5, "stream": "offline"}, "dataset": {"name": "mnist"}}

    def of(**train: int) -> float:
        found = work(toy("finetune", **table, train={"batch_size": 100, "memory_epochs": 0, **train}), load())
        assert found is not None
        return found

    # five tasks of 12,000 images: 120 steps a task are one epoch
    assert of(steps=120) == of(epochs=1)
    assert of(steps=240) - of(steps=120) == 60_000


def test_the_work_of_a_session_stream_is_its_images_and_a_test_set_a_task() -> None:
    asked = {"dataset": {"name": "mnist-nic"}, "scenario": {"name": "nicv2"}, "train": {"epochs": 4}}
    made = RunConfig.from_dict({**asked, "model": {"name": "mlp"}, "method": {"name": "finetune"}})
    assert work(made, load()) == pytest.approx(4 * 24_000 + EVALUATION * 79 * 3_000)
    unknown = RunConfig.from_dict({**asked, "dataset": {"name": "session-folder"}, "method": {"name": "finetune"}})
    assert work(unknown, load()) is None
