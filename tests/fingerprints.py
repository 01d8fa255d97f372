"""Do numbers move? `python -m tests.fingerprints > before.json`, later the same with `--against before.json`.

Every shipped preset and every cell of every shipped table is trained with one seed on a shortened stream (the first
tasks, a few hundred samples each, at most two epochs), and what came out is hashed: weights, memory, accuracies and the
losses of every record. Two commits whose hashes are equal compute the same, bit by bit, on this machine. A change that
should move numbers shows here which ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import CllabError
from cllab.record import events as ev
from cllab.scenarios.base import Stream, Task
from cllab.settings import presets, registry
from cllab.settings.config import RunConfig
from cllab.study import plan

TASKS, TRAIN, TEST, EPOCHS, STEPS, CAPACITY = 3, 160, 60, 2, 8, 48


def experiments(words: list[str]) -> Iterator[tuple[str, RunConfig]]:
    """(name, configuration) of every preset and table cell whose name holds one of `words`; equal ones once."""
    seen: set[str] = set()
    for name, config in _all():
        if config.signature not in seen and (not words or any(word in name for word in words)):
            seen.add(config.signature)
            yield name, config


def _all() -> Iterator[tuple[str, RunConfig]]:
    for name in presets.names():
        yield name, presets.load(name).config
    for path in sorted(presets.folder().rglob("tables/*.toml")):  # type: ignore[union-attr]
        for cell in plan.load(path.stem).cells():
            yield f"{path.stem}: {cell.row.label} ({cell.column.label})", cell.configs[0]


def shorten(config: RunConfig) -> RunConfig:
    """Less of everything that takes long."""
    capacity = config.memory.common["capacity"]
    most = CAPACITY * (TASKS if config.memory.name == "ring" else 1)  # which its tasks share
    return config.override(
        [
            "device=cpu",
            f"memory.capacity={min(capacity, most)}",
            f"train.epochs={min(config.train.epochs, EPOCHS)}",
            f"train.memory_epochs={min(config.train.memory_epochs, EPOCHS)}",
            f"train.steps={min(config.train.steps, STEPS)}",
        ]
    )


def shortened(stream: Stream) -> Stream:
    """The first tasks, and a few samples of each, spread over its classes."""

    def cut(task: Task) -> Task:
        return dataclasses.replace(task, train=_some(task.train, TRAIN), test=_some(task.test, TEST))

    return dataclasses.replace(stream, tasks=tuple(map(cut, stream.tasks[:TASKS])), counts=stream.counts[:TASKS])


def _some(split: Any, n: int) -> Any:
    by_class = torch.argsort(split.labels, stable=True)
    return split.subset(by_class[torch.linspace(0, len(split) - 1, min(n, len(split))).long()])


def fingerprint(config: RunConfig) -> str:
    """A hash of all that a shortened run of `config` computes."""
    scenario = registry.component("scenario", config.scenario.name)
    whole = scenario.stream
    digest = hashlib.blake2b(digest_size=8)

    def hear(event: ev.Event) -> None:
        # glances inside of a task are a picture for people, from part of the test images
        if isinstance(event, (ev.StepEnded, ev.Evaluated)) and getattr(event, "moment", "") != "glance":
            for name in ("losses", "tasks", "seen", "per_class"):
                value = getattr(event, name, None)
                if isinstance(value, dict):  # in an order of its own
                    value = sorted(value.items())
                digest.update(repr(value).encode())

    scenario.stream = lambda self, *args: shortened(whole(self, *args))
    try:
        session = Session(config, hear, Control())
        session.start()
        session.walk()
    finally:
        scenario.stream = whole
    for tensor in session.learner.model.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    held = session.learner.memory.split()
    for tensor in (held.sample_ids(), held.labels):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> int:
    """Print the hashes as JSON; with --against, what differs. Exit code 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only experiments whose name holds one of these")
    parser.add_argument("--against", help="hashes of another commit")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, str] = {}
    for name, config in experiments(arguments.words):
        began = time.perf_counter()
        try:
            found[name] = fingerprint(shorten(config))
        except CllabError as error:
            found[name] = f"not run: {str(error).splitlines()[0]}"
        print(f"{time.perf_counter() - began:6.1f} s  {name}: {found[name]}", file=sys.stderr, flush=True)
    if not arguments.against:
        print(json.dumps(found, indent=1))
        return 0
    with open(arguments.against, encoding="utf-8") as file:
        before = json.load(file)
    moved = [n for n in found if n in before and found[n] != before[n]]
    for name in moved:
        print(f"moved: {name}")
    print(f"{len(found) - len(moved)} of {len(found)} as before; {sum(n not in before for n in found)} are new")
    return int(bool(moved))


if __name__ == "__main__":
    sys.exit(main())
