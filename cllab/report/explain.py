"""What a component, a metric or a preset is: the idea, the paper, the parameters, and a scenario's picture."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllab.errors import CllabError, UsageError, nearest
from cllab.io.output import Paper, percent, size, wrapped
from cllab.metrics import METRICS, Metric, unit
from cllab.record.outcome import setting
from cllab.report.tables import settings_text
from cllab.settings import presets
from cllab.settings.catalog import PLURALS, Catalog
from cllab.settings.presets import Preset, seeds_text
from cllab.settings.spec import ComponentSpec, FieldSpec
from cllab.settings.tables import COMMON, SECTIONS
from cllab.text import clean

Thing = ComponentSpec | Metric | Preset

DEFAULT_DATASET = "mnist"
"""Whose classes a scenario's picture shows when no dataset is named."""
SESSION_DATASET = "mnist-nic"
"""Likewise, of a scenario that needs sessions."""
FILE_SCENARIO = "benchmark-file"
"""Its tasks are those of a file, which a picture has to read."""
_NEEDS = {
    "memory": "a memory",
    "boundaries": "to be told where tasks end",
    "task-labels": "task labels, at test time too",
    "past-data": "the data of past tasks",
}


def find(name: str, catalog: Catalog) -> list[Thing]:
    """Everything called `name`: components, training settings, metrics, presets; a method file or a preset file.

    Raises:
        UsageError: when there is nothing; the message holds the nearest name.
    """
    path = Path(name)
    if path.suffix == ".py":
        from cllab.settings.catalog import describe_file

        return [describe_file(path)]
    if path.suffix == ".toml":
        return [presets.load(name, catalog)]
    sections = [spec for spec in SECTIONS if spec.name == name]
    found: list[Thing] = [*catalog.find(name), *sections]
    metric = METRICS.get(name.replace("-", "_"))
    if metric is not None:
        found.append(metric)
    if name in presets.names():
        found.append(presets.load(name, catalog))
    if found:
        return found
    known = [*(c.name for c in catalog.components), *(s.name for s in SECTIONS), *METRICS, *presets.names()]
    kinds = "|".join([*PLURALS.values(), "metrics", "presets"])
    raise UsageError(f"nothing is called '{name}'{nearest(name, known) or f'; see cllab list {kinds}'}")


def text(thing: Thing, catalog: Catalog, paper: Paper, *, sets: Sequence[str] = (), dataset: str = "") -> str:
    """`thing` for people.

    Args:
        sets: settings to vary in a scenario's picture or a preset, `key=value`.
        dataset: whose classes a scenario's picture shows.

    Raises:
        UsageError: for settings that cannot be meant.
    """
    if isinstance(thing, Metric):
        return _metric(thing, paper)
    if isinstance(thing, Preset):
        return _preset(thing, catalog, paper, sets)
    if sets and not varies(thing):
        raise UsageError(f"--set varies a scenario or a preset, and '{thing.name}' is a {thing.kind}")
    return _component(thing, catalog, paper, sets, dataset)


def varies(thing: Thing) -> bool:
    """Whether settings change what is told of `thing`."""
    return isinstance(thing, Preset) or (isinstance(thing, ComponentSpec) and thing.kind == "scenario")


def data(thing: Thing) -> dict[str, Any]:
    """`thing` for programs."""
    if isinstance(thing, Metric):
        return {"kind": "metric", **vars(thing)}
    if isinstance(thing, Preset):
        claims = [{**vars(e), "seeds": list(e.seeds)} for e in thing.expect]
        return {"kind": "preset", "name": thing.name, "config": thing.config.to_dict(), "expect": claims}
    return thing.to_dict()


@dataclass(frozen=True)
class Source:
    """What a scenario makes tasks of.

    Attributes:
        dataset: whose classes.
        n_classes: of the dataset, where a setting decides.
        file: whose tasks the scenario of benchmark files shows.
        root: the data folder.
        seed: of the run, which decides the order of the classes.
    """

    dataset: str
    n_classes: int | None = None
    file: str = ""
    root: str | None = None
    seed: int = 1


def picture(scenario: str, values: Mapping[str, Any], source: Source, catalog: Catalog, paper: Paper) -> str:
    """Which task gets how much of which class.

    Args:
        scenario: its name.
        values: its settings.
        source: what it is made of.
        catalog: the components.
        paper: where it is shown.

    Raises:
        UsageError: when the scenario cannot be made of the dataset's classes.
        DataError: for a file that holds no tasks.
    """
    from cllab.scenarios import picture as pictures

    if scenario == FILE_SCENARIO:
        return _file_picture(values, paper, source.file, source.root)
    dataset, seed = source.dataset, source.seed
    facts = catalog.get("dataset", dataset).facts
    if catalog.get("scenario", scenario).facts.get("needs_sessions") and not facts.get("has_sessions"):
        return f"'{dataset}' has no sessions, which scenario '{scenario}' needs"
    n, sessions = source.n_classes or facts.get("n_classes"), int(facts.get("sessions") or 0)
    values = {**values, "seed": seed}
    if not n:
        return f"the picture of tasks and classes depends on the folder that '{dataset}' reads"
    try:
        found = pictures.shares(scenario, values, int(n), sessions)
    except UsageError as error:
        raise UsageError(f"scenario '{scenario}' with the {n} classes of {dataset}: {error}") from None
    order = pictures.classes(scenario, values, int(n), dataset, seed, sessions)
    drawn = values.get("class_order") in ("rainbow-memory", "random") or values.get("order") == -1
    by_seed = f", seed {seed}" if drawn else ""
    title = paper.bold(f"which task gets how much of which class ({dataset}, {n} classes{by_seed})")
    told = pictures.draw(
        found, min(paper.width, 100), classes=order, ascii=not paper.unicode, grouped="order" in values
    )
    return f"{title}\n{told}"


def _file_picture(values: Mapping[str, Any], paper: Paper, file: str, root: str | None) -> str:
    import numpy as np

    from cllab.data import where
    from cllab.scenarios import picture as pictures

    if not file:
        return "the picture of tasks and classes depends on the file: --set dataset.file=FILE.pt draws it"
    source: Any = where.source(FILE_SCENARIO)
    counts = np.array(source.counts(file, root), dtype=float)
    whole = counts.sum(axis=0)
    n_tasks = int(values["tasks"]) or len(counts)
    if n_tasks > len(counts):
        raise UsageError(f"scenario.tasks = {n_tasks}, but {file} has {len(counts)} tasks")
    counts = counts[:n_tasks]
    sizes = counts.sum(axis=1, keepdims=True)
    if values["samples"]:
        counts = counts * np.minimum(1.0, values["samples"] / sizes)
    met = counts.sum(axis=0) > 0
    n = int(met.sum())
    title = paper.bold(f"which task gets how much of which class ({Path(file).name}, {n} classes)")
    shares = counts[:, met] / whole[met]
    numbers = [int(c) for c in np.flatnonzero(met)]
    return f"{title}\n{pictures.draw(shares, min(paper.width, 100), classes=numbers, ascii=not paper.unicode)}"


def _component(spec: ComponentSpec, catalog: Catalog, paper: Paper, sets: Sequence[str], dataset: str) -> str:
    width = min(paper.width, 100)
    family = f", {spec.family}" if spec.family else ""
    parts = [f"{paper.bold(spec.name)}: {spec.title} ({spec.kind}{family})"]
    parts.append(wrapped(spec.doc or spec.summary, width))
    facts = _facts(spec)
    if facts:
        parts.append("\n".join(facts))
    parts.append(_parameters(spec, paper, width))
    if spec.kind == "scenario":
        given = _assigned(sets, spec.name)
        file = str(given.pop("dataset.file", "")) if spec.name == FILE_SCENARIO else ""
        values = spec.parse(given)
        usual = SESSION_DATASET if spec.facts.get("needs_sessions") else DEFAULT_DATASET
        try:
            parts.append(picture(spec.name, values, Source(dataset or usual, file=file), catalog, paper))
        except CllabError as error:
            if sets:
                raise
            parts.append(str(error))
    return "\n\n".join(part for part in parts if part)


def _assigned(sets: Sequence[str], name: str) -> dict[str, object]:
    out: dict[str, object] = {}
    for item in sets:
        key, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"--set {item}: expected KEY=VALUE, for example tasks=10")
        out[key.strip().removeprefix("scenario.").removeprefix(f"{name}.")] = value.strip()
    return out


def _facts(spec: ComponentSpec) -> list[str]:
    facts = spec.facts
    lines = [f"paper    {spec.paper}"] if spec.paper else []
    if facts.get("needs"):
        lines.append(f"needs    {', '.join(_NEEDS.get(n, n) for n in facts['needs'])}")
    if spec.kind == "method" and facts.get("memory") and "memory" in facts.get("needs", ()):
        only = f"; works with {', '.join(facts['policies'])}" if facts.get("policies") else ""
        lines.append(f"memory   {facts['memory']} unless told otherwise{only}")
    if facts.get("inert"):
        off = ", ".join(f"{k} = {setting(v)}" for k, v in facts["inert"].items())
        lines.append(f"off at   {off}, where it is plain training")
    if facts.get("reference"):
        quirks = ", ".join(f"{k} = {setting(v)}" for k, v in facts["reference"].items())
        lines.append(f"quirks   under fidelity = reference also {quirks}")
    if spec.kind == "dataset":
        lines += _dataset_facts(facts)
    if spec.kind == "scenario":
        told = ["boundaries"] * bool(facts.get("has_boundaries")) + ["task labels"] * bool(facts.get("has_task_labels"))
        lines.append(f"tells    {' and '.join(told) or 'neither boundaries nor task labels'}")
    if spec.kind == "memory":
        for method, reason in facts.get("refuses", {}).items():
            lines.append(f"refuses  method {method}: {reason}")
    return lines


def _dataset_facts(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    if facts.get("n_classes"):
        shape = "x".join(map(str, facts["shape"]))
        lines.append(f"holds    {facts['n_classes']} classes, {facts['n_train']} + {facts['n_test']} images of {shape}")
    if facts.get("base_augment"):
        lines.append(f"augments {' and '.join(facts['base_augment'])}, unless train.base_augment says otherwise")
    lines.append(f"model    {facts.get('model')}, unless another is named")
    if facts.get("download_bytes"):
        lines.append(f"fetched  by cllab data NAME --download ({size(facts['download_bytes'])})")
    if facts.get("home"):
        lines.append(f"home     {facts['home']}")
    return lines


def _parameters(spec: ComponentSpec, paper: Paper, width: int) -> str:
    fields = [*spec.fields, *COMMON.get(spec.kind, ())]
    if not fields:
        return ""
    lines = [paper.bold("parameters")]
    for item in fields:
        key = f"  {spec.kind}.{item.name} = {_written(item.default)}"
        fits = len(key) + 3 + len(item.allowed()) <= width
        lines.append(f"{key}   {paper.dim(item.allowed())}" if fits else key)
        if not fits:
            lines += [
                paper.dim(line)
                for line in textwrap.wrap(
                    item.allowed(), width - 6, initial_indent="      ", subsequent_indent="      "
                )
            ]
        lines.append(textwrap.fill(_help(item), width, initial_indent="      ", subsequent_indent="      "))
    return "\n".join(lines)


def _help(item: FieldSpec) -> str:
    extras = [item.source] if item.source else []
    if item.has_reference:
        extras.append(f"{_written(item.reference)} under fidelity = reference")
    return item.help + (f" ({'; '.join(extras)})" if extras else "")


def _written(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]"
    return '""' if value in ("", None) else setting(value)


def _metric(metric: Metric, paper: Paper) -> str:
    better = "higher is better" if metric.higher_is_better else "lower is better"
    return "\n".join(
        [
            f"{paper.bold(metric.name)}: {metric.title} (metric, {better})",
            "",
            wrapped(metric.help, min(paper.width, 100)),
            "",
            f"formula  {metric.formula}",
            "         R[i,j]: accuracy on task j after learning task i; a[i]: over all classes seen so far",
            f"source   {metric.source}",
        ]
    )


def _preset(preset: Preset, catalog: Catalog, paper: Paper, sets: Sequence[str]) -> str:
    config = preset.config.override(sets, base=preset.path.parent) if sets else preset.config
    parts = [f"{paper.bold(preset.name)} (preset)"]
    parts.append(
        "\n".join(wrapped(line, min(paper.width, 100)) for line in (preset.comment or preset.about).splitlines())
    )
    parts.append(settings_text(config.to_dict(), catalog, paper))
    if preset.expect:
        parts.append("\n".join([paper.bold("claims"), *(f"  {claim(e, paper)}" for e in preset.expect)]))
    own = config.dataset.values.get("n_classes")
    dataset, file = config.dataset, str(config.dataset.values.get("file", ""))
    root = dataset.common.get("root") or None
    scenario = config.scenario
    source = Source(dataset.name, own, file, root, config.seed)
    parts.append(picture(scenario.name, scenario.values, source, catalog, paper))
    command = ["cllab", "run", "--headless", preset.name, *(part for item in sets for part in ("--set", item))]
    parts.append(f"run it   {clean(shlex.join(command))}")
    return "\n\n".join(part for part in parts if part)


def claim(expectation: presets.Expectation, paper: Paper) -> str:
    """A claim in words."""
    title = METRICS[expectation.metric].title
    tolerance = f"{percent(expectation.tolerance, 2)} {unit(expectation.metric)}"
    value = f"{percent(expectation.value, 2)} {paper.plus_minus} {tolerance}"
    fidelity = f", fidelity {expectation.fidelity}" if expectation.fidelity else ""
    source = f" ({expectation.source})" if expectation.source else ""
    return f"{title} {value} over seeds {seeds_text(expectation.seeds)}{fidelity}{source}"
