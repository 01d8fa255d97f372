"""Hyper-parameters as data: declared once, read by presets, flags, forms, docs and tests.

A component's `Config` is a frozen dataclass of `param()` fields. `FieldSpec` and `ComponentSpec` are the same
declarations as plain data, which the light half reads from the catalogue without importing the component.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from cllab.errors import UsageError, nearest
from cllab.text import clean, cleaned, shown

_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}
UNSET: Any = dataclasses.MISSING
MOST = 2**63 - 1
"""The largest whole number that an array can hold."""


def param(
    default: Any,
    help: str,
    *,
    source: str = "",
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    reference: Any = UNSET,
) -> Any:
    """A dataclass field that explains itself.

    Args:
        default: the correct algorithm's value.
        help: one sentence, shown wherever the field is.
        source: the symbol or option it has in the paper or the published code.
        low: smallest allowed value, inclusive.
        high: largest allowed value, inclusive.
        log: whether the value lives on a logarithmic scale.
        reference: the value under `fidelity = "reference"`, where the published code differs from the default.
    """
    meta = {"help": help, "source": source, "low": low, "high": high, "log": log}
    if reference is not UNSET:
        meta["reference"] = reference
    if isinstance(default, list):
        default = tuple(default)
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class FieldSpec:
    """One hyper-parameter as data.

    Attributes:
        type: "int", "float", "bool", "str" or "list" (a list of strings); `optional` allows "" for none.
        choices: allowed values of a "str", or of the elements of a "list"; empty for any.
    """

    name: str
    type: str
    default: Any
    help: str
    source: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    reference: Any = None
    has_reference: bool = False

    def parse(self, raw: object) -> Any:
        """`raw` (from TOML, a flag or a form) as a value of this field.

        Raises:
            UsageError: wrong type, out of range or not a choice; the message names what is allowed.
        """
        if self.optional and raw in (None, "", "none"):
            return None
        value = self._convert(raw)
        if self.type == "list":
            for item in value:
                self._check_choice(item)
        elif self.choices:
            self._check_choice(value)
        if self.type in ("int", "float"):
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"must be a finite number, not {value}")
            if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
                told = f"{value:g}" if abs(value) < MOST else shown(value)
                raise UsageError(f"must be {self.allowed()}, not {told}")
            if abs(value) > MOST and self.type == "int":
                raise UsageError(f"must be {self.allowed()} below 2^63, not {shown(value)}")
        return value

    def allowed(self) -> str:
        """What this field accepts, as a phrase."""
        if self.choices:
            kind = "a list of" if self.type == "list" else "one of"
            return f"{kind} {', '.join(self.choices)}"
        phrase = _TYPES[self.type]
        if self.low is not None and self.high is not None:
            phrase += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            phrase += f" of at least {self.low:g}"
        elif self.high is not None:
            phrase += f" of at most {self.high:g}"
        return phrase

    def _convert(self, raw: object) -> Any:
        wrong = UsageError(f"must be {self.allowed()}, not {shown(raw)}")
        if self.type == "bool":
            if isinstance(raw, bool):
                return raw
            if isinstance(raw, str) and raw.lower() in ("true", "false"):
                return raw.lower() == "true"
            raise wrong
        if self.type == "int":
            if isinstance(raw, bool):
                raise wrong
            if isinstance(raw, int):
                return raw
            try:
                if isinstance(raw, str) and raw.strip().lstrip("+-").isdecimal():
                    return int(raw)
                value = float(raw) if isinstance(raw, str) else raw
            except ValueError:
                raise wrong from None
            if isinstance(value, float) and math.isfinite(value) and value.is_integer():
                return int(value)
            raise wrong
        if self.type == "float":
            if isinstance(raw, bool):
                raise wrong
            try:
                return float(raw)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                raise wrong from None
        if self.type == "list":
            if isinstance(raw, str):
                text = raw.strip()
                text = text[1:-1] if text.startswith("[") and text.endswith("]") else text
                return tuple(part.strip().strip("\"'") for part in text.split(",") if part.strip())
            if isinstance(raw, Sequence) and all(isinstance(item, str) for item in raw):
                return tuple(raw)
            raise wrong
        if isinstance(raw, str):
            return raw
        raise wrong

    def _check_choice(self, value: str) -> None:
        if self.choices and value not in self.choices:
            told = shown(value)[1:-1]
            raise UsageError(f"must be {self.allowed()}, not '{told}'{nearest(value, self.choices)}")


@dataclass(frozen=True)
class ComponentSpec:
    """A method, dataset, scenario, memory policy or model as data.

    `facts` holds what the kind adds: a method's `needs`, a dataset's shape, a model's input.
    """

    kind: str
    name: str
    title: str
    summary: str
    paper: str
    fields: tuple[FieldSpec, ...]
    doc: str = ""
    family: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def field(self, name: str) -> FieldSpec | None:
        return next((f for f in self.fields if f.name == name), None)

    def parse(self, raw: Mapping[str, object], *, fidelity: str = "correct") -> dict[str, Any]:
        """A complete table of this component's values.

        Raises:
            UsageError: for an unknown key or a bad value; the message begins with the key.
        """
        names = [f.name for f in self.fields]
        for key in raw:
            if key not in names:
                raise UsageError(f"no parameter '{key}' in {self.kind} '{self.name}'{nearest(key, names)}")
        values: dict[str, Any] = {}
        for spec in self.fields:
            if spec.name in raw:
                try:
                    values[spec.name] = spec.parse(raw[spec.name])
                except UsageError as error:
                    raise UsageError(f"{spec.name} {error}") from None
            elif fidelity == "reference" and spec.has_reference:
                values[spec.name] = spec.reference
            else:
                values[spec.name] = spec.default
        return values

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComponentSpec:
        """The component of `to_dict`, its texts cleaned: a user's file wrote them.

        Raises:
            KeyError, TypeError, ValueError: when `data` is none.
        """

        def restore(raw: Mapping[str, Any]) -> FieldSpec:
            values = cleaned(raw)
            values["choices"] = tuple(values["choices"])
            for key in ("default", "reference"):
                if isinstance(values[key], list):
                    values[key] = tuple(values[key])
            made = FieldSpec(**values)
            plain = (bool, int, float, str, type(None))
            if (
                made.type not in _TYPES
                or not all(isinstance(v, str) for v in (made.name, made.help, made.source, *made.choices))
                or not all(isinstance(v, (*plain, tuple)) for v in (made.default, made.reference))
                or not all(isinstance(v, (int, float, type(None))) for v in (made.low, made.high))
            ):
                raise TypeError(f"not the declaration of a parameter: {shown(raw)}")
            return made

        texts = ("kind", "name", "title", "summary", "paper", "doc", "family")
        if not all(isinstance(data.get(key, ""), str) for key in texts) or not isinstance(data.get("facts", {}), dict):
            raise TypeError(f"not a component: {shown(data)}")
        own = {**cleaned(data), "doc": clean(str(data.get("doc", "")), lines=True)}
        return cls(**{**own, "fields": tuple(restore(f) for f in data["fields"])})


def fields_of(config: type) -> tuple[FieldSpec, ...]:
    """The `FieldSpec`s of a dataclass whose fields were made with `param`: its own first, then those it shares.

    Raises:
        TypeError: when a field has no help or a type that a preset cannot hold.
    """
    hints = typing.get_type_hints(config)
    own = inspect.get_annotations(config)
    specs = []
    for item in sorted(dataclasses.fields(config), key=lambda f: f.name not in own):
        meta = item.metadata
        if "help" not in meta:
            raise TypeError(f"{config.__qualname__}.{item.name} is not declared with param()")
        kind, choices, optional = _kind(hints[item.name], f"{config.__qualname__}.{item.name}")
        specs.append(
            FieldSpec(
                name=item.name,
                type=kind,
                default=item.default,
                help=meta["help"],
                source=meta["source"],
                low=meta["low"],
                high=meta["high"],
                log=meta["log"],
                choices=choices,
                optional=optional,
                reference=meta.get("reference"),
                has_reference="reference" in meta,
            )
        )
    return tuple(specs)


def _kind(hint: Any, where: str) -> tuple[str, tuple[str, ...], bool]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = [a for a in args if a is not type(None)]
        if len(inner) == 1 and len(args) == 2:
            kind, choices, _ = _kind(inner[0], where)
            return kind, choices, True
    if origin is Literal:
        return "str", tuple(args), False
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        kind, choices, _ = _kind(args[0], where)
        if kind == "str":
            return "list", choices, False
    simple = {bool: "bool", int: "int", float: "float", str: "str"}
    if hint in simple:
        return simple[hint], (), False
    raise TypeError(f"{where}: {hint} is not a type a preset can hold")
