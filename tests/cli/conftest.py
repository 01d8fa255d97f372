"""Commands in this process, their output caught; no test here imports torch unless it trains."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cllab.__main__ import run


@dataclass
class Said:
    """What a command wrote and returned."""

    code: int
    out: str
    err: str


class Pipe(io.TextIOWrapper):
    """A stream that is no terminal, as in a pipe."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


Cllab = Callable[..., Said]


@pytest.fixture
def cllab(monkeypatch: pytest.MonkeyPatch) -> Cllab:
    """`cllab("list", "methods")` as a person would call it in a pipe."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Said:
        out, err = Pipe(), Pipe()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run(arguments)
        return Said(code, out.text(), err.text())

    return call
