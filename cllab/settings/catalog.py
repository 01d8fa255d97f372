"""Every component as plain data, without importing one.

The built-in components are described in `catalog.json`, written by `python -m cllab.settings.registry --write` and held
fresh by a test. A user's own method file is described in a subprocess and cached by its content.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from cllab.errors import UsageError, nearest
from cllab.io import files
from cllab.settings.spec import ComponentSpec
from cllab.text import clean, clip

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

KINDS = ("method", "dataset", "scenario", "memory", "model")
PLURALS = {k: f"{k}s" if k != "memory" else "memories" for k in KINDS}
PATIENCE_SECONDS = 120
"""How long the import of somebody's method may take; that of torch is part of it."""
BUILT_IN = Path(__file__).with_name("catalog.json")


@dataclass(frozen=True)
class Catalog:
    """Components by kind and name."""

    components: tuple[ComponentSpec, ...]

    def names(self, kind: str) -> list[str]:
        """Names of one kind, in catalogue order."""
        return [c.name for c in self.components if c.kind == kind]

    def all(self, kind: str) -> list[ComponentSpec]:
        """Components of one kind."""
        return [c for c in self.components if c.kind == kind]

    def get(self, kind: str, name: str) -> ComponentSpec:
        """The component.

        Raises:
            UsageError: naming the nearest known one.
        """
        for component in self.components:
            if component.kind == kind and component.name == name:
                return component
        names = self.names(kind)
        raise UsageError(f"no {kind} '{name}'{nearest(name, names) or '; known: ' + ', '.join(names)}")

    def find(self, name: str) -> list[ComponentSpec]:
        """Components of any kind with this name."""
        return [c for c in self.components if c.name == name]

    def with_components(self, more: Iterable[ComponentSpec]) -> Catalog:
        """This catalogue and `more`, which replace components of the same kind and name."""
        extra = tuple(more)
        taken = {(c.kind, c.name) for c in extra}
        return Catalog(tuple(c for c in self.components if (c.kind, c.name) not in taken) + extra)

    def with_file(self, path: Path) -> Catalog:
        """This catalogue and the method in a user's file, which is run in a subprocess to be described."""
        return self.with_components([describe_file(path)])


@functools.cache
def load() -> Catalog:
    """The built-in components and the methods of installed packages (entry-point group `cllab.methods`).

    A package whose method cannot be used costs one warning, and nothing else.
    """
    data = json.loads(BUILT_IN.read_text(encoding="utf-8"))
    catalog = Catalog(tuple(ComponentSpec.from_dict(item) for item in data))
    own = []
    for name, entry in sorted(entries().items()):
        try:
            if name in catalog.names("method"):
                raise UsageError("there is a built-in method of that name")
            own.append(_announced(entry))
        except (UsageError, OSError) as error:
            package = f" of package '{entry.dist.name}'" if entry.dist is not None else ""
            line = clip(clean(f"method '{name}'{package} is left out: {error}"))
            print(f"cllab: warning: {line}", file=sys.stderr)
    return catalog.with_components(own)


@functools.cache
def entries() -> dict[str, EntryPoint]:
    """What installed packages announce as methods, by the name that users type."""
    import importlib.metadata  # with the parsers of mail that it brings: a fifth of what opening a run imports

    return {e.name: e for e in importlib.metadata.entry_points(group="cllab.methods")}


def _announced(entry: EntryPoint) -> ComponentSpec:
    """The method of a package as data; why there is none is remembered until something is installed."""
    key = _entry_key(entry)
    problem = _cached(f"{key} {[_changed(folder) for folder in sys.path]}", ".txt")
    told = ""
    with contextlib.suppress(OSError):
        told = problem.read_text(encoding="utf-8")
    if told:
        raise UsageError(told)
    try:
        return _describe([f"{entry.name}={entry.value}"], key)
    except UsageError as error:
        _remember(problem, str(error))
        raise


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _entry_key(entry: EntryPoint) -> str:
    """Changes with the package's version, and with its file where that is one of a working tree."""
    version = entry.dist.version if entry.dist is not None else ""
    path: list[str] | None = None
    stamp = ""
    for part in entry.module.split("."):
        # the finder of the parent's folder, so that no package is imported only to be found
        spec = importlib.machinery.PathFinder.find_spec(part, path)
        if spec is None:
            break
        path = list(spec.submodule_search_locations or ())
        stamp = f"{spec.origin} {os.stat(spec.origin).st_mtime_ns}" if spec.origin and spec.has_location else ""
    return f"{entry.name}={entry.value}@{version} {stamp}"


def describe_file(path: Path) -> ComponentSpec:
    """The method in `path` as data.

    Raises:
        UsageError: when the file is missing or holds no method; the message names the file.
    """
    if not files.is_file(path):
        raise UsageError(f"method.file: no file '{path}'")
    whole = os.path.realpath(path)
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise files.unreadable(error, path) from None
    try:
        return _describe([whole], content.hex() + whole)
    except UsageError as error:
        raise UsageError(f"method.file '{path}': {error}") from None


def _describe(arguments: list[str], key: str) -> ComponentSpec:
    cached = _cached(key, ".json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there yet, or torn: described anew
        return ComponentSpec.from_dict(json.loads(cached.read_text(encoding="utf-8")))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cllab.settings.registry", "--describe", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"its import takes longer than {PATIENCE_SECONDS} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise UsageError(lines[-1].removeprefix("cllab: ") if lines else "it cannot be imported")
    try:
        # whatever the file prints while it is imported stands before the description
        spec = ComponentSpec.from_dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"its description cannot be read ({type(error).__name__})") from None
    _remember(cached, json.dumps(spec.to_dict()))
    return spec


def _cached(key: str, suffix: str) -> Path:
    from cllab import __version__

    stamp = f"{__version__}/{BUILT_IN.stat().st_mtime_ns}/{key}"
    return cache_folder() / "catalog" / f"{hashlib.blake2b(stamp.encode(), digest_size=12).hexdigest()}{suffix}"


def _remember(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to stop
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def cache_folder() -> Path:
    """Where decoded data and descriptions are kept: $CLLAB_CACHE, else the platform's cache folder."""
    return Path(os.environ.get("CLLAB_CACHE") or user_cache_dir("cllab", appauthor=False))
