"""Values, seeds and problems as a person or a command line would write them."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from cllab.settings.presets import parse_seeds as parse_seeds
from cllab.settings.presets import seeds_text as seeds_text


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
