"""What the catalogue knows, as text for a screen: components, their hyper-parameters, metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from cllab.settings.catalog import Catalog
from cllab.settings.spec import ComponentSpec, FieldSpec
from cllab.settings.tables import COMMON, SECTIONS
from cllab.tui.glyphs import Glyphs
from cllab.tui.search import ranked
from cllab.tui.theme import RGB, Palette, style
from cllab.tui.units import size
from cllab.tui.words import show

if TYPE_CHECKING:
    from cllab.metrics import Metric

HEADINGS = {
    "method": "Methods",
    "scenario": "Scenarios",
    "memory": "Memory policies",
    "dataset": "Datasets",
    "model": "Models",
    "metric": "Metrics",
    "settings": "Settings of a run",
}
NEEDS = {
    "memory": "a memory",
    "boundaries": "to be told when a task ends",
    "task-labels": "the task's number",
    "past-data": "all earlier data",
    "stores_nothing": "no memory",
}


@dataclass(frozen=True)
class Page:
    """One entry of the Explain screen; `key` is kind/name."""

    kind: str
    name: str
    title: str
    summary: str
    thing: ComponentSpec | Metric

    @property
    def key(self) -> str:
        """What lists call it."""
        return f"{self.kind}/{self.name}"

    @property
    def words(self) -> str:
        """Everything it says besides its name and title; words of parameters count."""
        if isinstance(self.thing, ComponentSpec):
            fields = " ".join(f"{f.name} {f.help} {f.source}" for f in self.thing.fields)
            return f"{self.summary} {self.thing.doc} {self.thing.paper} {self.thing.family} {fields}"
        return f"{self.summary} {self.thing.source} {self.thing.formula}"


def pages(catalog: Catalog) -> list[Page]:
    """Every page, by kind."""
    from cllab.metrics import METRICS

    found = [
        Page(kind, c.name, c.title, c.summary, c)
        for kind in ("method", "scenario", "memory", "dataset", "model")
        for c in catalog.all(kind)
    ]
    found += [Page("metric", m.name, m.title, m.help, m) for m in METRICS.values()]
    found += [Page("settings", c.name, c.title, c.summary, c) for c in SECTIONS]
    return found


def paper_link(paper: str) -> str:
    """The address of a paper, empty when its name is no address."""
    found = re.search(r"arXiv:(\d{4}\.\d{4,5})", paper)
    if found:
        return f"https://arxiv.org/abs/{found[1]}"
    return paper if paper.startswith(("http://", "https://")) else ""


def page_text(page: Page, palette: Palette, glyphs: Glyphs) -> Text:
    """The whole page."""
    if isinstance(page.thing, ComponentSpec):
        return component_text(page.thing, palette, glyphs, whole=True)
    return _metric_text(page.thing, palette)


def component_text(spec: ComponentSpec, palette: Palette, glyphs: Glyphs, *, whole: bool = False) -> Text:
    """What a component is, with its paper; with `whole`, also its facts and parameters."""
    strong, muted = style(palette.focus, bold=True), style(palette.muted)
    text = Text()
    text.append(spec.title, strong)
    if spec.name != spec.title:
        text.append(f"  {spec.name}", muted)
    year = spec.facts.get("year")
    about = [spec.family, str(year) if year else "", spec.paper]
    line = glyphs.sep.join(part for part in about if part)
    if line:
        text.append(f"\n{line}", muted)
    text.append(f"\n{spec.summary}.\n" if whole else f"\n{spec.summary}.", style(palette.text))
    body = spec.doc.partition("\n")[2].strip()
    if body:
        text.append("\n")
        text.append_text(marked(reflow(body), palette, palette.text if whole else palette.muted))
    if not whole:
        return text
    facts = _facts(spec)
    if facts:
        text.append("\n")
        for name, value in facts:
            text.append(f"\n{name:<14}", muted)
            text.append(value, style(palette.text))
    fields = (*spec.fields, *COMMON.get(spec.kind, ()))
    if fields:
        text.append("\n\nParameters", strong)
        for item in fields:
            text.append("\n\n")
            text.append_text(field_text(item, f"{spec.kind}.{item.name}", palette, glyphs))
    return text


def field_text(
    spec: FieldSpec, key: str, palette: Palette, glyphs: Glyphs, *, value: Any = None, error: str = ""
) -> Text:
    """A hyper-parameter: what it is, what it may be, where it comes from."""
    strong, muted, plain = style(palette.focus, bold=True), style(palette.muted), style(palette.text)
    text = Text()
    text.append(key, strong)
    text.append(f"  default {show(spec.default)}", muted)
    if spec.has_reference:
        text.append(f"{glyphs.sep}published code {show(spec.reference)}", muted)
    if error:
        text.append(f"\n! {error}", style(palette.lost, bold=True))
    text.append(f"\n{spec.help}", plain)
    allowed = spec.allowed() + (", or none" if spec.optional else "") + (", on a logarithmic scale" if spec.log else "")
    text.append(f"\n{allowed[:1].upper()}{allowed[1:]}", muted)
    if spec.source:
        text.append(f"{glyphs.sep}source: {spec.source}", muted)
    return text


def _metric_text(metric: Metric, palette: Palette) -> Text:
    muted, plain = style(palette.muted), style(palette.text)
    text = Text()
    text.append(metric.title, style(palette.focus, bold=True))
    text.append(f"  {metric.name}\n" if metric.name != metric.title else "\n", muted)
    text.append(f"\n{metric.help}\n", plain)
    text.append(f"\n  {metric.formula}\n", style(palette.focus, bold=True))
    text.append(
        "\nR[i,j] is the accuracy on task j after learning task i, a[i] the accuracy over all classes seen", muted
    )
    text.append(" after task i, E the number of tasks; all are fractions from 0 to 1.\n", muted)
    text.append(f"\n{'Higher' if metric.higher_is_better else 'Lower'} is better.\n", plain)
    text.append(f"\nSource: {metric.source}", muted)
    return text


def _facts(spec: ComponentSpec) -> list[tuple[str, str]]:
    facts: Mapping[str, Any] = spec.facts
    out: list[tuple[str, str]] = []

    def say(name: str, value: object) -> None:
        if value not in (None, "", [], {}, ()):
            out.append((name, str(value)))

    if spec.kind == "method":
        say("needs", ", ".join(NEEDS.get(n, n) for n in facts.get("needs", ())))
        say("memory policy", facts.get("memory"))
        say("policies", ", ".join(facts.get("policies") or ()))
        inert = facts.get("inert")
        if inert:
            say("inert when", ", ".join(f"{k} = {show(v)}" for k, v in inert.items()) + " (then it is fine-tuning)")
        reference = facts.get("reference")
        if reference:
            say("published", ", ".join(f"{k} = {show(v)}" for k, v in reference.items()))
    elif spec.kind == "dataset":
        shape = facts.get("shape")
        if shape:
            say("images", f"{shape[1]} x {shape[2]}, {'gray' if shape[0] == 1 else 'color'}")
        say("classes", facts.get("n_classes"))
        if facts.get("n_train"):
            say("samples", f"{facts['n_train']} to learn, {facts.get('n_test')} to test")
        say("download", size(facts["download_bytes"]) if facts.get("download_bytes") else "")
        say("model", facts.get("model"))
        say("home", facts.get("home"))
    elif spec.kind == "scenario":
        say("boundaries", "the learner is told when a task ends" if facts.get("has_boundaries", True) else "none")
        say("task labels", "given at test time" if facts.get("has_task_labels") else "not given")
        own = facts.get("has_class_tasks", True)
        shared = "come back in later tasks" if facts.get("needs_sessions") else "all tasks share them"
        say("classes", "every task has its own" if own else shared)
        say("needs", "samples that come in sessions" if facts.get("needs_sessions") else "")
    elif spec.kind == "memory":
        say("score", facts.get("score"))
        say("filled", "at the end of a task" if facts.get("per_task") else "at every step")
        for name, why in (facts.get("refuses") or {}).items():
            say(f"not with {name}", why)
    elif spec.kind == "model":
        smallest = facts.get("min_size", 1)
        say("images", f"of at least {smallest} pixels" if smallest > 1 else "of any size")
    return out


def reflow(text: str) -> str:
    """A docstring's paragraphs as one line each; lines of a list stay lines."""
    out: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare:
            out.append("")
        elif out and out[-1] and not bare.startswith(("- ", "* ")):
            out[-1] += " " + bare
        else:
            out.append(bare)
    return "\n".join(out)


def marked(text: str, palette: Palette, color: RGB) -> Text:
    """Prose in one color, what stands between backticks in another and without them."""
    out = Text()
    for i, part in enumerate(re.split(r"`+([^`\n]+)`+", text)):
        out.append(part, style(palette.focus) if i % 2 else style(color))
    return out


def search(found: Iterable[Page], needle: str) -> list[Page]:
    """The pages that match, best first."""
    return ranked(needle, found, lambda p: (p.name, p.title, p.words))
