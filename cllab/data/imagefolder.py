"""Any images in folders: `{train,test|val}/<class>/<image>`, resized to one size.

Decoded once into the cache while the pixels fit the budget; beyond it, decoded as they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cllab.data._cache import Content, Files, Half
from cllab.data._decode import BadImageError, Rule, image_size
from cllab.data._large import BUDGET_HELP, LargeSource
from cllab.data._scan import Listing
from cllab.data.info import DatasetInfo
from cllab.data.source import Place, place_of
from cllab.errors import DataError
from cllab.settings.spec import param

_GRAY_MEAN, _GRAY_STD = (0.449,), (0.226,)


class ImageFolder(LargeSource):
    """Classes are the folders of the training split, in alphabetical order; normalized as ImageNet is."""

    info = DatasetInfo(
        title="Image folder",
        n_classes=None,
        shape=None,
        n_train=None,
        n_test=None,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        base_augment=("crop", "flip"),
        model="resnet18",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What every image is made into, and how much memory the decoded images may take."""

        size: int = param(
            32, "Side in pixels that images are squashed to; 0: all have one size, which is kept", low=0, high=2048
        )
        channels: Literal["rgb", "gray"] = param("rgb", "Color or gray; images are converted")
        memory_budget: int = param(4096, BUDGET_HELP, low=0)

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """The folder named `imagefolder`, or the data folder itself."""
        found = []
        for at, folder in (("imagefolder/", root / "imagefolder"), ("", root)):
            # ImageNet has both: a test folder without classes is not labeled, and val is what one tests on
            tests = [name for name in ("test", "val") if _has_folders(folder / name)] or ["test", "val"]
            found.append(
                place_of("folder", folder, f"{at}{{train,test|val}}/<class>/<image>", (("train",), tuple(tests)))
            )
        return found

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """File names by class, in alphabetical order."""
        splits = [(split, _class_folders(cls.name(), listing, split)) for split in place.parts]
        classes = splits[0][1]
        _same_classes(cls.name(), listing, splits)
        empty = next((name for name, size, _ in listing.entries if size == 0), None)
        if empty is not None:
            raise DataError(f"{cls.name()}: {listing.folder / empty}: the file is empty")
        rule = _rule(cls.name(), listing, config)
        label_of = {name: k for k, name in enumerate(classes)}
        halves = []
        for split, _ in splits:
            names = [name for name in listing.names if name.startswith(f"{split}/")]
            loose = next((name for name in names if name.count("/") == 1), None)
            if loose is not None:
                raise DataError(f"{cls.name()}: {listing.folder / loose} is in no class folder")
            labels = np.array([label_of[name.split("/", 2)[1]] for name in names], np.int64)
            order = np.argsort(labels, kind="stable")
            files = Files(listing.folder, [names[i] for i in order], rule)
            counts = np.bincount(labels, minlength=len(classes))
            for k in np.flatnonzero(counts == 0):
                raise DataError(f"{cls.name()}: {listing.folder / split / classes[k]} has no images")
            halves.append((files, labels[order]))
        (train, train_labels), (test, test_labels) = halves
        return Content(tuple(classes), Half(train, train_labels), Half(test, test_labels), (train.names, test.names))

    @classmethod
    def actual_info(cls, content: Content, config: Any) -> DatasetInfo:
        """Also the statistics of gray images."""
        info = super().actual_info(content, config)
        return replace(info, mean=_GRAY_MEAN, std=_GRAY_STD) if config.channels == "gray" else info

    @classmethod
    def _variant(cls, config: Any) -> str:
        # the budget decides whether there is a cache, not what is in it
        return f"{config.size} {config.channels}"

    @classmethod
    def _accepted(cls) -> str:
        return "dataset.root must name a folder with {train,test|val}/<class>/<image>"


def _has_folders(path: Path) -> bool:
    return path.is_dir() and any(child.is_dir() for child in path.iterdir())


def _class_folders(name: str, listing: Listing, split: str) -> list[str]:
    found = [path.split("/")[1] for path in listing.folders if path.startswith(f"{split}/") and path.count("/") == 1]
    if not found:
        raise DataError(f"{name}: {listing.folder / split} has no class folders")
    return sorted(found)


def _same_classes(name: str, listing: Listing, splits: Sequence[tuple[str, Sequence[str]]]) -> None:
    (train, classes), (test, others) = splits
    for split, missing, other in ((test, set(classes) - set(others), train), (train, set(others) - set(classes), test)):
        if missing:
            folder = listing.folder / split / min(missing)
            raise DataError(f"{name}: {folder} is missing ({other} has class {min(missing)})")


def _rule(name: str, listing: Listing, config: Any) -> Rule:
    mode = "RGB" if config.channels == "rgb" else "L"
    if config.size:
        return Rule(mode, config.size, config.size, convert=True, resize=True)
    if not listing.names:
        raise DataError(f"{name}: {listing.folder} has no images")
    try:
        width, height = image_size(str(listing.folder / listing.names[0]))
    except BadImageError as error:
        raise DataError(f"{name}: {error}") from error
    return Rule(mode, width, height, convert=True)
