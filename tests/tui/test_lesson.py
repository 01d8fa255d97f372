"""The lessons as data: recordings load, every claim holds, numbers are those of the recordings and of no one else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cllab.errors import UsageError
from cllab.record import events as ev
from cllab.settings.presets import load
from cllab.tui.lesson import MOST_LINES, PANES, RECORDINGS, WIDTH, Lesson, lessons, read_recordings
from cllab.tui.snapshots import load as load_snapshot
from cllab.tui.widgets.chart import wrap
from cllab.tui.widgets.trace_view import numbered

ALL = {lesson.name: lesson for lesson in lessons()}
MOST_BYTES = 480_000


def log_of(name: str) -> list[dict]:
    """The records as plain JSON, read without the app."""
    return [json.loads(line) for line in (RECORDINGS / name / "events.jsonl").read_text().splitlines()]


def test_there_are_seven_in_order() -> None:
    assert list(ALL) == ["stream", "forgetting", "memory", "choice", "setting", "bilevel", "batches"]
    assert [lesson.title for lesson in lessons()][5] == "One bilevel update"


@pytest.mark.parametrize("name", read_recordings())
def test_a_recording_is_small_whole_and_of_today(name: str) -> None:
    recording = read_recordings()[name]
    files = [p for p in recording.run.folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < MOST_BYTES
    lines = recording.run.events_path.read_bytes().splitlines()
    # a record of another time would be passed over without a word
    assert len(recording.timeline.events) == len(lines)
    assert isinstance(recording.timeline.events[-1], ev.RunEnded)
    assert recording.timeline.state.status == "done"
    for record in recording.timeline.state.memory:
        if record.snapshot and recording.pictures:
            snapshot = load_snapshot(recording.run.memory_folder / record.snapshot)
            assert snapshot is not None
            assert len(snapshot) == record.samples
    # it was made from what the file says, which can be trained again
    asked = load(recording.preset).config.override(recording.settings).to_dict()
    made = recording.run.config().to_dict()
    for table, values in asked.items():
        if isinstance(values, dict):
            values = {k: v for k, v in values.items() if (table, k) != ("train", "threads")}
            assert values.items() <= made[table].items(), table
    # no path of the machine it was made on
    text = b"".join(p.read_bytes() for p in files if p.suffix in (".jsonl", ".toml"))
    assert not re.search(rb"/(home|root|tmp|work|Users)/", text)


@pytest.mark.parametrize("lesson", ALL.values(), ids=ALL)
def test_every_claim_holds_and_every_text_fits(lesson: Lesson) -> None:
    for number, step in enumerate(lesson.steps, 1):
        text = lesson.text(step)
        assert "{" not in text
        assert len(wrap(text, WIDTH)) <= MOST_LINES, (number, text)
        for claim in step.holds:
            assert lesson.holds(claim), (number, claim)
        for pane in step.show:
            assert pane.partition("@")[0] in PANES
            lesson.recording(pane).position(step.at)
        # what stands out is there
        if step.look:
            state = lesson.recording(step.show[0]).timeline.after(lesson.recording(step.show[0]).position(step.at))
            trace = state.traces[-1]
            arrays = np.load(lesson.recording(step.show[0]).run.folder / trace.file).files
            there = {name for name, _ in numbered(list(trace.scalars))} | set(arrays)
            assert set(step.look) <= there, (number, step.look)
        # no percentage is typed by hand: it would stay when the recording changes
        typed = re.sub(r"\{[^}]*\}", "", step.text)
        assert not re.search(r"\d+(\.\d+)?\s*%|\d+\.\d", typed), (number, typed)
        if step.ask is not None:
            right = [i for i in range(len(step.ask.choices)) if lesson.is_right(step.ask, i)]
            assert len(right) == 1, (number, lesson.say(step.ask.value))
            assert 2 <= len(step.ask.choices) <= 3


MAY_DIFFER = {
    "stream": set(),
    "forgetting": set(),
    "memory": {"method.name", "memory.name", "memory.capacity"},
    "choice": {"memory.name"},
    "setting": {"scenario.name"},
    "bilevel": set(),
    "batches": {"scenario.name", "method.name", "model.norm", "model.renorm", "memory.name", "memory.capacity"},
}
"""What is not the same in the runs that a lesson compares, because it is what the lesson is about."""


@pytest.mark.parametrize("lesson", ALL.values(), ids=ALL)
def test_runs_that_are_compared_differ_in_what_the_lesson_is_about_and_in_nothing_else(lesson: Lesson) -> None:
    compared = {run for step in lesson.steps for run in lesson.runs_of(step)}
    compared |= set(re.findall(r"run=(\w+)", " ".join(step.text for step in lesson.steps)))
    first = lesson.recordings[lesson.run]
    ours = first.run.config().to_dict()
    for name in compared:
        theirs = lesson.recordings[name].run.config().to_dict()
        for table, values in ours.items():
            for key, value in values.items() if isinstance(values, dict) else [("", values)]:
                other = theirs[table].get(key, value) if isinstance(values, dict) else theirs[table]
                assert value == other or f"{table}.{key}" in MAY_DIFFER[lesson.name], (name, table, key)
        one, another = first.timeline.state.started, lesson.recordings[name].timeline.state.started
        assert one is not None
        assert another is not None
        # the same digits in the same order: without it, "task 1" would be two things
        if lesson.name == "batches":  # how the stream is cut is what it is about; no task is compared with another
            assert {*one.class_names} == {*another.class_names}
        else:
            assert one.class_names == another.class_names, name
            assert [t["classes"] for t in one.tasks] == [t["classes"] for t in another.tasks], name
        assert (one.model, one.seed) == (another.model, another.seed)


def test_what_the_texts_say_of_the_streams() -> None:
    """Claims in words, each looked up in the recordings."""
    for name in ("finetune", "er20", "told", "blurry"):
        state = read_recordings()[name].timeline.state
        assert state.started is not None
        # "sees an image once at most": a last batch that is not full is left out, nothing comes twice
        drawn = np.diff([0, *(e.samples for e in state.evaluations if e.moment == "task")])
        for task, samples in zip(state.started.tasks, drawn, strict=True):
            assert 0.9 * task["n_train"] < samples <= task["n_train"], name
            assert len(task["classes"]) == 2
    started = read_recordings()["blurry"].timeline.state.started
    assert started is not None
    for task, counts in zip(started.tasks, np.array(started.counts), strict=True):
        own = counts[list(task["classes"])].sum()
        # "mostly its own two digits, with a few images of the others"
        assert own > 0.8 * counts.sum()
        assert (counts > 0).sum() >= 8
    sharp = np.array(read_recordings()["finetune"].timeline.state.started.counts)  # type: ignore[union-attr]
    assert ((sharp > 0).sum(axis=1) == 2).all()


def test_what_the_texts_say_of_the_memories() -> None:
    full = read_recordings()["er20"].timeline.state.memory
    assert [m.samples for m in full if m.task == 0][-1] == 20, "after task 1 the memory is full"
    assert [m.per_task for m in full if m.task == 0][-1][0] == 20
    balanced = read_recordings()["balanced30"].timeline.state.memory[-1]
    assert len(set(balanced.per_task)) == 1, "the same number of each task"
    assert len(set(balanced.per_class)) == 1
    lesson = ALL["choice"]
    by_class, by_doubt, by_chance = (lesson.value(f"seen run={r}") for r in ("balanced30", "uncertain30", "random30"))
    # "the last step is large, the one between them may be luck"
    assert by_class - by_chance > 20
    assert by_class - by_chance > 2 * abs(by_class - by_doubt)


def test_what_the_texts_say_of_the_bilevel_step() -> None:
    recording = read_recordings()["bilevel"]
    trace = recording.timeline.state.traces[0]
    assert trace.task == 1
    inner = [name for name in trace.scalars if name.startswith("inner loss")]
    assert len(inner) == 4, "four inner steps"
    arrays = np.load(recording.run.folder / trace.file)
    used = [
        image.tobytes()
        for name in arrays.files
        if "stream batch" in name or "replayed batch" in name
        for image in arrays[name]
    ]
    held = [image.tobytes() for image in arrays["validation batch"]]
    assert used
    assert held
    assert not set(used) & set(held), "the validation pictures were in none of these steps"


def test_numbers_are_those_of_the_log() -> None:
    """Computed from the plain JSON, by another way than the reducer's."""
    lesson = ALL["memory"]
    for run in ("finetune", "er20"):
        rows = [e for e in log_of(run) if e["kind"] == "Evaluated" and e["moment"] == "task"]
        assert lesson.value(f"accuracy task=1 after=3 run={run}") == pytest.approx(100 * rows[2]["tasks"][0])
        assert lesson.value(f"seen run={run}") == pytest.approx(100 * rows[-1]["seen"])
        best = max(r["tasks"][1] for r in rows[1:-1])
        assert lesson.value(f"forgetting task=2 run={run}") == pytest.approx(100 * (best - rows[-1]["tasks"][1]))
    kept = [e for e in log_of("er20") if e["kind"] == "MemoryUpdated"]
    assert lesson.value("stored task=1 after=3") == kept[2]["per_task"][0]
    assert lesson.value("stored class=2 after=3") == kept[2]["per_class"][2]
    assert lesson.value("capacity") == 20
    traced = [e for e in log_of("bilevel") if e["kind"] == "Traced"]
    value = ALL["bilevel"].value("trace name='inner loss 4' at=1")
    assert value == pytest.approx(traced[0]["scalars"]["inner loss 4"])
    assert lesson.say("accuracy task=1 after=3") == f"{lesson.value('accuracy task=1 after=3'):.1f} %"
    assert lesson.say("classes task=1 run=finetune") == "2 and 9"


def test_what_the_recording_does_not_hold_is_an_error() -> None:
    lesson = ALL["stream"]
    for what in ("accuracy task=9", "stored task=1", "accuracy task=5 after=1", "trace name=x at=1", "nothing"):
        with pytest.raises(UsageError, match=r"holds no"):
            lesson.value(what)
    for at in ("task 9", "trace 1", "later", "task x"):
        with pytest.raises(UsageError, match="no moment"):
            lesson.recordings["finetune"].position(at)


def test_positions_are_where_a_task_has_ended() -> None:
    recording = read_recordings()["er20"]
    for task in range(1, 6):
        state = recording.timeline.after(recording.position(f"task {task}"))
        assert (state.tasks_done, len(state.rows)) == (task, task)
        middle = recording.timeline.after(recording.position(f"half {task}"))
        assert middle.tasks_done == task - 1
        assert middle.task == task - 1
    assert not recording.timeline.after(recording.position("start")).rows
    assert recording.timeline.after(recording.position("end")).status == "done"


def test_the_files_are_in_the_package() -> None:
    """What the wheel takes is what lies below the package and git does not ignore."""
    ignored = {line.strip("/") for line in Path(".gitignore").read_text().split()}
    for path in RECORDINGS.rglob("*"):
        assert path.name not in ignored
