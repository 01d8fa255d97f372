"""Downloads, by torchvision, into a folder of their own that is moved into place when everything is there."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cllab.data._cache import Progress
from cllab.errors import DataError


def fetch(name: str, torchvision_name: str, root: Path, progress: Progress | None) -> None:
    """Download torchvision's dataset `torchvision_name` into `root`.

    Raises:
        DataError: when it cannot be fetched or written; `root` is as it was then.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        raise DataError(f"{name}: torchvision cannot be imported ({error}); see `cllab doctor`") from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as part, _bar(name, progress):
            getattr(datasets, torchvision_name)(part, download=True)
            _move(Path(part), root)
    # torchvision raises RuntimeError for a wrong checksum or when no mirror answers, urllib's errors are OSErrors
    except (OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: the download failed: {reason}") from error


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        # archives are unpacked by now
        if path.suffix in (".gz", ".zip"):
            continue
        goal = target / path.name
        if path.is_dir() and goal.is_dir():
            _move(path, goal)
        elif goal.is_dir():
            shutil.rmtree(goal)
            path.replace(goal)
        else:
            path.replace(goal)


@contextmanager
def _bar(name: str, progress: Progress | None) -> Iterator[None]:
    """Torchvision draws a tqdm bar on stderr; with `progress`, the bar's numbers go there instead."""
    if progress is None:
        yield
        return
    from torchvision.datasets import utils

    drawn, utils.tqdm = utils.tqdm, functools.partial(_Bar, f"downloading {name}", progress)
    try:
        yield
    finally:
        utils.tqdm = drawn


class _Bar:
    """As much of tqdm as torchvision uses."""

    def __init__(self, what: str, progress: Progress, *_: Any, total: int | None = None, **__: Any) -> None:
        self.what, self.progress = what, progress
        self.done, self.total = 0, int(total or 0)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def update(self, n: int = 1) -> None:
        self.done += n
        self.progress(self.what, self.done, self.total)
