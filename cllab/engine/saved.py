"""What a checkpoint of a session holds, and how a session goes back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cllab.engine import checkpoint
from cllab.engine.scores import Scores
from cllab.errors import UsageError
from cllab.models.base import Network
from cllab.record import events as ev

if TYPE_CHECKING:
    from cllab.engine.run import Session
    from cllab.learner.learner import Learner


def collect(session: Session) -> dict[str, Any]:
    """Everything that `restore` needs: tensors, numbers, text and containers of them."""
    learner = session.learner
    return {
        "signature": session.config.signature,
        "seed": session.config.seed,
        "position": session.position,
        "front": session.networks.state(),
        "base": None if session.base is None else session.base.state(),
        "model": checkpoint.encode(learner.model),
        "loop": session.loop.state(),
        "method": checkpoint.encode(session.method.state()),
        "memory": learner.memory.state_dict(),
        "rng": learner.rng.state_dict(),
        "learner": {
            "task": learner.task,
            "seen": list(learner.seen),
            "old": list(learner.old),
            "own": list(learner.own),
            "step": learner.step,
            "updates": learner.updates,
        },
        "accuracy": session.scores.state(),
        "seconds": session.seconds,
        "elapsed": session.all_seconds()["total"],
        "events_bytes": session.bytes_written(),
        "global_rng": torch.get_rng_state(),
    }


def restore(session: Session, state: dict[str, Any]) -> None:
    """Go back to where a checkpoint was written.

    Raises:
        UsageError: when the checkpoint is of another configuration.
    """
    if state["signature"] != session.config.signature or state["seed"] != session.config.seed:
        raise UsageError("the checkpoint was written with another configuration; config.toml was changed")
    learner, method = session.learner, session.method
    saved = state["learner"]
    learner.task, learner.step, learner.updates = int(saved["task"]), int(saved["step"]), int(saved["updates"])
    learner.seen, learner.old, learner.own = (tuple(saved[k]) for k in ("seen", "old", "own"))

    def rebuild(weights: dict[str, Any], structure: dict[str, Any]) -> Network:
        return _network(learner, weights, structure)

    session.networks.load_state(state["front"])
    if session.base is not None:
        session.base.load_state(state["base"])
    learner.model = checkpoint.decode(state["model"], None, rebuild)
    for name, value in checkpoint.decode(state["method"], method.state(), rebuild).items():
        setattr(method, name, value)
    learner.memory.load_state_dict(state["memory"])
    session.position = int(state["position"])
    session.loop.load_state(state["loop"])
    session.loop.done = int(state["loop"]["done"])
    session.scores = Scores.of(state["accuracy"])
    session.seconds.update(state["seconds"])
    session.elapsed_before = float(state["elapsed"])
    torch.set_rng_state(state["global_rng"].cpu())
    generators = {k: v.cpu() for k, v in state["rng"]["generators"].items()}
    learner.rng.load_state_dict({"seed": state["rng"]["seed"], "generators": generators})
    session.emit(ev.Resumed(task=learner.task, step=learner.step, from_checkpoint=True))


def _network(learner: Learner, weights: dict[str, Any], structure: dict[str, Any]) -> Network:
    network = learner.new_model(structure["classes"], structure["head"])
    network.rebuild(structure)
    network.load_state_dict(weights)
    return network
