"""Which combinations can work, from declarations alone: for the command line before anything is loaded, and for the
form, which greys out the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cllab.errors import UsageError
from cllab.settings import budgets, fronts, sizes
from cllab.text import shown

if TYPE_CHECKING:
    from cllab.settings.catalog import Catalog
    from cllab.settings.config import RunConfig

HELD_OUT = 6
"""One in so many training images of every class is kept out of training where accuracy is measured on such images:
10,000 of MNIST's 60,000, as many as it has test images."""

FIXED_TESTS = frozenset({"splits-file", "benchmark-file"})
"""Scenarios whose files say which images are tested on."""


def check(config: RunConfig, catalog: Catalog) -> None:
    """Refuse an impossible combination.

    Raises:
        UsageError: the first problem, beginning with the key to change.
    """
    for problem in problems(config, catalog):
        raise UsageError(problem)


def problems(config: RunConfig, catalog: Catalog) -> Iterator[str]:
    """Every reason why this combination cannot work, each beginning with the key to change."""
    method = catalog.get("method", config.method.name)
    memory = catalog.get("memory", config.memory.name)
    scenario = catalog.get("scenario", config.scenario.name)
    dataset = catalog.get("dataset", config.dataset.name)
    model = catalog.get("model", config.model.name)
    needs = set(method.facts.get("needs", ()))
    capacity = config.memory.common["capacity"]
    n_train, n_classes, shape = (dataset.facts.get(k) for k in ("n_train", "n_classes", "shape"))
    n_classes = config.dataset.values.get("n_classes", n_classes)
    if "per_class" in config.dataset.values and n_classes:
        n_train = config.dataset.values["per_class"] * n_classes
    n_train = training_images(config, n_train)
    online = config.scenario.values.get("stream") == "online"

    yield from budgets.problems(config)
    if (
        "memory" in needs
        and capacity == 0
        and not config.memory.common["bytes"]
        and "memory.capacity" not in (method.facts.get("inert") or {})
    ):
        yield f"memory.capacity must be at least 1: method '{method.name}' learns from its memory"
    if n_train and capacity > n_train:
        asked = f", which are {capacity} samples," if config.memory.common["bytes"] else ""
        key = f"memory.bytes = {shown(config.memory.common['bytes'])}" if asked else f"memory.capacity = {capacity}"
        yield f"{key}{asked} is larger than the data: '{dataset.name}' has {n_train} training samples"
    if "task-labels" in needs and not _task_labels(config, scenario.facts):
        yield (
            f"scenario.name = '{scenario.name}' gives no task labels, which method '{method.name}' needs; "
            "use task-incremental"
        )
    if "boundaries" in needs and not scenario.facts.get("has_boundaries", True):
        yield f"scenario.name = '{scenario.name}' has no task boundaries, which method '{method.name}' needs"
    tasks = config.scenario.values.get("tasks")
    if scenario.facts.get("has_class_tasks", True) and n_classes and tasks and tasks > n_classes:
        yield f"scenario.tasks = {tasks} is more than the {n_classes} classes of '{dataset.name}'"
    if scenario.facts.get("needs_sessions") and not dataset.facts.get("has_sessions"):
        have = ", ".join(s.name for s in catalog.all("dataset") if s.facts.get("has_sessions"))
        yield (
            f"scenario.name = '{scenario.name}' needs samples that come in sessions, which '{dataset.name}' does not "
            f"have; use {have}"
        )
    policies = method.facts.get("policies")
    if policies and capacity > 0 and memory.name not in policies:
        yield f"memory.name = '{memory.name}' does not work with method '{method.name}'; use {' or '.join(policies)}"
    refuses = memory.facts.get("refuses", {})
    if method.name in refuses and capacity > 0:
        yield f"memory.name = '{memory.name}' does not work with method '{method.name}': {refuses[method.name]}"
    if online and config.train.epochs > 1:
        yield (
            f"train.epochs = {config.train.epochs}, but an online stream is read once; set train.epochs = 1 and use "
            "train.memory_epochs to go on training on the memory, or scenario.stream = 'offline'"
        )
    if config.train.steps and online:
        yield (
            f"train.steps = {config.train.steps}, but an online stream is read once; set train.steps = 0 or "
            "scenario.stream = 'offline'"
        )
    elif config.train.steps and method.facts.get("memory_only", False):
        yield f"train.steps counts steps over the stream, and method '{method.name}' learns from its memory; set epochs"
    elif config.train.steps and config.train.epochs > 1:
        yield f"train.epochs = {config.train.epochs} and train.steps = {config.train.steps}: only one can be given"
    if config.train.memory_epochs and not online and not method.facts.get("memory_only", False):
        yield (
            f"train.memory_epochs = {config.train.memory_epochs} belongs to online streams; "
            "set scenario.stream = 'online' or train.memory_epochs = 0"
        )
    if method.facts.get("memory_only", False) and online and not config.train.memory_epochs:
        yield f"train.memory_epochs must be at least 1: method '{method.name}' learns an online stream from its memory"
    if config.evaluate.every and not online:
        yield f"evaluate.every = {config.evaluate.every} belongs to online streams; set scenario.stream = 'online'"
    if config.evaluate.on == "held-out" and scenario.name in FIXED_TESTS:
        yield (
            f"evaluate.on = 'held-out' does not work with scenario '{scenario.name}', whose files name them; use "
            "evaluate.on = 'test'"
        )
    if config.evaluate.top_k > (n_classes or config.evaluate.top_k):
        yield f"evaluate.top_k = {config.evaluate.top_k} is more than the {n_classes} classes of '{dataset.name}'"
    smallest = model.facts.get("min_size", 1)
    resized = config.model.common["size"]
    size = resized or config.dataset.values.get("size") or (min(shape[1:]) if shape else None)
    if size and size < smallest:
        has = f"model.size is {size}" if resized else f"'{dataset.name}' has {size}; model.size resizes them"
        yield f"model.name = '{model.name}' needs images of at least {smallest} pixels, {has}"
    named = set(model.facts.get("weights", ()))
    if config.model.common["weights"] == "imagenet" and "imagenet" not in named:
        knows = [m.name for m in catalog.all("model") if "imagenet" in m.facts.get("weights", ())]
        yield f"model.weights = 'imagenet': there are none of '{model.name}'; there are of {' and '.join(knows)}"
    yield from fronts.problems(config, model.facts, scenario.facts, dataset.facts)
    yield from _device(config.device)
    yield from sizes.problems(config, {"n_train": n_train, "n_classes": n_classes, "shape": shape})


def training_images(config: RunConfig, n_train: int | None) -> int | None:
    """How many of a dataset's `n_train` images are trained on; about, where the classes are not of one size."""
    if n_train is None or config.evaluate.on != "held-out":
        return n_train
    return n_train - n_train // HELD_OUT


def _task_labels(config: RunConfig, facts: Any) -> bool:
    return bool(facts.get("has_task_labels")) or bool(config.scenario.values.get("task_labels"))


def _device(device: str) -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|(?:cuda|mps)(?::[0-9]{1,4})?", device, re.ASCII):
        yield f"device = '{shown(device)[1:-1]}' must be auto, cpu, cuda, cuda:N or mps"
