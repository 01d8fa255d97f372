"""The files of a source: names, sizes and times of change, read without opening one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cllab.data._cache import content_key


@dataclass(frozen=True)
class Listing:
    """Files below a folder.

    Attributes:
        folder: what the names are relative to.
        entries: (name with forward slashes, bytes, time of change in ns), sorted by name.
        folders: every folder on the way, sorted: an empty one is in no file's name.
    """

    folder: Path
    entries: Sequence[tuple[str, int, int]]
    folders: Sequence[str]

    @cached_property
    def names(self) -> list[str]:
        """Names of the files, sorted."""
        return [name for name, _, _ in self.entries]

    @property
    def bytes(self) -> int:
        """Sum of the sizes."""
        return sum(size for _, size, _ in self.entries)

    def key(self, *more: str) -> str:
        """A key of the content, the same wherever the folder lies, and of `more`."""
        return content_key(*more, *self.folders, *(f"{name}:{size}:{time}" for name, size, time in self.entries))


def scan(folder: Path, parts: Sequence[str], suffixes: Collection[str] | None = None) -> Listing:
    """The files `parts` of `folder` and, for parts that are folders, the files below them.

    Hidden files are left out, and in folders those whose suffix (lower case, without dot) is not in `suffixes`.

    Raises:
        OSError: when a folder cannot be read.
    """
    entries: list[tuple[str, int, int]] = []
    folders: list[str] = []
    for part in parts:
        path = folder / part
        if path.is_dir():
            folders.append(part)
            entries.extend(_walk(str(path), f"{part}/", suffixes, folders))
        else:
            status = path.stat()
            entries.append((part, status.st_size, status.st_mtime_ns))
    return Listing(folder, sorted(entries), sorted(folders))


def _walk(
    path: str, prefix: str, suffixes: Collection[str] | None, folders: list[str]
) -> Iterator[tuple[str, int, int]]:
    with os.scandir(path) as found:
        for entry in found:
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(prefix + name)
                yield from _walk(entry.path, f"{prefix}{name}/", suffixes, folders)
            elif suffixes is None or name.rpartition(".")[2].lower() in suffixes:
                status = entry.stat()
                yield prefix + name, status.st_size, status.st_mtime_ns
