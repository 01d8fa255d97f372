"""GEM's benchmark files: every task's images and labels in one `.pt`, so that runs see the very same data.

The format of Lopez-Paz & Ranzato's code (arXiv:1706.08840) and of Bilevel Continual Learning's (arXiv:2007.15553, with
`-val` for choosing hyper-parameters and `-cl` for the rest): a list of training tasks and one of test tasks, each task
(descriptor, x in 0..1, y). Their raw tensors (`cifar100.pt`, `mnist_train.pt` beside `mnist_test.pt`) are read too, as
one task. A file that holds more than tensors, text and numbers is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cllab.data._cache import Progress
from cllab.data.info import DatasetInfo, DataStatus
from cllab.data.source import DatasetSource, Place
from cllab.data.where import data_root
from cllab.errors import DataError
from cllab.io.files import expand
from cllab.settings.spec import param

if TYPE_CHECKING:
    import torch

    from cllab.data.base import Dataset


class BenchmarkFile(DatasetSource):
    """The images of all tasks of a file; the scenario of the same name makes its tasks of them."""

    info = DatasetInfo(
        title="Benchmark file",
        n_classes=None,
        shape=None,
        n_train=None,
        n_test=None,
        mean=(0.0,),
        std=(1.0,),
        model="mlp",
        paper="arXiv:1706.08840",
        home="https://github.com/facebookresearch/GradientEpisodicMemory",
    )
    suffixes = frozenset({"pt"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which file."""

        file: str = param("", "The .pt file: a path, or a name in the data folder")

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """The data folder: which file is a matter of the configuration."""
        return [Place("file", root, "<dataset.file>.pt")]

    @classmethod
    def status(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        scan: bool = True,
    ) -> DataStatus:
        """Whether the configured file is there."""
        name = str((config or {}).get("file", ""))
        where = (str(data_root(root) / (name or "<dataset.file>.pt")),)
        if not name:
            return DataStatus(cls.name(), found=False, where=where, problem="dataset.file names no file")
        path = find(name, root)
        if path is None:
            return DataStatus(cls.name(), found=False, where=where, problem=f"no file '{name}'")
        size = path.stat().st_size if scan else None
        return DataStatus(cls.name(), found=True, where=where, path=path.parent, kind="file", bytes=size)

    @classmethod
    def open(
        cls,
        config: Any = None,
        root: str | os.PathLike[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        download: bool = False,
        progress: Progress | None = None,
    ) -> Dataset:
        """The file's images, as uint8.

        Raises:
            DataError: when it is missing, holds code, or is not such a file; naming what is wrong where.
        """
        config = cls.Config() if config is None else config
        from cllab.data._benchmark import read, to_dataset

        return to_dataset(cls.name(), cls.info, read(cls._path(config.file, root)), device)

    @classmethod
    def counts(cls, file: str, root: str | os.PathLike[str] | None = None) -> list[list[int]]:
        """Training images of every class in every task, classes in the order in which tasks bring them; needs torch.

        Raises:
            DataError: when the file is missing or not such a file.
        """
        from cllab.data._benchmark import counts, read

        return counts(read(cls._path(file, root)))

    @classmethod
    def _path(cls, file: str, root: str | os.PathLike[str] | None) -> Path:
        if not file:
            raise DataError(f"{cls.name()}: dataset.file must name a .pt file")
        path = find(file, root)
        if path is None:
            raise DataError(f"{cls.name()}: no file '{file}', neither as a path nor in {data_root(root)}")
        return path


def find(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The file called `name`, as a path or in the data folder; None when there is none."""
    candidates = (expand(name), data_root(root) / name)
    return next((path for path in candidates if path.is_file()), None)


def write_benchmark(stream: Any, path: str | os.PathLike[str], *, cv: int = 0, flat: bool = True) -> list[Path]:
    """Write a stream as a benchmark file.

    Args:
        stream: a `Stream`; see `cllab.data.base`.
        path: the file; with `cv`, `-val` and `-cl` are put before its suffix.
        cv: the first tasks, for choosing hyper-parameters, which get a file of their own; labels begin at 0 in both.
        flat: images as (n, C*H*W), as the published loaders want them for MNIST and CIFAR; else (n, C, H, W).

    Returns:
        the files written.

    Raises:
        UsageError: when `cv` leaves no task, or the stream is none that such a file can hold.
        OSError: when a file cannot be written; a former one is intact then.
    """
    from cllab.data._benchmark import write

    return write(stream, Path(path), cv, flat)


def write_raw(dataset: Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a dataset as the raw tensors that the published builders start from.

    MNIST-like data as `<name>_train.pt` and `<name>_test.pt`, (x (N, H, W) uint8, y); all others as one `<name>.pt`,
    (x, y, x, y) with x (N, C*H*W) uint8.
    """
    from cllab.data._benchmark import write_raw as write

    return write(dataset, Path(folder))
