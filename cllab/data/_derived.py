"""Datasets that are made of another one, whose files they use: sessions are cut out of it when it is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cllab.data._cache import Progress
from cllab.data.info import DataStatus
from cllab.data.source import DatasetSource, Place

if TYPE_CHECKING:
    import torch

    from cllab.data.base import Dataset


class DerivedSource(DatasetSource):
    """A dataset of the images of `origin`. Abstract: a concrete one gives `info`, `origin` and `finished`."""

    origin: ClassVar[type[DatasetSource]]

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """Those of the dataset that it is made of."""
        return cls.origin.places(root)

    @classmethod
    def status(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        scan: bool = True,
    ) -> DataStatus:
        """Whether the dataset that it is made of is here."""
        return replace(cls.origin.status(root, scan=scan), name=cls.name())

    @classmethod
    def fetch(cls, root: Path, progress: Progress | None) -> None:
        """Download the dataset that it is made of."""
        cls.origin.fetch(root, progress)

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
        """See `DatasetSource.open`; the images are those of the dataset that it is made of."""
        whole = cls.origin.open(None, root, device=device, download=download, progress=progress)
        config = cls.Config() if config is None else config
        made = cls.finished(whole, config)
        info = replace(cls.info, n_train=len(made.train), n_test=len(made.test), shape=made.shape)
        return replace(made, name=cls.name(), info=info)
