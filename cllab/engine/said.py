"""What a session says of itself: its first record, its result, and pictures of what its memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from cllab.engine.parts import device_name, versions
from cllab.record import events as ev

if TYPE_CHECKING:
    from cllab.engine.run import Session


def started(session: Session) -> ev.RunStarted:
    """The record that a run begins with."""
    config, stream = session.config, session.stream
    return ev.RunStarted(
        run=session.run.id if session.run else "",
        name=config.name,
        seed=config.seed,
        device=device_name(session.device),
        method=config.method.name,
        dataset=config.dataset.name,
        scenario=config.scenario.name,
        model=config.model.name,
        memory=config.memory.name if session.capacity else "none",
        capacity=session.capacity,
        class_names=stream.class_names,
        tasks=tuple(
            {
                "name": t.name,
                "classes": list(t.classes),
                "exposed": list(t.exposed),
                "n_train": len(t.train),
                "n_test": len(t.test),
            }
            for t in stream.tasks
        ),
        tests=tuple({"name": t.name, "classes": list(t.classes), "n": len(t.split)} for t in stream.apart),
        counts=tuple(tuple(int(v) for v in row) for row in stream.counts.tolist()),
        steps=tuple(session.forecast.steps(t) for t in stream.tasks),
        passes=tuple(session.forecast.passes(t) for t in stream.tasks),
        n_parameters=sum(p.numel() for p in session.learner.model.parameters()),
        versions={**versions(), **session.networks.weights},
    )


def result(session: Session, status: str, reason: str) -> dict[str, Any]:
    """What `result.json` holds."""
    memory = session.learner.memory
    apart = [{"name": t.name, "n": len(t.split)} for t in session.stream.apart]
    held = {**memory.bytes(), **session.method.stored()}
    return {
        "name": session.config.name,
        "status": status,
        "reason": reason,
        "seed": session.config.seed,
        "signature": session.config.signature,
        "config": ev.plain(session.config.to_dict()),
        **session.scores.result(session.stream.n_tasks, session.stream.n_tests),
        **({"tests": apart} if apart else {}),
        "metrics": ev.plain(session.metrics()),
        "per_class_accuracy": ev.plain(list(session.scores.per_class)),
        "class_names": list(session.stream.class_names),
        "stream": [list(point) for point in session.scores.curve],
        "seconds": session.all_seconds(),
        "memory": {"samples": len(memory), "bytes": sum(held.values()), "by_kind": held},
        "device": device_name(session.device),
        "n_parameters": sum(p.numel() for p in session.learner.model.parameters()),
        "steps": session.learner.step,
        "gradient_steps": session.learner.updates,
        "versions": {**versions(), **session.networks.weights},
    }


def pictures(session: Session, ids: Tensor, tasks: Tensor) -> Tensor:
    """(N, C, H, W) uint8 images of the samples `ids` (N,) that came from `tasks` (N,): what latents are of."""
    out = session.dataset.train.images.fetch(ids)
    for task in session.images.tasks:
        of_it = (tasks == task.index).nonzero().flatten()
        if task.train.transform is not None and len(of_it):
            out[of_it] = task.train.transform(out[of_it])
    return out
