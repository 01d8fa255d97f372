"""Which units, pairs of a class and a session, the tasks of a session stream hold. NumPy only: pictures use it too.

The rules are those of CORe50 (Lomonaco & Maltoni, arXiv:1705.03550; NICv2: Lomonaco et al., arXiv:1907.03799): what
they say of 50 objects in 10 categories and 8 training sessions is said here of K classes of which `first` come at once.
The classes c with c mod (K / first) = 0 come first, one of each category there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cllab.learner.seeds import derive

Unit = tuple[int, int]
"""(class, session), both as the dataset counts them."""
Tasks = list[list[Unit]]
Table = NDArray[np.bool_]
"""(K, S): whether there are images of a class in a session."""

PUBLISHED = 10
"""CORe50 has so many orders of every stream."""
MOST_ORDERS = 1000
INTRODUCED = 0.86
"""Share of the stream after which NICv2 brings no new class, measured over its published orders."""


SCENARIOS = ("ni", "nc", "nic", "nicv2")
"""Those that are made of units."""
USUAL = 8
"""Training sessions of CORe50."""


def planned(name: str, config: Mapping[str, Any], has: Table, seed: int) -> Tasks:
    """The tasks of a session scenario by its rules.

    Args:
        name: the scenario.
        config: its complete values.
        has: what there is.
        seed: of the run.
    """
    order = order_of(int(config["order"]), seed)
    if name == "ni":
        return new_instances(has, order)
    first = first_of(len(has), int(config["first"]))
    if name == "nc":
        return new_classes(has, first, order)
    if name == "nic":
        return new_instances_and_classes(has, first, order)
    # for a seed of its own where an order is asked for, so that it is the same under every seed
    own = seed if int(config["order"]) < 0 else order + 1
    return nic_version_2(has, first, int(config["units"]), np.random.default_rng(derive(own, "scenario.units")))


def count(name: str, config: Mapping[str, Any], n_classes: int, n_sessions: int) -> int:
    """How many tasks `planned` makes where there is every class in every session."""
    if name == "ni":
        return n_sessions
    parts = groups(n_classes, first_of(n_classes, int(config["first"])))
    base = len(parts[0])
    if name == "nc":
        return len(parts)
    if name == "nic":
        half = max(1, math.ceil(base / 2))
        return 1 + n_sessions * math.ceil((n_classes - base) / half) + (n_sessions - 1) * math.ceil(base / half)
    return 1 + math.ceil((n_classes * n_sessions - base) / int(config["units"]))


def order_of(order: int, seed: int) -> int:
    """Which order a stream is in: the one that is asked for, or for -1 that of the run's seed, the first for seed 1."""
    return order if order >= 0 else (seed - 1) % MOST_ORDERS


def shuffled(items: Sequence[Any], order: int) -> list[Any]:
    """The `order`-th of CORe50's orders: one legacy generator under seed 1 shuffles the same list again and again."""
    draw, out = np.random.RandomState(1), list(items)
    for _ in range(order + 1):
        draw.shuffle(out)
    return out


def first_of(n_classes: int, first: int) -> int:
    """How many classes come at once: `first`, or for 0 a fifth of them, as in CORe50."""
    return min(n_classes, first or max(1, n_classes // 5))


def groups(n_classes: int, first: int) -> list[list[int]]:
    """The classes that come first, and then groups of half as many: of CORe50 one object of each of five categories."""
    stride = max(1, n_classes // first)
    out = [list(range(0, n_classes, stride))]
    for k in range(1, stride):
        own = list(range(k, n_classes, stride))
        # rounded up: under Python 3, the published script's round() loses ten of the fifty objects
        half = max(1, math.ceil(len(own) / 2))
        out += [part for part in (own[:half], own[half:]) if part]
    return out


def new_instances(has: Table, order: int) -> Tasks:
    """NI: a whole session a task, all classes of it; the order varies the sessions."""
    sessions = [s for s in range(has.shape[1]) if has[:, s].any()]
    return [[(c, s) for c in np.flatnonzero(has[:, s]).tolist()] for s in shuffled(sessions, order)]


def new_classes(has: Table, first: int, order: int) -> Tasks:
    """NC: `first` classes and then half as many a task, of all sessions; the order varies what comes then."""
    base, *rest = groups(len(has), first)
    return [
        [(c, s) for c in group for s in np.flatnonzero(has[c]).tolist()] for group in (base, *shuffled(rest, order))
    ]


def new_instances_and_classes(has: Table, first: int, order: int) -> Tasks:
    """NIC: `first` classes in session 1; then half as many classes of one session a task.

    The other classes are put into groups at random, those of the first task into two halves.
    """
    base = groups(len(has), first)[0]
    half = max(1, math.ceil(len(base) / 2))
    draw = np.random.RandomState(0)
    others = [c for c in range(len(has)) if c not in set(base)]
    draw.shuffle(others)
    parts = [others[i : i + half] for i in range(0, len(others), half)]
    begun = {c: _sessions(has, c)[0] for c in base}
    units = [[(c, s) for c in part if has[c, s]] for s in range(has.shape[1]) for part in parts]
    units += [
        [(c, s) for c in part if has[c, s] and s != begun[c]]
        for s in range(has.shape[1])
        for part in (base[:half], base[half:])
    ]
    units = [unit for unit in units if unit]
    # lists of lists: NumPy would make a table of those of one length
    places = list(range(len(units)))
    draw.shuffle(places)
    return [list(begun.items()), *(units[i] for i in shuffled(places, order))]


def nic_version_2(has: Table, first: int, each: int, draw: np.random.Generator) -> Tasks:
    """NICv2: `first` classes in session 1; then `each` units a task, the sessions of a class in their order.

    Where the published lists are not there: the places at which the other classes are seen for the first time are drawn
    uniformly from the first 86 % of the stream; at any other place comes one of the units that are left of the classes
    that were begun, so that the classes end together and the gaps between their units are as long as there.
    """
    base = groups(len(has), first)[0]
    queues = {c: _sessions(has, c) for c in range(len(has)) if has[c].any()}
    begun = [c for c in base if c in queues]
    start = [(c, queues[c].pop(0)) for c in begun]
    waiting = [c for c in queues if c not in set(begun)]
    draw.shuffle(waiting)
    n = sum(map(len, queues.values()))
    early = max(len(waiting), int(INTRODUCED * n))
    slots = set(draw.permutation(early)[: len(waiting)].tolist())
    units: list[Unit] = []
    for slot in range(n):
        going = [c for c in begun for _ in queues[c]]
        if waiting and (slot in slots or not going):
            c = waiting.pop(0)
            begun.append(c)
        else:
            c = going[int(draw.integers(len(going)))]
        units.append((c, queues[c].pop(0)))
    return [start, *(units[i : i + each] for i in range(0, n, each))]


def _sessions(has: Table, c: int) -> list[int]:
    return [int(s) for s in np.flatnonzero(has[c])]


def appearance(tasks: Tasks) -> list[int]:
    """The classes in the order in which they are first seen; those of one task in the dataset's order."""
    seen: dict[int, None] = {}
    for units in tasks:
        seen.update(dict.fromkeys(sorted({c for c, _ in units})))
    return list(seen)
