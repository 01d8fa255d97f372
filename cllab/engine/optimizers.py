"""Optimizers: made as a phase asks for them, kept as long as it says, and saved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cllab.learner.learner import Learner
from cllab.learner.phases import Group, Lives, Optim
from cllab.settings.tables import OWN_DECAY, TrainConfig

Key = tuple[Lives, str]


class Optimizers:
    """The optimizers of a run that are alive, by what `Optim` says of them."""

    def __init__(self, config: TrainConfig, learner: Learner) -> None:
        self.config = config
        self.learner = learner
        self._made: dict[Key, tuple[torch.optim.Optimizer, list[float]]] = {}
        self._saved: dict[Key, dict[str, Any]] = {}

    def get(self, wanted: Optim) -> tuple[torch.optim.Optimizer, list[float]]:
        """The optimizer that `wanted` describes, made when it is not there, and the factors of its groups' rates.

        It is made anew, too, when the weights are others than it was made for. One that lives as long as the run takes
        along what it has gathered, weight by weight in their order.
        """
        key = (wanted.lives, wanted.key)
        groups = wanted.groups or (Group(self.learner.model.parameters),)
        found = [([p for p in g.parameters() if p.requires_grad], g) for g in groups]
        now = [p for params, _ in found for p in params]
        former = self._made[key][0] if key in self._made else None
        before = [] if former is None else [p for group in former.param_groups for p in group["params"]]
        if former is None or list(map(id, before)) != list(map(id, now)):
            optimizer = make_optimizer([(p, g.decay) for p, g in found], self.config, wanted.name, self.learner.device)
            self._made[key] = optimizer, [g.factor for _, g in found]
            if key in self._saved:
                optimizer.load_state_dict(self._saved.pop(key))
            elif former is not None and wanted.lives == "run":
                for old, new in zip(before, now, strict=True):
                    optimizer.state[new] = dict(former.state[old])
            for p, gathered in optimizer.state.items():  # it may be older than the rows of the output layer
                optimizer.state[p] = {k: _grown(v, p) for k, v in gathered.items()}
        return self._made[key]

    def drop(self, lives: Lives) -> None:
        """What was kept so long is over."""
        self._made = {key: made for key, made in self._made.items() if key[0] != lives}
        self._saved = {key: state for key, state in self._saved.items() if key[0] != lives}

    def state(self) -> list[Any]:
        """What a checkpoint holds, also of those that were not asked for since the last one."""
        live = {key: optimizer.state_dict() for key, (optimizer, _) in self._made.items()}
        return [[*key, state] for key, state in {**self._saved, **live}.items()]

    def load_state(self, state: list[Any]) -> None:
        """Restore what `state` returned, as soon as it is asked for."""
        self._made, self._saved = {}, {(lives, key): held for lives, key, held in state}


def _leave_compiler_out() -> None:
    """Keep torch's compiler from being loaded, a second of every run, by the first call of an optimizer's methods.

    They load it only to say that they are not to be compiled, which a function of theirs may say itself, and nothing
    here is compiled. Where torch has them made otherwise, this does nothing.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def _grown(value: Any, weight: Tensor) -> Any:
    """What was gathered for `weight`, for the same one with more rows: those begin at zero."""
    if not isinstance(value, Tensor) or value.dim() == 0 or value.shape == weight.shape:
        return value
    out = torch.zeros_like(weight)
    out[: len(value)] = value
    return out


def make_optimizer(
    groups: Sequence[tuple[list[nn.Parameter], float | None]], config: TrainConfig, name: str, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer `name`, or the configured one, fused where torch has it for the device.

    groups: weights that learn alike, and their decay where it is not the configured one.
    """
    _leave_compiler_out()
    kind = name or config.optimizer
    usual = OWN_DECAY[kind] if config.weight_decay < 0 else config.weight_decay
    params = [{"params": p, **({} if decay is None else {"weight_decay": decay})} for p, decay in groups]
    fused = device.type in ("cpu", "cuda")
    if kind == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(
            params, lr=config.lr, momentum=config.momentum, nesterov=nesterov, weight_decay=usual, fused=fused
        )
    if kind == "adam":
        return torch.optim.Adam(params, lr=config.lr, weight_decay=usual, fused=fused)
    if kind == "adamw":
        return torch.optim.AdamW(params, lr=config.lr, weight_decay=usual, fused=fused)
    return torch.optim.RAdam(params, lr=config.lr, weight_decay=usual)


def set_rate(optimizer: torch.optim.Optimizer, lr: float, factors: Sequence[float]) -> None:
    """Every parameter group learns at `lr` times its factor."""
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        group["lr"] = lr * factor


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
