"""How much the training loop costs over a bare PyTorch loop, the uncertainty pass over a plain one, and start-up times.

    python tests/bench/bench_loop.py [--quick]

Every figure is a ratio of two things measured in turn in this process, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from cllab.data.base import Dataset, Split, TensorImages
from cllab.data.info import DatasetInfo
from cllab.engine import run as engine
from cllab.engine.control import Control
from cllab.engine.optimizers import make_optimizer
from cllab.engine.run import Session
from cllab.learner.phases import Phase, Work
from cllab.memory.uncertainty import vote_uncertainty
from cllab.settings.config import RunConfig

BATCH = 16


def made_up(shape: tuple[int, int, int], n: int) -> Dataset:
    """Random images of ten classes, as large as the real ones: what is timed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    splits = []
    for size in (n, 100):
        pixels = torch.randint(0, 256, (size, *shape), dtype=torch.uint8, generator=generator)
        index = torch.arange(size)
        splits.append(Split(TensorImages(pixels), index, index % 10))
    info = DatasetInfo("made up", 10, shape, n, 100, (0.5,) * shape[0], (0.25,) * shape[0])
    return Dataset("made-up", info, tuple("0123456789"), *splits)


def session(
    shape: tuple[int, int, int], n: int, model: str, method: str = "finetune", capacity: int = 0, **train: float
) -> Session:
    """A session on made-up data, ready to train."""
    config = RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "mnist" if shape[0] == 1 else "cifar10"},
            "scenario": {"name": "disjoint", "tasks": 1, "class_order": "natural"},
            "model": {"name": model},
            "method": {"name": method},
            "memory": {"name": "reservoir", "capacity": capacity},
            "train": {"batch_size": BATCH, **train},
        }
    )
    dataset = made_up(shape, n)
    former = engine.open_dataset
    engine.open_dataset = lambda *_args, **_options: dataset
    try:
        made = Session(config, lambda _event: None, Control())
    finally:
        engine.open_dataset = former
    made.learner.threads = (torch.get_num_threads(), torch.get_num_threads())
    made._begin_task(made.stream.tasks[0])
    for piece in itertools.takewhile(lambda p: isinstance(p, Work), made.method.learn(made.stream.tasks[0])):
        piece.do()
    return made


def learned(made: Session) -> int:
    """Learn the stream of the first task; how many steps that took."""
    before = made.learner.step
    made.loop.begin()
    made.loop.fit(Phase("stream", made.stream.tasks[0].train))
    return made.learner.step - before


def per_step(work: Callable[[], int]) -> float:
    """Milliseconds a step of `work`, which returns how many it did."""
    began = time.perf_counter()
    steps = work()
    return (time.perf_counter() - began) / steps * 1e3


def loop_overhead(name: str, shape: tuple[int, int, int], model: str, steps: int, rounds: int, threads: int) -> float:
    """cllab's time a step over that of a bare loop with the same model, batch and optimizer; the median of rounds."""
    torch.set_num_threads(threads)
    made = session(shape, steps * BATCH, model)
    learner, task = made.learner, made.stream.tasks[0]
    x = learner.normalize(task.train.fetch(torch.arange(steps * BATCH)))
    y = task.train.labels
    network = learner.new_model(10)
    optimizer = make_optimizer([(list(network.parameters()), None)], made.config.train, "", learner.device)

    def bare() -> int:
        network.train()
        for i in range(steps):
            part = slice(i * BATCH, (i + 1) * BATCH)
            loss = F.cross_entropy(network(x[part]), y[part])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return steps

    def ours() -> int:
        return learned(made)

    per_step(bare), per_step(ours)
    pairs = [(per_step(bare), per_step(ours)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    ratio = ratios[len(ratios) // 2]
    a, b = min(p[0] for p in pairs), min(p[1] for p in pairs)
    spread = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(f"{name:34} bare {a:8.3f} ms   cllab {b:8.3f} ms   ratio {ratio:.2f} ({spread})")
    return ratio


def small_steps(method: str, steps: int, rounds: int) -> float:
    """The same for batches of 10 and two hidden layers of 100, where arithmetic hides least; in CPU time of this
    process, so that others on the machine count for little. `er` replays as many from a reservoir of 500."""
    torch.set_num_threads(1)
    size, capacity = 10, 500 if method == "er" else 0
    made = session((1, 28, 28), steps * size, "mlp", method, capacity, batch_size=size, momentum=0.0)
    made.learner.threads = (1, 1)
    learner, task = made.learner, made.stream.tasks[0]
    raw, y = task.train.fetch(torch.arange(steps * size)), task.train.labels
    x = learner.normalize(raw)
    network = learner.new_model(10)
    optimizer = make_optimizer([(list(network.parameters()), None)], made.config.train, "", learner.device)
    images, labels = torch.zeros(capacity, 1, 28, 28, dtype=torch.uint8), torch.zeros(capacity, dtype=torch.long)

    def bare() -> int:
        network.train()
        for i in range(steps):
            part = slice(i * size, (i + 1) * size)
            inputs, targets = x[part], y[part]
            if capacity:
                chosen = torch.randperm(capacity)[:size]
                inputs = torch.cat([inputs, images[chosen].float() / 255])
                targets = torch.cat([targets, labels[chosen]])
            loss = F.cross_entropy(network(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if capacity:
                slots = (torch.rand(size) * (steps + i) * size).long()
                kept = slots < capacity
                images[slots[kept]], labels[slots[kept]] = raw[part][kept], y[part][kept]
        return steps

    def ours() -> int:
        return learned(made)

    def spent(work: Callable[[], int]) -> float:
        began = time.process_time()
        done = work()
        return (time.process_time() - began) / done * 1e3

    spent(bare), spent(ours)
    pairs = [(spent(bare), spent(ours)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    ratio = ratios[len(ratios) // 2]
    name = f"{method}, mlp 2 x 100, batch 10"
    a, b = min(p[0] for p in pairs), min(p[1] for p in pairs)
    spread = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(f"{name:34} bare {a:8.3f} ms   cllab {b:8.3f} ms   ratio {ratio:.2f} ({spread})")
    return ratio


def uncertainty(n: int) -> float:
    """Images a second of the uncertainty pass over those of a plain loop: PIL image by image, then one forward pass."""
    from PIL import Image
    from torchvision.transforms import RandAugment
    from torchvision.transforms.functional import pil_to_tensor

    made = session((1, 28, 28), n, "mlp400")
    learner, split = made.learner, made.stream.tasks[0].train
    vote_uncertainty(split.subset(torch.arange(min(n, 500))), learner, "vr_randaug")
    began = time.perf_counter()
    vote_uncertainty(split, learner, "vr_randaug")
    fast = n / (time.perf_counter() - began)

    plain = min(n, 500)
    raw = split.fetch(torch.arange(plain))
    pictures = [Image.fromarray(image[0].numpy()).convert("RGB") for image in raw]
    augment = RandAugment()
    learner.model.eval()
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(12):
            for start in range(0, plain, 32):
                views = [pil_to_tensor(augment(p).convert("L")) for p in pictures[start : start + 32]]
                learner.model(learner.normalize(torch.stack(views))).argmax(dim=1)
    slow = plain / (time.perf_counter() - began)
    what = "uncertainty, 12 views"
    print(f"{what:34} plain {slow:8.0f} images/s   cllab {fast:8.0f} images/s   ratio {fast / slow:.1f}")
    return fast / slow


def start_up(*arguments: str) -> float:
    """Wall seconds of a cllab command in a fresh process; the best of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cllab", *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    print(f"{'cllab ' + ' '.join(arguments):34} {min(times):8.3f} s")
    return min(times)


def main() -> None:
    """Print every figure."""
    quick = "--quick" in sys.argv
    loop_overhead("mlp400, batch 16, one thread", (1, 28, 28), "mlp400", 200 if quick else 1000, 3 if quick else 9, 1)
    cores = torch.get_num_threads()
    loop_overhead("resnet18, batch 16", (3, 32, 32), "resnet18", 3 if quick else 12, 3 if quick else 5, max(cores, 2))
    for method in ("finetune", "er"):
        small_steps(method, 300 if quick else 1000, 3 if quick else 15)
    uncertainty(2000 if quick else 12000)
    start_up("--help")
    start_up("list", "methods")


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    main()
