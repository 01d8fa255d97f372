"""CORe50: fifty objects in the hand, each filmed in eleven sessions, indoors and outdoors; 164,866 frames.

Lomonaco & Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017,
arXiv:1705.03550. Sessions 3, 7 and 10 are tested on. Read from the folders of the archives (128, 350 or 32 pixels), or
from `core50_imgs.npz` with its `paths.pkl` (the pixels stay in that file). Nothing is downloaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cllab.data._cache import Content, Files, Half, Progress
from cllab.data._decode import BadImageError, Rule, image_size
from cllab.data._large import BUDGET_HELP, LargeSource
from cllab.data._npz import read_pixels, read_texts
from cllab.data._scan import Listing
from cllab.data.info import DatasetInfo
from cllab.data.source import Place, place_of
from cllab.errors import DataError
from cllab.settings.spec import param

if TYPE_CHECKING:
    import torch

    from cllab.data.base import Dataset

CATEGORIES = (
    "plug adapter", "mobile phone", "scissor", "light bulb", "can", "glass", "ball", "marker", "cup", "remote control",
)  # fmt: skip
OBJECTS, SESSIONS, TESTED = 50, 11, (3, 7, 10)
N_TRAIN, N_TEST, REDUCED = 119_894, 44_972, 20
_FRAME = re.compile(r"s([1-9]\d?)/o([1-9]\d?)/C_(\d\d)_(\d\d)_\d\d\d\.png")
_FOLDERS = ("core50_128x128", "core50_350x350", "core50_32x32")


class CORe50(LargeSource):
    """Fifty objects of ten categories, labels in the order o1 to o50."""

    info = DatasetInfo(
        title="CORe50",
        n_classes=OBJECTS,
        shape=(3, 128, 128),
        n_train=N_TRAIN,
        n_test=-(-N_TEST // REDUCED),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        paper="arXiv:1705.03550",
        home="https://vlomonaco.github.io/core50/",
        model="resnet18",
        sessions=SESSIONS - len(TESTED),
        has_sessions=True,
    )
    suffixes = frozenset({"png"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which test images, and how large images are."""

        test: Literal["reduced", "full"] = param(
            "reduced", "Test images: every twentieth by path, as in the work on NICv2, or all 44,972"
        )
        size: int = param(0, "Side in pixels that images are resized to; 0 for as they are", low=0, high=512)
        memory_budget: int = param(8192, BUDGET_HELP, low=0)

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """Folders of the archives, best first, then the file of all images."""
        wanted = tuple((f"s{s}",) for s in range(1, SESSIONS + 1))
        homes = [("core50/", root / "core50"), ("", root)]
        folders = [(f"{at}{name}/", home / name) for at, home in homes for name in _FOLDERS] + homes[:1]
        if root.name.startswith("core50"):
            folders.append(homes[1])
        places = [place_of("folder", f, f"{at}s1 ... s11/o1 ... o50/*.png", wanted) for at, f in folders]
        files = (("core50_imgs.npz", "x.npy"), ("paths.pkl",))
        return places + [place_of("npz", f, f"{at}core50_imgs.npz and paths.pkl", files) for at, f in homes]

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """Frames by session, object and number, image files not decoded yet."""
        train, test = _divided(listing.names, str(listing.folder), config.test)
        empty = next((name for name, size, _ in listing.entries if size == 0), None)
        if empty is not None:
            raise DataError(f"{cls.name()}: {listing.folder / empty}: the file is empty")
        try:
            width, height = image_size(str(listing.folder / train[0]))
        except BadImageError as error:
            raise DataError(f"{cls.name()}: {error}") from error
        rule = Rule("RGB", width, height, formats=("PNG",))
        if config.size:
            rule = Rule("RGB", config.size, config.size, convert=True, resize=True)
        halves = [Half(Files(listing.folder, names, rule), _labels(names)) for names in (train, test)]
        return Content(_classes(), halves[0], halves[1], (train, test))

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
        """See `DatasetSource.open`; of the file of all images, the pixels are mapped where they are."""
        place, config = cls.find(root), cls.Config() if config is None else config
        if place is None or place.kind != "npz" or not place.is_complete:
            return super().open(config, root, device=device, download=download, progress=progress)
        return cls.finished(cls._mapped(place, config, device), config)

    @classmethod
    def _mapped(cls, place: Place, config: Any, device: torch.device | str) -> Dataset:
        import torch as t

        from cllab.data._images import HostImages
        from cllab.data.base import Dataset, Images, Split, TensorImages

        archive, table = (place.folder / name for name in place.parts)
        try:
            names, pixels = read_texts(table), read_pixels(archive, "x")
        except (OSError, DataError) as error:
            said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise DataError(f"{cls.name()}: {said}") from error
        if pixels.shape[1] != config.size and config.size:
            raise DataError(
                f"{cls.name()}: dataset.size = {config.size}, but {archive.name} holds images of {pixels.shape[1]} "
                "pixels, which are not resized; use 0"
            )
        if len(names) != len(pixels):
            raise DataError(f"{cls.name()}: {table} names {len(names):,} images, {archive.name} holds {len(pixels):,}")
        row = {name: i for i, name in enumerate(names)}
        parts = _divided(names, str(table), config.test)
        whole = t.from_numpy(pixels).permute(0, 3, 1, 2)
        on = t.device(device)
        images: Images = TensorImages(whole) if on.type == "cpu" else HostImages(whole, on)
        train, test = (
            Split(images, t.tensor([row[name] for name in own], device=on), t.from_numpy(_labels(own)).to(on))
            for own in parts
        )
        info = replace(cls.info, shape=(3, *pixels.shape[1:3]), n_train=len(train), n_test=len(test))
        return Dataset(cls.name(), info, _classes(), train, test, (parts[0], parts[1]))

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """The sessions, from the names of the files."""
        import torch as t

        from cllab.data.base import Sessions

        assert dataset.files is not None
        train, test = (
            t.tensor([int(name[1 : name.index("/")]) - 1 for name in names], dtype=t.long) for names in dataset.files
        )
        names = tuple(f"session {s}" for s in range(1, SESSIONS + 1))
        return replace(dataset, sessions=Sessions(names, train, test))

    @classmethod
    def _variant(cls, config: Any) -> str:
        return f"{config.size} {config.test}"


def _classes() -> tuple[str, ...]:
    return tuple(f"{name} {n}" for name in CATEGORIES for n in range(1, 6))


def _labels(names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([int(name.split("/")[1][1:]) - 1 for name in names], np.int64)


def _divided(names: Sequence[str], where: str, test: str) -> tuple[list[str], list[str]]:
    """Frames to learn and to test, by session, object and number.

    Raises:
        DataError: naming what is superfluous, misnamed or missing.
    """
    found: dict[tuple[int, int], list[str]] = {}
    for name in names:
        match = _FRAME.fullmatch(name)
        if match is None or (match[1], match[2]) != (str(int(match[3])), str(int(match[4]))):
            raise DataError(f"core50: {where}: {name} is not named as a frame is (sS/oO/C_SS_OO_FFF.png)")
        unit = int(match[1]), int(match[2])
        if unit[0] > SESSIONS or unit[1] > OBJECTS:
            raise DataError(f"core50: {where}: {name} is of no session from 1 to 11 and object from 1 to 50")
        found.setdefault(unit, []).append(name)
    for s in range(1, SESSIONS + 1):
        for o in range(1, OBJECTS + 1):
            if (s, o) not in found:
                raise DataError(f"core50: {where}: s{s}/o{o} is missing or empty")
    halves: list[list[str]] = [[], []]
    for unit in sorted(found):
        halves[unit[0] in TESTED] += sorted(found[unit])
    for half, expected, what in zip(halves, (N_TRAIN, N_TEST), ("to learn", "to test"), strict=True):
        if len(half) != expected or len(set(half)) != expected:
            raise DataError(f"core50: {where}: {len(set(half)):,} of {expected:,} images {what}")
    tested = halves[1]
    if test == "reduced":
        # as strings are sorted: o1, o10, o11, ...
        kept = set(sorted(tested)[::REDUCED])
        tested = [name for name in tested if name in kept]
    return halves[0], tested
