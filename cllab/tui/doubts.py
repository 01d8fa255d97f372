"""What a person should know before a run starts: that it was trained already, or that it may take long.

Pure functions of a draft, of the runs there are and of an estimate; the screen only asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cllab.errors import UsageError
from cllab.settings.catalog import Catalog
from cllab.settings.config import RunConfig
from cllab.settings.presets import seeds_text
from cllab.tui.draft import Draft
from cllab.tui.estimates import Estimate, duration, work
from cllab.tui.index import Entry, age

LONG = 300.0
"""Seconds from which on a run is asked about."""
LARGE = 50_000.0
"""Images that pass through the network from which on a run is asked about whose time nobody knows."""


@dataclass(frozen=True)
class Doubt:
    """A reason to ask.

    Attributes:
        title: the question.
        lines: what there is to know, a sentence each.
        twin: a run of the very same setting and seed, which can be opened instead.
    """

    title: str
    lines: tuple[str, ...]
    twin: Entry | None = None


def twins(configs: Sequence[RunConfig], entries: Iterable[Entry], catalog: Catalog) -> list[Entry]:
    """The runs that are done, or are being trained, with the signature and the seed of one of `configs`; newest first.

    A run that failed, was stopped or got lost is none: there is reason to train it again.
    """
    wanted = {config.signature for config in configs}
    seeds = {config.seed for config in configs}
    first = configs[0]
    found = []
    for entry in entries:
        if entry.state in ("failed", "stopped", "lost") or entry.seed not in seeds:
            continue
        if (entry.method, entry.dataset) != (first.method.name, first.dataset.name):
            continue
        if _signature(entry, catalog) in wanted:
            found.append(entry)
    return found


def _signature(entry: Entry, catalog: Catalog) -> str:
    """Of a run that ended, as its result says; of another, from its configuration."""
    told = entry.result.get("signature")
    if isinstance(told, str):
        return told
    try:
        return RunConfig.from_dict(entry.config, catalog, checked=False).signature
    except (UsageError, KeyError, TypeError, ValueError, AttributeError):
        return ""


def doubts(draft: Draft, same: Sequence[Entry], found: Estimate) -> Doubt | None:
    """Why to ask before `draft` starts, None when there is no reason.

    Args:
        draft: what would start.
        same: its `twins`.
        found: of one of its seeds.
    """
    cost = costs(draft, found)
    if same:
        return Doubt("This was trained already" if same[0].is_over else "This is being trained", (
            _told(draft, same), *([cost] if cost else [])), same[0])  # fmt: skip
    return Doubt("This takes long" if found.seconds is not None else "This may take long", (cost,)) if cost else None


def _told(draft: Draft, same: Sequence[Entry]) -> str:
    newest = same[0]
    if newest.is_over:
        ago = age(max(0.0, time.time() - newest.updated))
        ago = "just now" if ago == "now" else f"{ago} ago"
        came = f", average accuracy {100 * newest.average:.1f} %" if newest.average is not None else ""
        how = f"done, {ago}{came}"
    else:
        how = newest.state + (f", {100 * newest.fraction:.0f} % of its tasks are done" if newest.fraction else "")
    if len(draft.seeds) == 1:
        more = f" ({len(same)} such runs)" if len(same) > 1 else ""
        return f"{newest.run.id}: the same setting with seed {newest.seed} is {how}{more}."
    seeds = sorted({entry.seed for entry in same if entry.seed is not None})
    word = "seed" if len(seeds) == 1 else "seeds"
    return (
        f"The same setting with {word} {seeds_text(tuple(seeds))} is there already, the newest {newest.run.id}: {how}."
    )


def costs(draft: Draft, found: Estimate) -> str:
    """What it will take, when that is much or nobody knows; else empty."""
    n = len(draft.seeds)
    runs = f" for {n} runs, one after another" if n > 1 else ""
    if found.seconds is not None:
        total = found.seconds * n
        how = "roughly" if found.rough else "about"
        return f"It will take {how} {duration(total)}{runs}: {found.basis}." if total >= LONG else ""
    images = work(draft.config, draft.catalog)
    if images is not None and images * n < LARGE:
        return ""
    size = f"About {_round(images * n)} images pass through {draft.config.model.name}" if images else "The data decide"
    return f"How long it takes is not known here: no run like it has ended. {size}{runs if images else ''}."


def _round(value: float) -> str:
    """A large number to two digits: 83,000."""
    digits = max(0, len(str(int(value))) - 2)
    return f"{round(value / 10**digits) * 10**digits:,}"
