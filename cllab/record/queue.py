"""The queue file of a run: ids of the runs that were started together, to train one after another, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cllab.io import files


def write(path: Path, ids: Sequence[str]) -> None:
    """Write down which runs train one after another.

    Raises:
        OSError: when it cannot be written.
    """
    files.write_atomically(path, "".join(f"{run_id}\n" for run_id in ids))


def read(path: Path) -> tuple[str, ...]:
    """Their ids; none for a run that was started alone, or when the file is torn."""
    try:
        lines = files.read_bytes(path).decode().split("\n")
    except (OSError, ValueError):
        return ()
    # names of folders beside this one, and nothing else
    return tuple(line for line in lines if line and line == Path(line).name and line not in (".", ".."))
