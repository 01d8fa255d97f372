"""The language of the Runs screen's filter: `method:er mem>=200 acc<0.5 -state:failed blurry`.

Terms stand side by side and must all hold. `key:text` looks for text in a column (several texts: `method:er,rm`),
`key<number` compares, a plain word looks in every column, a minus before a term turns it around.
"""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from cllab.errors import UsageError, nearest

if TYPE_CHECKING:
    from cllab.tui.index import Entry

Test = Callable[["Entry"], bool]

TEXTS: dict[str, Callable[[Entry], str]] = {
    "state": lambda e: e.state,
    "name": lambda e: e.name,
    "id": lambda e: e.run.id,
    "method": lambda e: e.method,
    "data": lambda e: e.dataset,
    "scenario": lambda e: e.scenario,
    "model": lambda e: e.model,
    "memory": lambda e: e.memory,
    "device": lambda e: e.device,
}
NUMBERS: dict[str, Callable[[Entry], float | None]] = {
    "mem": lambda e: e.capacity,
    "acc": lambda e: e.average,
    "last": lambda e: e.last,
    "forget": lambda e: e.forgetting,
    "seed": lambda e: e.seed,
    "tasks": lambda e: e.n_tasks,
    "minutes": lambda e: None if e.seconds is None else e.seconds / 60,
}
FRACTIONS = ("acc", "last", "forget")
"""Compared as fractions; a number above 1 is read as percent."""
ALIASES = {
    "dataset": "data",
    "capacity": "mem",
    "accuracy": "acc",
    "avg": "acc",
    "average": "acc",
    "forgetting": "forget",
    "policy": "memory",
    "time": "minutes",
}
EXAMPLE = "method:er mem>=200 acc<0.5 blurry"

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def parse(text: str) -> Test:
    """Whether an entry passes `text`.

    Raises:
        UsageError: in one line, for a key or a number that cannot be meant.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        # a quote that is not closed yet, while it is being typed
        words = text.replace('"', "").replace("'", "").split()
    tests = [_term(word) for word in words]
    return lambda entry: all(test(entry) for test in tests)


def _term(word: str) -> Test:
    if len(word) > 1 and word[0] == "-":
        inner = _term(word[1:])
        return lambda entry: not inner(entry)
    # whatever stands before a sign is meant as a column, also where no column is called so
    found = re.fullmatch(r"([^<>=:!]+)(>=|<=|!=|[<>=:])(.*)", word)
    if not found:
        needle = word.casefold()
        return lambda entry: any(needle in get(entry).casefold() for get in TEXTS.values())
    key, sign, value = found[1].casefold(), found[2], found[3]
    key = ALIASES.get(key, key)
    if key in TEXTS and sign in (":", "=", "!="):
        needles = tuple(v.casefold() for v in value.split(","))
        text_of = TEXTS[key]
        if sign == ":":
            return lambda entry: any(n in text_of(entry).casefold() for n in needles)
        return lambda entry: (text_of(entry).casefold() in needles) == (sign == "=")
    if key in NUMBERS:
        return _number(key, "=" if sign == ":" else sign, value)
    if key in TEXTS:
        raise UsageError(f"{key} is text; write {key}:{value or 'word'}")
    raise UsageError(f"no column '{key}'{nearest(key, [*TEXTS, *NUMBERS, *ALIASES])}")


def columns() -> str:
    """What a filter can ask for, in one line."""
    return f"text: {', '.join(TEXTS)}; numbers: {', '.join(NUMBERS)}"


def _number(key: str, sign: str, text: str) -> Test:
    number_of, compare = NUMBERS[key], _COMPARE[sign]
    if not text:
        return lambda entry: True
    percent = text.endswith("%")
    try:
        limit = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"{key} is a number; write for example {key}>=0.5, not {key}{sign}{text}") from None
    if key in FRACTIONS and (percent or abs(limit) > 1):
        limit /= 100

    def test(entry: Entry) -> bool:
        value = number_of(entry)
        return value is not None and compare(value, limit)

    return test
