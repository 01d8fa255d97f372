"""The size of a memory in bytes, as a number of samples.

`memory.bytes` holds as many samples as fit. A sample takes its image, a byte a pixel and channel; its label, identity,
task and the step at which it entered, 8 bytes each; 4 bytes of score, where the policy gives one; and 4 bytes a class
for every column that the method stores with it (former scores, soft targets). How large an image is has to be known
from the settings: what lies in a file or behind a cut of the network is measured in samples.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from cllab.errors import UsageError
from cllab.text import shown

if TYPE_CHECKING:
    from cllab.settings.config import RunConfig

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
LABEL_AND_ORIGIN = 4 * 8
SCORE = 4
"""Bytes of a number that a policy or a method stores with a sample."""


BOTH = {"bytes": "capacity", "capacity": "bytes"}
"""The two ways to say how large a memory is: the one takes the place of the other."""


def text(value: object) -> object:
    """What a configuration holds of `memory.bytes`: text, of a number too; anything else as it is."""
    return f"{value} B" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def parse(value: str) -> int:
    """Bytes in "1.5 MB".

    Raises:
        UsageError: where it is no size, beginning with the key.
    """
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]+)\s*", value)
    size = Fraction(found[1]) * UNITS.get(found[2], 0) if found else Fraction(0)
    if size <= 0 or (found and found[2] == "B" and size.denominator > 1):
        units = f"{', '.join([*UNITS][:-1])} or {[*UNITS][-1]}"
        raise UsageError(
            f"memory.bytes = {shown(value)} is no size: write a number above 0 and {units}, as in '1.5 MB', "
            "or a whole number of bytes"
        )
    return math.floor(size)


def sample_bytes(config: RunConfig) -> int | None:
    """What a sample takes in the memory; None where the settings do not say how large it is."""
    facts = {spec.kind: spec.facts for spec in config.specs}
    values = config.dataset.values
    shape, n_classes = facts["dataset"].get("shape"), values.get("n_classes", facts["dataset"].get("n_classes"))
    if not shape and values.get("size") and "channels" in values:
        shape = (1 if values["channels"] == "gray" else 3, values["size"], values["size"])
    columns = facts["method"].get("stores", ())
    if not shape or config.model.common["cut"] or (columns and not n_classes):
        return None
    score = SCORE if facts["memory"].get("score") else 0
    return int(math.prod(shape)) + LABEL_AND_ORIGIN + score + SCORE * len(columns) * (n_classes or 0)


def resolved(config: RunConfig) -> RunConfig:
    """The configuration with the capacity that its `memory.bytes` come to.

    Raises:
        UsageError: where they are no size.
    """
    asked = config.memory.common["bytes"]
    if not asked:
        return config
    size = parse(asked)
    common: dict[str, Any] = {**config.memory.common, "capacity": size // (sample_bytes(config) or size + 1)}
    return dataclasses.replace(config, memory=dataclasses.replace(config.memory, common=common))


def problems(config: RunConfig) -> Iterator[str]:
    """What keeps `memory.bytes` from being a number of samples, each beginning with the key."""
    asked, capacity = config.memory.common["bytes"], config.memory.common["capacity"]
    if not asked:
        return
    each, given = sample_bytes(config), config.given.get("memory", {}).get("capacity")
    key = f"memory.bytes = {shown(asked)}"
    if each is None:
        of = "behind a cut of the network" if config.model.common["cut"] else f"of '{config.dataset.name}'"
        yield f"{key}: how large a sample {of} is cannot be told beforehand; set memory.capacity, in samples"
    elif capacity == 0:
        yield f"{key} holds no sample: one takes {each} B"
    elif given not in (None, capacity):
        yield f"{key} and memory.capacity = {given}: only one can be given; {asked} hold {capacity} samples of {each} B"
