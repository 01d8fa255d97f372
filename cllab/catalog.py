"""Every component as plain data, without importing one.

The built-in components are described in `catalog.json`, written by `python -m cllab.registry --write` and held fresh by
a test. A user's own method file is described in a subprocess and cached by its content.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from cllab.errors import UsageError, nearest
from cllab.spec import ComponentSpec

KINDS = ("method", "dataset", "scenario", "memory", "model")
PLURALS = {k: f"{k}s" if k != "memory" else "memories" for k in KINDS}
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
    """The built-in components and the methods of installed packages (entry-point group `cllab.methods`)."""
    data = json.loads(BUILT_IN.read_text(encoding="utf-8"))
    catalog = Catalog(tuple(ComponentSpec.from_dict(item) for item in data))
    entries = importlib.metadata.entry_points(group="cllab.methods")
    return catalog.with_components([_describe([f"{e.name}={e.value}"], _entry_key(e)) for e in entries])


def _entry_key(entry: importlib.metadata.EntryPoint) -> str:
    version = entry.dist.version if entry.dist is not None else ""
    return f"{entry.name}={entry.value}@{version}"


def describe_file(path: Path) -> ComponentSpec:
    """The method in `path` as data.

    Raises:
        UsageError: when the file is missing or holds no method; the message names the file.
    """
    if not path.is_file():
        raise UsageError(f"method.file: no file '{path}'")
    return _describe([str(path.resolve())], path.read_bytes().hex() + str(path.resolve()))


def _describe(arguments: list[str], key: str) -> ComponentSpec:
    from cllab import __version__

    stamp = f"{__version__}/{BUILT_IN.stat().st_mtime_ns}/{key}"
    digest = hashlib.blake2b(stamp.encode(), digest_size=12).hexdigest()
    cached = cache_folder() / "catalog" / f"{digest}.json"
    if cached.is_file():
        return ComponentSpec.from_dict(json.loads(cached.read_text(encoding="utf-8")))
    done = subprocess.run(
        [sys.executable, "-m", "cllab.registry", "--describe", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise UsageError(f"method.file '{arguments[0]}': {lines[-1] if lines else 'cannot be imported'}")
    spec = ComponentSpec.from_dict(json.loads(done.stdout))
    cached.parent.mkdir(parents=True, exist_ok=True)
    part = cached.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(spec.to_dict()), encoding="utf-8")
    part.replace(cached)
    return spec


def cache_folder() -> Path:
    """Where decoded data and descriptions are kept: $CLLAB_CACHE, else the platform's cache folder."""
    return Path(os.environ.get("CLLAB_CACHE") or user_cache_dir("cllab", appauthor=False))
