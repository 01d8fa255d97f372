"""Values, seeds and problems as a person or a command line would write them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from typing import Any

from cllab.config import TOP
from cllab.errors import UsageError

MOST_SEEDS = 100


def problem_key(problem: str) -> str:
    """The key to change that a problem begins with."""
    return problem.partition(" ")[0]


def clause(problem: str) -> str:
    """The reason in a problem, without the key and the advice."""
    text = problem.partition(";")[0].partition(" ")[2].removeprefix("= ")
    for mark in (", but ", ": "):
        if mark in text:
            return text.partition(mark)[2]
    return text


def show(value: Any) -> str:
    """A value as a person would write it."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def written(value: Any) -> str:
    """A value as the right side of `--set`, read back by it as the same value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if value and value == value.strip() and not _is_toml(value) else json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(json.dumps(v) for v in value) + "]"
    return repr(value)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return False
    return True


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3`, `1-3`, `1,2,7` or a mixture as seeds, in their order.

    Raises:
        UsageError: naming what is allowed.
    """
    seed = next(f for f in TOP if f.name == "seed")
    wrong = UsageError(f"must be seeds such as 1, 1-3 or 1,2,7, not '{text}'")
    seeds: dict[int, None] = {}
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise wrong
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high - low >= MOST_SEEDS:
            raise UsageError(f"must rise and hold at most {MOST_SEEDS} seeds, not '{part}'")
        seeds.update(dict.fromkeys(int(seed.parse(n)) for n in range(low, high + 1)))
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"must be at most {MOST_SEEDS} seeds, not {len(seeds)}")
    return tuple(seeds)


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds as short as they can be written: `1-3,7`."""
    parts: list[str] = []
    i = 0
    while i < len(seeds):
        j = i
        while j + 1 < len(seeds) and seeds[j + 1] == seeds[j] + 1:
            j += 1
        parts += [str(seeds[i])] if i == j else [f"{seeds[i]}-{seeds[j]}"]
        i = j + 1
    return ",".join(parts)
