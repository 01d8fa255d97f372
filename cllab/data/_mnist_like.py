"""MNIST and the two datasets made in its image: four IDX files, or PNG folders numbered as the IDX files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cllab.data._cache import Content, Half, Progress
from cllab.data._decode import Rule
from cllab.data._folders import Layout, folder_names, read_folders
from cllab.data._idx import read_idx
from cllab.data._scan import Listing
from cllab.data.source import DatasetSource, Place, place_of
from cllab.errors import DataError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# all three come in files of the same names and shapes, so a folder put in the wrong place would go unnoticed
_FIRST_LABELS = {
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7),
    "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9),
}


class MnistLike(DatasetSource):
    """28x28 gray images of ten classes. Abstract: a concrete one gives `info`, `classes` and `torchvision_name`."""

    classes: ClassVar[tuple[str, ...]]
    torchvision_name: ClassVar[str]

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """PNG folders first, then torchvision's folder, then IDX files laid anywhere plausible."""
        own = (cls.name(), cls.name().replace("-", "_"), cls.torchvision_name)
        png = tuple((f"{name}/", root / name) for name in dict.fromkeys(own))
        idx = (
            (f"{cls.torchvision_name}/raw/", root / cls.torchvision_name / "raw"),
            *((f"{name}/raw/", root / name / "raw") for name in own[:2]),
            *png,
        )
        if root.name in own:
            png = (*png, ("", root))
            idx = (*idx, ("raw/", root / "raw"))
        idx = (*idx, ("", root))
        wanted = tuple((name, f"{name}.gz") for pair in _FILES.values() for name in pair)
        places = [place_of("png", f, f"{at}{{train,test}}/<class>/<n>.png", (("train",), ("test",))) for at, f in png]
        places += [place_of("idx", f, f"{at}*-ubyte[.gz]", wanted) for at, f in dict.fromkeys(idx)]
        return places

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """IDX arrays, or the names of the PNG files in the order of those arrays."""
        info = cls.info
        assert info.shape is not None
        assert info.n_train is not None
        assert info.n_test is not None
        counts = (info.n_train, info.n_test)
        _, height, width = info.shape
        if place.kind == "png":
            rule = Rule("L", width, height, formats=("PNG",))
            folders = folder_names(cls.classes, digits=True)
            content = read_folders(
                Layout(cls.name(), cls.classes, folders, counts, rule, numbered_by_class=False), listing
            )
        else:
            halves = [
                cls._half(place, pair, count, (height, width))
                for pair, count in zip(_FILES.values(), counts, strict=True)
            ]
            content = Content(cls.classes, halves[0], halves[1])
        for other, first in _FIRST_LABELS.items():
            if other != cls.name() and np.array_equal(content.train.labels[: len(first)], first):
                raise DataError(f"{cls.name()}: {place.folder} holds {other}, whose labels begin in just this way")
        return content

    @classmethod
    def _half(cls, place: Place, pair: tuple[str, str], count: int, size: tuple[int, int]) -> Half:
        images_path, labels_path = (
            place.folder / next(part for part in place.parts if part in (name, f"{name}.gz")) for name in pair
        )
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != size:
            found = f"{images.shape[2]}x{images.shape[1]}"
            raise DataError(f"{images_path}: images must be {size[1]}x{size[0]}, found {found}")
        if len(labels) != len(images):
            raise DataError(
                f"{labels_path}: {len(labels):,} labels for the {len(images):,} images of {images_path.name}"
            )
        if len(images) != count:
            raise DataError(f"{images_path}: {len(images):,} of {count:,} images")
        if labels.max() >= len(cls.classes):
            raise DataError(f"{labels_path}: labels must be 0 to {len(cls.classes) - 1}, found {labels.max()}")
        return Half(images[:, None], labels.astype(np.int64))

    @classmethod
    def fetch(cls, root: Path, progress: Progress | None) -> None:
        """The four files, as torchvision gets them, into torchvision's folder."""
        from cllab.data._download import fetch

        fetch(cls.name(), cls.torchvision_name, root, progress)
