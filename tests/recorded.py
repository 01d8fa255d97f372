"""Finished run folders without training: a real configuration, plausible records, and the result they add up to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cllab import metrics
from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from cllab.settings.config import RunConfig

VERSIONS = {"cllab": "0.1.0", "python": "3.12.0", "torch": "2.15.0", "numpy": "2.3.0"}

TRIANGLE = ((0.9, None, None), (0.6, 0.8, None), (0.3, 0.7, 0.95))
"""Three tasks, each forgotten as the next ones come: forgetting is (0.6 + 0.1) / 2."""
SEEN = (0.9, 0.7, 0.65)

Rows = Sequence[Sequence[float | None]]


def config(method: str = "er", *assignments: str, seed: int = 1, name: str = "") -> RunConfig:
    """A run on the toy data."""
    data: dict[str, Any] = {
        "name": name or f"{method}-blobs",
        "seed": seed,
        "dataset": {"name": "blobs"},
        "scenario": {"name": "disjoint", "tasks": 3, "stream": "offline" if method == "joint" else "online"},
        "model": {"name": "mlp"},
        "method": {"name": method},
    }
    if method not in ("finetune", "joint"):
        data["memory"] = {"capacity": 60}
    made = RunConfig.from_dict(data)
    return made.override(assignments) if assignments else made


def records(asked: RunConfig, run: str, rows: Rows, seen: Sequence[float], *, status: str) -> Iterator[ev.Event]:
    """What the engine would say of such a run."""
    n = len(rows[0])
    capacity = asked.memory.common["capacity"]
    own = [tuple(range(2 * t, 2 * t + 2)) for t in range(n)]
    yield ev.PhaseStarted(phase="loading")
    yield ev.RunStarted(
        run=run,
        name=asked.name,
        seed=asked.seed,
        device="cpu",
        method=asked.method.name,
        dataset=asked.dataset.name,
        scenario=asked.scenario.name,
        model=asked.model.name,
        memory=asked.memory.name if capacity else "none",
        capacity=capacity,
        class_names=tuple(f"class {k}" for k in range(2 * n)),
        tasks=tuple({"name": f"T{t + 1}", "classes": list(own[t]), "exposed": list(own[t])} for t in range(n)),
        counts=tuple(tuple(100 if k in own[t] else 0 for k in range(2 * n)) for t in range(n)),
        steps=(20,) * n,
        versions=VERSIONS,
    )
    step = 0
    for t, row in enumerate(rows):
        yield ev.TaskStarted(task=t, name=f"T{t + 1}", classes=own[t], n_train=200)
        yield ev.PhaseStarted(phase="stream", task=t, steps=20)
        for k in (10, 20):
            step += 10
            yield ev.StepEnded(
                task=t,
                phase="stream",
                step=step,
                phase_step=k,
                phase_steps=20,
                epoch=0,
                samples=10 * step,
                losses={"cross-entropy": round(2.0 / step, 4)},
                lr=0.05,
                images_per_second=5000.0,
            )
        yield ev.Evaluated(
            task=t, moment="stream", step=step, samples=10 * step, tasks=tuple(row), seen=round(seen[t] - 0.05, 4)
        )
        if capacity:
            yield ev.MemoryUpdated(
                task=t,
                policy=asked.memory.name,
                capacity=capacity,
                samples=min(capacity, 30 * (t + 1)),
                bytes={"images": 36 * capacity, "labels": 8 * capacity},
                per_class=(capacity // (2 * n),) * 2 * n,
                per_task=(capacity // n,) * n,
                added=30,
                evicted=0,
            )
        per_class = tuple(row[k // 2] for k in range(2 * n))
        yield ev.Evaluated(
            task=t, moment="task", step=step, samples=10 * step, tasks=tuple(row), seen=seen[t], per_class=per_class
        )
        yield ev.TaskEnded(task=t, seconds={"train": 1.0, "evaluate": 0.2, "memory": 0.1})
        yield ev.CheckpointSaved(task=t)
    found = metrics.summary(rows, list(seen), n_tasks=n, stream=stream(seen))
    yield ev.RunEnded(status=status, reason="", metrics=dict(found), seconds={"total": 4.0, "train": 3.0})


def stream(seen: Sequence[float]) -> list[tuple[int, float]]:
    """Accuracy while the stream passed, as `records` tells it."""
    return [(200 * (t + 1), round(v - 0.05, 4)) for t, v in enumerate(seen)]


def write_run(
    store: RunStore,
    asked: RunConfig,
    rows: Rows = TRIANGLE,
    seen: Sequence[float] = SEEN,
    *,
    status: str = "done",
    result: bool = True,
) -> Run:
    """A run folder in `store` as if `asked` had been trained; without `result`, only its records."""
    run = store.create(asked)
    sink = run.sink()
    said = list(records(asked, run.id, rows, seen, status=status))
    for event in said:
        sink(event)
    sink.close()
    run.lock_path.write_text("", encoding="utf-8")
    last = said[-1]
    assert isinstance(last, ev.RunEnded)
    if result:
        n = len(rows[0])
        data = {
            "name": asked.name,
            "status": status,
            "reason": "",
            "seed": asked.seed,
            "signature": asked.signature,
            "config": ev.plain(asked.to_dict()),
            "accuracy_matrix": ev.plain(list(rows) + [[None] * n for _ in range(n - len(rows))]),
            "seen_accuracy": list(seen),
            "metrics": ev.plain(last.metrics),
            "per_class_accuracy": [rows[-1][k // 2] for k in range(2 * n)],
            "class_names": [f"class {k}" for k in range(2 * n)],
            "stream": [list(point) for point in stream(seen)],
            "seconds": last.seconds,
            "memory": {"samples": 60, "bytes": 2640, "by_kind": {"images": 2160, "labels": 480}},
            "device": "cpu",
            "steps": 20 * len(rows),
            "gradient_steps": 40 * len(rows),
            "versions": VERSIONS,
        }
        run.result_path.write_text(json.dumps(data), encoding="utf-8")
    return run
