"""A run that is being set up: what was chosen so far, what is wrong with it, and the command that would do the same.

Immutable and free of widgets: the form shows a `Draft` and asks for the next one.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cllab.errors import UsageError
from cllab.settings.budgets import BOTH
from cllab.settings.catalog import Catalog
from cllab.settings.config import RunConfig, dump_toml
from cllab.settings.fronts import cuts_of
from cllab.settings.rules import problems
from cllab.settings.spec import ComponentSpec, FieldSpec
from cllab.settings.tables import COMMON, DEFAULT_CAPACITY, SECTION, TABLES, TOP
from cllab.tui.words import clause, problem_key, seeds_text, show, written

KINDS = ("method", "dataset", "scenario", "model", "memory")
FOREGROUND = ("method.name", "dataset.name", "scenario.name")
"""What a person chose on purpose: never changed to make something else fit."""
UNSET = object()


@dataclass(frozen=True)
class Base:
    """The preset that a draft started from: what the command line names, and what is in it."""

    name: str
    given: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """What a run will be.

    Attributes:
        given: the keys that differ from the defaults, in nested mappings.
        seeds: one run each.
        base: the preset it started from, None when it stands alone.
    """

    catalog: Catalog
    given: Mapping[str, Any]
    seeds: tuple[int, ...] = (1,)
    base: Base | None = None

    @classmethod
    def of(
        cls, given: Mapping[str, Any], catalog: Catalog, *, base: Base | None = None, seeds: tuple[int, ...] = ()
    ) -> Draft:
        """The draft of a preset's keys.

        Raises:
            UsageError: for unknown names and values that are not allowed; a combination that cannot work is let in.
        """
        data = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in given.items() if k != "expect"}
        draft = cls(catalog, data, base=base)
        config = draft.config
        return replace(draft, seeds=seeds or (config.seed,))

    # -- reading

    @functools.cached_property
    def config(self) -> RunConfig:
        """The complete configuration, for the first seed.

        Raises:
            UsageError: for unknown names and values that are not allowed.
        """
        return RunConfig.from_dict({**self.given, "name": self.name}, self.catalog, checked=False)

    @property
    def name(self) -> str:
        """The run's name: what was typed, else the preset's while its parts are the same, else made of the parts."""
        given = self.given.get("name")
        if given and (self.base is None or given != self.base.given.get("name")):
            return str(given)
        parts = {k: str(self._named(self.given, k)) for k in ("method", "dataset", "scenario")}
        if self.base is not None and all(self._named(self.base.given, k) == v for k, v in parts.items()):
            return str(given or self.base.given.get("name") or self.base.name.rpartition("/")[2].removesuffix(".toml"))
        return "-".join(
            part for kind, part in parts.items() if part and not (kind == "scenario" and part == "disjoint")
        )

    @staticmethod
    def _named(given: Mapping[str, Any], kind: str) -> str:
        table = given.get(kind)
        return str(table.get("name", "")) if isinstance(table, Mapping) else ""

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Every key at its value, as `table.key`."""
        flat: dict[str, Any] = {}
        for key, value in self.config.to_dict().items():
            if isinstance(value, Mapping):
                flat.update({f"{key}.{k}": v for k, v in value.items()})
            else:
                flat[key] = value
        return flat

    @functools.cached_property
    def problems(self) -> tuple[str, ...]:
        """Why this combination cannot work, each beginning with the key to change."""
        return tuple(problems(self.config, self.catalog))

    def component(self, kind: str) -> ComponentSpec:
        """The chosen component of a kind."""
        return self.catalog.get(kind, str(self.values[f"{kind}.name"]))

    def fields(self, table: str) -> tuple[FieldSpec, ...]:
        """The declarations of a table's keys; of "" for the keys outside the tables."""
        if table == "":
            return TOP
        if table in SECTION:
            return SECTION[table].fields
        return (*COMMON[table], *self.component(table).fields)

    def field(self, key: str) -> FieldSpec | None:
        """The declaration of `table.key`; the name of a component is a choice of those there are."""
        table, _, name = key.rpartition(".")
        if name == "name" and table in KINDS:
            names = tuple(self.catalog.names(table))
            return FieldSpec(name, "str", "", f"Which {table}", choices=names)
        found = next((f for f in self.fields(table) if f.name == name), None)
        if key == "model.cut" and found is not None:
            parts = cuts_of(self.component("model").facts, self.config.model.values)
            return replace(found, choices=("", *parts)) if parts else found
        return found

    @functools.cached_property
    def base_values(self) -> Mapping[str, Any]:
        """Every key at the value it has in the preset; empty when there is none."""
        return {} if self.base is None else Draft.of(self.base.given, self.catalog, base=self.base).values

    def is_changed(self, key: str) -> bool:
        """Whether `key` differs from the preset; a key that the preset does not have, from its default."""
        if key in self.base_values:
            return bool(self.values[key] != self.base_values[key])
        spec = self.field(key)
        return spec is not None and spec.name != "name" and bool(self.values[key] != spec.default)

    def shortened(self) -> dict[str, Any]:
        """`given` without what equals a default: what a complete configuration says on purpose."""
        names = {k: {"name": self.values[f"{k}.name"]} for k in KINDS}
        out: dict[str, Any] = {k: v for k, v in self.given.items() if not isinstance(v, Mapping)}
        plain = RunConfig.from_dict(
            {**names, **({"fidelity": out["fidelity"]} if "fidelity" in out else {})}, self.catalog, checked=False
        ).to_dict()
        for table in TABLES:
            given = self.given.get(table)
            values = given if isinstance(given, Mapping) else {}
            out[table] = {
                k: v for k, v in values.items() if k == "name" or plain[table].get(k) != self.values[f"{table}.{k}"]
            }
        return {k: v for k, v in out.items() if v != {} and v != ""}

    # -- changing

    def set(self, key: str, value: Any) -> Draft:
        """This draft with one key changed; other keys that fall back to a default follow it."""
        if value is not UNSET and value == self.values.get(key):
            return self
        table, _, name = key.rpartition(".")
        data = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in self.given.items()}
        target = data.setdefault(table, {}) if table else data
        if name == "name" and table in KINDS:
            data[table] = target = self._carried(table, str(value), target)
        if table == "memory" and name in BOTH:
            target.pop(BOTH[name], None)
        if value is UNSET:
            target.pop(name, None)
        elif value is None:
            target[name] = ""
        else:
            target[name] = list(value) if isinstance(value, tuple) else value
        if table and not target and table not in ("method", "dataset"):
            data.pop(table, None)
        draft = replace(self, given=data)
        # what equals the default is not said, so that it goes on following the default
        if (
            value is not UNSET
            and key not in ("method.name", "dataset.name")
            and draft.values.get(key) == self._default(draft, key)
        ):
            draft = draft._without(key)
        return draft

    def _carried(self, table: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The keys that another component of the same kind goes on with: the kind's own, and a stream's outline."""
        kept = {f.name for f in COMMON[table]} - {"file"}
        out = {k: v for k, v in given.items() if k in kept}
        spec = next((c for c in self.catalog.all(table) if c.name == name), None)
        for key in ("tasks", "stream") if table == "scenario" and spec is not None else ():
            declared = spec.field(key) if spec is not None else None
            try:
                if key in given and declared is not None:
                    out[key] = declared.parse(given[key])
            except UsageError:
                continue
        return out

    def choose(self, key: str, value: Any) -> tuple[Draft, tuple[str, ...]]:
        """`set`, and what had to change with it so that the whole can work, in words."""
        draft = self.set(key, value)
        notes = []
        kept = {key, *FOREGROUND}
        for _ in range(8):
            new = [p for p in draft.problems if p not in self.problems and problem_key(p) not in kept]
            if not new:
                break
            changed = problem_key(new[0])
            mended = draft._mend(changed, new[0])
            if mended is None:
                kept.add(changed)
                continue
            now, was = show(mended.values[changed]), show(draft.values[changed])
            notes.append(f"{changed} is now {now} (was {was}): {clause(new[0])}")
            draft = mended
        return draft, tuple(notes)

    def blocked(self, key: str, value: Any) -> str:
        """Why `value` cannot be chosen for `key` with the rest as it is; empty when it can."""
        try:
            draft, _ = self.choose(key, value)
            new = [p for p in draft.problems if p not in self.problems]
        except UsageError as error:
            return str(error)
        if value == self.values.get(key):
            new = [p for p in self.problems if problem_key(p) == key]
        return new[0] if new else ""

    def with_seeds(self, seeds: tuple[int, ...]) -> Draft:
        """This draft for other seeds."""
        if seeds == self.seeds:
            return self
        data = {**self.given, "seed": seeds[0]}
        return replace(self, given=data, seeds=seeds)

    def configs(self) -> list[RunConfig]:
        """A checked configuration per seed.

        Raises:
            UsageError: when the combination cannot work.
        """
        given = {**self.given, "name": self.name}
        return [RunConfig.from_dict({**given, "seed": seed}, self.catalog) for seed in self.seeds]

    def _mend(self, key: str, problem: str) -> Draft | None:
        """This draft with `key` set to the first value that makes `problem` go away and brings no other."""
        for value in self._remedies(key):
            try:
                draft = self.set(key, value)
                if problem not in draft.problems and not set(draft.problems) - set(self.problems):
                    return draft
            except UsageError:
                continue
        return None

    def _remedies(self, key: str) -> Iterator[Any]:
        facts = self.component("dataset").facts
        yield UNSET
        if key == "memory.capacity":
            n_train = facts.get("n_train") or 0
            yield from (n for n in (DEFAULT_CAPACITY, n_train // 10, n_train, 0) if n >= 0)
        if key == "scenario.tasks":
            n_classes = facts.get("n_classes") or 0
            yield from (n for n in (5, n_classes // 2, n_classes, 2) if n > 0)
        spec = self.field(key)
        if spec is not None:
            yield from spec.choices
            if spec.type in ("int", "float"):
                yield from (n for n in (1, 0, spec.low) if n is not None)

    def _without(self, key: str) -> Draft:
        table, _, name = key.rpartition(".")
        data = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in self.given.items()}
        (data.get(table, {}) if table else data).pop(name, None)
        if table and not data.get(table, True):
            data.pop(table)
        return replace(self, given=data)

    @staticmethod
    def _default(draft: Draft, key: str) -> Any:
        return draft._without(key).values.get(key)

    # -- writing

    def assignments(self) -> list[str]:
        """What `--set` must say so that the base preset becomes this draft, seeds aside."""
        if self.base is None:
            return []
        data: dict[str, Any] = {
            k: (dict(v) if isinstance(v, Mapping) else v) for k, v in self.base.given.items() if k != "expect"
        }
        out = []

        def say(key: str) -> None:
            table, _, name = key.rpartition(".")
            value = self.values[key]
            if table:
                data.setdefault(table, {})[name] = value
            else:
                data[name] = value
            out.append(f"{key}={written(value)}")

        def values() -> dict[str, Any]:
            return Draft(self.catalog, data, base=self.base).values

        if values()["fidelity"] != self.values["fidelity"]:
            say("fidelity")
        for kind in ("method", "dataset", "scenario", "model", "memory"):
            if values()[f"{kind}.name"] != self.values[f"{kind}.name"]:
                shared = {f.name for f in COMMON[kind]} - {"file"}
                data[kind] = {k: v for k, v in data.get(kind, {}).items() if k in shared}
                say(f"{kind}.name")
                if kind == "method" and self.values["method.file"]:
                    say("method.file")
        now = values()
        for key, value in self.values.items():
            if key not in ("seed", "name", "about") and now.get(key) != value:
                say(key)
        if self.name != str(self.base.given.get("name") or self.base.name.rpartition("/")[2].removesuffix(".toml")):
            out.append(f"name={written(self.name)}")
        return out

    def command(self, *, runs: str = "") -> str:
        """The line that does the same without the app; empty when there is no preset to begin from."""
        if self.base is None:
            return ""
        parts = ["cllab", "run", "--headless", self.base.name]
        for item in self.assignments():
            parts += ["--set", item]
        if self.seeds != (self.base.given.get("seed", 1),):
            parts += ["--seeds", seeds_text(self.seeds)]
        if runs:
            parts += ["--runs", runs]
        return shlex.join(parts)

    def to_toml(self, *, name: str, about: str) -> str:
        """The draft as a preset: only what differs from the defaults, under a comment that says what it is."""
        data: dict[str, Any] = {"name": name, **({"about": about} if about else {})}
        data |= {k: v for k, v in self.given.items() if k not in ("name", "about") and not isinstance(v, Mapping)}
        data |= {t: self.given[t] for t in TABLES if t in self.given}
        summary = f"{self.component('method').title} on {self.component('dataset').title}"
        seeds = f" --seeds {seeds_text(self.seeds)}" if len(self.seeds) > 1 else ""
        head = (
            f"# {about or summary}\n# Saved from the set-up screen.\n# Run it: cllab run --headless {name}.toml{seeds}"
        )
        return f"{head}\n\n{dump_toml(data)}"

    def remembered(self) -> dict[str, Any]:
        """What to remember, for `Draft.recall`."""
        return {
            "seeds": seeds_text(self.seeds),
            "preset": self.base.name if self.base else "",
            "setup": {k: v for k, v in self.given.items() if k != "expect"},
        }
