"""The contract of a dataset: where it may lie, and how it becomes two splits of uint8 images.

A dataset's file is light: it imports torch only when the dataset is opened, so that listings and `cllab data` can ask
it where its files are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cllab.data import _cache
from cllab.data._cache import Content, Progress
from cllab.data._scan import Listing, scan
from cllab.data.info import DatasetInfo, DataStatus
from cllab.data.where import data_root
from cllab.errors import DataError

if TYPE_CHECKING:
    import torch

    from cllab.data.base import Dataset


@dataclass(frozen=True)
class Place:
    """A folder where a dataset may lie, in one of the layouts it may have there.

    Attributes:
        kind: "png", "idx", "pickle", "folder"; "built-in" for data without files.
        folder: the folder that `parts` are in.
        accepts: the layout, relative to the data folder, as it is told to people.
        parts: files and folders that are there.
        missing: those that are not.
    """

    kind: str
    folder: Path
    accepts: str
    parts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all parts are there."""
        return not self.missing

    @property
    def is_started(self) -> bool:
        """Whether some parts are there."""
        return bool(self.parts)


def place_of(kind: str, folder: Path, accepts: str, wanted: tuple[tuple[str, ...], ...]) -> Place:
    """A place, looked at: of each group of alternative names in `wanted`, the first that exists is taken."""
    parts, missing = [], []
    for names in wanted:
        there = next((name for name in names if (folder / name).exists()), None)
        if there is None:
            missing.append(names[0])
        else:
            parts.append(there)
    return Place(kind, folder, accepts, tuple(parts), tuple(missing))


class DatasetSource:
    """Base of every dataset; a concrete one is final and lives alone in its file, whose name is the dataset's.

    A concrete one gives `info`, `places` and `read`, and `Config` where it has parameters.
    """

    info: ClassVar[DatasetInfo]
    suffixes: ClassVar[frozenset[str]] = frozenset({"png"})
    """Files that count below a place's folders."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Replaced by datasets that have parameters; fields are declared with `param`."""

    @classmethod
    def name(cls) -> str:
        """What users type: the file's name."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """Where the dataset may lie below the data folder, best first. Looks at names only."""
        raise NotImplementedError

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """The dataset at `place`, image files not decoded yet.

        Raises:
            DataError: naming the file that is missing, damaged or not what it should be.
        """
        raise NotImplementedError

    @classmethod
    def fetch(cls, root: Path, progress: Progress | None) -> None:
        """Download the dataset into the data folder.

        Raises:
            DataError: when it cannot be fetched.
        """
        raise DataError(f"{cls.name()}: there is nothing to download; {cls._accepted()}")

    @classmethod
    def actual_info(cls, content: Content, config: Any) -> DatasetInfo:
        """`info` with what the data decide."""
        return replace(
            cls.info,
            n_classes=len(content.classes),
            shape=content.train.pixels.shape[1:],
            n_train=len(content.train.labels),
            n_test=len(content.test.labels),
        )

    @classmethod
    def find(cls, root: str | os.PathLike[str] | None = None) -> Place | None:
        """The first complete place, else the first that something is in, else None."""
        places = cls.places(data_root(root))
        started = [place for place in places if place.is_started]
        return next((place for place in places if place.is_complete), started[0] if started else None)

    @classmethod
    def locate(cls, root: str | os.PathLike[str] | None = None) -> Path | None:
        """The folder that holds the dataset, or None."""
        place = cls.find(root)
        return place.folder if place is not None and place.is_complete and place.kind != "built-in" else None

    @classmethod
    def status(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        scan: bool = True,
    ) -> DataStatus:
        """Whether the dataset is here; see `cllab.data.where.dataset_status`."""
        folder = data_root(root)
        where = tuple(str(folder / place.accepts) for place in cls.places(folder) if place.kind != "built-in")
        place = cls.find(root)
        if place is None:
            return DataStatus(cls.name(), found=False, where=where, problem="nothing found")
        if place.kind == "built-in":
            return DataStatus(cls.name(), found=True, where=where, kind=place.kind)
        status = DataStatus(cls.name(), place.is_complete, where, place.folder, place.kind)
        if not place.is_complete:
            return replace(status, problem=_missing(place))
        if not scan:
            return status
        try:
            listing = cls._scan(place)
        except OSError as error:
            return replace(status, found=False, problem=_unreadable(error))
        key = cls._key(place, listing, cls.Config(**(config or {})))
        return replace(status, bytes=listing.bytes, cached=_cache.find(cls.name(), key) is not None)

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
        """The dataset, its images on `device` where they fit.

        Args:
            config: a `Config`; None for its defaults.
            root: the data folder; see `cllab.data.where.data_root`.
            device: where the images are wanted.
            download: fetch the dataset where it is missing or incomplete.
            progress: called with what is being done, how much of it is done, and how much there is.

        Raises:
            DataError: naming what is missing, damaged or not what it should be; no cache is left of such data.
        """
        config = cls.Config() if config is None else config
        place = cls.find(root)
        if download and (place is None or not place.is_complete):
            cls.fetch(data_root(root), progress)
            place = cls.find(root)
        if place is None:
            raise cls._nothing_found(data_root(root))
        if not place.is_complete:
            raise DataError(f"{cls.name()}: {_missing(place)}{cls._how_to_fetch()}")
        try:
            content = cls.content(place, config, progress or _silent)
        except OSError as error:
            raise DataError(f"{cls.name()}: {_unreadable(error)}") from error
        from cllab.data._images import to_dataset

        return cls.finished(to_dataset(cls.name(), cls.actual_info(content, config), content, device), config)

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """The opened dataset with what the source knows of its samples beside their labels."""
        return dataset

    @classmethod
    def content(cls, place: Place, config: Any, progress: Progress) -> Content:
        """The dataset at `place`, from the cache or through it."""
        listing = cls._scan(place)
        key = cls._key(place, listing, config)
        cached = _cache.load(cls.name(), key)
        if cached is not None:
            return cached
        return _cache.store(cls.name(), key, cls._origin(place, config), cls.read(place, listing, config), progress)

    @classmethod
    def _scan(cls, place: Place) -> Listing:
        return scan(place.folder, place.parts, cls.suffixes)

    @classmethod
    def _key(cls, place: Place, listing: Listing, config: Any) -> str:
        return listing.key(cls.name(), place.kind, cls._variant(config))

    @classmethod
    def _origin(cls, place: Place, config: Any) -> str:
        return f"{place.folder.absolute()} {place.kind} {cls._variant(config)}"

    @classmethod
    def _variant(cls, config: Any) -> str:
        """What of the config decides the pixels."""
        return ""

    @classmethod
    def _accepted(cls) -> str:
        layouts = list(dict.fromkeys(place.accepts for place in cls.places(Path())))
        return f"accepted in the data folder: {', '.join(layouts)}"

    @classmethod
    def _nothing_found(cls, root: Path) -> DataError:
        what = "nothing found in" if root.is_dir() else "no data folder"
        return DataError(f"{cls.name()}: {what} {root}; {cls._accepted()}{cls._how_to_fetch()}")

    @classmethod
    def _how_to_fetch(cls) -> str:
        size = cls.info.download_bytes
        return f"; `cllab data {cls.name()} --download` fetches it ({size / 1e6:.0f} MB)" if size else ""


def _missing(place: Place) -> str:
    return f"{place.folder / place.missing[0]} is missing"


def _unreadable(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
