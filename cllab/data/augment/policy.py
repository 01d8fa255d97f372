"""RandAugment and AutoAugment on whole batches: first every random number is drawn, then all of it is applied.

A `Policy` holds, for every sample, two operations in order, each with its level, its sign and whether it happens. It is
drawn on the CPU, so the host knows how many samples each operation gets and never waits for the device. To apply it,
the batch is sorted by kind of operation, once per place in the order; each kind then works in place on one slice:

- tables: operations that depend on a pixel's value only (invert, posterize, solarize, brightness) share one gather
  from precomputed tables; autocontrast, equalize and contrast make their tables from the image first;
- remaps: nearest-neighbor geometry (translate, rotate) shares one gather from precomputed positions;
- taps: bicubic shear is a gather of four neighbors from precomputed positions and a polynomial.

Cubuk et al., "RandAugment", arXiv:1909.13719, in the variant of the PyPI package `randaugment` that Rainbow Memory
uses, and "AutoAugment", arXiv:1805.09501, Table 7 (CIFAR-10). Both differ from torchvision: rotations are always
counterclockwise, solarize's scale ends at 256, shear is bicubic and leaves the corner (not the center) in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from cllab.data.augment import geometry, magnitudes, ops
from cllab.data.augment._draw import deliver

OPS: Final = (
    "invert",
    "cutout",
    "sharpness",
    "autocontrast",
    "posterize",
    "shear_x",
    "translate_x",
    "translate_y",
    "shear_y",
    "rotate",
    "equalize",
    "contrast",
    "color",
    "solarize",
    "brightness",
)
"""RandAugment's operations; a policy names them by position. AutoAugment uses all but cutout."""

CIFAR10_SUBPOLICIES: Final = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)),
)
"""AutoAugment's 25 sub-policies for CIFAR-10: pairs of (operation, probability, level)."""

_CHUNK: Final = 2**17
"""Pixels that the CPU works on at a time."""


@dataclass(frozen=True)
class Policy:
    """What happens to each of N samples, at each of two places in order. CPU tensors.

    Attributes:
        op: (N, 2) int64, positions in OPS.
        level: (N, 2) int64, 0..9.
        positive: (N, 2) bool, the sign of operations that have one; rotation is always positive.
        applied: (N, 2) bool.
        center: (N, 2, 2) float32 in [0, 1), cutout's center as a part of height and width.
    """

    op: Tensor
    level: Tensor
    positive: Tensor
    applied: Tensor
    center: Tensor

    def __len__(self) -> int:
        return len(self.op)


def draw_rand_augment(n: int, generator: torch.Generator) -> Policy:
    """Two of 135 (operation, level 1..9) pairs for each of `n` samples, each applied with probability 1/2."""
    levels = magnitudes.N_LEVELS - 1
    device = generator.device
    pair = torch.randint(len(OPS) * levels, (n, 2), generator=generator, device=device).cpu()
    op = pair.div(levels, rounding_mode="floor")
    bits = torch.randint(4, (n, 2), generator=generator, device=device).cpu()
    center = torch.rand((n, 2, 2), generator=generator, device=device).cpu()
    return Policy(op, pair - op * levels + 1, (bits & 1).bool(), (bits & 2).bool(), center)


def draw_auto_augment(n: int, generator: torch.Generator) -> Policy:
    """One of the 25 CIFAR-10 sub-policies for each of `n` samples."""
    op, level, probability = _subpolicies()
    device = generator.device
    choice = torch.randint(len(op), (n,), generator=generator, device=device).cpu()
    chance, sign = torch.rand((2, n, 2), generator=generator, device=device).cpu()
    return Policy(op[choice], level[choice], sign < 0.5, chance < probability[choice], chance.new_zeros(n, 2, 2))


def rand_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """RandAugment of images (B, C, H, W) uint8.

    A CPU generator keeps the host from waiting for the device, and draws the same policy for every kind of device.
    """
    return apply_policy(images, draw_rand_augment(len(images), generator))


def auto_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """AutoAugment (CIFAR-10 policy) of images (B, C, H, W) uint8; the generator as for `rand_augment`."""
    return apply_policy(images, draw_auto_augment(len(images), generator))


def apply_policy(images: Tensor, policy: Policy) -> Tensor:
    """Applies a policy of B samples to images (B, C, H, W) uint8, C = 1 or 3, and returns new ones."""
    b, c, h, w = images.shape
    tables = _tables(h, w, images.device)
    kind = _KINDS[policy.op] * policy.applied
    if c == 1:
        kind *= kind != _COLOR
    if b <= 512:  # a byte-wide sort is faster, and sorts in one digit
        kind = kind.to(torch.uint8)
    order = [kind[:, slot].argsort(stable=True) for slot in (0, 1)]
    sizes = [torch.bincount(kind[:, slot], minlength=len(_KIND_OF)).tolist() for slot in (0, 1)]
    # where each sample stands after the first sort, so that one move takes it from there to the second
    back = [torch.empty_like(o).scatter_(0, o, torch.arange(b)) for o in order]
    code = (policy.op * magnitudes.N_LEVELS + policy.level) * 2 + policy.positive
    center = (policy.center * torch.tensor([h, w])).to(torch.int64)
    columns = [order[0], back[0][order[1]], back[1]]
    for slot in (0, 1):
        columns += [code[order[slot], slot], *center[order[slot], slot].unbind(1)]
    host = deliver(torch.stack(columns), images.device)  # everything the device needs, in one transfer
    move, parameters = host[:3], host[3:].view(2, 3, b)

    # on the CPU in pieces: larger intermediate results leave the cache, and their memory is mapped anew every time
    chunk = max(1, _CHUNK // (c * h * w)) if images.device.type == "cpu" else b
    x = images
    for slot in (0, 1):
        x = x.index_select(0, move[slot])
        start = sizes[slot][0]
        for function, size in zip(_FUNCTIONS, sizes[slot][1:], strict=True):
            for first in range(start, start + size, chunk):
                part = slice(first, min(first + chunk, start + size))
                x[part] = function(x[part], parameters[slot, :, part], tables)
            start += size
    return x.index_select(0, move[2])


# ---------------------------------------------------------------------------------------------------------------------
# tables: everything that depends on operation, level and sign only, for one image size


@dataclass(frozen=True)
class _Tables:
    """Rows by code = (op * 10 + level) * 2 + positive, through `row` where not every code has one."""

    values: Tensor  # (codes, 256) uint8
    factor: Tensor  # (codes,) float32, of the enhancing operations
    size: Tensor  # (codes,) int64, of cutout
    row: Tensor  # (codes,) int64, into the three below
    positions: Tensor  # (rows, H*W) int64
    taps: Tensor  # (rows, 4*H*W) int64
    fraction: Tensor  # (rows, H*W) float64


@lru_cache(maxsize=8)
def _tables(height: int, width: int, device: torch.device) -> _Tables:
    op, level, positive = torch.meshgrid(
        torch.arange(len(OPS)), torch.arange(magnitudes.N_LEVELS), torch.arange(2), indexing="ij"
    )
    op, level, sign = op.flatten(), level.flatten(), positive.flatten() * 2.0 - 1.0
    level_of = {name: level[op == i] for i, name in enumerate(OPS)}
    sign_of = {name: sign[op == i] for i, name in enumerate(OPS)}

    def signed(name: str, scale: Tensor) -> Tensor:
        return scale[level_of[name]] * sign_of[name].to(scale.dtype)

    n = len(op) // len(OPS)
    factor = 1.0 + magnitudes.ENHANCE[level] * sign.to(torch.float64)
    same = ops.identity_table(n, torch.device("cpu"))
    values = dict.fromkeys(OPS, same)
    values["invert"] = 255 - same
    values["posterize"] = ops.posterize_table(magnitudes.POSTERIZE[level_of["posterize"]])
    values["solarize"] = ops.solarize_table(magnitudes.SOLARIZE[level_of["solarize"]])
    values["brightness"] = ops.brightness_table(factor[op == OPS.index("brightness")])

    zero = torch.zeros(n, dtype=torch.float64)
    translate, shear = magnitudes.TRANSLATE, magnitudes.SHEAR
    positions = {
        "translate_x": geometry.translate_positions(height, width, signed("translate_x", translate) * width, zero),
        "translate_y": geometry.translate_positions(height, width, zero, signed("translate_y", translate) * height),
        "rotate": geometry.rotate_positions(height, width, magnitudes.ROTATE[level_of["rotate"]]),
    }
    taps = {
        "shear_x": geometry.shear_taps(height, width, signed("shear_x", shear), zero),
        "shear_y": geometry.shear_taps(height, width, zero, signed("shear_y", shear)),
    }
    row = torch.zeros(len(op), dtype=torch.int64)
    for group in (positions, taps):
        for i, name in enumerate(group):
            row[op == OPS.index(name)] = torch.arange(n) + i * n
    fraction = torch.cat([f for _, f in taps.values()])
    return _Tables(
        values=torch.cat([values[name] for name in OPS]).to(device),
        factor=factor.to(torch.float32).to(device),
        size=magnitudes.CUTOUT[level].to(device),
        row=row.to(device),
        positions=torch.cat(list(positions.values())).to(device),
        taps=torch.cat([t for t, _ in taps.values()]).to(device),
        fraction=(fraction.to(torch.float32) if device.type == "mps" else fraction).to(device),
    )


@lru_cache(maxsize=1)
def _subpolicies() -> tuple[Tensor, Tensor, Tensor]:
    op = torch.tensor([[OPS.index(name) for name, _, _ in pair] for pair in CIFAR10_SUBPOLICIES])
    level = torch.tensor([[level for _, _, level in pair] for pair in CIFAR10_SUBPOLICIES])
    probability = torch.tensor([[p for _, p, _ in pair] for pair in CIFAR10_SUBPOLICIES])
    return op, level, probability


# ---------------------------------------------------------------------------------------------------------------------
# kinds of operations: (images, parameters (3, n) int64: code, center row, center column; tables) -> images

_Function = Callable[[Tensor, Tensor, _Tables], Tensor]


def _table(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.apply_table(images, tables.values.index_select(0, parameters[0]))


def _autocontrast(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.autocontrast(images)


def _equalize(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.equalize(images)


def _contrast(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.contrast(images, tables.factor[parameters[0]])


def _color(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.color(images, tables.factor[parameters[0]])


def _sharpness(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return ops.sharpness(images, tables.factor[parameters[0]])


def _remap(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    return geometry.remap(images, tables.positions.index_select(0, tables.row[parameters[0]])).view(images.shape)


def _shear(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    row = tables.row[parameters[0]]
    return geometry.apply_taps(images, tables.taps.index_select(0, row), tables.fraction.index_select(0, row))


def _cutout(images: Tensor, parameters: Tensor, tables: _Tables) -> Tensor:
    code, center_y, center_x = parameters
    return ops.cutout(images, center_y, center_x, tables.size[code])


_KIND_OF: Final[dict[str, tuple[str, ...]]] = {
    "nothing": (),
    "table": ("invert", "posterize", "solarize", "brightness"),
    "autocontrast": ("autocontrast",),
    "equalize": ("equalize",),
    "contrast": ("contrast",),
    "color": ("color",),
    "sharpness": ("sharpness",),
    "remap": ("translate_x", "translate_y", "rotate"),
    "shear": ("shear_x", "shear_y"),
    "cutout": ("cutout",),
}
_FUNCTIONS: Final[tuple[_Function, ...]] = (
    _table,
    _autocontrast,
    _equalize,
    _contrast,
    _color,
    _sharpness,
    _remap,
    _shear,
    _cutout,
)
_KINDS: Final = torch.tensor([next(i for i, names in enumerate(_KIND_OF.values()) if op in names) for op in OPS])
_COLOR: Final = list(_KIND_OF).index("color")
