"""Trains the recorded runs of the lessons again: `python tests/make_lessons.py [NAME...]`.

What is trained stands in cllab/tui/lessons/recordings.toml; of each run the log, the configuration, the snapshots of
the memory and the traced steps are kept. The texts read their numbers from there, so they follow;
tests/tui/test_lesson.py says whether what they claim without a number still holds. It takes two minutes on one CPU
core; the four runs of the last lesson need MNIST, the others no data.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence

from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from cllab.settings import presets
from cllab.tui.lesson import Recording, read_recordings
from cllab.worker import train

KEPT = ("events.jsonl", "config.toml", "memory", "traces")


def record(recording: Recording, store: RunStore) -> None:
    """Train `recording` and put its folder among the lessons."""
    settings = (*recording.settings, "device=cpu", "train.threads=1")
    run = store.create(presets.load(recording.preset).config.override(settings))

    def ask(event: ev.Event) -> None:
        """Have the first steps of a task traced, as the t key of the Live screen would."""
        if recording.trace and isinstance(event, ev.TaskStarted) and event.task == recording.trace[0] - 1:
            run.command(f"trace {recording.trace[1]}")

    code = train(run, sinks=[ask])
    if code:
        raise SystemExit(f"{recording.name}: the run ended with exit code {code}")
    keep(run, recording)


def keep(run: Run, recording: Recording) -> None:
    """Copy what a viewer reads."""
    target = recording.run.folder
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in KEPT if recording.pictures else [k for k in KEPT if k != "memory"]:
        source = run.folder / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        elif source.exists():
            shutil.copy(source, target / name)
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    seen = recording.run.state().seen
    print(f"{recording.name:<12} {recording.label:<16} {size / 1000:6.0f} kB   last accuracy {100 * seen[-1]:.1f} %")


def main(names: Sequence[str]) -> None:
    """Make the recordings called `names`, by default all."""
    recordings = read_recordings()
    with tempfile.TemporaryDirectory() as folder:
        for name in names or recordings:
            record(recordings[name], RunStore(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
