"""Learning rates and optimizers against the published table and torch's own schedulers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cllab.engine.optimizers import make_optimizer, set_rate, stepper
from cllab.engine.schedule import learning_rate
from cllab.learner.phases import Group, Optim
from cllab.settings.tables import TrainConfig
from tests.engine.sessions import begun

PUBLISHED = [
    0.0050, 0.0500, 0.0500, 0.0253, 0.0500, 0.0428, 0.0253, 0.0077,
    0.0500, 0.0481, 0.0428, 0.0347, 0.0253, 0.0158, 0.0077, 0.0024,
]  # fmt: skip
CPU = torch.device("cpu")


def test_cosine_with_warm_up_is_the_published_list() -> None:
    rates = [learning_rate("cos", e, 0.05, warmup_scale=0.1) for e in range(16)]
    assert [round(r, 4) for r in rates] == PUBLISHED


def test_cosine_equals_torchs_warm_restarts_over_256_epochs() -> None:
    lr = 0.03
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2, eta_min=0.01 * lr)
    for epoch in range(1, 256):
        assert learning_rate("cos", epoch, lr) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()
    # 256 epochs end at the end of the 128 epochs long cycle
    assert learning_rate("cos", 255, lr) < 0.011 * lr
    assert learning_rate("cos", 256, lr) == pytest.approx(lr)


def test_multistep_drops_take_effect_at_31_61_81_91() -> None:
    rates = [learning_rate("multistep", e, 1.0, warmup_scale=0.1) for e in range(100)]
    drops = [e for e in range(2, 100) if rates[e] < rates[e - 1]]
    assert drops == [31, 61, 81, 91]
    assert rates[0] == pytest.approx(0.1)
    assert rates[99] == pytest.approx(1e-4)


def test_anneal_divides_by_1_1() -> None:
    assert [learning_rate("anneal", e, 0.05, warmup_scale=0.1) for e in range(4)] == pytest.approx(
        [0.005, 0.05, 0.05 / 1.1, 0.05 / 1.21]
    )


def test_constant_stays_and_warm_up_touches_the_first_epoch_only() -> None:
    assert [learning_rate("constant", e, 0.2, warmup_scale=0.5) for e in range(3)] == [0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    ("name", "decay", "kind"),
    [("sgd", 1e-4, "SGD"), ("adam", 1e-6, "Adam"), ("adamw", 1e-6, "AdamW"), ("radam", 1e-5, "RAdam")],
)
def test_optimizer_settings_are_the_published_ones(name: str, decay: float, kind: str) -> None:
    optimizer = make_optimizer([([nn.Parameter(torch.zeros(2))], None)], TrainConfig(optimizer=name), "", CPU)  # type: ignore[arg-type]
    assert type(optimizer).__name__ == kind
    group = optimizer.param_groups[0]
    assert group["weight_decay"] == decay
    if name == "sgd":
        assert group["momentum"] == 0.9
        assert group["nesterov"] is True


def test_weight_decay_and_momentum_are_the_configured_ones_where_given() -> None:
    config = TrainConfig(weight_decay=0.0, momentum=0.0, nesterov=True)
    group = make_optimizer([([nn.Parameter(torch.zeros(2))], None)], config, "", CPU).param_groups[0]
    assert group["weight_decay"] == 0.0
    assert group["nesterov"] is False, "torch refuses nesterov without momentum"


def test_frozen_parameters_are_left_out_and_every_group_follows_the_rate() -> None:
    session = begun()
    model = session.learner.model
    trunk, head = list(model.backbone.parameters()), list(model.head.parameters())
    trunk[0].requires_grad_(False)
    both = Optim(groups=(Group(lambda: trunk, decay=0.0), Group(lambda: head, factor=10.0)))
    optimizer, factors = session.loop.optimizers.get(both)
    assert [len(g["params"]) for g in optimizer.param_groups] == [len(trunk) - 1, len(head)]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 1e-4]
    set_rate(optimizer, 0.25, factors)
    assert [g["lr"] for g in optimizer.param_groups] == [0.25, 2.5]


def test_a_step_is_nesterov_sgd_by_hand() -> None:
    w = nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer([([w], None)], TrainConfig(lr=0.1, weight_decay=0.01), "", CPU)
    value, velocity = 1.0, 0.0
    for gradient in (0.5, -0.2, 0.3):
        w.grad = torch.tensor([gradient])
        optimizer.step()
        g = gradient + 0.01 * value
        velocity = 0.9 * velocity + g
        value -= 0.1 * (g + 0.9 * velocity)
    assert w.item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "radam"])
def test_a_bare_step_is_the_optimizers(name: str) -> None:
    found = []
    for bare in (False, True):
        generator = torch.Generator().manual_seed(0)
        p = nn.Parameter(torch.randn(4, 3, generator=generator))
        optimizer = make_optimizer([([p], None)], TrainConfig(optimizer=name, lr=0.1), "", CPU)  # type: ignore[arg-type]
        step = stepper(optimizer) if bare else optimizer.step
        for _ in range(5):
            p.grad = torch.randn(4, 3, generator=generator)
            step()
        assert p.requires_grad
        found.append((p.detach().clone(), optimizer.state_dict()))
    assert torch.equal(found[0][0], found[1][0])
    assert str(found[0][1]) == str(found[1][1])


def test_hooks_on_steps_are_heard() -> None:
    optimizer = make_optimizer([([nn.Parameter(torch.ones(2))], None)], TrainConfig(), "", CPU)
    heard: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    stepper(optimizer)()
    assert heard == ["before", "after"]


def test_training_does_not_load_the_compiler() -> None:
    """A second of every run, for nothing: a run that trains, saves and restores ends without it."""
    code = """
import sys, torch
from cllab.settings.tables import TrainConfig
from cllab.engine.optimizers import make_optimizer, stepper
for name in ("sgd", "adam", "adamw", "radam"):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([([p], None)], TrainConfig(optimizer=name, lr=0.1), "", torch.device("cpu"))
    p.grad = torch.ones(3)
    stepper(optimizer)()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()
    assert p.grad is None and bool((p < 1).all()), name
from tests.engine.sessions import walked
walked("er", scenario={"tasks": 2}, memory={"capacity": 40})
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
