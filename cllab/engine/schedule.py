"""Optimizers and learning rates of Rainbow Memory's protocol (arXiv:2103.17230; its code's settings)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from cllab.settings.config import TrainConfig

MILESTONES = (30, 60, 80, 90)
OWN_DECAY = {"sgd": 1e-4, "adam": 1e-6, "adamw": 1e-6, "radam": 1e-5}


def learning_rate(schedule: str, epoch: int, lr: float, *, warmup_scale: float = 1.0) -> float:
    """The rate of `epoch` (0-based) of a phase.

    Epoch 0 is the warm-up at `warmup_scale * lr`; the schedule's own clock starts at epoch 1. `cos` restarts with
    periods 1, 2, 4, ... down to lr / 100 (Loshchilov & Hutter 2017); `multistep` drops by 10 at its epochs 30, 60, 80,
    90; `anneal` divides by 1.1.
    """
    if epoch == 0:
        return lr * warmup_scale
    step = epoch - 1
    if schedule == "cos":
        cycle = (step + 1).bit_length() - 1
        length = 2**cycle
        position = step - (length - 1)
        return 0.01 * lr + 0.99 * lr * (1 + math.cos(math.pi * position / length)) / 2
    if schedule == "multistep":
        return lr * 0.1 ** sum(step >= m for m in MILESTONES)
    if schedule == "anneal":
        return float(lr * 1.1**-step)
    return lr


def _leave_compiler_out() -> None:
    """Keep torch's compiler from being loaded, a second of every run, by the first call of an optimizer's methods.

    They load it only to say that they are not to be compiled, which a function of theirs may say itself, and nothing
    here is compiled. Where torch has them made otherwise, this does nothing.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def make_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """The configured optimizer, fused where torch has it for the device."""
    _leave_compiler_out()
    params = [p for p in parameters if p.requires_grad]
    decay = OWN_DECAY[config.optimizer] if config.weight_decay < 0 else config.weight_decay
    fused = device.type in ("cpu", "cuda")
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            params,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov and config.momentum > 0,
            weight_decay=decay,
            fused=fused,
        )
    if config.optimizer == "adam":
        return torch.optim.Adam(params, lr=config.lr, weight_decay=decay, fused=fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(params, lr=config.lr, weight_decay=decay, fused=fused)
    return torch.optim.RAdam(params, lr=config.lr, weight_decay=decay)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Every parameter group learns at `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def stepper(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """`optimizer.step` without what torch wraps around it.

    That is marks for its profiler, and for its compiler, which is loaded by the first call (a second of every run)
    though nothing here is compiled. An optimizer with hooks on its steps, or with a step of its own, keeps all of it.
    """
    hooks = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    if hooks or "step" in vars(optimizer):
        return optimizer.step
    plain = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def step() -> None:
        plain(optimizer)

    return step
