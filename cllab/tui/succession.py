"""Runs that follow one another: which of them a run is, and which one trains when it is over."""

from __future__ import annotations

from cllab.record.lock import is_locked
from cllab.record.runs import Run


def place(run: Run, seed: int | None) -> str:
    """The seed of `run`, and which of how many it is: "seed 2 of 3", "seed 7, 2 of 3", "seed 1"; empty without one."""
    if seed is None:
        return ""
    ids = run.queue()
    if len(ids) < 2 or run.id not in ids:
        return f"seed {seed}"
    at = ids.index(run.id) + 1
    return f"seed {seed}{'' if seed == at else f', {at}'} of {len(ids)}"


def successor(run: Run) -> Run | None:
    """The run that trains now of those that were to follow `run`; None when none does."""
    ids = run.queue()
    if run.id not in ids:
        return None
    following = [Run(run.folder.with_name(i)) for i in ids[ids.index(run.id) + 1 :]]
    return next((r for r in following if is_locked(r.lock_path)), None)
