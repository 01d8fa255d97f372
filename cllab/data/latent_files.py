"""Latents that lie in the cache, listed and cleared. Never imports torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cllab.settings.catalog import cache_folder


@dataclass(frozen=True)
class LatentFile:
    """One file of latents.

    Attributes:
        what: dataset, network and cut, for people.
        shape: (N, ...) of all latents.
    """

    path: Path
    what: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


def listed() -> list[LatentFile]:
    """All of them, by what they are; a description that cannot be read says so."""
    found = []
    for path in sorted((cache_folder() / "latents").glob("*.npy")):
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            words = [str(about[key]) for key in ("dataset", "split", "model", "weights", "cut")]
            what, shape, dtype = " ".join(words), tuple(int(n) for n in about["shape"]), str(about["dtype"])
        except (OSError, ValueError, KeyError, TypeError):
            what, shape, dtype = "not described", (), ""
        found.append(LatentFile(path, what, shape, dtype, path.stat().st_size))
    return sorted(found, key=lambda f: f.what)


def clear() -> int:
    """Delete them all; how many bytes that freed."""
    freed = 0
    for file in listed():
        freed += file.bytes
        file.path.unlink(missing_ok=True)
        file.path.with_suffix(".json").unlink(missing_ok=True)
    return freed
