"""What the New-run form consists of: the rows of a draft in their groups, and the choices of each."""

from __future__ import annotations

from cllab.settings.spec import ComponentSpec, FieldSpec
from cllab.settings.tables import SECTION
from cllab.tui.controls import Row
from cllab.tui.draft import KINDS, Draft
from cllab.tui.screens.pick import Pick
from cllab.tui.words import parse_seeds, seeds_text, show

GROUPS = ("method", "scenario", "memory", "model", "dataset", "base", "train", "evaluate", "")
"""Tables under their headings, in the order of the form; "" holds the keys outside the tables."""
FIRST = (
    ("method.name", "Method"),
    ("dataset.name", "Dataset"),
    ("scenario.name", "Scenario"),
    ("scenario.tasks", "Tasks"),
    ("scenario.stream", "Stream"),
    ("model.name", "Model"),
    ("memory.name", "Memory"),
    ("memory.capacity", "Memory size"),
    ("train.epochs", "Epochs"),
    ("train.memory_epochs", "Memory epochs"),
    ("seed", "Seeds"),
)
"""The questions that every run answers, above the groups."""
SEEDS = FieldSpec(
    "seeds", "str", "1", "Seeds, one run each: 1, or 1-3, or 1,2,7; several runs follow one another", "rnd_seed"
)


def first_rows(draft: Draft) -> list[Row]:
    """The rows above the groups."""
    rows = []
    for key, label in FIRST:
        if key == "seed":
            rows.append(_seeds(draft))
            continue
        spec = draft.field(key)
        if spec is not None:
            rows.append(_row(draft, key, spec, label))
    return rows


def group_rows(draft: Draft, table: str) -> list[Row]:
    """The rows of one group: every declared key that does not stand above."""
    shown = dict(FIRST)
    rows = []
    for spec in draft.fields(table):
        key = f"{table}.{spec.name}" if table else spec.name
        if key not in shown:
            rows.append(_row(draft, key, draft.field(key) or spec, spec.name.replace("_", " ")))
    return rows


def group_title(draft: Draft, table: str) -> tuple[str, str]:
    """A group's heading, and what stands behind it."""
    rows = group_rows(draft, table)
    changed = sum(row.changed for row in rows)
    note = f"{len(rows)} setting{'' if len(rows) == 1 else 's'}" + (f", {changed} changed" if changed else "")
    if table in KINDS:
        return f"{table.capitalize()}: {draft.component(table).title}", note
    return SECTION[table].title if table else "This run", note


def _row(draft: Draft, key: str, spec: FieldSpec, label: str) -> Row:
    return Row(key, spec, draft.values[key], label, note_for(draft, key, spec), draft.is_changed(key))


def _seeds(draft: Draft) -> Row:
    n = len(draft.seeds)
    note = "one run" if n == 1 else f"{n} runs, one after another"
    return Row("seed", SEEDS, draft.seeds, "Seeds", note, draft.seeds != (1,), parse_seeds, seeds_text)


def note_for(draft: Draft, key: str, spec: FieldSpec) -> str:
    """What stands behind a row: what was chosen, or what is allowed."""
    table, _, name = key.rpartition(".")
    if name == "name" and table in KINDS:
        component = draft.component(table)
        return component.title if component.title.casefold() != component.name else component.summary
    if key == "memory.capacity":
        if draft.values[key] and not draft.config.capacity:
            return f"not used: {draft.config.method.name} keeps none"
        if asked := draft.values["memory.bytes"]:
            return f"samples: as many as {asked} hold"
        return "samples" if draft.values[key] else "samples: keeps nothing"
    if spec.choices and spec.type == "str":
        together = ", ".join(spec.choices)
        return together if len(together) <= 24 else f"{len(spec.choices)} choices"
    if spec.type in ("int", "float") and (spec.low is not None or spec.high is not None):
        low = "" if spec.low is None else show(float(spec.low))
        high = "" if spec.high is None or spec.high > 1e6 else show(float(spec.high))
        bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
        return bounds + (", log" if spec.log and bounds else "")
    return "optional" if spec.optional else ""


def picks(draft: Draft, key: str) -> list[Pick]:
    """The choices of a key: those that cannot work say why."""
    spec = draft.field(key)
    if spec is None:
        return []
    table, _, name = key.rpartition(".")
    if name == "name" and table in KINDS:
        return [_component_pick(draft, key, c) for c in draft.catalog.all(table)]
    if key == "model.cut":
        costs = f"cllab cuts {draft.values['model.name']} --dataset {draft.values['dataset.name']} has their costs."
        return [Pick(c, "" if c else "no cut", f"{spec.help}. {costs}", draft.blocked(key, c)) for c in spec.choices]
    reason = draft.blocked if spec.type == "str" else lambda _key, _value: ""
    return [Pick(choice, about=spec.help, reason=reason(key, choice)) for choice in spec.choices]


def _component_pick(draft: Draft, key: str, spec: ComponentSpec) -> Pick:
    about = f"{spec.summary}." + (f" {spec.paper}" if spec.paper else "")
    return Pick(spec.name, spec.title, about, draft.blocked(key, spec.name))
