"""A run's configuration: read from TOML, checked against the declarations, overridden, written back complete."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from cllab.errors import UsageError, nearest
from cllab.io import files
from cllab.settings.catalog import Catalog, load
from cllab.settings.spec import ComponentSpec, FieldSpec, fields_of, param
from cllab.text import clean, shown

Augmentation = Literal["crop", "flip", "cutout", "randaugment", "autoaugment", "cutmix"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a task is trained."""

    epochs: int = param(
        1, "Passes over a task's stream; an online stream allows one", source="n_epoch", low=0, high=10000
    )
    steps: int = param(
        0,
        "Gradient steps over a task's offline stream, in place of epochs: as many passes as they take, the last cut "
        "short; 0 to count epochs",
        source="iters",
        low=0,
        high=10_000_000,
    )
    memory_epochs: int = param(
        0, "Passes over the memory after a task's stream has passed", source="n_epoch, online", low=0, high=10000
    )
    batch_size: int = param(16, "Samples per step", source="batchsize", low=1, high=65536)
    lr: float = param(0.05, "Learning rate", source="lr", low=0, high=100, log=True)
    optimizer: Literal["sgd", "adam", "radam", "adamw"] = param("sgd", "Optimizer", source="opt_name")
    momentum: float = param(0.9, "Momentum of sgd", low=0, high=1)
    nesterov: bool = param(True, "Nesterov momentum of sgd")
    weight_decay: float = param(
        -1.0, "Weight decay; -1 for the optimizer's own: sgd 1e-4, adam and adamw 1e-6, radam 1e-5", low=-1, high=10
    )
    schedule: Literal["constant", "cos", "multistep", "anneal"] = param(
        "constant",
        "Learning rate over the epochs of a phase: cos restarts with periods 1, 2, 4, ...; multistep drops by 10 after "
        "30, 60, 80, 90 epochs; anneal divides by 1.1 each epoch",
        source="sched_name",
    )
    warmup_scale: float = param(
        1.0, "Share of lr in the first epoch of the memory phase or of an offline task", source="0.1 lr0", low=0, high=1
    )
    stream_lr_scale: float = param(
        1.0, "Share of lr while an online stream passes", source="0.1 in the published code", low=0, high=1
    )
    head: Literal["keep", "reset"] = param(
        "keep", "At a new task: keep the output rows of known classes, or draw the whole output layer anew"
    )
    augment: tuple[Augmentation, ...] = param((), "Augmentations on top of the dataset's own", source="transforms")
    base_augment: Literal["auto", "none", "crop-flip"] = param(
        "auto", "The dataset's own augmentation: auto is crop and flip for natural images, none for digits"
    )
    normalize: Literal["dataset", "unit"] = param(
        "dataset", "Pixels by the dataset's mean and deviation, or only scaled to 0..1"
    )
    precision: Literal["float32", "bfloat16"] = param(
        "float32", "Arithmetic of the forward pass on an accelerator; float32 is the reference"
    )
    threads: int = param(0, "CPU threads; 0 chooses by the size of the model", low=0, high=1024)
    checkpoint_seconds: int = param(60, "Seconds between checkpoints within a task", low=1, high=86400)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """When and how accuracy is measured."""

    every: int = param(0, "In an online stream, evaluate every so many samples; 0 for never", low=0)
    glances: int = param(
        10,
        "Looks at part of the test images within a long task, to be watched and in no metric: at most so many a task, "
        "and 2 % of its work; 0 for none",
        low=0,
        high=1000,
    )
    epochs: bool = param(False, "Evaluate after every epoch of a task's last training phase")
    report: Literal["last", "best"] = param(
        "last", "The accuracy of a task: of the model left behind, or of the best test epoch as published code reports"
    )
    on: Literal["test", "held-out"] = param(
        "test",
        "Images that accuracy is measured on: the test images, or a sixth of the training images of every class, which "
        "is then not trained on; settings are chosen there",
    )
    top_k: int = param(1, "A prediction counts when the class is among the k highest scores", source="topk", low=1)
    future: bool = param(False, "Also evaluate tasks not learned yet, which forward transfer needs")
    batch_size: int = param(0, "Images per forward pass; 0 chooses", low=0)


@dataclass(frozen=True, kw_only=True)
class TopConfig:
    """Keys outside the tables."""

    name: str = param("", "Name of the run; the preset's own when empty")
    about: str = param("", "One sentence on what the preset shows")
    seed: int = param(1, "Seed of every random generator", source="rnd_seed", low=0, high=2**31 - 1)
    device: str = param("auto", "auto, cpu, cuda or cuda:N")
    fidelity: Literal["correct", "reference"] = param(
        "correct", "The correct algorithms, or the published code with its quirks, where the two differ"
    )


@dataclass(frozen=True, kw_only=True)
class DatasetCommon:
    """Keys that every dataset has."""

    root: str = param("", "Data folder when it is not $CLLAB_DATA or the default one")


@dataclass(frozen=True, kw_only=True)
class MemoryCommon:
    """Keys that every memory has."""

    capacity: int = param(0, "Samples the memory may hold", source="K", low=0)


@dataclass(frozen=True, kw_only=True)
class MethodCommon:
    """Keys that every method has."""

    file: str = param("", "A method file of your own, relative to the preset")


TOP = fields_of(TopConfig)
TRAIN = ComponentSpec("train", "train", "Training", "How a task is trained.", "", fields_of(TrainConfig))
EVALUATE = ComponentSpec(
    "evaluate", "evaluate", "Evaluation", "When accuracy is measured.", "", fields_of(EvaluateConfig)
)
COMMON: dict[str, tuple[FieldSpec, ...]] = {
    "dataset": fields_of(DatasetCommon),
    "memory": fields_of(MemoryCommon),
    "method": fields_of(MethodCommon),
    "scenario": (),
    "model": (),
}
TABLES = ("dataset", "scenario", "model", "memory", "method", "train", "evaluate")
DEFAULT_CAPACITY = 200


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
                tables["method"].setdefault("name", spec.name)
            elif "name" not in tables["method"]:
                raise UsageError("method.name is missing, and its file is not run only to be looked at")
        method = _component(catalog, "method", tables["method"]["name"])
        dataset = _component(catalog, "dataset", tables["dataset"]["name"])
        tables["scenario"].setdefault("name", "disjoint")
        tables["model"].setdefault("name", dataset.facts.get("model", "mlp400"))
        tables["memory"].setdefault("name", method.facts.get("memory", "reservoir"))
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
            common = _parse(COMMON[kind], {k: v for k, v in chosen.items() if k in common_names}, f"{kind}.")
            try:
                values = spec.parse({k: v for k, v in chosen.items() if k in own_names}, fidelity=fidelity)
            except UsageError as error:
                raise UsageError(f"{kind}.{error}") from None
            choices[kind] = Choice(name, values, common)
        train = TrainConfig(**_parse(TRAIN.fields, tables["train"], "train.", fidelity))
        evaluate = EvaluateConfig(**_parse(EVALUATE.fields, tables["evaluate"], "evaluate.", fidelity))
        config = cls(
            name=clean(top["name"] or default_name),
            about=clean(top["about"]),
            seed=top["seed"],
            device=top["device"],
            fidelity=fidelity,
            train=train,
            evaluate=evaluate,
            given={k: (dict(v) if isinstance(v, Mapping) else v) for k, v in data.items()},
            specs=tuple(specs),
            **choices,
        )
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
        for kind in ("train", "evaluate"):
            section = getattr(self, kind)
            out[kind] = {f.name: getattr(section, f.name) for f in fields(section)}
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

        Left out: name, device, data folder, and how often a task is glanced at.
        """
        data = self.to_dict()
        for key in ("name", "about", "seed", "device"):
            data.pop(key)
        data["dataset"].pop("root", None)
        data["evaluate"].pop("glances")
        text = json.dumps(data, sort_keys=True, default=list)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def dump_toml(data: Mapping[str, Any]) -> str:
    """Nested mappings one level deep as TOML; None is left out."""
    lines = [f"{k} = {_toml(v)}" for k, v in data.items() if v is not None and not isinstance(v, Mapping)]
    for table, values in data.items():
        if isinstance(values, Mapping):
            lines += ["", f"[{table}]"]
            lines += [f"{k} = {_toml(v)}" for k, v in values.items() if v is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML knows the escapes of JSON, and wants one for this character too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
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
