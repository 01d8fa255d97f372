"""A wrong line, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class StaleError(ValueError):
    """The code has changed: what a mutant would replace does not occur exactly once any more."""


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Attributes:
        file: the module it is in, from the root of the repository.
        breaks: what is wrong then, in a few words.
        old, new: the text and what stands in its place.
        tests: files, folders or single tests that should notice it.
        argued: why no test can notice it; empty where one must.
    """

    file: str
    breaks: str
    old: str
    new: str
    tests: tuple[str, ...]
    argued: str = ""

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")

    def source(self) -> str:
        """The whole module with the wrong line in it.

        Raises:
            StaleError: when the text does not occur exactly once.
        """
        text = (ROOT / self.file).read_text(encoding="utf-8")
        n = text.count(self.old)
        if n != 1:
            raise StaleError(f"{self.file}: '{self.old}' occurs {n} times ({self.breaks})")
        return text.replace(self.old, self.new)


Wrong = tuple[str, str, str] | tuple[str, str, str, str]
"""(what it breaks, old text, new text), and why no test can notice it where that is so."""


def of(file: str, tests: str, *wrongs: Wrong) -> list[Mutant]:
    """The wrong lines of one file; `tests`: what should notice them, parted by spaces."""
    return [Mutant(file, w[0], w[1], w[2], tuple(tests.split()), w[3] if len(w) == 4 else "") for w in wrongs]
