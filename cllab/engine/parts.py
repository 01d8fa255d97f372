"""What a session is built of: components by their names, the device, the threads, and what the numbers depend on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from cllab import __version__
from cllab.data.augment.pipeline import Augment
from cllab.data.base import Dataset, DatasetInfo, hold_out
from cllab.errors import UsageError
from cllab.settings import registry
from cllab.settings.config import RunConfig

SMALL_MODEL = 3_000_000
"""Below so many weights, a step on the CPU is faster on one thread than on several."""


def pick_device(name: str) -> torch.device:
    """The device of a configuration.

    Raises:
        UsageError: when the machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        n = torch.cuda.device_count()
        if not torch.cuda.is_available() or (device.index or 0) >= n:
            raise UsageError(f"device = '{name}': this machine has {n} CUDA devices; use device = 'cpu' or 'auto'")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device = 'mps': this machine has none; use device = 'cpu' or 'auto'")
    return device


def build(kind: str, choice: Any) -> tuple[Any, Any]:
    """(class, its Config) of a configuration's choice."""
    cls = registry.component(kind, choice.name, choice.common.get("file", "") if kind == "method" else "")
    return cls, cls.Config(**choice.values)


def open_dataset(config: RunConfig, device: torch.device, **options: Any) -> Dataset:
    """The configured dataset, on the device; `evaluate.on = "held-out"` puts training images in place of its test's.

    Raises:
        DataError: when it is not there or not what it should be.
    """
    cls, own = build("dataset", config.dataset)
    dataset: Dataset = cls.open(own, config.dataset.common.get("root") or None, device=device, **options)
    return hold_out(dataset) if config.evaluate.on == "held-out" else dataset


def augmentation(config: RunConfig, info: DatasetInfo, on_top: Sequence[str]) -> Augment:
    """The dataset's own augmentation, as `train.base_augment` says, with those of `on_top`."""
    own = info.base_augment
    if config.train.base_augment != "auto":
        own = ("crop", "flip") if config.train.base_augment == "crop-flip" else ()
    return Augment((*own, *on_top))


def threads_for(model: nn.Module, configured: int) -> tuple[int, int]:
    """Threads of a training step, and of passes over many images; `configured` decides where it is not 0."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    limit = int(os.environ.get("OMP_NUM_THREADS") or cores)
    cores = max(1, min(cores, limit))
    if configured:
        return configured, configured
    work = sum(p.numel() for p in model.parameters())
    convolutional = any(p.dim() == 4 for p in model.parameters())
    return (cores if convolutional or work > SMALL_MODEL else 1), cores


def device_name(device: torch.device) -> str:
    """What people call the device."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    found = {
        "cllab": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["torchvision"] = importlib.metadata.version("torchvision")
    return found
