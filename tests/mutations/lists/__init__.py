"""Every wrong line that is tried."""

from tests.mutations.lists import (
    augment,
    distill,
    latents,
    memory,
    models,
    numbers,
    regularize,
    replay,
    rows,
    scenarios,
    streams,
)

MUTANTS = [
    *numbers.MUTANTS,
    *memory.MUTANTS,
    *scenarios.MUTANTS,
    *augment.MUTANTS,
    *replay.MUTANTS,
    *regularize.MUTANTS,
    *distill.MUTANTS,
    *streams.MUTANTS,
    *models.MUTANTS,
    *latents.MUTANTS,
    *rows.MUTANTS,
]
