"""What a configuration needs in memory at the least, from its declarations: so that what cannot fit is refused with a
number before anything is loaded, not by a library in the middle of building it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cllab.settings.config import RunConfig

_FLOAT = 4
_INDEX = 8
_COPIES = 2
"""Of every weight: itself and its gradient; most optimizers need more."""
_SLIM_WEIGHTS = 2730
"""Weights of a slim ResNet-18 per squared number of filters."""


def machine_bytes() -> int:
    """The memory of this machine; 0 where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def problems(config: RunConfig, facts: Mapping[str, Any]) -> Iterator[str]:
    """Every setting that asks for more memory than the machine has, each line beginning with the key.

    Args:
        facts: n_classes, n_train and shape of the dataset, as far as they are known.
    """
    limit = machine_bytes()
    for key, value, need in needs(config, facts):
        if limit and need > limit:
            yield f"{key} = {value:g} needs at least {_told(need)} of memory; this machine has {_told(limit)}"


def needs(config: RunConfig, facts: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """(key, value, bytes) of every setting that arrays grow with."""
    shape = facts.get("shape")
    pixels = shape[0] * shape[1] * shape[2] if shape else 1
    classes = facts.get("n_classes") or 1
    n_train = facts.get("n_train") or 0

    model = config.model.values
    width = float(model.get("width", 0))
    if width:
        weights = width * (pixels + width * (model.get("layers", 1) - 1) + classes)
        yield "model.width", width, _FLOAT * _COPIES * weights
        # the activations of a batch are kept for the way back
        yield "train.batch_size", config.train.batch_size, _FLOAT * config.train.batch_size * width
    if "filters" in model:
        filters = float(model["filters"])
        yield "model.filters", filters, _FLOAT * _COPIES * _SLIM_WEIGHTS * filters**2
    yield "train.batch_size", config.train.batch_size, _FLOAT * float(config.train.batch_size) * pixels

    method = config.method.values
    if isinstance(method.get("features"), int):
        yield "method.features", method["features"], _FLOAT * _COPIES * float(method["features"]) * (width or classes)
    for name in ("replay_size", "reference_size"):
        if isinstance(method.get(name), int):
            yield f"method.{name}", method[name], float(method[name]) * (pixels + _INDEX)

    scenario = config.scenario.values
    tasks = scenario.get("tasks") or 0
    # the accuracy matrix, and per task a permutation or an angle and the rows of its samples
    rows = min(scenario.get("samples") or n_train, n_train or 1) if "samples" in scenario else 0
    yield "scenario.tasks", tasks, _INDEX * float(tasks) * (tasks + classes + pixels + rows)


def _told(n_bytes: float) -> str:
    from cllab.io.output import size

    return f"{size(n_bytes)} ({n_bytes:,.0f} bytes)" if n_bytes < 1e15 else f"{n_bytes:.1e} bytes"
