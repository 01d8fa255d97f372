"""A preset or a run in a few lines, for the box that says what Enter would do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from cllab.errors import UsageError
from cllab.tui.estimates import duration
from cllab.tui.index import Entry
from cllab.tui.starts import Start
from cllab.tui.theme import style
from cllab.tui.units import size
from cllab.tui.words import show

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp
    from cllab.tui.draft import Draft


def lessons_text(app: CllabApp) -> Text:
    """What the lessons are, and their names."""
    from cllab.tui.lesson import lessons

    colors, sep = app.palette, app.glyphs.sep
    text = Text()
    text.append("Lessons\n", style(colors.focus, bold=True))
    text.append("Recorded runs and a few lines to read, step by step; offline and without training.\n")
    text.append("Enter shows them.\n", style(colors.focus, bold=True))
    text.append(sep.join(lesson.title for lesson in lessons()), style(colors.muted))
    return text


def last_text(draft: Draft, app: CllabApp) -> Text:
    """The setup that was remembered, and what Enter does with it."""
    colors = app.palette
    text = Text()
    text.append("Last setup", style(colors.focus, bold=True))
    text.append(f"  {draft.name}\n", style(colors.muted))
    text.append("What was set up last, as it was left.\n", style(colors.text))
    text.append("Enter goes to the form, r starts it.\n", style(colors.focus, bold=True))
    text.append(_outline(draft, app), style(colors.text))
    return text


def _outline(draft: Draft, app: CllabApp) -> str:
    """What a draft trains, in a line."""
    config = draft.config
    parts = [
        draft.component("method").title,
        draft.component("dataset").title,
        draft.component("scenario").title,
        f"{config.scenario.values['tasks']} tasks" if config.scenario.values.get("tasks") else "",
        config.model.name,
    ]
    parts.append(f"{config.memory.name} memory of {config.capacity}" if config.capacity else "no memory")
    return app.glyphs.sep.join(p for p in parts if p)


def start_text(start: Start, app: CllabApp, *, quick: bool = False, instead: str = "") -> Text:
    """What a preset is, what it claims, and what Enter does with it; `instead` names what else the form holds."""
    colors = app.palette
    text = Text()
    text.append("Quick look" if quick else start.label, style(colors.focus, bold=True))
    text.append(f"  preset {start.name}\n" if quick else "  preset\n", style(colors.muted))
    try:
        draft = start.draft(app.catalog)
    except UsageError as error:
        text.append(f"! {error}", style(colors.lost, bold=True))
        return text
    text.append(f"{start.about}.\n" if start.about else "", style(colors.text))
    # before what there may be no room for
    does = "Enter starts it now" if quick else "Enter puts it into the form"
    text.append(f"{does}, in place of {instead}.\n" if instead else f"{does}.\n", style(colors.focus, bold=True))
    text.append(_outline(draft, app), style(colors.text))
    for claim in _claims(start):
        text.append(f"\n{claim}", style(colors.muted))
    return text


def _claims(start: Start) -> list[str]:
    """What the preset says will come out."""
    from cllab.metrics import METRICS, unit

    claims = start.given.get("expect", [])
    out = []
    for claim in claims if isinstance(claims, list) else []:
        if not isinstance(claim, dict):
            continue
        metric, value = claim.get("metric"), claim.get("value")
        if isinstance(metric, str) and isinstance(value, (int, float)):
            title = METRICS[metric].title if metric in METRICS else metric
            out.append(f"expects {title} {100 * value:.1f} {unit(metric)}, {claim.get('source', '')}".rstrip(", "))
    return out


def entry_text(entry: Entry, app: CllabApp) -> Text:
    """How a run stands, and what came out of it."""
    from cllab.metrics import unit

    colors, sep = app.palette, app.glyphs.sep
    bad = entry.state in ("failed", "lost")
    text = Text()
    text.append(entry.name, style(colors.focus, bold=True))
    text.append(f"  {entry.run.id}\n", style(colors.muted))
    state = f"{app.glyphs.state(entry.word)} {entry.word}"
    if entry.fraction is not None and not entry.is_over:
        state += f", {100 * entry.fraction:.0f} % done"
    text.append(state, style(colors.lost if bad else colors.text, bold=True))
    reason = entry.problem or entry.reason
    text.append(f": {reason}\n" if reason else "\n", style(colors.lost if bad else colors.muted))
    parts = [entry.method, entry.dataset, entry.scenario, entry.model]
    if entry.capacity:
        parts.append(f"{entry.memory} {entry.capacity}")
    if entry.seed is not None:
        parts.append(f"seed {entry.seed}")
    text.append(sep.join(p for p in parts if p) + "\n", style(colors.text))
    results = [
        f"{name} {100 * value:.1f} {unit(key)}"
        for name, key, value in (
            ("average", "average_accuracy", entry.average),
            ("last", "last_accuracy", entry.last),
            ("forgetting", "forgetting", entry.forgetting),
        )
        if value is not None
    ]
    if entry.seconds is not None:
        results.append(duration(entry.seconds))
    memory = entry.result.get("memory")
    held = memory.get("bytes") if isinstance(memory, dict) else None
    if isinstance(held, int) and held:
        results.append(f"memory {size(held)}")
    if entry.device:
        results.append(show(re.sub(r"\s*\(.*\)", "", entry.device)))
    text.append(sep.join(results), style(colors.text))
    return text
