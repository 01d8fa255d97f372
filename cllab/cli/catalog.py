"""cllab list, explain: what there is, from declarations and run folders."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from cllab.cli.options import Json, Runs, Sets
from cllab.errors import UsageError, nearest
from cllab.text import clean, is_number

Rows = list[dict[str, Any]]
_FRACTIONS = ("last", "average", "forgetting")


def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="methods, datasets, scenarios, memories, models, metrics, presets or runs.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
    runs: Runs = None,
) -> None:
    """List components, metrics, presets or runs."""
    found = _LISTS.get(what) or _LISTS.get({"memory": "memories"}.get(what, f"{what}s"))
    if found is None:
        known = ", ".join(_LISTS)
        raise UsageError(f"list: nothing is called '{what}'{nearest(what, _LISTS) or f'; known: {known}'}")
    rows, columns = found(runs)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    from cllab.io.output import Paper, table

    paper = Paper.of(sys.stdout)
    if not rows:
        print(f"no {what}", file=sys.stderr)
        return
    cells = [[_cell(row.get(column), column) for column in columns] for row in rows]
    numbers = [
        i for i, c in enumerate(columns) if all(isinstance(row.get(c), (int, float)) or not row.get(c) for row in rows)
    ]
    # a program that reads lines must not meet one that is broken in two
    width = paper.width if sys.stdout.isatty() else None
    print(table(columns, cells, right=numbers, width=width, paper=paper))


def _cell(value: object, column: str) -> str:
    if isinstance(value, (float, int)) and column in _FRACTIONS:
        return f"{100 * value:.1f} {'points' if column == 'forgetting' else '%'}"
    if isinstance(value, float):
        return f"{value:.1f}"
    return "" if value is None or value == 0 else str(value)


def _components(kind: str, facts: tuple[str, ...] = ()) -> Callable[[str | None], tuple[Rows, list[str]]]:
    def rows(_runs: str | None) -> tuple[Rows, list[str]]:
        from cllab.settings.catalog import load

        found = []
        for spec in load().all(kind):
            row: dict[str, Any] = {"name": spec.name, **{f: _fact(f, spec.facts) for f in facts}}
            row["family"] = spec.family
            row.update(idea=spec.summary, title=spec.title, paper=spec.paper)
            found.append(row)
        families = ["family"] if any(row["family"] for row in found) else []
        return found, ["name", *facts, *families, "idea"]

    return rows


def _fact(name: str, facts: Any) -> Any:
    if name == "images":
        return f"{facts['n_train']}+{facts['n_test']}" if facts.get("n_train") else ""
    if name == "shape":
        return "x".join(map(str, facts["shape"])) if facts.get("shape") else ""
    return facts.get({"classes": "n_classes"}.get(name, name))


def _metrics(_runs: str | None) -> tuple[Rows, list[str]]:
    from cllab.metrics import METRICS

    rows = [
        {**vars(m), "better": "higher" if m.higher_is_better else "lower", "idea": m.help} for m in METRICS.values()
    ]
    return rows, ["name", "better", "idea"]


def _presets(_runs: str | None) -> tuple[Rows, list[str]]:
    from cllab.settings import presets

    rows = []
    for path in presets.shipped():
        name, about = presets.describe(path)
        rows.append({"name": name, "about": about, "path": str(path)})
    return rows, ["name", "about"]


def _run_rows(runs: str | None) -> tuple[Rows, list[str]]:
    from cllab.io.output import narrate
    from cllab.record.runs import RunStore

    rows: Rows = []
    store = RunStore(runs)
    for folder in store.closed():
        narrate(f"left out: {folder}: Permission denied")
    for run in store:
        status, result = run.status(), run.result() or {}
        row: dict[str, Any] = {"run": run.id, "status": status.state, "seed": _number(result, "seed")}
        for name, key in (("last", "last_accuracy"), ("average", "average_accuracy"), ("forgetting", "forgetting")):
            row[name] = _number(result.get("metrics"), key)
        row["seconds"] = _number(result.get("seconds"), "total")
        row.update(reason=status.reason, folder=clean(str(run.folder)), signature=result.get("signature"))
        rows.append(row)
    return rows, ["run", "status", "last", "average", "forgetting", "seconds"]


def _number(table: object, key: str) -> float | None:
    """A number of a file that may have been edited out of shape; None where there is none."""
    value = table.get(key) if isinstance(table, Mapping) else None
    return value if is_number(value) else None


_LISTS: dict[str, Callable[[str | None], tuple[Rows, list[str]]]] = {
    "methods": _components("method", ("year",)),
    "datasets": _components("dataset", ("classes", "shape", "images")),
    "scenarios": _components("scenario"),
    "memories": _components("memory"),
    "models": _components("model"),
    "metrics": _metrics,
    "presets": _presets,
    "runs": _run_rows,
}


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A component, a metric, a preset, or a method file of your own.", show_default=False
        ),
    ],
    sets: Sets = None,
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="Whose classes a scenario's picture shows.")
    ] = "mnist",
    as_json: Json = False,
) -> None:
    """Idea, paper, parameters; a scenario's picture."""
    from cllab.io.output import Paper
    from cllab.report import explain as pages
    from cllab.settings.catalog import load

    catalog = load()
    catalog.get("dataset", dataset)
    things = pages.find(name, catalog)
    if sets:
        # a dataset and a scenario may share a name; what has nothing to vary is not what was asked about
        things = [thing for thing in things if pages.varies(thing)] or things
    if as_json:
        print(json.dumps([pages.data(thing) for thing in things], ensure_ascii=False))
        return
    paper = Paper.of(sys.stdout)
    print("\n\n\n".join(pages.text(thing, catalog, paper, sets=sets or (), dataset=dataset) for thing in things))
