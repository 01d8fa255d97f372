"""Finds components by their files: one public class a file, named like the file.

`python -m cllab.settings.registry --write` describes every built-in component in `catalog.json` for the light half;
`--describe FILE` prints one method of a user.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from cllab.errors import UsageError
from cllab.settings.catalog import BUILT_IN, KINDS, entries
from cllab.settings.spec import ComponentSpec, fields_of

PACKAGES = {
    "method": "cllab.methods",
    "dataset": "cllab.data",
    "scenario": "cllab.scenarios",
    "memory": "cllab.memory",
    "model": "cllab.models",
}


def _base(kind: str) -> type:
    bases = {
        "method": ("cllab.methods.base", "Method"),
        "dataset": ("cllab.data.source", "DatasetSource"),
        "scenario": ("cllab.scenarios.base", "Scenario"),
        "memory": ("cllab.memory.base", "Memory"),
        "model": ("cllab.models.base", "Model"),
    }
    module, name = bases[kind]
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def public_class(module: ModuleType, base: type) -> type | None:
    """The one public subclass of `base` that `module` defines, None when there is none."""
    found = [
        c
        for name, c in vars(module).items()
        if inspect.isclass(c)
        and issubclass(c, base)
        and c is not base
        and c.__module__ == module.__name__
        and not name.startswith("_")
    ]
    if len(found) > 1:
        raise UsageError(f"{module.__file__}: one public {base.__name__} a file, found {len(found)}")
    return found[0] if found else None


def modules(kind: str) -> list[tuple[str, str]]:
    """(name users type, module) of every file of a kind that could hold a component."""
    package = importlib.import_module(PACKAGES[kind])
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg)
    return [(n.replace("_", "-"), f"{PACKAGES[kind]}.{n}") for n in names if not n.startswith("_") and n != "base"]


def component(kind: str, name: str, file: str = "") -> Any:
    """The class of a component by the name that users type, from an installed package or a user's method file.

    Raises:
        UsageError: when there is none.
    """
    if file:
        return load_file(Path(file))
    if kind == "method" and name in entries() and name not in [n for n, _ in modules("method")]:
        return load_entry(entries()[name].value)
    module = importlib.import_module(f"{PACKAGES[kind]}.{name.replace('-', '_')}")
    found = public_class(module, _base(kind))
    if found is None:
        raise UsageError(f"no {kind} '{name}'")
    return found


def load_entry(value: str) -> Any:
    """The method that a package announces as `module` or `module:Class`; the package is imported.

    Raises:
        UsageError: when it cannot be imported or is no method.
    """
    module, _, attribute = value.partition(":")
    try:
        loaded = importlib.import_module(module)
        found = getattr(loaded, attribute) if attribute else public_class(loaded, _base("method"))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"'{value}' cannot be imported: {type(error).__name__}: {error}") from error
    if not inspect.isclass(found) or not issubclass(found, _base("method")):
        raise UsageError(f"'{value}' is no subclass of cllab.methods.base.Method")
    return found


def load_file(path: Path) -> Any:
    """The method class in a user's file; the file is run.

    Raises:
        UsageError: when it cannot be imported or holds no method.
    """
    name = f"cllab_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"'{path}' cannot be imported: {type(error).__name__}: {error}") from error
    found = public_class(module, _base("method"))
    if found is None:
        raise UsageError(f"'{path}' holds no public subclass of cllab.methods.base.Method")
    return found


def describe(kind: str, name: str, cls: Any) -> ComponentSpec:
    """A component as plain data.

    Raises:
        UsageError: when it has no docstring or its declarations are not complete.
    """
    module = sys.modules[cls.__module__]
    doc = inspect.cleandoc(module.__doc__ or "")
    if not doc:
        raise UsageError(f"{module.__file__}: begin with a docstring whose first line says the idea")
    info = cls.info
    facts = {k: v for k, v in asdict(info).items() if k not in ("title", "paper", "family")}
    for key, value in facts.items():
        if isinstance(value, (set, frozenset)):
            facts[key] = sorted(value)
    return ComponentSpec(
        kind=kind,
        name=name,
        title=info.title,
        summary=doc.splitlines()[0].rstrip("."),
        paper=info.paper,
        fields=fields_of(cls.Config),
        doc=doc,
        family=getattr(info, "family", ""),
        facts=facts,
    )


def describe_all() -> list[ComponentSpec]:
    """Every built-in component, by kind and name."""
    specs = []
    for kind in KINDS:
        for name, module in modules(kind):
            cls = public_class(importlib.import_module(module), _base(kind))
            if cls is not None:
                specs.append(describe(kind, name, cls))
    return specs


def catalog_text() -> str:
    """What `catalog.json` should hold."""
    return json.dumps([s.to_dict() for s in describe_all()], indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Entry point of `python -m cllab.settings.registry`."""
    if arguments == ["--write"]:
        BUILT_IN.write_text(catalog_text(), encoding="utf-8")
        return 0
    if len(arguments) == 2 and arguments[0] == "--describe":
        try:
            target = arguments[1]
            name, sign, value = target.partition("=")
            if sign and not Path(target).is_file():
                cls = load_entry(value)
            else:
                cls = load_file(Path(target))
                name = Path(target).stem.replace("_", "-")
            print(json.dumps(describe("method", name, cls).to_dict()))
        except Exception as error:  # a declaration can be wrong in as many ways as code can
            told = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
            print(" ".join(told.split()), file=sys.stderr)
            return 2
        return 0
    print("usage: python -m cllab.settings.registry --write | --describe FILE", file=sys.stderr)
    return 2


if __name__ == "__main__":
    # run as a module this file exists twice; the imported one holds the classes' module
    from cllab.settings.registry import main as _main

    sys.exit(_main(sys.argv[1:]))
