"""What latents cost: computing them over the bare forward pass, and a step on kept ones over a bare loop over tensors.

    python tests/bench/bench_latents.py [--quick]

Every figure is a ratio of two things measured in turn in this process. Wanted: 1.15 for computing them, 1.2 for a step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from cllab.engine import run as engine
from cllab.engine.control import Control
from cllab.engine.optimizers import make_optimizer
from cllab.engine.run import Session
from cllab.settings.config import RunConfig
from tests.bench.bench_loop import learned, made_up


def session(model: dict[str, object], n: int, batch_size: int, shape: tuple[int, int, int]) -> Session:
    """A session on made-up images behind a frozen front, its latents computed."""
    config = RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "mnist" if shape[0] == 1 else "cifar10"},
            "scenario": {"name": "disjoint", "tasks": 1, "class_order": "natural"},
            "model": {**model, "front": "frozen", "latents": "float32"},
            "method": {"name": "finetune"},
            "train": {"batch_size": batch_size},
        }
    )
    dataset = made_up(shape, n)
    former = engine.open_dataset
    engine.open_dataset = lambda *_args, **_options: dataset
    try:
        made = Session(config, lambda _event: None, Control())
    finally:
        engine.open_dataset = former
    return made


def median_ratio(name: str, bare: Callable[[], None], ours: Callable[[], None], rounds: int, unit: float) -> float:
    """`ours` over `bare`, the median of rounds; `unit` is by what both times are divided."""

    def timed(work: Callable[[], None]) -> float:
        began = time.process_time()
        work()
        return (time.process_time() - began) / unit * 1e3

    timed(bare), timed(ours)
    pairs = [(timed(bare), timed(ours)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    ratio = ratios[len(ratios) // 2]
    a, b = min(p[0] for p in pairs), min(p[1] for p in pairs)
    print(f"{name:44} bare {a:8.3f} ms   cllab {b:8.3f} ms   ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return ratio


def extraction(rounds: int, n: int = 192) -> float:
    """Latents of `n` photographs behind EfficientNet-Lite0's pooling, at 112 pixels."""
    torch.set_num_threads(1)
    made = session({"name": "efficientnet-lite0", "size": 112, "cut": "pool"}, n, 16, (3, 32, 32))
    learner, latents = made.learner, made.latents
    assert latents is not None
    learner.threads = (1, 1)
    front, images = learner.model.front, made.dataset.train.images
    pixels = made.networks.input(images.fetch(torch.arange(n)))

    def bare() -> None:
        with torch.no_grad():
            for part in torch.split(pixels, learner.bulk_size):
                front(part)

    def ours() -> None:
        store = latents.stores[0]
        with learner.bulk():
            store.take(lambda raw: front(learner.normalize(raw)), learner.bulk_size, learner.passes)

    return median_ratio(f"computing {n} latents, one thread, an image", bare, ours, rounds, n)


def step(name: str, model: dict[str, object], batch_size: int, steps: int, rounds: int) -> float:
    """A step on kept latents, against the same arithmetic on a tensor of them."""
    torch.set_num_threads(1)
    made = session(model, steps * batch_size, batch_size, (1, 28, 28))
    learner = made.learner
    learner.threads = (1, 1)
    made._prepare()
    made._begin_task(made.stream.tasks[0])
    task = made.stream.tasks[0]
    x, y = task.train.fetch(slice(None)).float(), task.train.labels
    network = learner.new_model(10)
    optimizer = make_optimizer([(list(network.parameters()), None)], made.config.train, "", learner.device)

    def bare() -> None:
        network.train()
        for i in range(steps):
            part = slice(i * batch_size, (i + 1) * batch_size)
            F.cross_entropy(network(x[part]), y[part]).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def ours() -> None:
        learned(made)

    return median_ratio(name, bare, ours, rounds, steps)


def main() -> None:
    """Print every figure."""
    quick = "--quick" in sys.argv
    rounds = 3 if quick else 11
    net: dict[str, object] = {"name": "mlp400", "cut": "hidden1"}
    step("a step on latents of 400, batch 16", net, 16, 100 if quick else 300, rounds)
    step("a step on latents of 400, batch 128", net, 128, 50 if quick else 150, rounds)
    extraction(rounds if quick else 5, 96 if quick else 192)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    main()
