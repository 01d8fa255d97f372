"""Presets: where they are, what they configure, and what they claim."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllab.errors import UsageError, nearest
from cllab.io import files
from cllab.settings.catalog import Catalog
from cllab.settings.config import RunConfig
from cllab.settings.tables import TOP
from cllab.text import clean, cleaned
from cllab.text import shown as shown_value

FIRST = ("quickstart", "forgetting")
"""Presets that a newcomer should meet first."""
TABLES = "tables"
"""The folder of plans among them."""
MOST_SEEDS = 100
_EXPECT_KEYS = ("metric", "value", "tolerance", "seeds", "source", "fidelity")


@dataclass(frozen=True)
class Expectation:
    """One claim of a preset, its `[[expect]]` table.

    Attributes:
        metric: which one.
        value: its mean over the seeds, a fraction.
        tolerance: how far the mean may be from it.
        seeds: the seeds that the claim is about.
        source: who says so.
        fidelity: the fidelity the claim is about; empty for the preset's own.
    """

    metric: str
    value: float
    tolerance: float
    seeds: tuple[int, ...] = (1,)
    source: str = ""
    fidelity: str = ""


@dataclass(frozen=True)
class Preset:
    """A preset file, read and checked.

    Attributes:
        name: what the command line calls it: its file's name when it is shipped, else its path.
        comment: the lines it opens with.
    """

    name: str
    path: Path
    config: RunConfig
    expect: tuple[Expectation, ...] = ()
    comment: str = ""
    text: str = field(default="", repr=False)

    @property
    def about(self) -> str:
        """One sentence."""
        return self.config.about


def folder() -> Path | None:
    """Where the shipped presets are: in the installed package, else beside it in a checkout."""
    package = Path(__file__).parent.parent
    return next((f for f in (package / "_presets", package.parent / "presets") if f.is_dir()), None)


def shipped() -> list[Path]:
    """The files of the shipped presets, which lie in folders by system; those for newcomers first."""
    place = folder()
    if place is None:
        return []
    found = [path for path in place.rglob("*.toml") if path.parent.name != TABLES]
    return sorted(found, key=lambda p: (FIRST.index(p.stem) if p.stem in FIRST else len(FIRST), p.stem))


def names() -> list[str]:
    """Names of the shipped presets."""
    return [path.stem for path in shipped()]


def find(name: str) -> Path:
    """The file of a preset: a path, or the name of a shipped one.

    Raises:
        UsageError: when there is none; the message holds the nearest name.
    """
    path = files.expand(name)
    if files.is_file(path):
        return path
    for known in shipped():
        if known.stem == name:
            return known
    beside = []
    with contextlib.suppress(OSError, ValueError):  # what cannot be a path is no preset either
        if path.is_dir():
            raise UsageError(f"preset '{name}' is a folder; name a .toml file in it")
        beside = [str(p) for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    if path.suffix == ".toml" or len(path.parts) > 1:
        hint = nearest(str(path), beside) or nearest(path.stem, names())
        raise UsageError(f"no preset file '{name}'{hint}")
    raise UsageError(f"no preset '{name}'{nearest(name, names()) or '; cllab list presets shows them'}")


def namesake(name: str) -> str:
    """The preset file here that has the name of a shipped preset, which `name` means all the same; empty for none."""
    beside = Path(f"{name}.toml")
    return str(beside) if name in names() and not files.is_file(Path(name)) and files.is_file(beside) else ""


def load(name: str, catalog: Catalog | None = None) -> Preset:
    """The preset called `name`, or in the file of that name.

    Raises:
        UsageError: one line with file, line, key, value and what is allowed.
    """
    path = find(name)
    text = files.read_text(path)
    is_shipped = path in shipped()
    where = shown(path)
    config = RunConfig.from_toml(text, catalog, where=where, base=path.parent)
    return Preset(
        name=path.stem if is_shipped else where,
        path=path,
        config=config,
        expect=_expectations(text, where),
        comment=_comment(text),
        text=text,
    )


def describe(path: Path) -> tuple[str, str]:
    """(name, about) of a preset for a list, without checking it: quick, and blank where it cannot be read."""
    try:
        about = files.toml(files.read_bytes(path).decode()).get("about", "")
    except (OSError, ValueError):
        about = "cannot be read"
    return clean(path.stem), clean(about) if isinstance(about, str) else ""


def shown(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):  # a link that leads to itself is a RuntimeError
        return str(path)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3`, `1-3`, `1,2,7` or a mixture as seeds, in their order.

    Raises:
        UsageError: naming what is allowed.
    """
    seed = next(f for f in TOP if f.name == "seed")
    seeds: dict[int, None] = {}
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part, re.ASCII)
        if not found:
            raise UsageError(f"must be seeds such as 1, 1-3 or 1,2,7, not '{text}'")
        low, high = int(found[1]), int(found[2] or found[1])
        if high < low or high - low >= MOST_SEEDS:
            raise UsageError(f"must rise and hold at most {MOST_SEEDS} seeds, not '{part}'")
        seeds.update(dict.fromkeys(int(seed.parse(n)) for n in range(low, high + 1)))
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"must be at most {MOST_SEEDS} seeds, not {len(seeds)}")
    return tuple(seeds)


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds as short as they can be written: `1-3,7`."""
    parts: list[str] = []
    start = 0
    for i in range(1, len(seeds) + 1):
        if i == len(seeds) or seeds[i] != seeds[i - 1] + 1:
            parts.append(str(seeds[start]) if i - start == 1 else f"{seeds[start]}-{seeds[i - 1]}")
            start = i
    return ",".join(parts)


def seeds_of(value: object) -> tuple[int, ...]:
    """Seeds as a TOML file holds them: a list of numbers, or text such as "1-3".

    Raises:
        UsageError: naming what is allowed.
    """
    if isinstance(value, list) and value and all(isinstance(s, int) and not isinstance(s, bool) for s in value):
        return parse_seeds(",".join(map(str, value)))
    if isinstance(value, str):
        return parse_seeds(value)
    raise UsageError(f"must be a list of seeds such as [1, 2, 3], not {shown_value(value)}")


def _comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return clean("\n".join(lines), lines=True)


def _expectations(text: str, where: str) -> tuple[Expectation, ...]:
    tables = cleaned(files.toml(text).get("expect", []))
    if not isinstance(tables, list):
        raise UsageError(f"{where}: expect must be a list of tables: [[expect]]")
    out = []
    for number, raw in enumerate(tables):
        key = "metric"
        try:
            if not isinstance(raw, Mapping):
                raise UsageError("must be a list of tables: [[expect]]")
            for key in raw:
                if key not in _EXPECT_KEYS:
                    known = nearest(key, _EXPECT_KEYS) or f"; known: {', '.join(_EXPECT_KEYS)}"
                    raise UsageError(f"no key '{key}'{known}")
            values: dict[str, Any] = {}
            for key in _EXPECT_KEYS:
                if key in raw:
                    values[key] = _claimed(key, raw[key])
                elif key in ("metric", "value", "tolerance"):
                    raise UsageError("is missing")
        except UsageError as error:
            line = _line_of(text, number, key)
            raise UsageError(f"{where}{line}: expect.{key}: {error}") from None
        out.append(Expectation(**values))
    return tuple(out)


def _claimed(key: str, value: object) -> Any:
    if key == "seeds":
        return seeds_of(value)
    if key in ("value", "tolerance"):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
            raise UsageError(f"must be a fraction from -1 to 1, not {shown_value(value)}")
        if key == "tolerance" and value < 0:
            raise UsageError(f"must be at least 0, not {shown_value(value)}")
        return float(value)
    if not isinstance(value, str):
        raise UsageError(f"must be text, not {shown_value(value)}")
    # NumPy, which nothing else here needs
    from cllab.metrics import METRICS

    if key == "metric" and value not in METRICS:
        raise UsageError(f"no metric '{value}'{nearest(value, METRICS) or '; known: ' + ', '.join(METRICS)}")
    if key == "fidelity":
        return next(f for f in TOP if f.name == "fidelity").parse(value)
    return value


def _line_of(text: str, number: int, key: str) -> str:
    """`:LINE` of `key` in the expectation `number`, or of its header where the key is missing."""
    seen, header = -1, 0
    for at, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\[\s*expect\s*\]\]", line):
            seen += 1
            if seen == number:
                header = at
        elif re.match(r"\s*\[", line):
            if seen == number:
                break
        elif seen == number and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return f":{at}"
    return f":{header}" if header else ""
