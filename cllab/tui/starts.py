"""What a run can be set up from: shipped presets, saved ones, and the last setup."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllab.errors import UsageError
from cllab.io import files
from cllab.settings.catalog import Catalog
from cllab.settings.presets import shipped
from cllab.tui.draft import Base, Draft
from cllab.tui.words import parse_seeds

QUICK = "quickstart"
FIRST = (QUICK, "forgetting")
"""Presets that a newcomer should meet first."""


@dataclass(frozen=True)
class Start:
    """A preset in the list.

    Attributes:
        name: what the command line calls it: its name when it is shipped, else its path.
        about: one sentence.
        given: its keys.
        problem: why it cannot be used, in one sentence.
    """

    name: str
    path: Path
    about: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    shipped: bool = True

    @property
    def label(self) -> str:
        """What a list calls it."""
        return self.path.stem

    def draft(self, catalog: Catalog) -> Draft:
        """A draft that begins here.

        Raises:
            UsageError: when the preset cannot be used.
        """
        if self.problem:
            raise UsageError(self.problem)
        try:
            draft = Draft.of(self.given, with_own_method(self.given, catalog), base=Base(self.name, self.given))
            draft.assignments()
        except UsageError as error:
            raise UsageError(f"preset {self.label}: {error}") from None
        return draft


def read_start(path: Path, *, shipped: bool) -> Start:
    """The preset in `path`; one that cannot be read says so in `problem`."""
    name = path.stem if shipped else _shown(path)
    try:
        data = files.toml(files.read_bytes(path).decode())
    except OSError as error:
        return Start(name, path, problem=f"{path}: {error.strerror}", shipped=shipped)
    except ValueError as error:
        return Start(name, path, problem=f"{path}: not TOML: {error}", shipped=shipped)
    method = data.get("method")
    if isinstance(method, dict) and isinstance(method.get("file"), str) and method["file"]:
        method["file"] = str((path.parent / files.expand(method["file"])).resolve())
    about = data.get("about", "")
    if not isinstance(data.get("method"), Mapping) or not isinstance(data.get("dataset"), Mapping):
        return Start(name, path, problem=f"{path}: names no method or no dataset", shipped=shipped)
    return Start(name, path, about if isinstance(about, str) else "", data, shipped=shipped)


def with_own_method(given: Mapping[str, Any], catalog: Catalog) -> Catalog:
    """`catalog` and the method of a user's own file, when `given` names one.

    Raises:
        UsageError: when the file cannot be used.
    """
    method = given.get("method")
    file = method.get("file") if isinstance(method, Mapping) else None
    return catalog.with_file(files.expand(str(file))) if file else catalog


def starts(saved: Iterable[str] = ()) -> list[Start]:
    """Every preset: the quick look first, then shipped ones, then those saved on this machine that are still there."""
    found = [read_start(path, shipped=True) for path in shipped_paths()]
    return found + [read_start(Path(p), shipped=False) for p in saved if Path(p).is_file()]


def shipped_paths() -> list[Path]:
    """The files of the shipped presets, those for a newcomer first."""
    return sorted(shipped(), key=lambda p: (FIRST.index(p.stem) if p.stem in FIRST else len(FIRST), p.stem))


def read_base(name: str) -> Base | None:
    """The preset that a command line would begin with, None when there is none of that name."""
    if not name:
        return None
    path = Path(name)
    if path.suffix == ".toml":
        start = read_start(path, shipped=False) if path.is_file() else None
    else:
        start = next((read_start(p, shipped=True) for p in shipped_paths() if p.stem == name), None)
    return Base(start.name, start.given) if start is not None and not start.problem else None


def recall(remembered: Mapping[str, Any], catalog: Catalog) -> Draft | None:
    """The remembered draft, None when it no longer makes sense (a component is gone, a hand has edited it)."""
    setup = remembered.get("setup")
    if not isinstance(setup, Mapping):
        return None
    try:
        base = read_base(str(remembered.get("preset", "")))
        draft = Draft.of(
            setup, with_own_method(setup, catalog), base=base, seeds=parse_seeds(str(remembered.get("seeds", "1")))
        )
        draft.assignments()
    except (UsageError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return draft


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def first_draft(quick: Start | None, catalog: Catalog) -> Draft:
    """What the form holds where nothing is remembered: the quick look, else the first of everything there is."""
    if quick is not None:
        with contextlib.suppress(UsageError):
            return quick.draft(catalog)
    return Draft.of({kind: {"name": catalog.names(kind)[0]} for kind in ("method", "dataset")}, catalog)


def base_called(name: str, saved: Iterable[str] = ()) -> Base | None:
    """The shipped or saved preset that gives its runs this name, None when there is none."""
    for start in (read_start(path, shipped=True) for path in shipped_paths() if path.stem == name):
        return Base(start.name, start.given) if not start.problem else None
    for start in (read_start(Path(p), shipped=False) for p in saved if Path(p).is_file()):
        if not start.problem and start.given.get("name", start.label) == name:
            return Base(start.name, start.given)
    return None
