"""Fixed rearrangements of pixels: what tells the tasks of permuted and rotated streams apart."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cllab.data.base import Dataset
from cllab.learner.rng import Rng, derive
from cllab.scenarios._build import Rows


class PixelMap:
    """Every pixel of the result is one pixel of the input, or black; the same in all channels of all images.

    Applied to whole batches where they are; the pixels of the dataset stay as they are stored.
    """

    def __init__(self, source: Tensor) -> None:
        """source: (H*W,) long, the flat input pixel behind every flat output pixel, -1 for black."""
        self.source = source.cpu()
        self._ready: dict[torch.device, tuple[Tensor, Tensor | None]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) uint8, likewise returned."""
        b, c, h, w = x.shape
        if h * w != len(self.source):
            raise ValueError(f"made for images of {len(self.source)} pixels, not {w}x{h}")
        if x.device not in self._ready:
            black = bool((self.source < 0).any())
            inside = (self.source >= 0).to(torch.uint8).to(x.device) if black else None
            self._ready[x.device] = (self.source.clamp(min=0).to(x.device), inside)
        index, inside = self._ready[x.device]
        # an expanded gather: on the CPU several times faster than selecting along the last dimension
        out = x.flatten(2).gather(2, index.expand(b, c, -1))
        if inside is not None:
            out *= inside
        return out.view(b, c, h, w)


def permutations(n_pixels: int, tasks: int, rng: Rng) -> list[Tensor]:
    """`tasks` random orders of the pixels; more tasks leave the first ones as they were."""
    generator = torch.Generator().manual_seed(derive(rng.seed, "scenario.permutations"))
    return [torch.randperm(n_pixels, generator=generator) for _ in range(tasks)]


def rotation(height: int, width: int, angle: float) -> PixelMap:
    """Pillow's rotation by `angle` degrees, counter-clockwise: nearest pixel, same canvas, black outside."""
    # Pillow itself turns a picture of the pixel numbers: its rounding and its shortcuts at right angles are ours then
    numbers = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    turned = Image.fromarray(numbers).rotate(angle, resample=Image.Resampling.NEAREST, fillcolor=0)
    return PixelMap(torch.from_numpy(np.array(turned, dtype=np.int64).reshape(-1) - 1))


SAME_HELP = "Draw the training images once, the same ones for every task, instead of anew"
TEST_HELP = "Test images of a task, drawn anew for each; 0 for all"


def sampled(dataset: Dataset, samples: int, tasks: int, rng: Rng, *, same: bool = False) -> list[Rows]:
    """Training rows of every task: a random `samples` of all, drawn anew for each or once; 0 for all of them."""
    drawn = _drawn(len(dataset.train), samples, 1 if same else tasks, rng, "scenario.samples")
    return drawn * tasks if same else drawn


def tested(dataset: Dataset, samples: int, tasks: int, rng: Rng) -> list[Rows]:
    """Test rows of every task: a random `samples` of all, drawn anew for each; 0 for all of them."""
    return _drawn(len(dataset.test), samples, tasks, rng, "scenario.tested")


def _drawn(n: int, samples: int, tasks: int, rng: Rng, name: str) -> list[Rows]:
    if samples == 0 or samples >= n:
        return [np.arange(n) for _ in range(tasks)]
    draw = rng.numpy(name)
    return [draw.permutation(n)[:samples].astype(np.int64) for _ in range(tasks)]


def too_few(samples: int, n_train: int | None) -> str | None:
    """Why `samples` cannot be drawn from the training images, or None."""
    if n_train is not None and samples > n_train:
        return f"samples = {samples} is more than the {n_train} training images of the data"
    return None
