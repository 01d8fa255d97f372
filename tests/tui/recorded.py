"""Recorded runs without torch: a folder with a plausible log, pictures of the memory and a result.

The numbers follow a simple story: a task is learned quickly, then forgotten steadily as the next ones come.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cllab.record import events as ev
from cllab.record.runs import Run

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
START = 1_760_000_000.0


def class_names(n_classes: int) -> tuple[str, ...]:
    return NAMES[:n_classes] if n_classes <= len(NAMES) else tuple(f"class {i:03}" for i in range(n_classes))


def picture(label: int, sample: int, *, channels: int = 3, side: int = 32) -> np.ndarray:
    """A drawing that differs by class (shape and hue) and a little by sample; (C, side, side) uint8."""
    rng = np.random.default_rng(1000 * label + sample)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    dx, dy = rng.uniform(-0.25, 0.25, 2)
    x, y = x - dx, y - dy
    shapes = (
        x**2 + y**2 < 0.35,
        (abs(x) < 0.55) & (abs(y) < 0.55),
        (y > -0.6) & (abs(x) < (y + 0.6) * 0.6) & (y < 0.6),
        (abs(x) < 0.18) | (abs(y) < 0.18),
        abs(x**2 + y**2 - 0.35) < 0.12,
        abs(x - y) < 0.25,
        abs(x) + abs(y) < 0.65,
        abs(np.sin(5 * x)) > 0.7,
        abs(np.sin(5 * y)) > 0.7,
        (x * y > 0) & (x**2 + y**2 < 0.7),
    )
    mask = shapes[label % 10]
    hue = (label * 0.618) % 1.0
    front = 127 + 110 * np.cos(2 * np.pi * (hue + np.array([0, 1 / 3, 2 / 3])))
    back = 40 + 60 * rng.random(3)
    image = np.where(mask[..., None], front, back + 30 * y[..., None]) + rng.normal(0, 8, (side, side, 1))
    image = np.clip(image, 0, 255).astype(np.uint8)
    if channels == 1:
        return np.where(mask, 230, 12).astype(np.uint8)[None]
    return np.moveaxis(image, 2, 0)


@functools.cache
def accuracy(after: int, task: int, *, step: float = 1.0) -> float:
    """Accuracy on `task` a share `step` into task `after`: learned to about 0.94, then 0.12 is forgotten per task."""
    if task > after:
        return float("nan")
    rng = np.random.default_rng(97 * after + task)
    learned = 0.94 * (1 - np.exp(-4 * (step if after == task else 1.0)))
    lost = 0.12 * (after - task - 1 + step if after > task else 0.0)
    return float(np.clip(learned - lost + rng.normal(0, 0.015), 0.03, 0.99))


def records(
    run: str = "recorded",
    *,
    n_tasks: int = 5,
    n_classes: int = 10,
    steps: int = 40,
    evaluations: int = 4,
    capacity: int = 200,
    pictures: int = 200,
    channels: int = 3,
    finished: bool = True,
    status: str = "done",
    reason: str = "",
    memory_folder: Path | None = None,
    seconds: float = 30.0,
    until_task: int | None = None,
    latents: bool = False,
) -> Iterator[ev.Event]:
    """The records of a run in order; the snapshots are written to `memory_folder` on the way.

    Args:
        steps: step records of each task.
        evaluations: evaluations within each task, besides the one at its end.
        until_task: stop in the middle of this task (0-based).
    """
    rng = np.random.default_rng(0)
    names = class_names(n_classes)
    owner = np.arange(n_classes) * n_tasks // n_classes
    own = [tuple(int(c) for c in np.flatnonzero(owner == t)) for t in range(n_tasks)]
    n_train = 500
    counts = np.array([[n_train if owner[c] == t else 0 for c in range(n_classes)] for t in range(n_tasks)])
    t = START
    tick = seconds / max(1, n_tasks * (steps + 2))

    def at(event: ev.Event) -> ev.Event:
        nonlocal t
        t += tick
        object.__setattr__(event, "t", round(t, 3))
        return event

    yield at(
        ev.RunStarted(
            run=run, name="er-cifar10", seed=1, device="cpu", method="er", dataset="cifar10", scenario="disjoint",
            model="resnet18", memory="reservoir", capacity=capacity, class_names=names,
            tasks=tuple(
                {"name": f"T{i + 1}", "classes": own[i], "exposed": own[i], "n_train": int(counts[i].sum())}
                for i in range(n_tasks)
            ),
            counts=tuple(map(tuple, counts.tolist())), steps=(steps * 10,) * n_tasks, n_parameters=1_234_567,
            versions={"cllab": "0.1", "torch": "2.15"},
        )
    )  # fmt: skip
    held_ids = np.zeros(0, np.int64)
    held_labels = np.zeros(0, np.int64)
    held_tasks = np.zeros(0, np.int64)
    held_entered = np.zeros(0, np.int64)
    stop = n_tasks if until_task is None else until_task + 1
    step = 0
    for task in range(stop):
        torn = until_task is not None and task == until_task
        yield at(ev.TaskStarted(task=task, name=f"T{task + 1}", classes=own[task], n_train=int(counts[task].sum())))
        yield at(ev.PhaseStarted(phase="stream", task=task, steps=steps * 10))
        for k in range(steps // 2 if torn else steps):
            step += 10
            share = (k + 1) / steps
            loss = 2.0 * float(np.exp(-3 * share)) + 0.1 + 0.05 * float(rng.random())
            yield at(
                ev.StepEnded(
                    task=task, phase="stream", step=step, phase_step=(k + 1) * 10, phase_steps=steps * 10, epoch=0,
                    samples=step * 10,
                    losses={"new": round(loss, 4), "replay": round(0.6 * loss + 0.1, 4) if task else None},
                    lr=0.1, images_per_second=9000 + 900 * float(rng.random()), device_bytes=1_400_000_000,
                )
            )  # fmt: skip
            if evaluations and (k + 1) % max(1, steps // (evaluations + 1)) == 0 and k + 1 < steps:
                row = tuple(accuracy(task, j, step=share) if j <= task else None for j in range(n_tasks))
                known = [v for v in row if v is not None]
                yield at(
                    ev.Evaluated(
                        task=task, moment="stream", step=step, samples=step * 10, tasks=row, seen=float(np.mean(known))
                    )
                )
        if torn:
            break
        # the memory: a reservoir over what was seen
        seen = (task + 1) * n_train * max(1, n_classes // n_tasks)
        n_new = min(capacity, round(capacity * (1 if task == 0 else 1 / (task + 1))))
        keep = rng.permutation(len(held_ids))[: max(0, capacity - n_new)]
        before = len(held_ids)
        labels = rng.choice(np.array(own[task] or (0,)), n_new)
        ids = task * 100_000 + rng.permutation(50_000)[:n_new]
        held_ids = np.concatenate([held_ids[keep], ids])
        held_labels = np.concatenate([held_labels[keep], labels])
        held_tasks = np.concatenate([held_tasks[keep], np.full(n_new, task)])
        held_entered = np.concatenate(
            [held_entered[keep], np.sort(rng.integers(max(0, step - steps * 10), step, n_new))]
        )
        name = ""
        if memory_folder is not None and pictures:
            name = f"after_task_{task + 1:02}.npz"
            save_snapshot(
                memory_folder / name,
                held_ids,
                held_labels,
                held_tasks,
                held_entered,
                pictures=pictures,
                channels=channels,
                latents=latents,
            )
        yield at(
            ev.MemoryUpdated(
                task=task, policy="reservoir", capacity=capacity, samples=len(held_ids),
                bytes={"images": len(held_ids) * 3072, "labels": len(held_ids) * 8},
                per_class=tuple(int(v) for v in np.bincount(held_labels, minlength=n_classes)),
                per_task=tuple(int(v) for v in np.bincount(held_tasks, minlength=n_tasks)),
                added=n_new, evicted=before - len(keep), snapshot=name, seconds=0.01,
            )
        )  # fmt: skip
        row = tuple(accuracy(task, j) if j <= task else None for j in range(n_tasks))
        known = [v for v in row if v is not None]
        per_class = tuple(
            float(np.clip(accuracy(task, int(owner[c])) + rng.normal(0, 0.05), 0, 1)) if owner[c] <= task else None
            for c in range(n_classes)
        )
        yield at(
            ev.Evaluated(
                task=task,
                moment="task",
                step=step,
                samples=seen,
                tasks=row,
                seen=float(np.mean(known)),
                per_class=per_class,
                seconds=0.2,
            )
        )
        yield at(ev.TaskEnded(task=task, seconds={"train": 5.0, "evaluate": 0.2, "memory": 0.01}))
        yield at(ev.CheckpointSaved(task=task))
    if finished and until_task is None:
        last = [accuracy(n_tasks - 1, j) for j in range(n_tasks)]
        yield at(
            ev.RunEnded(
                status=status,
                reason=reason,
                metrics={"last_accuracy": float(np.mean(last))},
                seconds={"total": seconds},
            )
        )
    elif finished:
        yield at(ev.RunEnded(status=status, reason=reason))


def save_snapshot(
    path: Path,
    ids: np.ndarray,
    labels: np.ndarray,
    tasks: np.ndarray,
    entered: np.ndarray,
    *,
    pictures: int,
    channels: int,
    latents: bool = False,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    index = np.linspace(0, max(0, len(ids) - 1), min(pictures, len(ids))).astype(np.int64)
    side = 28 if channels == 1 else 32
    thumbs = np.stack([picture(int(labels[i]), int(ids[i]) % 997, channels=channels, side=side) for i in index])
    scores = np.random.default_rng(1).random(len(ids)).astype(np.float32)
    extra: dict[str, Any] = (
        {"latents": np.random.default_rng(2).random((len(ids), 64)).astype(np.float32)} if latents else {}
    )
    np.savez(
        path, ids=ids.astype(np.int64), labels=labels.astype(np.int32), tasks=tasks.astype(np.int32),
        entered=entered.astype(np.int64),
        scores=scores, score_name=np.array("uncertainty"), thumb_index=index, thumbs=thumbs, **extra,
    )  # fmt: skip


def make_run(folder: Path, **story: Any) -> Run:
    """A run folder with the records of `story`; see `records`."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.memory_folder.mkdir(exist_ok=True)
    run.checkpoint_path.parent.mkdir(exist_ok=True)
    run.config_path.write_text(
        'name = "er-cifar10"\nseed = 1\n[dataset]\nname = "cifar10"\n[method]\nname = "er"\n'
        '[memory]\nname = "reservoir"\ncapacity = 200\n',
        encoding="utf-8",
    )
    story.setdefault("memory_folder", run.memory_folder)
    lines = [ev.to_line(event) for event in records(folder.name, **story)]
    run.events_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run.log_path.write_text("reading cifar10\ntraining on cpu\n", encoding="utf-8")
    run.lock_path.write_text("", encoding="utf-8")
    last = ev.from_line(lines[-1])
    if isinstance(last, ev.RunEnded) and last.status == "done":
        run.result_path.write_text(
            json.dumps({"name": "er-cifar10", "status": "done", "seed": 1, "metrics": last.metrics}), encoding="utf-8"
        )
    return run
