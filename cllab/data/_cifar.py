"""The two CIFARs: python archives, or PNG folders with a counter inside each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cllab.data._cache import Content, Half, Progress
from cllab.data._decode import Rule
from cllab.data._folders import Layout, folder_names, read_folders
from cllab.data._pickles import read_batch
from cllab.data._scan import Listing
from cllab.data.source import DatasetSource, Place, place_of
from cllab.errors import DataError


class Cifar(DatasetSource):
    """32x32 color images. Abstract: a concrete one gives `info`, `classes` and what its archive is called."""

    classes: ClassVar[tuple[str, ...]]
    archive: ClassVar[str]
    """Folder inside the official archive."""
    batches: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]]
    """Files of the train and of the test split."""
    label_key: ClassVar[str]
    torchvision_name: ClassVar[str]

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """PNG folders first, then the unpacked archive."""
        own = (cls.name(), cls.torchvision_name)
        png = [(f"{name}/", root / name) for name in own]
        pickles = [(f"{at}{cls.archive}/", folder / cls.archive) for at, folder in (("", root), *png)]
        if root.name in own:
            png.append(("", root))
        if root.name == cls.archive:
            pickles.append(("", root))
        files = tuple((name,) for split in cls.batches for name in split)
        places = [place_of("png", f, f"{at}{{train,test}}/<class>/<n>.png", (("train",), ("test",))) for at, f in png]
        places += [place_of("pickle", f, f"{at}{cls.batches[0][0]} ...", files) for at, f in pickles]
        return places

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """The archive's batches in their order, or PNG files by class and number."""
        info = cls.info
        assert info.n_train is not None
        assert info.n_test is not None
        counts = (info.n_train, info.n_test)
        if place.kind == "png":
            rule = Rule("RGB", 32, 32, formats=("PNG",))
            folders = folder_names(cls.classes, digits=False)
            return read_folders(Layout(cls.name(), cls.classes, folders, counts, rule, numbered_by_class=True), listing)
        halves = []
        for files, count in zip(cls.batches, counts, strict=True):
            batches = [read_batch(place.folder / file, cls.label_key, len(cls.classes)) for file in files]
            for file, batch in zip(files, batches, strict=True):
                if len(batch.labels) * len(files) != count:
                    raise DataError(f"{place.folder / file}: {len(batch.labels):,} of {count // len(files):,} images")
            pixels = np.concatenate([batch.pixels for batch in batches])
            halves.append(Half(pixels, np.concatenate([batch.labels for batch in batches])))
        return Content(cls.classes, halves[0], halves[1])

    @classmethod
    def fetch(cls, root: Path, progress: Progress | None) -> None:
        """The official archive, as torchvision gets and unpacks it."""
        from cllab.data._download import fetch

        fetch(cls.name(), cls.torchvision_name, root, progress)
