"""A small catalogue written by hand: one component per thing that the form must be able to show or to refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cllab.settings.catalog import Catalog
from cllab.settings.spec import ComponentSpec, fields_of, param


@dataclass(frozen=True)
class Everything:
    """One field of every type that a declaration can have."""

    count: int = param(3, "A whole number in a range", source="n in Eq. 1", low=1, high=10)
    free: int = param(0, "A whole number without a range")
    share: float = param(0.5, "A share", low=0, high=1, reference=0.9)
    rate: float = param(1e-4, "A rate on a logarithmic scale", low=0, log=True)
    on: bool = param(True, "Whether it is on")
    word: str = param("plain", "Any text")
    pick: Literal["a", "b", "c"] = param("a", "One of three")
    some: tuple[Literal["x", "y", "z"], ...] = param((), "Some of three")
    words: tuple[str, ...] = param(("one",), "A list of anything")
    maybe: float | None = param(None, "A number or nothing", low=0)


@dataclass(frozen=True)
class Tasks:
    """What every stream has."""

    tasks: int = param(5, "Number of tasks", low=1)
    stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once")


def component(kind: str, name: str, config: type | None = None, **facts: Any) -> ComponentSpec:
    fields = fields_of(config) if config is not None else ()
    paper = "arXiv:1234.56789" if kind == "method" else ""
    return ComponentSpec(
        kind, name, name.upper(), f"The {kind} {name}", paper, fields, f"First line.\n\nMore on {name}.", "", facts
    )


def dataset(
    name: str, n_train: int, n_classes: int, size: int, channels: int, download: int | None, model: str
) -> ComponentSpec:
    return component(
        "dataset",
        name,
        n_classes=n_classes,
        shape=[channels, size, size],
        n_train=n_train,
        n_test=n_train // 5,
        download_bytes=download,
        model=model,
    )


CATALOG = Catalog(
    (
        component("method", "plain", Everything, needs=[], memory="ring", inert={}, reference={}),
        component("method", "replayer", needs=["memory"], memory="ring", inert={}, reference={}, replay="concat"),
        component("method", "labelled", needs=["task-labels"], memory="ring", inert={}, reference={}),
        component("method", "picky", needs=["memory"], memory="ranked", policies=["ranked"], inert={}, reference={}),
        dataset("digits", 1000, 10, 8, 1, None, "small"),
        dataset("mnist", 60000, 10, 28, 1, 11_000_000, "small"),
        dataset("photos", 50000, 100, 32, 3, 170_000_000, "big"),
        component("scenario", "disjoint", Tasks, has_boundaries=True, has_task_labels=False, has_class_tasks=True),
        component(
            "scenario", "task-incremental", Tasks, has_boundaries=True, has_task_labels=True, has_class_tasks=True
        ),
        component("memory", "ring", score="", per_task=False, refuses={}),
        component("memory", "ranked", score="rank", per_task=True, refuses={"replayer": "it has no rank"}),
        component("model", "small", min_size=1),
        component("model", "big", min_size=32),
    )
)
