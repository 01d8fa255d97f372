"""Sizes, shapes, growth and initialization of the networks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cllab.engine import checkpoint
from cllab.errors import UsageError
from cllab.models.base import Backbone, Network
from cllab.models.efficientnet_lite0 import EfficientNetLite0
from cllab.models.mlp400 import MLP400
from cllab.models.mobilenet_v1 import MobileNetV1
from cllab.settings import catalog, fronts, registry


def backbone(name: str, shape: tuple[int, int, int], **config: object) -> Backbone:
    cls = registry.component("model", name)
    torch.manual_seed(0)
    made: Backbone = cls.build(cls.Config(**config), shape)
    return made


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv_count(widths: tuple[int, ...], depths: tuple[int, ...], stem: int) -> int:
    """Parameters of a residual network whose every convolution has a batch normalization, counted by hand."""
    total, n_in = 3 * widths[0] * stem**2 + 2 * widths[0], widths[0]
    for width, depth in zip(widths, depths, strict=True):
        for _ in range(depth):
            total += 9 * n_in * width + 9 * width * width + 4 * width
            total += n_in * width + 2 * width if n_in != width else 0
            n_in = width
    return total


@pytest.mark.parametrize(
    ("name", "published", "by_hand"),
    [
        ("resnet18", 11.17e6, conv_count((64, 128, 256, 512), (2, 2, 2, 2), 3)),
        ("resnet32", 0.46e6, conv_count((16, 32, 64), (5, 5, 5), 3)),
        ("resnet34", 21.3e6, conv_count((64, 128, 256, 512), (3, 4, 6, 3), 7)),
    ],
)
def test_residual_networks_have_the_published_number_of_weights(name: str, published: float, by_hand: int) -> None:
    net = backbone(name, (3, 64, 64))
    assert weights(net) == by_hand
    assert weights(net) == pytest.approx(published, rel=0.015)
    assert all(m.eps == 1e-6 for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert not any(isinstance(m, nn.Conv2d) and m.bias is not None for m in net.modules())


def test_mlp400_has_the_published_number_of_weights_once_its_copies_are_counted() -> None:
    net = backbone("mlp400", (1, 28, 28), channels=3)
    first = 784 * 400
    assert weights(net) == first + 400 * 400 + 4 * 400
    assert weights(net) + 2 * first == pytest.approx(1.10e6, rel=0.01)
    assert weights(backbone("mlp400", (3, 28, 28))) == 3 * first + 400 * 400 + 4 * 400


@pytest.mark.parametrize(
    ("name", "shape", "width"),
    [
        ("mlp", (1, 8, 8), 100),
        ("mlp400", (1, 28, 28), 400),
        ("mlp400", (3, 32, 32), 400),
        ("resnet18", (3, 32, 32), 512),
        ("resnet32", (3, 32, 32), 64),
        ("resnet32", (1, 28, 28), 64),
        ("resnet34", (3, 64, 64), 512),
        ("torchvision-resnet", (1, 32, 32), 512),
    ],
)
def test_images_become_features_and_scores(name: str, shape: tuple[int, int, int], width: int) -> None:
    network = Network(backbone(name, shape), 7).eval()
    x = torch.randn(2, *shape)
    assert network.features(x).shape == (2, width)
    assert network.width == width
    assert network(x).shape == (2, 7)
    assert torch.isfinite(network(x)).all()


def test_every_convolution_ends_with_a_relu_and_cifar_nets_have_none_after_the_sum() -> None:
    for name, last in (("resnet18", False), ("resnet32", False), ("resnet34", True)):
        net = backbone(name, (3, 32, 32))
        blocks = [m for m in net.modules() if type(m).__name__ == "Residual"]
        assert all(b.last_relu is last for b in blocks)
        assert all(
            isinstance(s[-1], nn.ReLU) for b in blocks for s in (*b.body, b.shortcut) if isinstance(s, nn.Sequential)
        )
        changes = [b for b in blocks if not isinstance(b.shortcut, nn.Identity)]
        assert len(changes) == {"resnet18": 3, "resnet32": 2, "resnet34": 3}[name]
        assert all(b.shortcut[0].kernel_size == (1, 1) for b in changes)


def test_convolutions_are_drawn_kaiming_normal_fan_out() -> None:
    net = backbone("resnet18", (3, 32, 32))
    for m in net.modules():
        if isinstance(m, nn.Conv2d) and m.weight.numel() > 50_000:
            fan_out = m.out_channels * m.kernel_size[0] * m.kernel_size[1]
            assert m.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)


@pytest.mark.parametrize("name", ["mlp", "mlp400", "resnet32"])
def test_initialization_is_the_seeds(name: str) -> None:
    def draw(seed: int) -> torch.Tensor:
        cls = registry.component("model", name)
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in Network(cls.build(cls.Config(), (1, 28, 28)), 10).parameters()])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


# -- heads


def test_resetting_draws_a_new_head_and_leaves_the_backbone() -> None:
    network = Network(backbone("mlp", (1, 8, 8)), 4)
    rows, trunk = network.head.weight.clone(), [p.clone() for p in network.backbone.parameters()]  # type: ignore[operator]
    network.reset_head(4)
    assert not torch.equal(network.head.weight, rows)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(trunk, network.backbone.parameters(), strict=True))


def test_the_native_head_is_linear_then_batch_normalization() -> None:
    network = Network(backbone("mlp", (1, 8, 8)), 4, head="normed").train()
    out = network(torch.randn(200, 1, 8, 8))
    assert out.mean(0).abs().max() < 1e-5
    assert out.var(0, unbiased=False).tolist() == pytest.approx([1.0] * 4, rel=1e-3)


def test_feature_blocks_lie_before_the_head_and_features_before_their_normalization() -> None:
    network = Network(backbone("mlp", (1, 8, 8)), 4, widths=(20, 30)).eval()
    x = torch.randn(3, 1, 8, 8)
    assert (network.widths, network.width) == ((20, 30), 30)
    h = network.backbone(x)
    h = network.blocks[0](h)
    assert torch.equal(network.features(x), network.blocks[1].linear(h))  # type: ignore[operator,union-attr]
    assert torch.equal(network(x), network.head(network.blocks[1](h)))


# -- one channel in place of three equal ones


class _ThreeChannels(nn.Module):
    """The published network: a gray image repeated to three channels, 2352 inputs."""

    def __init__(self, one: nn.Module, n_classes: int) -> None:
        super().__init__()
        parts = copy.deepcopy(one.parts)
        layers = nn.Sequential(*list(parts["hidden1"])[1:], *parts["hidden2"])  # type: ignore[index,operator,arg-type,call-overload]
        first = nn.Linear(3 * 64, 400, bias=False, dtype=torch.float64)
        # a third of the total each would do; unequal shares show that only their sum matters
        share = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).repeat_interleave(64)
        with torch.no_grad():
            first.weight.copy_(3**0.5 * layers[0].weight.repeat(1, 3) * share)  # type: ignore[operator,union-attr]
        layers[0] = first  # type: ignore[index,operator]
        self.layers = layers
        self.head = nn.Linear(400, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x.repeat(1, 3, 1, 1).flatten(1)))  # type: ignore[no-any-return,operator]


def test_one_channel_trains_as_three_equal_ones_under_sgd() -> None:
    torch.manual_seed(0)
    one = MLP400.build(MLP400.Config(channels=3), (1, 8, 8)).double()
    narrow = nn.ModuleDict({"backbone": one, "head": nn.Linear(400, 5).double()})
    wide = _ThreeChannels(one, 5).double()
    wide.head.load_state_dict(narrow["head"].state_dict())
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01) for m in (narrow, wide)
    ]
    for _ in range(12):
        x, y = torch.randn(16, 1, 8, 8, dtype=torch.float64), torch.randint(0, 5, (16,))
        scores = [narrow["head"](one(x)), wide(x)]
        assert torch.allclose(scores[0], scores[1], atol=1e-9)
        for optimizer, out in zip(optimizers, scores, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(out, y).backward()
            optimizer.step()
    narrow.eval()
    wide.eval()
    x = torch.randn(50, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(narrow["head"](one(x)), wide(x), atol=1e-9)
    apart = (narrow["head"](one(x)) - wide(x * 1.01)).abs().max()
    assert apart > 1e-4, "the comparison can fail"


def test_initial_outputs_have_the_spread_of_the_three_channel_network() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 1, 28, 28)
    narrow = MLP400.build(MLP400.Config(channels=3), (1, 28, 28))
    scaled, first = list(narrow.parts["hidden1"])[:2]  # type: ignore[call-overload]
    ours = first(scaled(x))
    theirs = nn.Linear(3 * 784, 400, bias=False)(x.repeat(1, 3, 1, 1).flatten(1))
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)


# -- a cut


STAGES = ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]
ALL = [
    ("mlp", (1, 8, 8), {"layers": 3, "norm": True}, ["hidden1", "hidden2", "hidden3"]),
    ("mlp400", (1, 8, 8), {"channels": 3}, ["hidden1", "hidden2"]),
    ("small-cnn", (1, 12, 12), {}, ["conv1", "conv2", "hidden"]),
    ("mobilenet-v1", (3, 32, 32), {"multiplier": 0.1}, list(MobileNetV1.info.cuts)),
    ("efficientnet-lite0", (3, 32, 32), {}, list(EfficientNetLite0.info.cuts)),
    ("resnet18", (3, 8, 8), {}, ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]),
    ("resnet32", (3, 8, 8), {}, ["stem", "stage1", "stage2", "stage3", "pool"]),
    (
        "slim-resnet18",
        (3, 8, 8),
        {"pool": True, "filters": 4},
        ["stem", "stage1", "stage2", "stage3", "stage4", "pool"],
    ),
    ("torchvision-resnet", (3, 32, 32), {}, ["stem", "stage1", "stage2", "stage3", "stage4", "pool"]),
]


@pytest.mark.parametrize(("name", "shape", "config", "parts"), ALL, ids=[a[0] for a in ALL])
def test_behind_every_part_front_and_back_are_the_whole(
    name: str, shape: tuple[int, int, int], config: dict[str, Any], parts: list[str]
) -> None:
    network = Network(backbone(name, shape, **config), 4).eval()
    spec = catalog.load().get("model", name)
    values = {**{f.name: f.default for f in spec.fields}, **config}
    assert fronts.cuts_of(spec.facts, values) == parts, "as the catalogue says them"
    x = torch.randn(3, *shape)
    whole, features = network(x), network.features(x)
    assert list(network.backbone.parts) == parts
    for at in parts:
        network.cut(at)
        latents = network.front(x)
        assert torch.equal(network.back(latents), whole), at
        network.latent = True
        assert torch.equal(network(latents), whole), at
        assert torch.equal(network.features(latents), features), at
        network.latent = False


def test_a_frozen_front_learns_nothing_whatever_is_called() -> None:
    network = Network(backbone("mlp", (1, 4, 4), layers=2, norm=True, width=8), 3)
    network.cut("hidden1")
    network.freeze()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for again in (network, copy.deepcopy(network)):
        again.train()
        optimizer = torch.optim.SGD([p for p in again.parameters() if p.requires_grad], lr=0.1)
        again(torch.randn(16, 1, 4, 4)).square().sum().backward()
        optimizer.step()
        moved = {k for k, v in again.state_dict().items() if not torch.equal(v, before[k])}
        assert not any("hidden1" in k for k in moved)
        assert {k for k in before if "hidden1" not in k} == moved
        assert again.training
        assert again.backbone.parts["hidden2"].training
    network.eval().train()
    front = network.frozen_front
    assert front is not None
    assert not any(m.training for m in front.modules())
    assert not any(p.requires_grad for p in front.parameters())
    assert not any("hidden1" in n for n, _ in network.named_parameters()), "no part of what learns"


def test_a_cut_that_is_not_there_is_refused_with_those_that_are() -> None:
    network = Network(backbone("mlp", (1, 4, 4), layers=2), 3)
    with pytest.raises(UsageError, match=r"no part 'hiden1'; .*hidden1, hidden2; did you mean 'hidden1'"):
        network.cut("hiden1")


def test_a_network_comes_back_from_its_checkpoint_as_it_was() -> None:
    """Feature blocks, a head without bias, a frozen front, latents as its input, and the mode."""
    generator = torch.Generator().manual_seed(0)
    network = Network(backbone("mlp", (1, 4, 4), layers=2, width=8), 3, head="unbiased", widths=(6, 5))
    network.cut("hidden1")
    network.freeze()
    network.latent = True
    network.eval()
    stored = checkpoint.encode({"teacher": network})

    def rebuild(weights: dict[str, Any], structure: dict[str, Any]) -> Network:
        fresh = Network(backbone("mlp", (1, 4, 4), layers=2, width=8), structure["classes"], head=structure["head"])
        fresh.rebuild(structure)
        fresh.load_state_dict(weights)
        return fresh

    again = checkpoint.decode(stored, {}, rebuild)["teacher"]
    assert again.structure == network.structure
    assert again.structure["widths"] == [6, 5]
    assert not again.training
    latents = torch.rand(3, 8, generator=generator)
    assert torch.equal(again(latents), network(latents))
    flags = {n: p.requires_grad for n, p in network.named_parameters()}
    assert {n: p.requires_grad for n, p in again.named_parameters()} == flags
    assert not any("hidden1" in name for name in flags)
    images = torch.rand(3, 1, 4, 4, generator=generator)
    assert torch.equal(again.front(images), network.front(images)), "the front as well"
