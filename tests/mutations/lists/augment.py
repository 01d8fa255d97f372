"""What is done to the pixels."""

from tests.mutations.mutant import of

BASIC = "tests/data/test_augment_basic.py"
OPS = "tests/data/test_augment_ops.py"
POLICY = "tests/data/test_augment_policy.py"

MUTANTS = [
    *of(
        "cllab/data/augment/basic.py",
        BASIC,
        ("a crop never reaches the last offset", "integers(2 * padding + 1, (2, b)", "integers(2 * padding, (2, b)"),
        (
            "the same crop for a whole batch",
            "integers(2 * padding + 1, (2, b), generator, device)",
            "integers(2 * padding + 1, (2, 1), generator, device).expand(2, b)",
        ),
        (
            "the border is noise instead of zeros",
            "padded = images.new_zeros(b, c, tall, wide)",
            "padded = images.new_full((b, c, tall, wide), 7)",
        ),
        ("crops move along one axis", "(top * wide + left).view", "(left * wide + left).view"),
        (
            "flips top and bottom",
            "_choose(images, ops.horizontal_flip(images)",
            "_choose(images, ops.vertical_flip(images)",
        ),
        (
            "flips all",
            "decision = uniform((n,), generator, images.device) < p",
            "decision = uniform((n,), generator, images.device) < 1",
        ),
        (
            "one decision for the batch",
            "uniform((n,), generator, images.device) < p",
            "(uniform((1,), generator, images.device) < p).expand(n)",
        ),
        ("cutout keeps to the middle", "center_y = integers(h, (b,)", "center_y = h // 4 + integers(h // 2, (b,)"),
        (
            "turned one way only",
            "(uniform((len(images),), generator, images.device) * 2 - 1) * degrees",
            "uniform((len(images),), generator, images.device) * degrees",
        ),
        ("gray outside", "geometry.rotate(images, angle, fill=0)", "geometry.rotate(images, angle)"),
    ),
    *of(
        "cllab/data/augment/cutmix.py",
        BASIC,
        ("applied always", "mixed = applied < p", "mixed = applied < 1"),
        ("the side instead of the area is uniform", "side = ratio.sqrt()", "side = ratio"),
        (
            "the share of the other image",
            "lam = 1 - area.to(torch.float32) / (h * w)",
            "lam = area.to(torch.float32) / (h * w)",
        ),
        (
            "the share before clipping",
            "area = (bottom - top) * (right - left) * mixed",
            "area = (side * h).long() // 2 * 2 * ((side * w).long() // 2 * 2) * mixed",
        ),
        (
            "labels of another permutation",
            "return torch.where(box, other, x), permutation, lam",
            "return torch.where(box, other, x), permutation.argsort(1), lam",
        ),
        (
            "one permutation for all batches",
            "uniform((s, b), generator, device).argsort(1)",
            "uniform((1, b), generator, device).argsort(1).expand(s, b)",
        ),
        ("a box outside of the image counts", ".clamp(min=0), (center + half).clamp(max=length)", ", center + half"),
        (
            "wider than high",
            "left, right = _interval(side, w, generator)",
            "left, right = _interval((side * 1.5).clamp(max=1), w, generator)",
        ),
        (
            "boxes keep to the corner",
            "center = integers(length, (len(side),), generator, side.device)",
            "center = integers(length, (len(side),), generator, side.device) // 2",
        ),
    ),
    *of(
        "cllab/data/augment/geometry.py",
        f"{OPS}",
        ("translation is rounded down", "source_x = torch.floor(x + 0.5 + dx", "source_x = torch.floor(x + dx"),
        ("translation the other way", "source_y = torch.floor(y + 0.5 + dy", "source_y = torch.floor(y + 0.5 - dy"),
        ("clockwise", "angle = -torch.deg2rad(", "angle = torch.deg2rad("),
        ("about the first pixel", "center_x, center_y = width / 2, height / 2", "center_x, center_y = 0, 0"),
        (
            "about the pixel left of the middle",
            "center_x, center_y = width / 2, height / 2",
            "center_x, center_y = (width - 1) / 2, (height - 1) / 2",
        ),
        (
            "shear about the middle",
            "at_x = (x + 0.5) + slope_x * (y + 0.5)",
            "at_x = (x + 0.5) + slope_x * (y + 0.5 - height / 2)",
        ),
        ("shear by the nearest pixel", "t = fraction.unsqueeze(1)", "t = fraction.unsqueeze(1).round()"),
        ("another cubic", "value = (v2 - v1).add_(v4 - v3) * t", "value = 0.5 * (v2 - v1).add_(v4 - v3) * t"),
        ("black outside", "GRAY = 128\n", "GRAY = 0\n"),
        (
            "the border is repeated",
            "outside = (at_x < 0) | (at_x >= width) | (at_y < 0) | (at_y >= height)",
            "outside = at_x < -1e9",
        ),
    ),
    *of(
        "cllab/data/augment/ops.py",
        OPS,
        (
            "luminance by the mean",
            "red.mul_(19595).add_(green.mul_(38470)).add_(blue.mul_(7471))",
            "red.mul_(21845).add_(green.mul_(21845)).add_(blue.mul_(21845))",
        ),
        (
            "one bit less",
            "mask = (256 - (1 << (8 - bits.to(torch.int64)))).view(-1, 1)",
            "mask = (256 - (1 << (9 - bits.to(torch.int64)))).view(-1, 1)",
        ),
        (
            "solarize above the threshold only",
            "torch.where(values < threshold.view(-1, 1)",
            "torch.where(values <= threshold.view(-1, 1)",
        ),
        (
            "brightness is rounded",
            "(values * factor.to(torch.float32).view(-1, 1)).clamp_",
            "(values * factor.to(torch.float32).view(-1, 1)).round().clamp_",
        ),
        (
            "contrast around the middle gray",
            "mean = mean.to(torch.float32).view(-1, 1)",
            "mean = torch.full_like(mean, 128).to(torch.float32).view(-1, 1)",
        ),
        ("contrast around a truncated mean", "mul_(2).add_(count))", "mul_(2))"),
        ("autocontrast over all channels", "low = flat.amin(2, keepdim=True)", "low = flat.amin((1, 2), keepdim=True)"),
        ("equalize without its last value", "step = (n - last)", "step = (n - 0 * last)"),
        ("equalize counts from the value itself", ".sub_(histogram)", ""),
        (
            "color blends the wrong way",
            "_blend(grayscale(images).to(torch.float32), images.to(torch.float32)",
            "_blend(images.to(torch.float32), grayscale(images).to(torch.float32)",
        ),
        ("smoothing without a heavier middle", "add_(center, alpha=4)", "add_(center, alpha=0)"),
        (
            "the outermost pixels are smoothed away",
            "out[..., 1:-1, 1:-1] = _blend",
            "out[..., 0, :] = 0\n    out[..., 1:-1, 1:-1] = _blend",
        ),
        ("cutout is black", "CUTOUT_FILL: Final = (125, 122, 113)", "CUTOUT_FILL: Final = (0, 0, 0)"),
        (
            "cutout begins at its center",
            "first = (center - size // 2).view(-1, 1)",
            "first = (center - 0 * size).view(-1, 1)",
        ),
        ("inverted below 255", "return images ^ 255", "return 254 - images.clamp(max=254)"),
    ),
    *of(
        "cllab/data/augment/magnitudes.py",
        OPS,
        ("shear up to .5", "SHEAR: Final = _scale(0.0, 0.3)", "SHEAR: Final = _scale(0.0, 0.5)"),
        ("translation up to .45", "150 / 331", "0.45"),
        ("solarize from 255", "_scale(256.0, 0.0)", "_scale(255.0, 0.0)"),
        ("posterize down to 3 bits", "_scale(8.0, 4.0)", "_scale(8.0, 3.0)"),
        ("ten levels from one", "low + steps *", "low + (steps + 1) *"),
    ),
    *of(
        "cllab/data/augment/policy.py",
        f"{POLICY} {OPS}",
        ("level 0 is drawn", "pair - op * levels + 1, (bits & 1)", "pair - op * levels, (bits & 1)"),
        (
            "both operations always happen",
            "(bits & 2).bool(), center)",
            "torch.ones_like(bits, dtype=torch.bool), center)",
        ),
        (
            "sign and chance are the same bit",
            "(bits & 1).bool(), (bits & 2).bool()",
            "(bits & 1).bool(), (bits & 1).bool()",
        ),
        (
            "one pair for a whole batch",
            "(n, 2), generator=generator, device=device).cpu()\n    op",
            "(1, 2), generator=generator, device=device).cpu().expand(n, 2)\n    op",
        ),
        ("sub-policies always happen", "chance < probability[choice]", "chance < 2 * probability[choice]"),
        (
            "a sub-policy's operations are exchanged",
            '(("rotate", 0.7, 2), ("translate_x", 0.3, 9)),',
            '(("translate_x", 0.3, 9), ("rotate", 0.7, 2)),',
        ),
        (
            "another probability",
            '(("color", 0.9, 9), ("equalize", 0.6, 6)),',
            '(("color", 0.5, 9), ("equalize", 0.6, 6)),',
        ),
        ("rotations have a sign", 'magnitudes.ROTATE[level_of["rotate"]])', 'signed("rotate", magnitudes.ROTATE))'),
        (
            "translation by the height",
            'signed("translate_x", translate) * width',
            'signed("translate_x", translate) * height',
        ),
        ("samples do not return to their places", "return x.index_select(0, move[2])", "return x"),
        (
            "the second operation comes first",
            "for slot in (0, 1)]\n    sizes",
            "for slot in (1, 0)]\n    sizes",
        ),
    ),
    *of(
        "cllab/data/augment/perturb.py",
        BASIC,
        ("a view less", "policy.rand_augment,) * N_PERTURBATIONS", "policy.rand_augment,) * (N_PERTURBATIONS - 1)"),
        ("other sizes of cutout", "for size in (8, 16, 24, 32)", "for size in (4, 8, 16, 32)"),
        ("both rotations by 45", "degrees=90", "degrees=45"),
        ("other thresholds", "(128, 64, 32)", "(192, 128, 64)"),
    ),
    *of(
        "cllab/data/augment/pipeline.py",
        BASIC,
        (
            "flip before crop",
            '    "crop": basic.random_crop,\n    "flip": basic.random_flip,\n',
            '    "flip": basic.random_flip,\n    "crop": basic.random_crop,\n',
        ),
        ("not divided by 255", "1 / (255 * s)) for part", "1 / s) for part"),
        ("the mean is not scaled", "torch.tensor(-m / s)", "torch.tensor(-m)"),
        ("the first channel's numbers for all", "if len(set(pairs)) == 1 else", "if True else"),
    ),
]
