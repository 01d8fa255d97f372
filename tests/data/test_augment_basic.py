"""Crop, flip, cutout, rotation, cutmix, the perturbation sets, the pipeline and normalization."""

from __future__ import annotations

from collections.abc import Callable

import augment_pil
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from cllab.data.augment import (
    BATCH_AUGMENT,
    PERTURBATIONS,
    SAMPLE_AUGMENT,
    Augment,
    auto_augment,
    cutmix,
    cutout,
    normalize,
    perturbations,
    rand_augment,
    random_crop,
    random_flip,
    random_rotation,
    random_vertical_flip,
)
from cllab.errors import UsageError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, channels: int = 3, height: int = 28, width: int = 28) -> Tensor:
    return torch.randint(0, 256, (n, channels, height, width), generator=seeded(9), dtype=torch.uint8)


@pytest.mark.parametrize(("channels", "height", "width", "padding"), [(1, 28, 28, 4), (3, 9, 13, 2), (3, 8, 8, 0)])
def test_crop_is_one_of_the_crops_of_the_padded_image(channels: int, height: int, width: int, padding: int) -> None:
    images = noise(300, channels, height, width)
    out = random_crop(images, seeded(1), padding)
    assert out.shape == images.shape
    padded = functional.pad(images, [padding])  # torchvision's RandomCrop pads so, with zeros
    side = 2 * padding + 1
    count = torch.zeros(side, side)
    for image, result in zip(padded, out, strict=True):
        places = [
            (y, x)
            for y in range(side)
            for x in range(side)
            if torch.equal(image[:, y : y + height, x : x + width], result)
        ]
        assert len(places) == 1
        count[places[0]] += 1
    assert count.sum(0).min() > 0
    assert count.sum(1).min() > 0


def test_crop_offsets_are_uniform() -> None:
    n = 40_000
    images = torch.zeros(n, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 1  # stays in the picture for every offset of padding 4
    where = random_crop(images, seeded(1)).flatten(1).argmax(1)
    count = torch.bincount(where, minlength=81).double()
    assert (((count - n / 81) ** 2) / (n / 81)).sum() < 80 + 4 * 12.7


@pytest.mark.parametrize(("flip", "axis"), [(random_flip, 3), (random_vertical_flip, 2)])
def test_flips_mirror_about_half_of_the_images(flip: Callable[[Tensor, torch.Generator], Tensor], axis: int) -> None:
    images = noise(2000, 3, 8, 6)
    out = flip(images, seeded(1))
    same = (out == images).all(3).all(2).all(1)
    mirrored = (out == images.flip(axis)).all(3).all(2).all(1)
    assert (same ^ mirrored).all()
    assert abs(int(mirrored.sum()) - 1000) < 4 * 22.4


@pytest.mark.parametrize("size", [16, 24])
def test_cutout_covers_a_clipped_square_around_a_uniform_center(size: int) -> None:
    n = 4000
    black = torch.zeros(n, 3, 28, 28, dtype=torch.uint8)
    covered = (cutout(black, seeded(1), size) != 0).all(1)
    rows, columns = covered.any(2), covered.any(1)
    assert torch.equal(covered, rows.unsqueeze(2) & columns.unsqueeze(1))
    positions = torch.arange(28)
    expected = {int(((positions >= c - size // 2) & (positions < c + size // 2)).sum()) for c in range(28)}
    for lines in (rows, columns):
        assert set(lines.sum(1).tolist()) == expected
        # line k is covered when the center is one of the `size` lines around it that exist
        share = torch.tensor([float(((positions >= k - size // 2 + 1) & (positions <= k + size // 2)).sum()) / 28
                              for k in range(28)])  # fmt: skip
        assert (lines.double().mean(0) - share).abs().max() < 4 * 0.5 / n**0.5
    gray = cutout(black[:8, :1], seeded(1), size)
    assert gray.unique().tolist() == [0, 122]
    color = Image.new("RGB", (1, 1), (125, 122, 113)).convert("L")
    assert color.getpixel((0, 0)) == 122


def test_random_rotation_is_pils_for_some_angle_in_range() -> None:
    images = noise(40, 3)
    generator = seeded(3)
    out = random_rotation(images, generator, 45)
    angles = (torch.rand(40, generator=seeded(3)) * 2 - 1) * 45
    for i, image in enumerate(images):
        expected = augment_pil.to_pil(image).rotate(float(angles[i]), Image.Resampling.NEAREST)
        assert torch.equal(out[i], augment_pil.from_pil(expected, 3))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cutmix_pastes_a_box_and_counts_its_area(dtype: torch.dtype) -> None:
    s, b, h, w = 400, 6, 12, 10
    # every pixel names its image
    x = torch.arange(b).view(1, b, 1, 1, 1).expand(s, b, 3, h, w).to(dtype).contiguous()
    mixed, permutation, lam = cutmix(x, seeded(2))
    assert mixed.dtype == dtype
    assert permutation.sort(1).values.eq(torch.arange(b)).all()
    for k in range(s):
        strange = mixed[k] != x[k]
        moved = permutation[k] != torch.arange(b)
        if not moved.any():
            assert torch.equal(mixed[k], x[k])
            continue
        box = strange[moved][0, 0]
        assert (strange[moved] == box).all()
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows.unsqueeze(1) & columns)
        assert lam[k] == pytest.approx(1 - float(box.sum()) / (h * w), abs=1e-6)
        pasted = permutation[k].view(b, 1, 1, 1).expand(b, 3, h, w).to(dtype)
        assert torch.equal(mixed[k], torch.where(box, pasted, x[k]))


def test_cutmix_happens_as_often_and_as_large_as_specified() -> None:
    s, side = 20_000, 32
    x = torch.zeros(s, 8, 1, side, side, dtype=torch.uint8)
    _, permutation, lam = cutmix(x, seeded(2))
    identity = (permutation == torch.arange(8)).all(1)
    assert abs(float(identity.double().mean()) - 0.5) < 4 * 0.5 / s**0.5  # by chance only 1 of 8! more
    assert (lam[identity] == 1).all()
    assert len(permutation[~identity].unique(dim=0)) > 5000, "each batch has its own"
    # the mean over the continuous draw, without clipping, is 1/2; with it, boxes lose up to three quarters
    g = torch.Generator().manual_seed(77)
    ratio = torch.rand(400_000, generator=g, dtype=torch.float64)
    half = (side * ratio.sqrt()).long() // 2
    center = torch.randint(side, (2, 400_000), generator=g)
    sides = (center + half).clamp(max=side) - (center - half).clamp(min=0)
    expected = 1 - (sides[0] * sides[1]).double() / side**2
    measured = lam[~identity].double()
    assert abs(float(measured.mean() - expected.mean())) < 4 * float(expected.std()) / len(measured) ** 0.5
    assert abs(float(measured.std() - expected.std())) < 0.01


def test_cutmix_probability_and_seed() -> None:
    x = noise(24).view(4, 6, 3, 28, 28)
    never = cutmix(x, seeded(1), p=0.0)
    assert torch.equal(never[0], x)
    assert (never[2] == 1).all()
    first, second = cutmix(x, seeded(1), p=1.0), cutmix(x, seeded(1), p=1.0)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert (cutmix(x[:, :3], seeded(1), p=1.0)[2] < 1).any()  # a smaller last batch


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_perturbation_sets(name: str, channels: int) -> None:
    images = noise(16, channels)
    views = perturbations(name)
    assert len(views) == 12
    g, again = seeded(1), seeded(1)
    results = [view(images, g) for view in views]
    for view, result in zip(views, results, strict=True):
        assert result.shape == images.shape
        assert result.dtype == torch.uint8
        assert torch.equal(result, view(images, again))
    assert len({result.numpy().tobytes() for result in results}) == 12


def test_fixed_perturbations_are_the_named_ones() -> None:
    images = noise(32)
    results = [view(images, seeded(1)) for view in perturbations("vr")]
    for result, size in zip(results[:4], (8, 16, 24, 32), strict=True):
        assert torch.equal(result, cutout(images, seeded(1), size))
    assert torch.equal(results[4], random_flip(images, seeded(1)))
    assert torch.equal(results[5], random_vertical_flip(images, seeded(1)))
    assert torch.equal(results[6], random_rotation(images, seeded(1), 45))
    assert torch.equal(results[7], random_rotation(images, seeded(1), 90))
    pictures = [augment_pil.to_pil(image) for image in images]
    expected = [[ImageOps.invert(p) for p in pictures]]
    expected += [[ImageOps.solarize(p, t) for p in pictures] for t in (128, 64, 32)]
    for result, row in zip(results[8:], expected, strict=True):
        assert torch.equal(result, torch.stack([augment_pil.from_pil(p, 3) for p in row]))


def test_unknown_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'vr_randaug'"):
        perturbations("vr_randaugment")
    with pytest.raises(UsageError, match="did you mean 'flip'"):
        Augment(["flipp"])


def test_pipeline_applies_its_names_in_the_fixed_order() -> None:
    assert SAMPLE_AUGMENT == ("crop", "flip", "cutout", "randaugment", "autoaugment")
    assert BATCH_AUGMENT == ("cutmix",)
    images = noise(50)
    augment = Augment(["cutmix", "autoaugment", "randaugment", "cutout", "flip", "crop"])
    assert augment.names == SAMPLE_AUGMENT
    g = seeded(5)
    expected = images
    for function in (random_crop, random_flip, cutout, rand_augment, auto_augment):
        expected = function(expected, g)
    assert torch.equal(augment(images, seeded(5)), expected)
    assert Augment([])(images, seeded(1)) is images
    assert augment(images[:0], seeded(1)).shape == (0, 3, 28, 28)
    assert torch.equal(Augment(["flip", "crop"])(images, seeded(6)), Augment(["crop", "flip"])(images, seeded(6)))


@pytest.mark.parametrize(
    ("mean", "std"), [((0.1307,), (0.3081,)), ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))]
)
def test_normalize_is_torchvisions(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    images = noise(10, len(mean))
    reference = v2.Normalize(mean, std)(images.float() / 255)
    ours = normalize(images, mean, std)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, reference, rtol=0, atol=2e-6)
    out = torch.full(images.shape, 9.0)
    assert normalize(images, mean, std, out=out) is out
    assert torch.equal(out, ours)
    exact = (images.double() / 255 - torch.tensor(mean).double().view(-1, 1, 1)) / torch.tensor(std).double().view(
        -1, 1, 1
    )
    assert (ours.double() - exact).abs().max() < 2e-6


def test_normalize_takes_one_number_for_all_channels_and_refuses_two() -> None:
    images = noise(2)
    assert torch.equal(normalize(images, (0.1307,), (0.3081,)), normalize(images, (0.1307,) * 3, (0.3081,) * 3))
    with pytest.raises(UsageError):
        normalize(images, (0.1, 0.2), (0.3, 0.3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("channels", [1, 3])
def test_cuda_gives_the_same_pixels_without_waiting(channels: int) -> None:
    images = noise(200, channels)
    functions = [Augment(SAMPLE_AUGMENT), *perturbations("vr"), lambda x, g: cutmix(x.view(4, 50, *x.shape[1:]), g)[0]]
    functions.append(lambda x, g: normalize(x, (0.1307,) * channels, (0.31, 0.32, 0.33)[:channels]))
    for function in functions:
        on_device = images.cuda()
        function(on_device, seeded(1))  # the first call may build tables
        torch.cuda.set_sync_debug_mode("error")
        try:
            result = function(on_device, seeded(1))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(result.cpu(), function(images, seeded(1)), rtol=0, atol=2e-6)
