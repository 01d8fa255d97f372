"""RandAugment and AutoAugment: images per second, whole batches against PIL one image at a time.

Run: python tests/bench/bench_augment.py [--device cuda]. One CPU thread on both sides.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

import augment_pil

from cllab.data.augment import OPS, auto_augment, rand_augment
from cllab.data.augment.policy import CIFAR10_SUBPOLICIES

SHAPES = ((16, 1, 28, 28), (128, 3, 32, 32), (512, 3, 32, 32), (4096, 1, 28, 28))


def seconds(run: Callable[[], object], device: torch.device, repeat: int) -> float:
    """Median time of one call after two to warm up."""
    times = []
    for _ in range(repeat + 2):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[repeat // 2]


def pil_seconds(images: Tensor, name: str) -> float:
    """Time per image, from tensor to tensor as a data loader without workers does it."""
    start = time.perf_counter()
    for image in images:
        picture = augment_pil.to_pil(image)
        if name == "RandAugment":
            picture = augment_pil.rand_augment(picture, OPS)
        else:
            picture = augment_pil.auto_augment(picture, CIFAR10_SUBPOLICIES)
        augment_pil.from_pil(picture, images.shape[1])
    return (time.perf_counter() - start) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = torch.device(parser.parse_args().device)
    torch.set_num_threads(1)
    random.seed(0)
    generator = torch.Generator().manual_seed(0)
    print(f"{'':28}{'batched/s':>12}{'PIL/s':>10}{'ratio':>8}")
    for name, function in (("RandAugment", rand_augment), ("AutoAugment", auto_augment)):
        for shape in SHAPES:
            images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
            on_device = images.to(device)
            slow = pil_seconds(images.repeat(-(-2000 // len(images)), 1, 1, 1)[:2000], name)
            fast = seconds(lambda x=on_device, f=function: f(x, generator), device, 15) / shape[0]
            print(f"{name:12}{shape!s:16}{1 / fast:12,.0f}{1 / slow:10,.0f}{slow / fast:8.1f}")


if __name__ == "__main__":
    main()
