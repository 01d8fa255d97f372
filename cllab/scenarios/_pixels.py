"""Fixed rearrangements of pixels: what tells the tasks of permuted and rotated streams apart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cllab.data._pixelmap import PixelMap as PixelMap
from cllab.data._pixelmap import rotation as rotation
from cllab.data.base import Dataset
from cllab.learner.rng import Rng, derive
from cllab.scenarios._build import Rows


def permutations(n_pixels: int, tasks: int, rng: Rng) -> list[Tensor]:
    """`tasks` random orders of the pixels; more tasks leave the first ones as they were."""
    generator = torch.Generator().manual_seed(derive(rng.seed, "scenario.permutations"))
    return [torch.randperm(n_pixels, generator=generator) for _ in range(tasks)]


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
