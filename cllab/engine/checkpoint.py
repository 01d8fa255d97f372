"""Saves and restores everything a run needs to go on, loadable with `weights_only=True`.

The checkpoint before the latest is kept beside it, and taken where the latest cannot be read.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from cllab.errors import UsageError
from cllab.models.base import Network

FORMAT = 4


class UnreadableError(UsageError):
    """A checkpoint that is torn or no checkpoint at all."""


class _Noted:
    """A file that keeps why it could not be written: torch reports a short write in words of its archive's own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> Any:
        return self._watched(self._file.write, data)

    def flush(self) -> None:
        self._watched(self._file.flush)

    def _watched(self, act: Callable[..., Any], *args: Any) -> Any:
        try:
            return act(*args)
        except OSError as error:
            self.error = self.error or error
            raise


def former(path: Path) -> Path:
    """Where the checkpoint before that in `path` is kept."""
    return path.with_name("former.pt")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` whole and rename it into place; what lay there becomes the former checkpoint.

    Where there is no room for a third, the former one is given up.

    Raises:
        OSError: when the disk is full; what lay there is intact then.
    """
    try:
        _write(path, state)
    except OSError as error:
        if error.errno != errno.ENOSPC or not former(path).exists():
            raise
        former(path).unlink()
        _write(path, state)
    for stale in path.parent.glob(f"{path.name}.*.part"):  # of processes that were killed while they wrote
        stale.unlink(missing_ok=True)


def _write(path: Path, state: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    noted: _Noted | None = None
    try:
        # unbuffered: what cannot be written is known at once, and nothing is left to be written by closing the file
        with part.open("wb", buffering=0) as file:
            noted = _Noted(io.BufferedWriter(file, 1 << 20))
            torch.save({"format": FORMAT, **state}, noted)  # type: ignore[arg-type]
            noted.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(former(path))
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        cause = noted.error if noted is not None and noted.error is not None else error
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, cause.filename or str(path)) from error
        raise


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in `path`.

    Raises:
        UnreadableError: when the file is missing or torn.
        UsageError: when it is of another format.
    """
    if not path.is_file():
        raise UnreadableError(f"{path.parent.parent.name}: no checkpoint to resume from")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise UnreadableError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    found = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state, dict) or found != FORMAT:
        raise UsageError(f"{path}: written by another version of cllab (format {found!r}, not {FORMAT})")
    return state


def newest(path: Path, device: torch.device) -> tuple[dict[str, Any] | None, str]:
    """The newest state that can be read, of `path` and the one before it, and what is lost by a file that cannot.

    None where there is nothing to go on from: the run begins again.

    Raises:
        UsageError: when it was written by another version.
    """
    torn = ""
    for place in (path, former(path)):
        if not place.is_file():
            continue
        try:
            return load(place, device), torn and f"{torn}; going on from the one before it"
        except UnreadableError as error:
            torn = torn or str(error)
    return None, torn and f"{torn}; the run begins again"


def encode(value: Any) -> Any:
    """A method's attribute as tensors, numbers and containers; networks by their weights."""
    if isinstance(value, Network):
        front = None if value.shares_front else value.frozen_front
        return {
            "__network__": value.state_dict(),
            "structure": value.structure,
            "train": value.training,
            "front": None if front is None else front.state_dict(),
        }
    if isinstance(value, nn.Module):
        return {"__module__": value.state_dict()}
    if isinstance(value, dict):
        return {"__dict__": [(encode_key(k), encode(v)) for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"__tuple__": [encode(v) for v in value]}
    if isinstance(value, list):
        return [encode(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return {"__set__": sorted(value)}
    if value is None or isinstance(value, (Tensor, bool, int, float, str)):
        return value
    raise TypeError(
        f"a method's state may hold tensors, networks, numbers, text and containers of them, not {type(value).__name__}"
    )


def encode_key(key: Any) -> Any:
    """Dictionary keys stay what they are: numbers, text, tuples of them."""
    if isinstance(key, (bool, int, float, str)) or (
        isinstance(key, tuple) and all(isinstance(k, (int, str)) for k in key)
    ):
        return key
    raise TypeError(f"a method's state may have numbers and text as keys, not {type(key).__name__}")


def decode(value: Any, now: Any, rebuild: Callable[[dict[str, Any], dict[str, Any]], Network]) -> Any:
    """The inverse of `encode`; `now` is the attribute as a fresh method has it, for modules that it makes itself."""
    if isinstance(value, list):
        return [decode(v, None, rebuild) for v in value]
    if not isinstance(value, dict):
        return value
    if "__network__" in value:
        network = rebuild(value["__network__"], value["structure"])
        if value["front"] is not None and network.frozen_front is not None:
            network.frozen_front.load_state_dict(value["front"])
        return network.train(value["train"])
    if "__module__" in value:
        now.load_state_dict(value["__module__"])
        return now
    if "__dict__" in value:
        known = now if isinstance(now, dict) else {}
        return {k: decode(v, known.get(k), rebuild) for k, v in value["__dict__"]}
    if "__tuple__" in value:
        return tuple(decode(v, None, rebuild) for v in value["__tuple__"])
    return set(value["__set__"])
