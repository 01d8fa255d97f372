"""A recorded run of hundreds of small tasks, without torch: NICv2 with three test sessions, or more classes.

The story: a class is at 0.7 when one of its units was just learned, and falls a little with every task of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.scenarios._units import appearance, nic_version_2
from tests.tui.recorded import START, save_snapshot

SESSIONS = ("session 3", "session 7", "session 10")


def many_records(
    *, n_classes: int = 50, until: int | None = None, capacity: int = 300, memory_folder: Path | None = None
) -> Iterator[ev.Event]:
    """The records in order; `until` tasks only, for a run under way."""
    has = np.ones((n_classes, 8), bool)
    each = max(1, (n_classes * 8 - n_classes // 5) // 390)
    planned = nic_version_2(has, n_classes // 5, each, np.random.default_rng(0))
    place = {c: k for k, c in enumerate(appearance(planned))}
    tasks = [sorted({place[c] for c, _ in units}) for units in planned]
    names = tuple(f"object {k + 1}" for k in range(n_classes))
    t, tick = START, 300 / (4 * len(tasks))
    rng = np.random.default_rng(1)

    def at(event: ev.Event) -> ev.Event:
        nonlocal t
        t += tick
        object.__setattr__(event, "t", round(t, 3))
        return event

    def name(units: list[tuple[int, int]], own: list[int]) -> str:
        return f"{names[own[0]] if len(own) == 1 else f'{len(own)} classes'}, session {units[0][1] + 1}"

    labels = [name(units, own) for units, own in zip(planned, tasks, strict=True)]
    counts = np.zeros((len(tasks), n_classes), int)
    for i, own in enumerate(tasks):
        counts[i, own] = 300
    yield at(
        ev.RunStarted(
            run="many", name="er-nicv2-391", seed=1, device="cpu", method="er", dataset="core50", scenario="nicv2",
            model="resnet18", memory="reservoir", capacity=capacity, class_names=names,
            tasks=tuple(
                {"name": n, "classes": own, "exposed": own, "n_train": 300 * len(own), "n_test": 0}
                for n, own in zip(labels, tasks, strict=True)
            ),
            counts=tuple(map(tuple, counts.tolist())), steps=(8,) * len(tasks),
            tests=tuple({"name": s, "classes": list(range(n_classes)), "n": 750} for s in SESSIONS),
        )
    )  # fmt: skip
    score = np.full(n_classes, np.nan)
    held_labels, held_tasks = np.zeros(0, int), np.zeros(0, int)
    for i, own in enumerate(tasks[:until]):
        yield at(ev.TaskStarted(task=i, name=labels[i], classes=tuple(own), n_train=300 * len(own)))
        yield at(
            ev.StepEnded(
                task=i, phase="stream", step=8 * (i + 1), phase_step=8, phase_steps=8, epoch=3, samples=300 * (i + 1),
                losses={"new": 0.5 + float(rng.random()), "replay": 0.4}, lr=0.05, images_per_second=5000.0,
            )
        )  # fmt: skip
        score -= 0.004
        score[own] = 0.7
        score = np.maximum(score, 0.05)
        n_new = capacity if i == 0 else max(1, capacity // (i + 1))
        keep = rng.permutation(len(held_labels))[: capacity - n_new]
        held_labels = np.concatenate([held_labels[keep], rng.choice(own, n_new)])
        held_tasks = np.concatenate([held_tasks[keep], np.full(n_new, i)])
        snapshot = ""
        if memory_folder is not None and i % 30 == 0:
            snapshot = f"after_task_{i + 1:02}.npz"
            ids = np.arange(capacity) + 1000 * i
            save_snapshot(
                memory_folder / snapshot, ids, held_labels, held_tasks, held_tasks * 8, pictures=60, channels=1
            )
        yield at(
            ev.MemoryUpdated(
                task=i, policy="reservoir", capacity=capacity, samples=capacity, bytes={"images": 784 * capacity},
                per_class=tuple(np.bincount(held_labels, minlength=n_classes).tolist()),
                per_task=tuple(np.bincount(held_tasks, minlength=len(tasks)).tolist()),
                added=n_new, evicted=n_new if i else 0, snapshot=snapshot,
            )
        )  # fmt: skip
        known = np.isfinite(score)
        whole = float(np.nansum(score) / n_classes)
        yield at(
            ev.Evaluated(
                task=i, moment="task", step=8 * (i + 1), samples=300 * (i + 1),
                tasks=tuple(round(whole * f, 4) for f in (1.0, 0.9, 0.8)),
                seen=round(0.9 * float(score[known].mean()), 4),
                per_class=tuple(None if not k else round(float(v), 4) for k, v in zip(known, score, strict=True)),
                images=2250, seconds=0.1,
            )
        )  # fmt: skip
        yield at(ev.TaskEnded(task=i, seconds={"train": 0.5, "evaluate": 0.1}))
    if until is None:
        yield at(ev.CheckpointSaved(task=len(tasks) - 1))
        yield at(ev.RunEnded(status="done", metrics={"last_accuracy": 0.4}, seconds={"total": 300.0}))


def make_many(folder: Path, *, n_classes: int = 50, until: int | None = None) -> Run:
    """A run folder with these records."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.memory_folder.mkdir(exist_ok=True)
    run.checkpoint_path.parent.mkdir(exist_ok=True)
    run.config_path.write_text(
        'name = "er-nicv2-391"\nseed = 1\n[dataset]\nname = "core50"\n[method]\nname = "er"\n'
        '[memory]\nname = "reservoir"\ncapacity = 300\n[scenario]\nname = "nicv2"\n',
        encoding="utf-8",
    )
    told = many_records(n_classes=n_classes, until=until, memory_folder=run.memory_folder)
    run.events_path.write_text("\n".join(map(ev.to_line, told)) + "\n", encoding="utf-8")
    run.log_path.write_text("training on cpu\n", encoding="utf-8")
    return run
