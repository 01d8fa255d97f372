"""Batch renormalization against its formula, written from the paper, and against the ramp of latent replay's table."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cllab.engine import saved
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.methods import _replay as rp
from cllab.models import _renorm as renorm
from cllab.models._renorm import BatchRenorm, Renorm
from cllab.models.base import Network
from cllab.settings.config import RunConfig
from tests.conftest import Record
from tests.models.test_models import backbone

OPEN = Renorm(rate=0.3, r_bound=100.0, d_bound=100.0, step=1000.0)


def layer(options: Renorm = Renorm(), width: int = 3) -> BatchRenorm:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(width)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return BatchRenorm(norm, options)


def by_hand(of: BatchRenorm, x: Tensor, r_max: float, d_max: float) -> Tensor:
    """Algorithm 1: y = gamma ((x - mu) / sigma r + d) + beta, with no gradient through r and d."""
    shape = (1, -1, 1, 1)
    mu = x.mean((0, 2, 3))
    sigma = (((x - mu.view(shape)) ** 2).mean((0, 2, 3)) + of.eps).sqrt()
    r = (sigma.detach() / of.std).clamp(1 / r_max, r_max)
    d = ((mu.detach() - of.mean) / of.std).clamp(-d_max, d_max)
    hat = (x - mu.view(shape)) / sigma.view(shape) * r.view(shape) + d.view(shape)
    return of.weight.view(shape) * hat + of.bias.view(shape)


@pytest.mark.parametrize(("r_max", "d_max"), [(1.0, 0.0), (1.25, 0.5), (50.0, 50.0)])
def test_forward_and_gradients_are_those_of_the_formula(r_max: float, d_max: float) -> None:
    made = layer().train()
    made.r_max.fill_(r_max)
    made.d_max.fill_(d_max)
    x = torch.randn(8, 3, 4, 4) * torch.tensor([0.3, 1.0, 4.0]).view(1, 3, 1, 1) + 1
    twin, a, b = copy.deepcopy(made), x.clone().requires_grad_(), x.clone().requires_grad_()
    want, found = by_hand(twin, a, r_max, d_max), made(b)
    assert torch.allclose(found, want, atol=1e-5)
    slope = torch.randn_like(x)
    (want * slope).sum().backward()
    (found * slope).sum().backward()
    for one, other in ((a.grad, b.grad), (twin.weight.grad, made.weight.grad), (twin.bias.grad, made.bias.grad)):
        assert one is not None
        assert other is not None
        assert torch.allclose(one, other, atol=1e-4)


def test_with_closed_bounds_it_is_batch_normalization() -> None:
    made, x = layer().train(), torch.randn(16, 3, 2, 2) * 3 + 1
    plain = nn.BatchNorm2d(3).train()
    plain.load_state_dict({"weight": made.weight, "bias": made.bias}, strict=False)
    assert torch.allclose(made(x), plain(x), atol=1e-5)


def test_where_nothing_is_clipped_training_is_eval_mode() -> None:
    made, x = layer(OPEN).train(), torch.randn(16, 3, 2, 2) * 3 + 1
    made.r_max.fill_(100.0)
    made.d_max.fill_(100.0)
    found = made(x)
    was = layer(OPEN).eval()
    assert torch.allclose(found, was(x), atol=1e-5)
    assert not torch.allclose(found, made.eval()(x), atol=1e-2), "the statistics have moved since"


def test_statistics_move_by_the_rate_with_the_biased_deviation() -> None:
    made, x = layer(Renorm(rate=0.25)).train(), torch.randn(6, 3, 2, 2)
    mean, std = made.mean.clone(), made.std.clone()
    made(x)
    sigma = (x.var((0, 2, 3), correction=0) + made.eps).sqrt()
    assert torch.allclose(made.mean, 0.75 * mean + 0.25 * x.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(made.std, 0.75 * std + 0.25 * sigma, atol=1e-6)


def test_it_begins_with_the_statistics_of_the_normalization_that_it_replaces() -> None:
    norm = nn.BatchNorm2d(2, eps=1e-3).eval()
    norm.load_state_dict(
        {"running_mean": torch.tensor([1.0, 2.0]), "running_var": torch.tensor([4.0, 0.0])}, strict=False
    )
    made = BatchRenorm(norm, Renorm()).eval()
    assert made.std.tolist() == pytest.approx([4.001**0.5, 0.001**0.5])
    x = torch.randn(3, 2, 4, 4)
    assert torch.allclose(made(x), norm(x), atol=1e-4)
    fresh = BatchRenorm(nn.BatchNorm1d(2), Renorm())
    assert fresh.mean.tolist() == [0.0, 0.0]
    assert fresh.std.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


def test_the_ramp_of_the_published_settings() -> None:
    """In batches of 128: r_max passes 1.25 in iteration 48 at 1.2519, d_max passes .5 in iteration 96 at .5038."""
    made, x = layer(width=1).train(), torch.randn(128, 1, 1, 1)
    bounds = []
    for _ in range(110):
        made(x)
        bounds.append((round(made.r_max.item(), 4), round(made.d_max.item(), 4)))
    assert bounds[0] == (1.0052, 0.0052), "a step a sample: 128 * 4.1e-5"
    assert bounds[46][0] < 1.25
    assert {r for r, _ in bounds[47:]} == {1.2519}
    assert bounds[94][1] < 0.5
    assert {d for _, d in bounds[95:]} == {0.5038}


def test_later_tasks_have_open_bounds_and_slow_statistics() -> None:
    made = layer(Renorm(later=1e-3)).train()
    holder = nn.Sequential(made)
    made(torch.randn(4, 3, 2, 2))
    renorm.begin_task(holder, 0)
    assert made.r_max.item() == pytest.approx(1 + 4 * 4.1e-5)
    renorm.begin_task(holder, 1)
    assert (made.r_max.item(), made.d_max.item()) == (1.25, 0.5)
    mean, x = made.mean.clone(), torch.randn(4, 3, 2, 2) + 5
    made(x)
    assert torch.allclose(made.mean - mean, 1e-3 * (x.mean((0, 2, 3)) - mean), atol=1e-6)
    assert (made.r_max.item(), made.d_max.item()) == (1.25, 0.5)


def test_statistics_stay_float32_under_bfloat16() -> None:
    made = layer().train()
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(64, 3, 4, 4).bfloat16() * 100
        out = made(x)
    assert out.dtype == torch.bfloat16
    assert {v.dtype for v in made.state_dict().values()} == {torch.float32}
    assert made.r is not None
    assert made.r.dtype == torch.float32
    exact = layer().mean.lerp(x.float().mean((0, 2, 3)), 0.01)
    assert torch.allclose(made.mean, exact, atol=1e-6)


class _WithAct(nn.BatchNorm2d):
    """As timm's: the activation is inside."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.drop, self.act = nn.Identity(), nn.ReLU()


def test_an_activation_inside_of_a_normalization_is_kept() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), _WithAct(4))
    renorm.apply(net, Renorm())
    assert net(torch.randn(5, 1, 6, 6)).min() == 0.0
    assert len(list(renorm.layers(net))) == 1


# -- as an option of networks


@pytest.mark.parametrize(
    ("name", "n"), [("mlp400", 2), ("resnet32", 33), ("slim-resnet18", 20), ("torchvision-resnet", 20)]
)
def test_every_network_can_be_renormalized(name: str, n: int) -> None:
    shape = (3, 32, 32)
    network = Network(backbone(name, shape), 4, renormalized=Renorm())
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.backbone.modules())
    assert len(list(renorm.layers(network))) == n
    plain = Network(backbone(name, shape), 4)
    assert [p.shape for p in network.parameters()] == [p.shape for p in plain.parameters()]
    x = torch.randn(6, *shape)
    torch.manual_seed(1)
    network.reset_head(4)
    torch.manual_seed(1)
    plain.reset_head(4)
    assert torch.allclose(network.train()(x), plain.train()(x), atol=1e-3), "at first it is batch normalization"
    assert rp.has_batch_norm(network), "a sample's scores hang on those beside it"
    assert len(network.observed()) == 2 * n


def tables() -> RunConfig:
    own = {"norm": "renorm", "renorm_rate": 0.1, "renorm_later": 0.02, "renorm_step": 1e-3, "renorm_r": 2.0}
    return RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "blobs"},
            "scenario": {"tasks": 5, "stream": "online"},
            "model": {"name": "mlp400", **own},
            "method": {"name": "finetune"},
        }
    )


def test_a_run_renormalizes_ramps_settles_and_comes_back() -> None:
    session = Session(tables(), Record(), Control())
    session.start()
    layers = [of for _, of in renorm.layers(session.learner.model)]
    assert len(layers) == 2
    session._task(session.stream.tasks[0])
    n = len(session.stream.tasks[0].train)
    assert layers[0].r_max.item() == pytest.approx(min(2.0, 1 + n * 1e-3), rel=0.02)
    assert layers[0].settings[5].item() == pytest.approx(0.1)
    session._task(session.stream.tasks[1])
    assert layers[0].settings[5].item() == pytest.approx(0.02)
    assert layers[0].r_max.item() == 2.0
    session.position = 2
    session.loop.begin()
    state = saved.collect(session)
    again = Session(tables(), Record(), Control())
    saved.restore(again, state)
    now = again.learner.model
    assert now.structure == session.learner.model.structure
    assert now.structure["renorm"]["rate"] == 0.1
    for name, value in session.learner.model.state_dict().items():
        assert torch.equal(now.state_dict()[name], value), name


def config_of(model: str, **more: object) -> RunConfig:
    return RunConfig.from_dict(
        {"dataset": {"name": "blobs"}, "method": {"name": "er"}, "model": {"name": model, **more}}
    )


def test_it_is_asked_for_by_the_word_for_every_network() -> None:
    for model in ("mlp400", "mlp"):
        plain, asked, long = config_of(model), config_of(model, norm="renorm"), config_of(model, renorm=True)
        assert (plain.model.common["renorm"], asked.model.common["renorm"]) == (False, True)
        assert RunConfig.from_toml(asked.to_toml()) == asked
        assert asked.signature != plain.signature
        assert config_of(model, norm="batch").model.common["renorm"] is False
    assert asked.model.values["norm"] is True, "a network that can do without normalization has one then"
    assert long.model.values["norm"] is False
    assert config_of("mlp", norm=True).model.values["norm"] is True
    with pytest.raises(UsageError, match=r"^model\.norm: .*did you mean 'renorm'"):
        config_of("mlp400", norm="renrom")
