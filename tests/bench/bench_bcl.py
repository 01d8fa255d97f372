"""What a stream batch of bcl-dual, gem and er costs over the same arithmetic as a bare PyTorch loop.

    python tests/bench/bench_bcl.py [--quick] [--device cuda]

MNIST-sized random images, 6th of 20 permutations, batches of 10, 256 samples remembered a task: the table's settings.
Every figure is a ratio of two things measured in turn in this process, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.data.base import Dataset, Split, TensorImages
from cllab.data.info import DatasetInfo
from cllab.engine import run as engine
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.phases import Phase, Work
from cllab.settings.config import RunConfig

TASKS, EARLIER, QUOTA, BATCH = 20, 5, 256, 10
SETTINGS: dict[str, dict[str, Any]] = {
    "er": {"candidates": "past", "weighting": "halves", "replay_size": 128},
    "bcl-dual": {},
    "gem": {},
}


def session(method: str, steps: int, device: str) -> Session:
    """A session at the beginning of a later task, its memory full of the earlier ones."""
    config = RunConfig.from_dict(
        {
            "device": device,
            "dataset": {"name": "mnist"},
            "scenario": {"name": "permuted", "tasks": TASKS, "samples": steps * BATCH, "stream": "online"},
            "model": {"name": "mlp", "init": "xavier", **({} if method == "gem" else {"width": 128, "layers": 3})},
            "method": {"name": method, **SETTINGS[method]},
            "memory": {"name": "ring", "capacity": TASKS * QUOTA},
            "train": {"batch_size": BATCH, "lr": 0.03, "momentum": 0.0, "weight_decay": 0.0, "normalize": "unit"},
        }
    )
    generator = torch.Generator().manual_seed(0)
    n = max(steps * BATCH, TASKS * QUOTA)
    pixels = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator).to(device)
    split = Split(TensorImages(pixels), torch.arange(n, device=device), torch.arange(n, device=device) % 10)
    info = DatasetInfo("made up", 10, (1, 28, 28), n, n, (0.5,), (0.25,))
    former = engine.open_dataset
    engine.open_dataset = lambda *_args, **_options: Dataset("made-up", info, tuple("0123456789"), split, split)
    try:
        made = Session(config, lambda _event: None, Control())
    finally:
        engine.open_dataset = former
    made.learner.threads = (1, 1)
    for task in made.stream.tasks[: EARLIER + 1]:
        made._begin_task(task)
        for piece in itertools.takewhile(lambda p: isinstance(p, Work), made.method.learn(task)):
            piece.do()
        if task.index < EARLIER:
            made.learner.memory.update(task.train, made.learner)
            if method == "bcl-dual":
                memory: Any = made.learner.memory
                rows = torch.arange(51, device=device)
                memory.write(task.train.fetch(rows), task.train.labels[rows], rows, made.learner, part="held")
    return made


class Bare:
    """The same steps as one would write them for this alone: tensors, a network, an optimizer."""

    def __init__(self, made: Session) -> None:
        learner = made.learner
        ring: Any = learner.memory
        self.net = learner.new_model(10)
        self.params = list(self.net.parameters())
        self.optimizer = torch.optim.SGD(self.params, lr=0.03, fused=True)
        task = made.stream.tasks[EARLIER]
        n = len(task.train) // BATCH * BATCH
        order = torch.randperm(n, device=learner.device)
        self.x, self.y = learner.normalize(task.train.fetch(order)), task.train.labels[order]
        self.raw = task.train.fetch(order)
        self.steps = n // BATCH
        # the memory stays what it is in both: bytes, made into numbers when they are drawn
        self.images, self.labels = ring.buffers["images"].clone(), ring.buffers["labels"].clone()
        self.earlier, self.held = ring.earlier().clone(), ring.earlier("held").clone()
        self.targets = torch.rand(len(self.labels), 10, device=learner.device).softmax(1)
        self.tasks = [ring.rows(k) for k in range(EARLIER)]
        self.own = ring.blocks["replay"][-1].start

    def draw(self, rows: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = rows[torch.randperm(len(rows))[:n].to(rows.device)]
        return self.images[chosen].float() / 255, self.labels[chosen], chosen

    def write(self, i: int) -> None:
        at = self.own + (i * BATCH) % (QUOTA - 2 * BATCH)
        self.images[at : at + BATCH] = self.raw[i * BATCH : (i + 1) * BATCH]
        self.labels[at : at + BATCH] = self.y[i * BATCH : (i + 1) * BATCH]

    def batch(self, i: int) -> tuple[Tensor, Tensor]:
        part = slice(i * BATCH, (i + 1) * BATCH)
        return self.x[part], self.y[part]

    def step(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()

    def er(self) -> int:
        for i in range(self.steps):
            x, y = self.batch(i)
            old, labels, _ = self.draw(self.earlier, 128)
            mine, theirs = self.net(torch.cat([x, old])).split([len(x), len(old)])
            self.step(F.cross_entropy(mine, y) + F.cross_entropy(theirs, labels))
            self.write(i)
        return self.steps

    def bcl_dual(self) -> int:
        for i in range(self.steps):
            x, y = self.batch(i)
            self.write(i)
            for _ in range(2):
                start = [p.detach().clone() for p in self.params]
                old, labels, rows = self.draw(self.earlier, 128)
                mine, theirs = self.net(torch.cat([x, old])).split([len(x), len(old)])
                soft = F.kl_div((theirs / 5).log_softmax(1), self.targets[rows], reduction="batchmean")
                self.step(F.cross_entropy(mine, y) + F.cross_entropy(theirs, labels) + 10 * soft)
                held, labels, _ = self.draw(self.held, 128)
                self.step(F.cross_entropy(self.net(held), labels))
                with torch.no_grad():
                    torch._foreach_lerp_([p.data for p in self.params], start, 0.7)
        return self.steps

    def gem(self) -> int:
        past = [(self.images[r].float() / 255, self.labels[r]) for r in self.tasks]
        for i in range(self.steps):
            x, y = self.batch(i)
            rows = [torch.cat([g.flatten() for g in self.gradient(*task)]) for task in past]
            g = torch.cat([v.flatten() for v in self.gradient(x, y)])
            matrix = torch.stack(rows)
            products = matrix @ g
            if (products < 0).any():
                # at this margin all multipliers are at their bound nearly always: the program is then one product
                gram = (matrix @ matrix.T).double().cpu().numpy()
                assert np.isfinite(gram).all()
                g = g + 0.5 * matrix.sum(0)
            for p, part in zip(self.params, g.split([p.numel() for p in self.params]), strict=True):
                p.grad = part.view_as(p)
            self.optimizer.step()
            self.write(i)
        return self.steps

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(F.cross_entropy(self.net(x), y), self.params)


def per_step(work: Callable[[], int], device: str) -> float:
    """Milliseconds a stream batch of `work`, which returns how many it did."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    steps = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps * 1e3


def ratio(method: str, steps: int, rounds: int, device: str) -> float:
    """cllab's time a stream batch over the bare loop's; the median of rounds."""
    made = session(method, steps, device)
    bare = Bare(made)
    task = made.stream.tasks[EARLIER]

    def ours() -> int:
        before = made.learner.step
        made.loop.begin()
        made.loop.fit(Phase("stream", task.train))
        return made.learner.step - before

    plain: Callable[[], int] = getattr(bare, method.replace("-", "_"))
    made.loop.optimizers.drop("task")
    per_step(plain, device), per_step(ours, device)
    pairs = [(per_step(plain, device), per_step(ours, device)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    middle = ratios[len(ratios) // 2]
    a, b = min(p[0] for p in pairs), min(p[1] for p in pairs)
    print(
        f"{method:10} bare {a:7.3f} ms   cllab {b:7.3f} ms   "
        f"ratio {middle:.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    return middle


def main() -> None:
    """Print every figure."""
    quick = "--quick" in sys.argv
    device = "cuda" if "cuda" in sys.argv else "cpu"
    torch.set_num_threads(1)
    for method in SETTINGS:
        ratio(method, 50 if quick else 200, 3 if quick else 9, device)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    main()
