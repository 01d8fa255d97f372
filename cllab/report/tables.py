"""Runs to text: matrices, metrics, comparisons, as tables for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cllab import metrics
from cllab.io.output import Paper, duration, markdown_table, percent, size, table, visible
from cllab.record.outcome import Group, Outcome, Rows, Stat, differences, setting
from cllab.report import plots
from cllab.settings.tables import SECTIONS, TOP
from cllab.text import clean

if TYPE_CHECKING:
    from cllab.settings.catalog import Catalog
    from cllab.settings.spec import FieldSpec

MAIN = (
    "last_accuracy",
    "average_accuracy",
    "average_test_accuracy",
    "forgetting",
    "backward_transfer",
    "learning_accuracy",
)
"""Metrics that a comparison shows unless others are asked for."""
_SHORT = {
    "last_accuracy": "last",
    "average_accuracy": "average",
    "average_test_accuracy": "average test",
    "backward_transfer": "backward",
    "learning_accuracy": "learning",
}
_DISPENSABLE = ("learning_accuracy", "backward_transfer", "intransigence", "forgetting", "average_test_accuracy")
_KINDS = ("dataset", "scenario", "model", "memory", "method")


# -- one experiment, one or several seeds


def experiment(group: Group, paper: Paper, *, title: str = "") -> str:
    """The accuracy matrix, the charts and the metrics of one experiment, averaged over its seeds."""
    outcomes = group.outcomes
    n = len(outcomes)
    seeds = f"mean of {n} seeds: {', '.join(map(str, group.seeds))}" if n > 1 else f"seed {outcomes[0].seed}"
    parts = [paper.bold(title or f"{outcomes[0].name}{paper.dot}{seeds}")]
    matrix, seen = group.matrix(), group.seen()
    if matrix:
        tests = outcomes[0].tests
        parts += [matrix_table(matrix, seen, paper, tests=tests), *charts(matrix, seen, paper, tests=tests)]
    parts.append(metrics_table(group, paper))
    return "\n\n".join(part for part in parts if part)


def matrix_table(matrix: Rows, seen: Sequence[float | None], paper: Paper, *, tests: Sequence[str] = ()) -> str:
    """R[i, j] in percent, with the accuracy over all classes seen in the last column.

    `tests` are the names of the columns where test sets stand apart from the tasks.
    """
    if not matrix:
        return ""
    fit = max(2, (paper.width - 18) // (7 if not tests else max(map(len, tests)) + 2))
    columns, rows = plots.spread(len(matrix[0]), fit), plots.spread(len(matrix), max(fit, 12))
    head = ["", *(tests[j] if tests else f"task {j + 1}" for j in columns), "seen"]
    body = []
    for i in rows:
        values = [_heat(matrix[i][j], paper) for j in columns]
        total = percent(seen[i]) if i < len(seen) else "-"
        body.append([f"after {i + 1}", *values, paper.bold(total)])
    title = paper.bold(f"accuracy (%) on each {'test set' if tests else 'task'} after learning each task")
    some = len(columns) < len(matrix[0]) or len(rows) < len(matrix)
    n = f"{len(matrix)} tasks" + (f" and {len(matrix[0])} test sets" if tests else "")
    note = f"\n{paper.dim(f'some of {n}; cllab export --csv has all')}" if some else ""
    return f"{title}\n{table(head, body, right=range(1, len(head)))}{note}"


def charts(matrix: Rows, seen: Sequence[float | None], paper: Paper, *, tests: Sequence[str] = ()) -> list[str]:
    """Accuracy over the tasks, and forgetting of each old task; nothing for a single task."""
    found = [plots.accuracy_chart(matrix, seen, paper, tests=tests)]
    if len(matrix) > 1 and not tests:
        square = metrics.matrix(matrix, len(matrix))
        found.append(plots.forgetting_chart(metrics.forgetting_per_task(square).tolist(), paper))
    return [chart for chart in found if chart]


def metrics_table(group: Group, paper: Paper) -> str:
    """Every metric the runs have: the value, or mean, deviation and each seed's."""
    outcomes = group.outcomes
    rows = []
    for name, title in metric_titles(outcomes):
        stat = group.stat(name)
        if stat is None:
            continue
        values = "  ".join(percent(o.metrics.get(name), 2) for o in outcomes)
        row = [f"{title} ({metrics.unit(name)})", stat.text(sign=paper.plus_minus)]
        rows.append([*row, values] if len(outcomes) > 1 else row)
    seconds = group.seconds()
    if seconds is not None:
        each = "  ".join(f"{o.seconds.get('total', float('nan')):.1f}" for o in outcomes)
        row = ["time in seconds", seconds.text(digits=1, scale=1, sign=paper.plus_minus)]
        rows.append([*row, each] if len(outcomes) > 1 else row)
    if not rows:
        return ""
    head = ["metric", "mean" if len(outcomes) > 1 else "value"]
    if len(outcomes) > 1:
        head[1] = f"mean {paper.plus_minus} deviation, n = {len(outcomes)}"
        head.append("each seed")
    return table(head, rows, right=(1,) if len(outcomes) == 1 else (), width=paper.width, paper=paper)


def metric_titles(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """(name, title) of every metric that one of the runs has, in the order of their definitions."""
    there = dict.fromkeys(name for o in outcomes for name in o.metrics)
    known = [(name, metric.title) for name, metric in metrics.METRICS.items() if name in there]
    own = {name: title for o in outcomes for name, title in o.described.titles.items()}
    return known + [(n, own.get(n, n.replace("_", " "))) for n in there if n not in metrics.METRICS]


def _heat(value: float | None, paper: Paper) -> str:
    if value is None:
        return paper.dim("-")
    return paper.style(percent(value), "32" if value >= 0.8 else "33" if value >= 0.5 else "31")


# -- one run


def run_text(outcome: Outcome, catalog: Catalog, paper: Paper) -> str:
    """Everything about one run: what was asked, what came out, where it is."""
    state = outcome.status + (f": {outcome.reason}" if outcome.reason and outcome.status != "done" else "")
    head = f"{outcome.name}{paper.dot}seed {outcome.seed}{paper.dot}{state}"
    parts = [settings_text(outcome.config, catalog.with_components(outcome.described.components), paper)]
    group = Group(outcome.name, (outcome,))
    if outcome.matrix:
        parts.append(experiment(group, paper, title=head))
    else:
        parts.append(paper.bold(head))
    parts += [class_text(outcome, paper), facts_text(outcome, paper)]
    return "\n\n".join(part for part in parts if part)


def settings_text(config: Mapping[str, Any], catalog: Catalog, paper: Paper) -> str:
    """The components, each with the settings that are not at their default."""
    rows = []
    # a method that keeps no samples leaves the memory empty, whatever its capacity
    method = dict(config.get("method", {})).get("name")
    keeps = all(c.facts.get("uses_memory", True) for c in catalog.all("method") if c.name == method)
    for kind in _KINDS:
        values = dict(config.get(kind, {}))
        name = str(values.pop("name", ""))
        if kind == "memory" and not (values.get("capacity") and keeps):
            rows.append([kind, "none", ""])
            continue
        found = [c for c in catalog.all(kind) if c.name == name]
        rows.append([kind, name, _changed(values, found[0].fields if found else ())])
    for spec in SECTIONS:
        changed = _changed(dict(config.get(spec.name, {})), spec.fields)
        if changed:
            rows.append([spec.name, "", changed])
    top = _changed({f.name: config.get(f.name) for f in TOP if f.name in ("fidelity", "device")}, TOP)
    if top:
        rows.append(["run", "", top])
    return table((), rows, width=paper.width)


def _changed(values: Mapping[str, Any], fields: Sequence[FieldSpec]) -> str:
    defaults = {f.name: f.default for f in fields}
    out = []
    for key, value in values.items():
        plain = tuple(value) if isinstance(value, list) else value
        if plain in (None, "", ()) or (key in defaults and defaults[key] == plain):
            continue
        out.append(f"{key}={setting(value)}")
    return ", ".join(out)


def class_text(outcome: Outcome, paper: Paper, *, most: int = 20) -> str:
    """Accuracy of every class at the end; of many classes the worst and the best."""
    names = outcome.class_names or tuple(str(i) for i in range(len(outcome.per_class)))
    known = [(name, v) for name, v in zip(names, outcome.per_class, strict=False) if v is not None]
    if not known:
        return ""
    title = "accuracy (%) per class"
    if len(known) > most:
        ranked = sorted(known, key=lambda item: item[1])
        known, title = [*ranked[:5], *ranked[-5:]], f"{title}: the five worst and the five best of {len(known)}"
    cells = [f"{name} {percent(v)}" for name, v in known]
    lines, line = [], ""
    for cell in cells:
        longer = f"{line}{paper.dot}{cell}" if line else cell
        if len(longer) > paper.width:
            lines.append(line)
            longer = cell
        line = longer
    return "\n".join([paper.bold(title), *lines, line])


def facts_text(outcome: Outcome, paper: Paper) -> str:
    """Time, memory, versions and the folder."""
    rows = []
    spent = {k: v for k, v in outcome.seconds.items() if k != "total" and v >= 0.05}
    if "total" in outcome.seconds:
        kinds = ", ".join(f"{k} {duration(v)}" for k, v in spent.items())
        rows.append(["time", duration(outcome.seconds["total"]) + (f" ({kinds})" if kinds else "")])
    if outcome.memory.get("samples"):
        rows.append(["memory", f"{outcome.memory['samples']} samples, {size(outcome.memory.get('bytes', 0))}"])
    if outcome.device:
        versions = ", ".join(f"{k} {v}" for k, v in outcome.versions.items())
        rows.append(["machine", f"{outcome.device}; {versions}" if versions else outcome.device])
    rows.append(["run folder", clean(str(outcome.run.folder))])
    return table((), rows)


def run_markdown(outcome: Outcome) -> str:
    """One run as a Markdown page."""
    lines = [f"# {outcome.name}, seed {outcome.seed}", ""]
    lines.append(markdown_table(["", ""], [[kind, outcome.name_of(kind)] for kind in _KINDS if outcome.name_of(kind)]))
    if outcome.matrix:
        rows = []
        for i, row in enumerate(outcome.matrix):
            seen = percent(outcome.seen[i], 2) if i < len(outcome.seen) else "-"
            rows.append([f"after task {i + 1}", *(percent(v, 2) for v in row), seen])
        head = ["accuracy (%)", *outcome.columns, "seen"]
        lines += ["", markdown_table(head, rows, right=range(1, len(head)))]
    values = [
        [f"{title} ({metrics.unit(name)})", percent(outcome.metrics.get(name), 2)]
        for name, title in metric_titles([outcome])
    ]
    lines += ["", markdown_table(["metric", "value"], values, right=(1,))]
    if "total" in outcome.seconds:
        lines += ["", f"{duration(outcome.seconds['total'])} on {outcome.device or 'an unknown device'}"]
    return "\n".join(lines) + "\n"


# -- several experiments


def comparison(groups: Sequence[Group], paper: Paper, chosen: Sequence[str] = ()) -> str:
    """Experiments side by side, mean and deviation over their seeds, and the settings in which they differ."""
    shown = list(chosen or (*MAIN, "intransigence"))
    while True:
        head, rows = comparison_rows(groups, shown, sign=paper.plus_minus, titles=_SHORT)
        text = table(head, rows, right=range(1, len(head)), paper=paper)
        if chosen or len(shown) <= 2 or max(len(visible(line)) for line in text.splitlines()) <= paper.width:
            break
        # the least telling goes first; --metric and --json have it
        shown.remove(next(m for m in _DISPENSABLE if m in shown))
    parts = [
        f"{paper.bold(f'mean {paper.plus_minus} deviation over the seeds, in percent; differences in points')}\n{text}"
    ]
    settings = differing_rows(groups)
    if settings:
        heads = ["setting", *_short_labels(groups)]
        parts.append(table(heads, settings, width=paper.width, paper=paper))
    elif len(groups) > 1:
        parts.append("The settings are the same; the method files may differ.")
    return "\n\n".join(parts)


def comparison_rows(
    groups: Sequence[Group], chosen: Sequence[str] = (), *, sign: str = "±", titles: Mapping[str, str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """(titles, rows) of the comparison: metrics in percent or points, number of seeds, seconds."""
    outcomes = [o for g in groups for o in g.outcomes]
    there = dict(metric_titles(outcomes))
    shown = [m for m in (chosen or (*MAIN, "intransigence")) if m in there]
    named = [titles.get(m, there[m]) if titles is not None else f"{there[m]} ({metrics.unit(m)})" for m in shown]
    head = ["experiment", *named, "seeds", "seconds"]
    rows = []
    for group, label in zip(groups, _short_labels(groups), strict=True):
        cells = [_text(group.stat(m), sign) for m in shown]
        seconds = group.seconds()
        rows.append([label, *cells, str(len(group.outcomes)), f"{seconds.mean:.1f}" if seconds else "-"])
    return head, rows


def differing_rows(groups: Sequence[Group]) -> list[list[str]]:
    """Settings that are not the same in all experiments, one row each."""
    found = differences([g.outcomes[0] for g in groups])
    return [[key, *map(setting, values)] for key, values in found.items()]


def comparison_markdown(groups: Sequence[Group], chosen: Sequence[str] = ()) -> str:
    """The comparison and the differing settings as Markdown."""
    head, rows = comparison_rows(groups, chosen)
    text = markdown_table(head, rows, right=range(1, len(head)))
    settings = differing_rows(groups)
    if settings:
        text += "\n\n" + markdown_table(["setting", *_short_labels(groups)], settings)
    return text + "\n"


def comparison_data(groups: Sequence[Group]) -> dict[str, Any]:
    """The comparison for programs: fractions, every seed's values, the differing settings."""
    found = differences([g.outcomes[0] for g in groups])
    experiments = []
    for i, group in enumerate(groups):
        stats: dict[str, Any] = {}
        for name, _ in metric_titles(group.outcomes):
            stat = group.stat(name)
            if stat is not None:
                each = {str(o.seed): o.metrics.get(name) for o in group.outcomes}
                stats[name] = {"mean": stat.mean, "deviation": stat.deviation, "n": stat.n, "seeds": each}
        seconds = group.seconds()
        experiments.append(
            {
                "label": group.label,
                "name": group.outcomes[0].name,
                "signature": group.outcomes[0].signature,
                "seeds": list(group.seeds),
                "runs": [o.run.id for o in group.outcomes],
                "metrics": stats,
                "seconds": seconds.mean if seconds else None,
                "settings": {key: values[i] for key, values in found.items()},
            }
        )
    return {"experiments": experiments}


def _short_labels(groups: Sequence[Group]) -> list[str]:
    """Names where they tell the experiments apart, else their numbers before the names."""
    names = [g.outcomes[0].name for g in groups]
    return [name if names.count(name) == 1 else f"{i + 1} {name}" for i, name in enumerate(names)]


def _text(stat: Stat | None, sign: str) -> str:
    return "-" if stat is None else stat.text(sign=sign)
