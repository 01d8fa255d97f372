"""Random numbers from a generator on one device, delivered on another without waiting for either."""

from __future__ import annotations

import torch
from torch import Tensor


def deliver(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`; from the CPU to a CUDA device through pinned memory, so that the host does not wait."""
    if values.device == device:
        return values
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def uniform(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform in [0, 1), float32, drawn where `generator` lives."""
    return deliver(torch.rand(shape, generator=generator, device=generator.device), device)


def integers(high: int, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform in 0..high-1, int64, drawn where `generator` lives."""
    return deliver(torch.randint(high, shape, generator=generator, device=generator.device), device)


def exact_float(device: torch.device) -> torch.dtype:
    """float64, in which PIL computes, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
