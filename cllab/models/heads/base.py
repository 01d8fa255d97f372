"""The contract of a head: features to scores, one row of weights a class, and classes that are added.

A head is known by the name of its file. One of your own, in a method's file, says its name where it is declared:
`class Mine(Head, kind="mine")`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cllab.errors import UsageError, nearest

_PACKAGE = __name__.rpartition(".")[0]
_KNOWN: dict[str, type[Head]] = {}


class Head(nn.Module):
    """Base of every head; a concrete one is made by its width and its number of classes alone.

    Attributes:
        kind: the name that a network's structure keeps.
        width: D, the length of a feature vector.
    """

    kind: ClassVar[str] = ""
    width: int

    def __init_subclass__(cls, kind: str = "", **others: Any) -> None:
        super().__init_subclass__(**others)
        built_in = cls.__module__.startswith(f"{_PACKAGE}.")
        cls.kind = kind or (cls.__module__.rpartition(".")[2].replace("_", "-") if built_in else "")
        if not cls.kind:
            raise TypeError(f"{cls.__name__} needs a name: class {cls.__name__}(Head, kind=...)")
        if not built_in and cls.kind in kinds(own=False):
            raise TypeError(f"{cls.__name__}: there is a built-in head '{cls.kind}'")
        _KNOWN[cls.kind] = cls

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.width = width

    @property
    def rows(self) -> Tensor:
        """(K, D): what stands for each class."""
        raise NotImplementedError

    @property
    def n_classes(self) -> int:
        return len(self.rows)

    def scores(self, features: Tensor) -> Tensor:
        """(B, D) features to (B, K) scores."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """`scores`."""
        return self.scores(features)

    @torch.no_grad()
    def grow(self, n_classes: int, init: Tensor | None = None, draw: Callable[[nn.Module], None] | None = None) -> None:
        """Add classes up to `n_classes`; what is there of known ones stays as it is.

        Args:
            n_classes: afterwards; fewer than there are change nothing.
            init: (m, D) rows of the m new classes; None for freshly drawn ones.
            draw: draws the weights of a fresh head, where they are not torch's.
        """
        known = self.n_classes
        if n_classes <= known:
            return
        fresh = type(self)(self.width, n_classes).to(self.rows.device)
        if draw is not None:
            draw(fresh)
        mine = self.state_dict(keep_vars=True)
        for name, value in fresh.state_dict(keep_vars=True).items():
            old = mine[name]
            (value if value.shape == old.shape else value[:known]).copy_(old)
            value.requires_grad_(old.requires_grad)
        if init is not None:
            fresh.put(torch.arange(known, n_classes, device=init.device), init)
        vars(self).update(vars(fresh.train(self.training)))

    @torch.no_grad()
    def put(self, classes: Tensor, rows: Tensor) -> None:
        """Set the rows of some classes. classes: (m,) long; rows: (m, D)."""
        self.rows[classes] = rows


def kinds(*, own: bool = True) -> list[str]:
    """Names of the built-in heads, and of those that a user's file declared."""
    package = importlib.import_module(_PACKAGE)
    names = [m.name.replace("_", "-") for m in pkgutil.iter_modules(package.__path__) if m.name != "base"]
    return sorted({*names, *(_KNOWN if own else ())})


def head_class(kind: str) -> type[Head]:
    """The head called `kind`.

    Raises:
        UsageError: when there is none, naming the nearest.
    """
    known = kinds()
    if kind not in known:
        raise UsageError(f"no head '{kind}'{nearest(kind, known) or '; known: ' + ', '.join(known)}")
    if kind not in _KNOWN:
        importlib.import_module(f"{_PACKAGE}.{kind.replace('-', '_')}")
    return _KNOWN[kind]
