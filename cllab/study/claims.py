"""What presets claim in their `[[expect]]` tables, held against runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cllab.io.output import Paper, percent
from cllab.metrics import METRICS, unit
from cllab.record.outcome import Outcome, Stat
from cllab.settings.config import RunConfig
from cllab.settings.presets import Expectation, Preset, seeds_text


@dataclass(frozen=True)
class Verdict:
    """A claim and what was found.

    Attributes:
        found: mean and deviation over the seeds; None when a run of them did not end well.
    """

    preset: str
    expectation: Expectation
    found: Stat | None

    @property
    def holds(self) -> bool:
        """Whether the mean over all seeds lies within the tolerance."""
        return (
            self.found is not None
            and self.found.n == len(self.expectation.seeds)
            and abs(self.found.mean - self.expectation.value) <= self.expectation.tolerance + 1e-12
        )

    def text(self, paper: Paper) -> str:
        """One line."""
        e = self.expectation
        mark = paper.style("holds", "32") if self.holds else paper.style("FAILS", "31")
        found = self.found.text(sign=paper.plus_minus) if self.found is not None else "nothing"
        fidelity = f", fidelity {e.fidelity}" if e.fidelity else ""
        return (
            f"{mark}  {self.preset}: {METRICS[e.metric].title} {found} {unit(e.metric)} "
            f"over seeds {seeds_text(e.seeds)}{fidelity}; "
            f"claimed {percent(e.value, 2)} {paper.plus_minus} {percent(e.tolerance, 2)} {unit(e.metric)}"
        )


def configurations(preset: Preset, expectation: Expectation) -> list[RunConfig]:
    """What must be run for a claim, one per seed."""
    fidelity = [f"fidelity={expectation.fidelity}"] if expectation.fidelity else []
    return [preset.config.override([*fidelity, f"seed={seed}"], base=preset.path.parent) for seed in expectation.seeds]


def judge(preset: Preset, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> Verdict:
    """The verdict on one claim from the finished runs by seed."""
    values = [
        outcomes[seed].metrics[expectation.metric]
        for seed in expectation.seeds
        if seed in outcomes and expectation.metric in outcomes[seed].metrics
    ]
    return Verdict(preset.name, expectation, Stat.of(values))
