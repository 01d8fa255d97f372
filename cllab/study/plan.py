"""Tables of experiments: a plan in TOML, the runs that fill it, and the Markdown that comes out.

A row is a preset with settings of its own, a column is a variant of every row (other settings on top); a cell is the
mean and deviation of a metric over the seeds. Numbers that others published stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllab.errors import UsageError, nearest
from cllab.io import files
from cllab.io.output import markdown_table
from cllab.metrics import METRICS, unit
from cllab.record.outcome import Outcome, Stat
from cllab.settings import presets
from cllab.settings.catalog import Catalog
from cllab.settings.config import RunConfig
from cllab.settings.presets import seeds_of, seeds_text
from cllab.study import joint
from cllab.text import cleaned, shown

_TOP = ("title", "note", "metric", "seeds", "references", "columns", "rows", "costs")
_COLUMN = ("label", "set", "metric", "seeds")
_ROW = ("label", "preset", "set", "published", "columns", "seeds")


@dataclass(frozen=True)
class Column:
    """A variant of every row.

    Attributes:
        assignments: settings on top of the row's.
        seeds: None for the plan's.
    """

    label: str
    assignments: tuple[str, ...]
    metric: str
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Row:
    """An experiment.

    Attributes:
        published: one text per reference column.
        columns: labels of the columns that apply; empty for all.
    """

    label: str
    preset: str
    assignments: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One experiment of the table: a configuration per seed."""

    row: Row
    column: Column
    configs: tuple[RunConfig, ...]


@dataclass(frozen=True)
class Cost:
    """Something that a run takes, or is given.

    Attributes:
        of: finds it in a run; None where it is not known.
        varies: whether equal numbers are chance.
    """

    title: str
    of: Callable[[Outcome], float | None]
    text: Callable[[float], str]
    varies: bool = False


COSTS = {
    "rate": Cost("learning rate", lambda o: o.value("train.lr"), "{:g}".format),
    "seconds": Cost("seconds a run", lambda o: o.seconds.get("total"), "{:.1f}".format, varies=True),
    "gradient_steps": Cost("gradient steps", lambda o: o.gradient_steps or None, "{:,.0f}".format),
    "memory": Cost("memory (MB)", lambda o: o.memory["bytes"] / 1e6 if o.memory else None, "{:.2f}".format),
}


@dataclass(frozen=True)
class Plan:
    """A table to fill.

    Attributes:
        references: titles of the columns of published numbers.
        name: what `cllab table` calls it: its file's name when it is shipped, else its path.
    """

    title: str
    note: str
    seeds: tuple[int, ...]
    references: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    name: str = ""
    costs: tuple[str, ...] = ()

    def cells(self, catalog: Catalog | None = None) -> Iterator[Cell]:
        """Every experiment, row by row.

        Raises:
            UsageError: when a row names no preset or settings that cannot be.
        """
        for row in self.rows:
            preset = presets.load(row.preset, catalog)
            for column in self.columns:
                if row.columns and column.label not in row.columns:
                    continue
                try:
                    config = preset.config.override([*row.assignments, *column.assignments], base=preset.path.parent)
                    seeds = row.seeds or column.seeds or self.seeds
                    configs = tuple(config.override([f"seed={s}"], base=preset.path.parent) for s in seeds)
                except UsageError as error:
                    raise UsageError(f"{self.name}: row '{row.label}', column '{column.label}': {error}") from None
                yield Cell(row, column, configs)


def find(name: str) -> Path:
    """The file of a plan: a path, or the name of one in the presets' folder `tables`.

    Raises:
        UsageError: when there is none.
    """
    path = files.expand(name)
    if files.is_file(path):
        return path
    shipped = _shipped()
    for known in shipped:
        if known.stem == name:
            return known
    names = [p.stem for p in shipped]
    known_names = f"; known: {', '.join(names)}" if names else ""
    raise UsageError(f"no plan '{name}'{nearest(name, names) or known_names}")


def _shipped() -> list[Path]:
    place = presets.folder()
    return sorted((place / presets.TABLES).glob("*.toml")) if place is not None else []


def load(name: str) -> Plan:
    """The plan called `name`, or in the file of that name.

    Raises:
        UsageError: naming the file, the key and what is allowed.
    """
    path = find(name)
    where = presets.shown(path)
    text = files.read_text(path)
    try:
        # titles and labels go to a terminal as they are
        data = cleaned(files.toml(text))
    except ValueError as error:
        raise UsageError(f"{where}: not TOML: {error}") from None
    try:
        return _plan(data, path.stem if path.resolve() in [p.resolve() for p in _shipped()] else where)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _plan(data: Mapping[str, Any], name: str) -> Plan:
    _known(data, _TOP, "")
    metric = _metric(data.get("metric", "last_accuracy"), "metric")
    references = _texts(data.get("references", []), "references")
    columns = []
    for i, raw in enumerate(_tables(data.get("columns", [{"label": METRICS[metric].title}]), "columns")):
        place = f"columns[{i}]"
        _known(raw, _COLUMN, place)
        own = raw.get("metric")
        columns.append(
            Column(
                _text(raw, "label", place),
                _texts(raw.get("set", []), f"{place}.set"),
                metric if own is None else _metric(own, f"{place}.metric"),
                _seeds(raw, place),
            )
        )
    rows = []
    for i, raw in enumerate(_tables(data.get("rows"), "rows")):
        place = f"rows[{i}]"
        _known(raw, _ROW, place)
        published = raw.get("published", [])
        chosen = _texts(raw.get("columns", []), f"{place}.columns")
        labels = [c.label for c in columns]
        for label in chosen:
            if label not in labels:
                raise UsageError(f"{place}.columns: no column '{label}'{nearest(label, labels)}")
        rows.append(
            Row(
                _text(raw, "label", place),
                _text(raw, "preset", place),
                _texts(raw.get("set", []), f"{place}.set"),
                _texts([published] if isinstance(published, str) else published, f"{place}.published"),
                chosen,
                _seeds(raw, place),
            )
        )
        if len(rows[-1].published) > max(1, len(references)):
            raise UsageError(
                f"{place}.published has {len(rows[-1].published)} numbers for {len(references)} references"
            )
    if not references and any(row.published for row in rows):
        references = ("published",)
    seeds = _seeds(data, "") or (1, 2, 3)
    costs = _texts(data.get("costs", []), "costs")
    for cost in costs:
        if cost not in COSTS:
            raise UsageError(f"costs: no cost '{cost}'{nearest(cost, COSTS) or '; known: ' + ', '.join(COSTS)}")
    note = data.get("note", "")
    return Plan(_text(data, "title", ""), str(note), seeds, references, tuple(columns), tuple(rows), name, costs)


class Done:
    """Finished runs by what they ran; the newest of each kind and seed.

    Args:
        outcomes: newest first.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self.all: list[Outcome] = []
        self._found: dict[tuple[str, int], Outcome] = {}
        for outcome in outcomes:
            self.all.append(outcome)
            self._found.setdefault((outcome.signature, outcome.seed), outcome)

    def add(self, outcome: Outcome) -> None:
        """A run that ended just now."""
        self.all.insert(0, outcome)
        self._found[(outcome.signature, outcome.seed)] = outcome

    def get(self, config: RunConfig) -> Outcome | None:
        """The finished run of this configuration and seed."""
        return self._found.get((config.signature, config.seed))

    def metric(self, config: RunConfig, name: str) -> float | None:
        """A metric of that run; intransigence against the joint run among these, and the accuracy of the model left
        also of runs that report no other."""
        found = self.get(config)
        if name == "left_accuracy" and config.evaluate.report == "last":
            name = "last_accuracy"
        if found is not None and name == "intransigence":
            found = joint.with_intransigence(found, self.all)
        return found.metrics.get(name) if found is not None else None

    def stat(self, cell: Cell) -> Stat | None:
        """What a cell of the table shows."""
        values = [self.metric(config, cell.column.metric) for config in cell.configs]
        return Stat.of(v for v in values if v is not None)

    def mean(self, cell: Cell, value: Callable[[Outcome], float | None]) -> float | None:
        """The mean of what `value` finds in a cell's runs."""
        known = [o for c in cell.configs if (o := self.get(c)) is not None]
        found = [v for o in known if (v := value(o)) is not None]
        return sum(found) / len(found) if found else None


def missing(cells: Sequence[Cell], done: Done) -> list[RunConfig]:
    """What has not been run yet, each once, and the joint runs that intransigence needs."""
    out: dict[tuple[str, int], RunConfig] = {}
    for cell in cells:
        wanted = list(cell.configs)
        if cell.column.metric == "intransigence":
            wanted += [joint.config_for(config) for config in cell.configs]
        for config in wanted:
            if done.get(config) is None:
                out.setdefault((config.signature, config.seed), config)
    return list(out.values())


def markdown(plan: Plan, cells: Sequence[Cell], done: Done) -> str:
    """The table, as far as its runs are there, and how it was made."""
    costs = ["seconds", *(c for c in plan.costs if c != "seconds")]
    head = ["", *(f"{c.label} ({unit(c.metric)})" for c in plan.columns), *(f"{r} (%)" for r in plan.references)]
    head += [COSTS[cost].title for cost in costs]
    by_place = {(id(cell.row), cell.column.label): cell for cell in cells}
    rows = []
    for row in plan.rows:
        here = [by_place.get((id(row), column.label)) for column in plan.columns]
        texts = [_shown(cell, done.stat(cell) if cell is not None else None) for cell in here]
        published = [*row.published, *[""] * (len(plan.references) - len(row.published))]
        spent = [_spent(here, done, COSTS[cost]) for cost in costs]
        rows.append([row.label, *texts, *(p or "-" for p in published), *spent])
    lines = [f"**{plan.title}**", "", markdown_table(head, rows, right=range(1, len(head))), ""]
    lines.append(" ".join(part for part in (_made(plan, cells, done), plan.note) if part))
    return "\n".join(lines) + "\n"


def _spent(cells: Sequence[Cell | None], done: Done, cost: Cost) -> str:
    """What a row's runs take, column by column; columns that show the same runs, or take the same, share one number."""
    found: dict[object, str] = {}
    for cell in cells:
        if cell is not None:
            mean = done.mean(cell, cost.of)
            found[tuple((c.signature, c.seed) for c in cell.configs)] = "-" if mean is None else cost.text(mean)
    texts = list(found.values()) if cost.varies else list(dict.fromkeys(found.values()))
    return " / ".join(texts) or "-"


def _shown(cell: Cell | None, stat: Stat | None) -> str:
    if cell is None or stat is None:
        return "-"
    # a mean over fewer seeds than were asked for says so
    return stat.text() + ("" if stat.n == len(cell.configs) else f" (n = {stat.n})")


def _made(plan: Plan, cells: Sequence[Cell], done: Done) -> str:
    metrics = dict.fromkeys(METRICS[c.metric].title for c in plan.columns)
    used = [o for cell in cells for config in cell.configs if (o := done.get(config)) is not None]
    machines = dict.fromkeys(o.device for o in used if o.device)
    torch = dict.fromkeys(o.versions["torch"] for o in used if "torch" in o.versions)
    where = f", torch {' and '.join(torch)} on {' and '.join(machines)}" if torch and machines else ""
    return (
        f"{' and '.join(metrics).capitalize()}, mean ± deviation over seeds {seeds_text(plan.seeds)}{where}. "
        f"Made by `cllab table {plan.name}`."
    )


def _known(data: Mapping[str, Any], keys: Sequence[str], place: str) -> None:
    for key in data:
        if key not in keys:
            prefix = f"{place}: " if place else ""
            raise UsageError(f"{prefix}no key '{key}'{nearest(key, keys) or '; known: ' + ', '.join(keys)}")


def _tables(value: object, key: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise UsageError(f"{key} must be a list of tables: [[{key}]]")
    return value


def _text(data: Mapping[str, Any], key: str, place: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(
            f"{f'{place}.' if place else ''}{key} must be text{' and is missing' if value is None else ''}"
        )
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{key} must be a list of texts, not {shown(value)}")
    return tuple(value)


def _metric(value: object, key: str) -> str:
    if not isinstance(value, str) or value not in METRICS:
        known = nearest(value, METRICS) if isinstance(value, str) else ""
        raise UsageError(f"{key}: no metric {shown(value)}{known or '; known: ' + ', '.join(METRICS)}")
    return value


def _seeds(data: Mapping[str, Any], place: str) -> tuple[int, ...] | None:
    if "seeds" not in data:
        return None
    try:
        return seeds_of(data["seeds"])
    except UsageError as error:
        raise UsageError(f"{f'{place}.' if place else ''}seeds {error}") from None
