"""Every operation against PIL, pixel for pixel."""

from __future__ import annotations

import augment_pil
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from cllab.data.augment import geometry, ops
from cllab.data.augment.policy import OPS, Policy, apply_policy


def pictures(channels: int, height: int = 28, width: int = 28, n: int = 6) -> Tensor:
    """Noise, smooth, dark, flat, two-valued and strongly skewed images: (n, C, H, W) uint8."""
    g = torch.Generator().manual_seed(height * 100 + channels)
    noise = torch.randint(0, 256, (n, channels, height, width), generator=g, dtype=torch.uint8)
    ramp = torch.linspace(0, 255, width).expand(channels, height, width).to(torch.uint8)
    noise[1] = ramp
    noise[2] = noise[2] // 5 + 17 + 9 * torch.arange(channels).view(-1, 1, 1)
    noise[3] = 77
    noise[4] = torch.where(noise[4] > 100, 200, 30)
    noise[5] = torch.where(noise[5] > 230, noise[5], 0)  # like a digit: mostly black
    return noise


def policy_of(op: str, level: Tensor, positive: Tensor, center: Tensor | None = None) -> Policy:
    """`op` once, then nothing."""
    n = len(level)
    pair = torch.full((n, 2), OPS.index(op))
    place = torch.rand((n, 2, 2), generator=torch.Generator().manual_seed(3)) if center is None else center
    applied = torch.tensor([True, False]).expand(n, 2)
    return Policy(pair, level.view(-1, 1).expand(n, 2), positive.view(-1, 1).expand(n, 2), applied, place)


def compare(op: str, images: Tensor) -> Tensor:
    """|ours - PIL's| for every image, level and sign: (images * 20, C, H, W)."""
    level = torch.arange(10).repeat_interleave(2).repeat(len(images))
    positive = torch.tensor([False, True]).repeat(10 * len(images))
    many = images.repeat_interleave(20, 0)
    policy = policy_of(op, level, positive)
    ours = apply_policy(many, policy)
    theirs = [
        augment_pil.from_pil(
            augment_pil.apply(
                augment_pil.to_pil(image), op, int(level[i]), bool(positive[i]), tuple(policy.center[i, 0].tolist())
            ),
            images.shape[1],
        )
        for i, image in enumerate(many)
    ]
    return (ours.int() - torch.stack(theirs).int()).abs()


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (17, 24)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("op", OPS)
def test_policy_operation_equals_pil(op: str, channels: int, size: tuple[int, int]) -> None:
    assert compare(op, pictures(channels, *size)).max() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_continuous_magnitudes_equal_pil(channels: int) -> None:
    images = pictures(channels)
    g = torch.Generator().manual_seed(5)
    n = len(images)
    for _ in range(8):
        factor = (torch.rand(n, generator=g) * 3).double()
        threshold = torch.randint(0, 257, (n,), generator=g)
        bits = torch.randint(1, 9, (n,), generator=g)
        batched = {
            "brightness": ops.brightness(images, factor),
            "contrast": ops.contrast(images, factor),
            "color": ops.color(images, factor),
            "sharpness": ops.sharpness(images, factor),
            "solarize": ops.solarize(images, threshold),
            "posterize": ops.posterize(images, bits),
        }
        for i, image in enumerate(images):
            picture = augment_pil.to_pil(image)
            f = float(factor[i])
            expected = {
                "brightness": ImageEnhance.Brightness(picture).enhance(f),
                "contrast": ImageEnhance.Contrast(picture).enhance(f),
                "color": ImageEnhance.Color(picture).enhance(f),
                "sharpness": ImageEnhance.Sharpness(picture).enhance(f),
                "solarize": ImageOps.solarize(picture, int(threshold[i])),
                "posterize": ImageOps.posterize(picture, int(bits[i])),
            }
            for name, result in expected.items():
                assert torch.equal(batched[name][i], augment_pil.from_pil(result, channels)), name


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (15, 22)])
def test_rotation_by_any_angle_equals_pil(size: tuple[int, int]) -> None:
    images = pictures(3, *size, n=6).repeat(20, 1, 1, 1)
    angles = torch.rand(len(images), generator=torch.Generator().manual_seed(2)).double() * 360 - 180
    angles[:4] = torch.tensor([0.0, 30.0, -45.0, 180.0])
    if size[0] == size[1]:  # elsewhere PIL turns by quarters, too, through the general transform
        angles[4:6] = torch.tensor([90.0, 270.0])
    ours = geometry.rotate(images, angles, fill=0)
    for i, image in enumerate(images):
        expected = augment_pil.to_pil(image).rotate(float(angles[i]), Image.Resampling.NEAREST)
        assert torch.equal(ours[i], augment_pil.from_pil(expected, 3)), float(angles[i])


@pytest.mark.parametrize("along_x", [True, False])
def test_translation_by_any_distance_equals_pil(along_x: bool) -> None:
    images = pictures(3).repeat(10, 1, 1, 1)
    pixels = torch.rand(len(images), generator=torch.Generator().manual_seed(2)).double() * 70 - 35
    pixels[:3] = torch.tensor([0.5, -0.5, 3.0])
    ours = (geometry.translate_x if along_x else geometry.translate_y)(images, pixels, fill=7)
    for i, image in enumerate(images):
        d = float(pixels[i])
        matrix = (1, 0, d, 0, 1, 0) if along_x else (1, 0, 0, 0, 1, d)
        picture = augment_pil.to_pil(image)
        expected = picture.transform(picture.size, Image.Transform.AFFINE, matrix, fillcolor=(7, 7, 7))
        assert torch.equal(ours[i], augment_pil.from_pil(expected, 3)), d


def test_shear_by_any_slope_equals_pil() -> None:
    images = pictures(3).repeat(10, 1, 1, 1)
    slope = torch.rand(len(images), generator=torch.Generator().manual_seed(2)).double() * 2 - 1
    slope[0] = 0
    for axis, ours in enumerate((geometry.shear_x(images, slope), geometry.shear_y(images, slope))):
        for i, image in enumerate(images):
            s = float(slope[i])
            matrix = (1, 0, 0, s, 1, 0) if axis else (1, s, 0, 0, 1, 0)
            expected = augment_pil.affine(augment_pil.to_pil(image), matrix, Image.Resampling.BICUBIC)
            assert torch.equal(ours[i], augment_pil.from_pil(expected, 3)), s


def test_autocontrast_equals_pil_for_every_range_of_values() -> None:
    low, high = torch.triu_indices(256, 256)
    chosen = torch.randperm(len(low), generator=torch.Generator().manual_seed(1))[:4000]
    low, high = low[chosen].view(-1, 1), high[chosen].view(-1, 1)
    images = torch.arange(256).clamp(low, high).to(torch.uint8).view(-1, 1, 16, 16)
    ours = ops.autocontrast(images)
    for image, result in zip(images, ours, strict=True):
        expected = ImageOps.autocontrast(Image.fromarray(image[0].numpy()))
        assert torch.equal(result, augment_pil.from_pil(expected, 1))


def test_equalize_equals_pil_for_few_values() -> None:
    g = torch.Generator().manual_seed(1)
    images = []
    for n in (1, 2, 3, 16, 200):  # few values or few pixels in the histogram: the step is 0, 1 or large
        values = torch.randint(0, 256, (40, n), generator=g)
        images.append(values.gather(1, torch.randint(0, n, (40, 28 * 28), generator=g)))
    batch = torch.cat(images).to(torch.uint8).view(-1, 1, 28, 28)
    small = batch[..., :17, :17].contiguous()
    for many in (batch, small):
        for image, result in zip(many, ops.equalize(many), strict=True):
            expected = ImageOps.equalize(Image.fromarray(image[0].numpy()))
            assert torch.equal(result, augment_pil.from_pil(expected, 1))


def test_luminance_and_flips_equal_pil() -> None:
    images = pictures(3)
    for i, image in enumerate(images):
        picture = augment_pil.to_pil(image)
        assert torch.equal(ops.grayscale(images)[i], augment_pil.from_pil(picture, 1))
        assert torch.equal(ops.horizontal_flip(images)[i], augment_pil.from_pil(ImageOps.mirror(picture), 3))
        assert torch.equal(ops.vertical_flip(images)[i], augment_pil.from_pil(ImageOps.flip(picture), 3))
        assert torch.equal(ops.invert(images)[i], augment_pil.from_pil(ImageOps.invert(picture), 3))


@pytest.mark.parametrize("op", [op for op in OPS if op != "cutout"])
def test_gray_equals_three_equal_channels(op: str) -> None:
    gray = pictures(1).repeat(20, 1, 1, 1)
    level = torch.arange(len(gray)) % 10
    policy = policy_of(op, level, torch.arange(len(gray)) % 2 == 0)
    rgb = apply_policy(gray.expand(-1, 3, -1, -1), policy)
    assert torch.equal(apply_policy(gray, policy).expand(-1, 3, -1, -1), rgb)


def test_cutout_is_a_square_clipped_at_the_border() -> None:
    images = torch.zeros(4, 3, 28, 28, dtype=torch.uint8)
    center_y, center_x = torch.tensor([14, 0, 27, 3]), torch.tensor([14, 0, 27, 25])
    out = ops.cutout(images, center_y, center_x, torch.tensor([7, 16, 16, 0]))
    assert (out != 0).all(1).sum((1, 2)).tolist() == [49, 64, 81, 0]
    assert out[0, :, 11, 11].tolist() == [125, 122, 113]
    assert out[0, :, 10, 11].tolist() == [0, 0, 0]
    assert ops.cutout(images[:, :1], center_y, center_x, 4)[0, 0, 14, 14] == 122


def test_inputs_are_left_alone() -> None:
    images = pictures(3)
    before = images.clone()
    for op in OPS:
        apply_policy(images, policy_of(op, torch.full((6,), 9), torch.ones(6, dtype=torch.bool)))
    assert torch.equal(images, before)
