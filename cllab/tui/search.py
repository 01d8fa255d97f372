"""How well a thing answers to what was typed: one order for every list that can be searched.

What is called exactly so comes first, then what begins so, then what has it as a word, then what has it within; then
what speaks of it, and last what has its letters in this order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

EXACT, PREFIX, WORD, WORDS, WITHIN, TITLED, ABOUT, FUZZY = 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.0
"""Scores; FUZZY is the lower end of what has only the letters, the upper is 1."""


def plain(text: str) -> str:
    """Small letters and digits, everything else as single spaces."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def score(query: str, name: str, title: str = "", about: str = "") -> float:
    """How well `name` answers to `query`, 0 for not at all.

    Args:
        query: what was typed; of several words, every one counts.
        name: what a person types to have it.
        title: what a person calls it.
        about: what it is.
    """
    wanted = plain(query)
    if not wanted:
        return EXACT
    words = wanted.split()
    best = max(_of_name(wanted, words, plain(name)), _of_name(wanted, words, plain(title)) - 0.5 if title else 0.0)
    if best >= TITLED:
        return best
    named = plain(f"{name} {title}")
    if all(word in named for word in words):
        return TITLED
    everything = f"{named} {plain(about)}"
    if all(word in everything for word in words):
        return ABOUT
    return fuzzy(wanted.replace(" ", ""), plain(name).replace(" ", ""))


def _of_name(wanted: str, words: Sequence[str], name: str) -> float:
    if name == wanted:
        return EXACT
    # rm mnist is rm-mnist-blurry10 half typed
    if name.startswith(wanted):
        return PREFIX
    parts = name.split()
    if all(word in parts for word in words):
        return WORD
    if all(any(part.startswith(word) for part in parts) for word in words):
        return WORDS
    return WITHIN if all(word in name for word in words) else 0.0


def fuzzy(wanted: str, name: str) -> float:
    """From 0 (not all letters of `wanted` in this order in `name`) to 1, more for letters that stand together.

    A word has to begin where the first letter is found, else nearly everything would match everything.
    """
    if len(wanted) < 3 or not name.startswith(wanted[0]):
        return 0.0
    at, together, last = -1, 0, -1
    for letter in wanted:
        at = name.find(letter, at + 1)
        if at < 0:
            return 0.0
        together += at == last + 1
        last = at
    return max(0.01, together / len(wanted) * len(wanted) / max(1, len(name)))


def ranked(query: str, things: Iterable[T], texts: Callable[[T], tuple[str, str, str]]) -> list[T]:
    """What answers to `query`, best first; all of `things` as they come when nothing is typed.

    Args:
        query: what was typed.
        things: to search in; of equals, the earlier one stays first.
        texts: name, title and description of a thing.
    """
    everything = list(things)
    if not plain(query):
        return everything
    scores = [score(query, *texts(thing)) for thing in everything]
    # letters alone are only looked at where nothing says it
    best = max(scores, default=0.0)
    kept = [(s, i) for i, s in enumerate(scores) if s > 0 and (s > 1 or best <= 1)]
    return [everything[i] for _, i in sorted(kept, key=lambda found: (-found[0], found[1]))]
