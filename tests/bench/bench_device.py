"""What bounds the training of a preset on a device: step rate, how busy the device is, launches and waits per step.

    python tests/bench/bench_device.py rm-da-cifar100-blurry10 [--set k=v ...] [--steps 200]

The first steps warm up, the next are timed without a profiler, the last are profiled. On a GPU, a busy share near one
says that the device bounds the run, a small one that launching does. The data are looked for as in `cllab run`.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.profiler import ProfilerActivity, profile

from cllab.engine.control import Control, StopRequested
from cllab.engine.run import Session
from cllab.settings import presets

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class Measured(Session):
    """A session that ends after `steps` warm steps, as many timed and as many profiled."""

    steps = 100
    profiler: profile
    timed = 0.0
    profiled = 0.0
    _count = 0
    _since = 0.0

    def on_step(self, phase: str) -> None:
        super().on_step(phase)
        self._count += 1
        if self._count % self.steps == 0:
            self._next()

    def _next(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        stage = self._count // self.steps
        if stage == 2:
            self.timed = now - self._since
            self.profiler.start()
        elif stage == 3:
            self.profiled = now - self._since
            self.profiler.stop()
            raise StopRequested(0)
        self._since = time.perf_counter()


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=100)
    chosen = parser.parse_args()
    config = presets.load(chosen.preset).config.override(chosen.set)
    session = Measured(config, lambda _event: None, Control())
    session.steps = chosen.steps
    on_gpu = session.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    session.profiler = profile(activities=activities)
    session.start()
    try:
        session.walk()
    except StopRequested:
        pass  # how `Measured` ends
    else:
        raise SystemExit(f"{chosen.preset} has fewer than {3 * chosen.steps} steps; use --steps")
    n = chosen.steps
    batch = config.train.batch_size
    print(f"{chosen.preset} on {session.device}, {config.train.precision}, batches of {batch}")
    print(f"  a step                {1000 * session.timed / n:9.3f} ms   {n / session.timed:9.1f} a second")
    print(f"  a profiled step       {1000 * session.profiled / n:9.3f} ms")
    events = session.profiler.key_averages()
    if on_gpu:
        busy = sum(e.self_device_time_total for e in events) / 1e6
        launches = sum(e.count for e in events if e.key.startswith("cudaLaunchKernel"))
        waits = sum(e.count for e in events if e.key in WAITS)
        print(f"  device busy           {100 * busy / session.profiled:9.1f} % of the profiled time")
        print(f"  kernels a step        {launches / n:9.1f}")
        print(f"  waits for the device  {waits / n:9.3f} a step")
        print(f"  device memory         {torch.cuda.max_memory_allocated() / 1e6:9.1f} MB at most")
    print(events.table(sort_by="self_device_time_total" if on_gpu else "self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    main()
