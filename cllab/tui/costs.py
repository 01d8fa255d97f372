"""What every cut of the chosen network costs, asked of `cllab cuts` in a process of its own: the app has no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from cllab.settings.config import RunConfig, toml_of
from cllab.tui.glyphs import Glyphs

PATIENCE_SECONDS = 60
KNOWN: dict[tuple[str, ...], tuple[Cost, ...]] = {}
"""Answers so far: they depend on nothing but the question."""


@dataclass(frozen=True)
class Cost:
    """A cut: the numbers of a sample behind it, multiplications below and in all, weights above."""

    name: str
    shape: tuple[int, ...]
    below: int
    whole: int
    weights: int

    @property
    def numbers(self) -> int:
        """Of one sample."""
        n = 1
        for side in self.shape:
            n *= side
        return n


def question(config: RunConfig) -> tuple[str, ...]:
    """The arguments of `cllab cuts` that ask for the costs of a configuration's network."""
    model = config.model
    sets = [part for key, value in model.values.items() for part in ("--set", f"model.{key}={toml_of(value)}")]
    return ("cuts", model.name, "--dataset", config.dataset.name, "--size", str(model.common["size"]), *sets, "--json")


def ask(arguments: tuple[str, ...]) -> tuple[Cost, ...]:
    """The costs; empty where the command does not know them."""
    done = subprocess.run(
        [sys.executable, "-m", "cllab", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        return ()
    rows = json.loads(done.stdout)
    whole = max((row["below"] + row["above"] for row in rows), default=0)
    return tuple(Cost(r["name"], tuple(r["shape"]), r["below"], whole, r["weights"]) for r in rows)


def told(costs: tuple[Cost, ...], chosen: str, glyphs: Glyphs) -> str:
    """A line a cut: kB of a sample as float32, float16 and uint8, the share of the work below, the weights above."""
    rows = [("behind", "kB f32/f16/u8", "below", "weights")]
    for cost in costs:
        mark = glyphs.arrow if cost.name == chosen else " "
        share = f"{100 * cost.below / cost.whole:.0f} %" if cost.whole else ""
        sizes = "/".join(_kilobytes(cost.numbers * each) for each in (4, 2, 1))
        rows.append((f"{mark}{cost.name}", sizes, share, _thousands(cost.weights)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        " ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def _kilobytes(n: float) -> str:
    return f"{n / 1000:.0f}" if n >= 9950 else f"{n / 1000:.1f}"


def _thousands(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 999_500 else f"{n / 1000:.0f} k" if n >= 1000 else str(n)
