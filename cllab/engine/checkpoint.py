"""Saves and restores everything a run needs to go on, loadable with `weights_only=True`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cllab.errors import UsageError
from cllab.models.base import Network

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` whole and rename it into place.

    Raises:
        OSError: when the disk is full; the former checkpoint is intact then.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" in str(error):
            # torch reports a short write as an error of its own archive writer
            raise OSError(28, "No space left on device", str(path)) from error
        raise
    for stale in path.parent.glob(f"{path.name}.*.part"):  # of processes that were killed while they wrote
        stale.unlink(missing_ok=True)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in `path`.

    Raises:
        UsageError: when the file is missing, torn or of another format.
    """
    if not path.is_file():
        raise UsageError(f"{path.parent.parent.name}: no checkpoint to resume from")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise UsageError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    found = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state, dict) or found != FORMAT:
        raise UsageError(f"{path}: written by another version of cllab (format {found!r}, not {FORMAT})")
    return state


def encode(value: Any) -> Any:
    """A method's attribute as tensors, numbers and containers; networks by their weights."""
    if isinstance(value, Network):
        return {
            "__network__": value.state_dict(),
            "classes": value.n_classes,
            "head": value.head_kind,
            "train": value.training,
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


def decode(value: Any, now: Any, rebuild: Callable[[dict[str, Any], int, str], Network]) -> Any:
    """The inverse of `encode`; `now` is the attribute as a fresh method has it, for modules that it makes itself."""
    if isinstance(value, list):
        return [decode(v, None, rebuild) for v in value]
    if not isinstance(value, dict):
        return value
    if "__network__" in value:
        network = rebuild(value["__network__"], value["classes"], value["head"])
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
