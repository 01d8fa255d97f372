"""How long a dataset takes to open: from its files, and from the cache.

    CLLAB_DATA=... python tests/bench/bench_data.py [mnist] [cifar100]

Prints, for each dataset that is there, the seconds of the first start (decoding), of the next starts (best and worst of
five), of one pass over all images, and of the plain way: Pillow, file after file, without any check. The operating
system's cache is warm for the last, and warm for the first only if the files were read before.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cllab.data.base import Dataset
from cllab.data.where import dataset_status, source


def seconds(name: str) -> tuple[float, Dataset]:
    started = time.perf_counter()
    dataset = source(name).open()
    return time.perf_counter() - started, dataset


def plainly(folder: Path, files: list[str]) -> float:
    started = time.perf_counter()
    np.stack([np.asarray(Image.open(folder / file)) for file in files])
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["mnist", "cifar100"]:
        status = dataset_status(name, scan=False)
        if not status.found:
            print(f"{name}: {status.problem} (CLLAB_DATA={os.environ.get('CLLAB_DATA', '')})")
            continue
        with tempfile.TemporaryDirectory() as cache:
            os.environ["CLLAB_CACHE"] = cache
            first, dataset = seconds(name)
            again = [seconds(name)[0] for _ in range(5)]
            started = time.perf_counter()
            for split in (dataset.train, dataset.test):
                split.fetch(slice(None))
            once = time.perf_counter() - started
        line = f"{name} ({status.kind}): first start {first:.2f} s, next {min(again):.2f} to {max(again):.2f} s"
        line += f", reading all images {once:.2f} s"
        if dataset.files is not None and status.path is not None:
            line += f"; Pillow in a loop {plainly(status.path, [*dataset.files[0], *dataset.files[1]]):.2f} s"
        print(line)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(__doc__)
    main()
