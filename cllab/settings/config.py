"""A run's configuration: read from TOML, checked against the declarations, overridden, written back complete."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cllab.errors import UsageError, nearest
from cllab.io import files
from cllab.settings import budgets
from cllab.settings.catalog import Catalog, load
from cllab.settings.spec import ComponentSpec, FieldSpec
from cllab.settings.tables import (
    COMMON,
    DEFAULT_CAPACITY,
    NAMED_WEIGHTS,
    SECTIONS,
    TABLES,
    TOP,
    BaseConfig,
    EvaluateConfig,
    TrainConfig,
    without_later,
)
from cllab.text import clean, shown


@dataclass(frozen=True)
class Choice:
    """A component by name with its complete values; `common` holds the keys of its kind (root, capacity, file)."""

    name: str
    values: Mapping[str, Any]
    common: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on, complete and checked.

    `given` keeps what was asked for, so that an override of one key lets the others follow their defaults again;
    `specs` are the declarations of its components, in the order of their fields.
    """

    name: str
    about: str
    seed: int
    device: str
    fidelity: str
    dataset: Choice
    scenario: Choice
    model: Choice
    memory: Choice
    method: Choice
    base: BaseConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    specs: tuple[ComponentSpec, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def from_toml(
        cls,
        text: str,
        catalog: Catalog | None = None,
        *,
        where: str = "preset",
        base: Path | None = None,
        run_files: bool = True,
    ) -> RunConfig:
        """The configuration in `text`.

        Args:
            where: what error messages call the text.
            base: folder that `method.file` is relative to.
            run_files: whether that file may be run to be described.

        Raises:
            UsageError: one line with file, line, key, value and what is allowed.
        """
        try:
            data = files.toml(text)
        except ValueError as error:
            raise UsageError(f"{where}: not TOML: {error}") from None
        try:
            return cls.from_dict(data, catalog, base=base, default_name=Path(where).stem, run_files=run_files)
        except UsageError as error:
            raise UsageError(f"{_place(where, text, str(error))}: {error}") from None

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        catalog: Catalog | None = None,
        *,
        base: Path | None = None,
        default_name: str = "run",
        checked: bool = True,
        run_files: bool = True,
    ) -> RunConfig:
        """The configuration in nested mappings, checked and completed.

        With `checked = False` a combination that cannot work is let through, for a form that asks `rules.problems` what
        is wrong with it; unknown names and bad values are refused all the same. Without `run_files` the file of a
        method is not run to be described: `catalog` has to know the method by its name.
        """
        known = [f.name for f in TOP] + [*TABLES, "expect"]
        for key, value in data.items():
            if key not in known:
                raise UsageError(f"no key '{key}'{nearest(key, known) or '; known: ' + ', '.join(known)}")
            if key in TABLES and not isinstance(value, Mapping):
                raise UsageError(f"{key} must be a table: [{key}]")
        top = _parse(TOP, {k: v for k, v in data.items() if k not in (*TABLES, "expect")}, "")
        fidelity = top["fidelity"]
        tables: dict[str, dict[str, Any]] = {t: dict(data.get(t, {})) for t in TABLES}
        catalog = catalog or load()

        for needed in ("method", "dataset"):
            if "name" not in tables[needed] and not (needed == "method" and tables["method"].get("file")):
                raise UsageError(f"{needed}.name is missing; known: {', '.join(catalog.names(needed))}")
        own_file = tables["method"].get("file")
        if own_file:
            if not isinstance(own_file, str):
                raise UsageError(f"method.file must be text, not {shown(own_file)}")
            if "\0" in own_file:
                raise UsageError(f"method.file: {shown(own_file)} cannot be a path")
            path = files.expand(own_file)
            path = path if path.is_absolute() else (base or Path.cwd()) / path
            tables["method"]["file"] = os.path.realpath(path)
            if run_files:
                from cllab.settings.catalog import describe_file

                spec = describe_file(path)
                catalog = catalog.with_components([spec])
                named = tables["method"].setdefault("name", spec.name)
                if named != spec.name:
                    raise UsageError(f"method.name = {shown(named)}, but the method in '{own_file}' is '{spec.name}'")
            elif "name" not in tables["method"]:
                raise UsageError("method.name is missing, and its file is not run only to be looked at")
        weights = tables["model"].get("weights")
        if isinstance(weights, str) and weights not in NAMED_WEIGHTS:
            place = files.expand(weights)
            tables["model"]["weights"] = os.path.realpath(
                place if place.is_absolute() else (base or Path.cwd()) / place
            )
        method = _component(catalog, "method", tables["method"]["name"])
        dataset = _component(catalog, "dataset", tables["dataset"]["name"])
        tables["scenario"].setdefault("name", "disjoint")
        tables["model"].setdefault("name", dataset.facts.get("model", "mlp400"))
        tables["memory"].setdefault("name", method.facts.get("memory", "reservoir"))
        if "bytes" in tables["memory"]:
            tables["memory"]["bytes"] = budgets.text(tables["memory"]["bytes"])
        if "memory" in method.facts.get("needs", ()):
            tables["memory"].setdefault("capacity", DEFAULT_CAPACITY)
        quirks: Mapping[str, Any] = method.facts.get("reference", {}) if fidelity == "reference" else {}
        for key, value in quirks.items():
            table, name = key.split(".", 1)
            # a quirk of one policy's says nothing about another one
            own = _component(catalog, table, tables[table]["name"]).fields if table in COMMON else ()
            if table in COMMON and name not in {f.name for f in (*COMMON[table], *own)}:
                continue
            if table in tables:
                tables[table].setdefault(name, value)

        norm = tables["model"].get("norm")
        if norm in ("batch", "renorm"):
            # said by a word: whether, where a network can do without, and which
            optional = any(f.name == "norm" for f in _component(catalog, "model", tables["model"]["name"]).fields)
            tables["model"] |= {"renorm": norm == "renorm", "norm": True}
            if not optional:
                del tables["model"]["norm"]

        choices: dict[str, Choice] = {}
        specs: list[ComponentSpec] = []
        for kind in ("dataset", "scenario", "model", "memory", "method"):
            chosen = tables[kind]
            name = chosen.pop("name")
            spec = _component(catalog, kind, name)
            specs.append(spec)
            common_names = [f.name for f in COMMON[kind]]
            own_names = [f.name for f in spec.fields]
            for key in chosen:
                if key not in common_names and key not in own_names:
                    hint = nearest(key, [*own_names, *common_names])
                    raise UsageError(f"{kind}.{key}: no parameter '{key}' in {kind} '{name}'{hint}")
            common = _parse(COMMON[kind], {k: v for k, v in chosen.items() if k in common_names}, f"{kind}.", fidelity)
            try:
                values = spec.parse({k: v for k, v in chosen.items() if k in own_names}, fidelity=fidelity)
            except UsageError as error:
                raise UsageError(f"{kind}.{error}") from None
            choices[kind] = Choice(name, values, common)
        parsed = {s.name: _parse(s.fields, tables[s.name], f"{s.name}.", fidelity) for s in SECTIONS}
        config = cls(
            name=clean(top["name"] or default_name),
            about=clean(top["about"]),
            seed=top["seed"],
            device=top["device"],
            fidelity=fidelity,
            base=BaseConfig(**parsed["base"]),
            train=TrainConfig(**parsed["train"]),
            evaluate=EvaluateConfig(**parsed["evaluate"]),
            given={k: (dict(v) if isinstance(v, Mapping) else v) for k, v in data.items()},
            specs=tuple(specs),
            **choices,
        )
        config = budgets.resolved(config)
        if checked:
            from cllab.settings.rules import check

            check(config, catalog)
        return config

    def override(
        self, assignments: Sequence[str], catalog: Catalog | None = None, *, base: Path | None = None
    ) -> RunConfig:
        """This configuration with `table.key=value` (or `key=value`) assignments applied.

        Raises:
            UsageError: for an assignment that is not one, an unknown key or a bad value.
        """
        data: dict[str, Any] = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in self.given.items()}
        data.setdefault("name", self.name)
        sized = {item.partition("=")[0].strip() for item in assignments} & {f"memory.{key}" for key in budgets.BOTH}
        for key in sized if len(sized) == 1 else ():
            data.get("memory", {}).pop(budgets.BOTH[key.removeprefix("memory.")], None)
        for item in assignments:
            key, sign, text = item.partition("=")
            if not sign:
                raise UsageError(f"--set {item}: expected KEY=VALUE, for example train.lr=0.1")
            key = key.strip()
            table, dot, name = key.partition(".")
            value = parse_value(text.strip())
            if key == "expect":
                raise UsageError(f"--set {item}: what a preset claims is no setting")
            if not dot:
                if table in TABLES:
                    if not isinstance(value, str):
                        raise UsageError(f"--set {item}: expected {table}.KEY=VALUE or {table}=NAME")
                    data[table] = {"name": value}
                else:
                    data[table] = value
                continue
            if table not in TABLES:
                raise UsageError(
                    f"--set {item}: no table '{table}'{nearest(table, TABLES) or '; known: ' + ', '.join(TABLES)}"
                )
            data.setdefault(table, {})
            if name == "name" and data[table].get("name") != value and table in COMMON:
                # another component: only the keys that every one of its kind has make sense for it
                shared = {f.name for f in COMMON[table]}
                data[table] = {k: v for k, v in data[table].items() if k in shared and k != "file"}
            if key == "method.file" and data[table].get("file") != value:
                data[table] = {}
            data[table][name] = value
        try:
            return RunConfig.from_dict(data, catalog, base=base, default_name=self.name)
        except UsageError as error:
            raise UsageError(f"--set {' '.join(assignments)}: {error}" if assignments else str(error)) from None

    def to_dict(self) -> dict[str, Any]:
        """Complete nested mappings: every key, also those at their default."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in TOP}
        for kind in ("dataset", "scenario", "model", "memory", "method"):
            choice: Choice = getattr(self, kind)
            out[kind] = {"name": choice.name, **choice.common, **choice.values}
        for spec in SECTIONS:
            section = getattr(self, spec.name)
            out[spec.name] = {f.name: getattr(section, f.name) for f in fields(section)}
        return out

    def to_toml(self) -> str:
        """The complete configuration as TOML; reading it gives this configuration again."""
        return dump_toml(self.to_dict())

    @property
    def capacity(self) -> int:
        """Samples that the memory may hold: none under a method that keeps none, whatever `memory.capacity` says."""
        keeps = all(spec.facts.get("uses_memory", True) for spec in self.specs if spec.kind == "method")
        return int(self.memory.common["capacity"]) if keeps else 0

    @property
    def signature(self) -> str:
        """A short hash of everything that a number depends on but the seed: equal for the seeds of one experiment.

        Left out: name, device, data folder, how often a task is glanced at, the bytes that a capacity was asked for in,
        and what earlier runs could not ask for where it is not asked for.
        """
        data = without_later(self.to_dict())
        for key in ("name", "about", "seed", "device"):
            data.pop(key)
        data["dataset"].pop("root", None)
        data["memory"].pop("bytes", None)
        data["evaluate"].pop("glances")
        text = json.dumps(data, sort_keys=True, default=list)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def dump_toml(data: Mapping[str, Any]) -> str:
    """Nested mappings one level deep as TOML; None is left out."""
    lines = [f"{k} = {toml_of(v)}" for k, v in data.items() if v is not None and not isinstance(v, Mapping)]
    for table, values in data.items():
        if isinstance(values, Mapping):
            lines += ["", f"[{table}]"]
            lines += [f"{k} = {toml_of(v)}" for k, v in values.items() if v is not None]
    return "\n".join(lines) + "\n"


def toml_of(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML knows the escapes of JSON, and wants one for this character too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_of(v) for v in value) + "]"
    return repr(value)


def _component(catalog: Catalog, kind: str, name: object) -> ComponentSpec:
    if not isinstance(name, str):
        raise UsageError(f"{kind}.name must be text, not {shown(name)}")
    try:
        return catalog.get(kind, name)
    except UsageError as error:
        raise UsageError(f"{kind}.name: {error}") from None


def _parse(
    specs: Sequence[FieldSpec], raw: Mapping[str, Any], prefix: str, fidelity: str = "correct"
) -> dict[str, Any]:
    names = [f.name for f in specs]
    for key in raw:
        if key not in names:
            raise UsageError(f"{prefix}{key}: no key '{key}'{nearest(key, names) or '; known: ' + ', '.join(names)}")
    values = {}
    for spec in specs:
        if spec.name not in raw:
            values[spec.name] = spec.reference if fidelity == "reference" and spec.has_reference else spec.default
            continue
        try:
            values[spec.name] = spec.parse(raw[spec.name])
        except UsageError as error:
            raise UsageError(f"{prefix}{spec.name} {error}") from None
    return values


def parse_value(text: str) -> Any:
    """The right side of an assignment: TOML where it is TOML, text otherwise."""
    try:
        found = files.toml(f"value = {text}")
    except ValueError:
        return text
    # a line break ends the value; what follows would be other settings
    return found["value"] if len(found) == 1 else text


def _place(where: str, text: str, message: str) -> str:
    """`where`, with the line of the key that `message` begins with, when it can be found."""
    found = re.match(r"(?:no key '(?P<bare>[^']+)'|(?P<key>[\w.-]+))", message)
    if not found:
        return where
    key = found["bare"] or found["key"]
    table, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line)
        if header:
            current = header[1]
            if current == key:
                return f"{where}:{number}"
        elif current == table and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
            return f"{where}:{number}"
    return where
