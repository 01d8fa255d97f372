"""What a configuration names, written as files for other programs: its stream, or its dataset's raw tensors."""

from __future__ import annotations

from pathlib import Path

import torch

from cllab.data import benchmark_file, where
from cllab.engine.parts import build, open_dataset
from cllab.learner.rng import Rng
from cllab.scenarios.base import Stream
from cllab.settings.config import RunConfig


def stream_of(config: RunConfig) -> Stream:
    """The stream that a run of `config` meets; on the CPU, whose generators draw every stream.

    Raises:
        UsageError: when the scenario cannot be made of the dataset.
        DataError: when the data is not there.
    """
    device = torch.device("cpu")
    cls, own = build("scenario", config.scenario)
    stream: Stream = cls(own).stream(open_dataset(config, device), Rng(config.seed, device))
    return stream


def write_stream(config: RunConfig, path: Path, *, cv: int = 0, flat: bool = True) -> list[Path]:
    """Write the stream as a benchmark file; see `benchmark_file.write_benchmark`."""
    return benchmark_file.write_benchmark(stream_of(config), path, cv=cv, flat=flat)


def write_raw(name: str, root: str | None, folder: Path) -> list[Path]:
    """Write the raw tensors of dataset `name`; see `benchmark_file.write_raw`."""
    return benchmark_file.write_raw(where.source(name).open(None, root), folder)
