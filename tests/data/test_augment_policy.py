"""RandAugment and AutoAugment: their random draws, and whole mixed batches against PIL image by image."""

from __future__ import annotations

from collections.abc import Callable

import augment_pil
import pytest
import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from cllab.data.augment import (
    OPS,
    Policy,
    apply_policy,
    auto_augment,
    draw_auto_augment,
    draw_rand_augment,
    rand_augment,
)
from cllab.data.augment.policy import CIFAR10_SUBPOLICIES

N = 200_000
Draw = Callable[[int, torch.Generator], Policy]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, channels: int, size: int = 28) -> Tensor:
    return torch.randint(0, 256, (n, channels, size, size), generator=seeded(9), dtype=torch.uint8)


def one_by_one(images: Tensor, policy: Policy) -> Tensor:
    """The policy with PIL. Cutout paints gray images in color, so those are compared without it."""
    out = []
    for i, image in enumerate(images):
        picture = augment_pil.to_pil(image)
        for slot in (0, 1):
            if policy.applied[i, slot]:
                op, level = OPS[int(policy.op[i, slot])], int(policy.level[i, slot])
                center = tuple(policy.center[i, slot].tolist())
                picture = augment_pil.apply(picture, op, level, bool(policy.positive[i, slot]), center)
        out.append(augment_pil.from_pil(picture, images.shape[1]))
    return torch.stack(out)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("draw", [draw_rand_augment, draw_auto_augment])
def test_a_mixed_batch_equals_pil_image_by_image(draw: Draw, channels: int) -> None:
    n = 800
    policy = draw(n, seeded(4))
    if channels == 1:
        policy = Policy(
            policy.op,
            policy.level,
            policy.positive,
            policy.applied & (policy.op != OPS.index("cutout")),
            policy.center,
        )
    images = noise(n, channels)
    assert torch.equal(apply_policy(images, policy), one_by_one(images, policy))


@pytest.mark.parametrize("n", [1, 2, 17, 600])
def test_any_batch_size_works_and_samples_do_not_depend_on_their_batch(n: int) -> None:
    images, policy = noise(n, 3, 12), draw_rand_augment(n, seeded(n))
    together = apply_policy(images, policy)
    for i in range(0, n, 37):
        alone = Policy(*(column[i : i + 1] for column in vars(policy).values()))
        assert torch.equal(apply_policy(images[i : i + 1], alone)[0], together[i])


def test_rand_augment_draws_as_specified() -> None:
    policy = draw_rand_augment(N, seeded(1))
    assert len(policy) == N
    assert policy.level.unique().tolist() == list(range(1, 10))
    pairs = torch.bincount((policy.op * 9 + policy.level - 1).flatten(), minlength=135).double()
    expected = 2 * N / 135
    chi2 = ((pairs - expected) ** 2 / expected).sum()
    assert 83 < chi2 < 201  # 134 degrees of freedom: mean 134, deviation 16.4, four of them
    both = torch.bincount(policy.op[:, 0] * 15 + policy.op[:, 1], minlength=225).double()
    assert ((both - N / 225) ** 2 / (N / 225)).sum() < 224 + 4 * 21.2  # the two are independent
    unchanged = (~policy.applied).all(1).double().mean()
    assert abs(float(unchanged) - 0.25) < 4 * (0.25 * 0.75 / N) ** 0.5
    for column in (policy.applied[:, 0], policy.applied[:, 1], policy.positive[:, 0], policy.positive[:, 1]):
        assert abs(float(column.double().mean()) - 0.5) < 4 * 0.5 / N**0.5
    assert abs(float((policy.applied[:, 0] == policy.positive[:, 0]).double().mean()) - 0.5) < 4 * 0.5 / N**0.5
    assert policy.center.min() >= 0
    assert policy.center.max() < 1
    assert abs(float(policy.center.mean()) - 0.5) < 0.005


def test_auto_augment_draws_as_specified() -> None:
    policy = draw_auto_augment(N, seeded(2))
    for slot in (0, 1):
        for i, op in enumerate(OPS):
            share = sum(pair[slot][1] for pair in CIFAR10_SUBPOLICIES if pair[slot][0] == op) / 25
            drawn = float(((policy.op[:, slot] == i) & policy.applied[:, slot]).double().mean())
            assert abs(drawn - share) <= 4 * (share * (1 - share) / N) ** 0.5, op
    assert abs(float(policy.positive.double().mean()) - 0.5) < 0.005


def test_sub_policies_are_the_published_ones() -> None:
    published = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
    assert len(published) == len(CIFAR10_SUBPOLICIES) == 25
    for theirs, ours in zip(published, CIFAR10_SUBPOLICIES, strict=True):
        for (name, p, level), (op, probability, our_level) in zip(theirs, ours, strict=True):
            assert name.lower() == op.replace("_", "")
            assert p == probability
            assert level is None or level == our_level  # None: the operation has no magnitude


def test_rotation_is_always_positive_and_others_have_signs() -> None:
    images = noise(1, 1).expand(2, -1, -1, -1)
    sign = torch.tensor([[True, True], [False, False]])
    for op in ("rotate", "translate_x", "shear_y", "color", "brightness"):
        code = torch.full((2, 2), OPS.index(op))
        applied = torch.tensor([[True, False]]).expand(2, 2)
        policy = Policy(code, torch.full((2, 2), 6), sign, applied, torch.zeros(2, 2, 2))
        first, second = apply_policy(images.expand(2, 3, -1, -1) if op == "color" else images, policy)
        alike = op in ("rotate", "color")  # color: of a gray image
        assert torch.equal(first, second) == alike, op
    turned = augment_pil.rotate(augment_pil.to_pil(images[0]), 20.0)
    policy = Policy(torch.full((2, 2), OPS.index("rotate")), torch.full((2, 2), 6), sign, applied, torch.zeros(2, 2, 2))
    assert torch.equal(apply_policy(images, policy)[1], augment_pil.from_pil(turned, 1))


def test_solarize_runs_from_256_to_0() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, -1, -1, -1)
    code = torch.full((2, 2), OPS.index("solarize"))
    applied = torch.tensor([[True, False]]).expand(2, 2)
    policy = Policy(code, torch.tensor([[0, 0], [9, 9]]), applied, applied, torch.zeros(2, 2, 2))
    untouched, inverted = apply_policy(images, policy)
    assert torch.equal(untouched, images[0])
    assert torch.equal(inverted, 255 - images[0])


@pytest.mark.parametrize("augment", [rand_augment, auto_augment])
def test_the_seed_decides(augment: Augmentation) -> None:
    images = noise(64, 3, 16)
    g = seeded(3)
    first, second = augment(images, g), augment(images, g)
    assert torch.equal(first, augment(images, seeded(3)))
    assert not torch.equal(first, second)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("channels", [1, 3])
def test_cuda_gives_the_same_pixels(channels: int) -> None:
    images = noise(500, channels)
    for draw in (draw_rand_augment, draw_auto_augment):
        policy = draw(500, seeded(1))
        apply_policy(images.cuda(), policy)  # builds the tables, which waits for the device
        on_device = images.cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            result = apply_policy(on_device, policy)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert torch.equal(result.cpu(), apply_policy(images, policy))
