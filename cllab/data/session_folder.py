"""Any images in folders of sessions: `<class>/<session>/<image>`, resized to one size.

Sessions are places, days or angles in which the images of a class were taken; a class need not have been in all of
them. Some sessions are only tested on. Decoded once into the cache while the pixels fit the budget; beyond it, decoded
as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cllab.data._cache import Content, Files, Half
from cllab.data._decode import BadImageError, Rule, image_size
from cllab.data._large import BUDGET_HELP, IMAGES, LargeSource
from cllab.data._scan import Listing
from cllab.data.info import DatasetInfo
from cllab.data.source import Place
from cllab.errors import DataError
from cllab.settings.spec import param
from cllab.text import shown

if TYPE_CHECKING:
    from cllab.data.base import Dataset

_GRAY_MEAN, _GRAY_STD = (0.449,), (0.226,)


class SessionFolder(LargeSource):
    """Classes and sessions are the names of the folders, in their natural order; normalized as ImageNet is."""

    info = DatasetInfo(
        title="Folders of sessions",
        n_classes=None,
        shape=None,
        n_train=None,
        n_test=None,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        model="resnet18",
        has_sessions=True,
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What is tested, what every image is made into, and how much memory the decoded images may take."""

        test_sessions: str = param(
            "", "Sessions to test on, their names with commas between; empty for every fourth from the third on"
        )
        size: int = param(
            32, "Side in pixels that images are squashed to; 0: all have one size, which is kept", low=0, high=2048
        )
        channels: Literal["rgb", "gray"] = param("rgb", "Color or gray; images are converted")
        memory_budget: int = param(4096, BUDGET_HELP, low=0)

    @classmethod
    def places(cls, root: Path) -> list[Place]:
        """The folder named `session-folder`, or the data folder itself where it looks like one."""
        accepts = "<class>/<session>/<image>"
        own = root / "session-folder"
        parts = tuple(_folders(own))
        places = [Place("folder", own, f"session-folder/{accepts}", parts, () if parts else ("<class>",))]
        if _is_laid_out(root):
            places.append(Place("folder", root, accepts, tuple(_folders(root))))
        else:
            places.append(Place("folder", root, accepts, (), ("<class>",)))
        return places

    @classmethod
    def read(cls, place: Place, listing: Listing, config: Any) -> Content:
        """File names by class and session, in natural order."""
        where = listing.folder
        for name in listing.names:
            if name.count("/") != 2:
                raise DataError(f"{cls.name()}: {where / name} is not at <class>/<session>/<image>")
        empty = next((name for name, size, _ in listing.entries if size == 0), None)
        if empty is not None:
            raise DataError(f"{cls.name()}: {where / empty}: the file is empty")
        if not listing.names:
            raise DataError(f"{cls.name()}: {where} has no images")
        classes = sorted(place.parts, key=_natural)
        sessions = sorted({name.split("/")[1] for name in listing.names}, key=_natural)
        tested = _tested(cls.name(), sessions, config.test_sessions)
        label_of = {name: k for k, name in enumerate(classes)}
        ordered = sorted(listing.names, key=lambda name: [_natural(part) for part in name.split("/")])
        halves = [[n for n in ordered if (n.split("/")[1] in tested) is testing] for testing in (False, True)]
        lacking = set(classes) - {name.split("/")[0] for name in halves[0]}
        if lacking:
            raise DataError(f"{cls.name()}: {where / min(lacking)} has no images to learn")
        if not halves[1]:
            raise DataError(f"{cls.name()}: {where} has no images to test")
        rule = cls._rule(listing, config)
        train, test = (
            Half(Files(where, names, rule), np.array([label_of[n.split("/")[0]] for n in names], np.int64))
            for names in halves
        )
        return Content(tuple(classes), train, test, (halves[0], halves[1]))

    @classmethod
    def _rule(cls, listing: Listing, config: Any) -> Rule:
        mode = "RGB" if config.channels == "rgb" else "L"
        if config.size:
            return Rule(mode, config.size, config.size, convert=True, resize=True)
        try:
            width, height = image_size(str(listing.folder / listing.names[0]))
        except BadImageError as error:
            raise DataError(f"{cls.name()}: {error}") from error
        return Rule(mode, width, height, convert=True)

    @classmethod
    def finished(cls, dataset: Dataset, config: Any) -> Dataset:
        """The sessions, from the names of the files."""
        import torch

        from cllab.data.base import Sessions

        assert dataset.files is not None
        of = [[name.split("/")[1] for name in names] for names in dataset.files]
        names = sorted({*of[0], *of[1]}, key=_natural)
        place = {name: s for s, name in enumerate(names)}
        train, test = (torch.tensor([place[name] for name in part]) for part in of)
        return replace(dataset, sessions=Sessions(tuple(names), train, test))

    @classmethod
    def actual_info(cls, content: Content, config: Any) -> DatasetInfo:
        """Also the statistics of gray images."""
        info = super().actual_info(content, config)
        return replace(info, mean=_GRAY_MEAN, std=_GRAY_STD) if config.channels == "gray" else info

    @classmethod
    def _variant(cls, config: Any) -> str:
        return f"{config.size} {config.channels} {config.test_sessions}"

    @classmethod
    def _accepted(cls) -> str:
        return "dataset.root must name a folder with <class>/<session>/<image>"


def _natural(name: str) -> tuple[object, ...]:
    """Numbers in a name count as numbers: s2 before s10."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,9})", name) if part
    )


def _tested(name: str, sessions: Sequence[str], asked: str) -> set[str]:
    if asked:
        chosen = [part.strip() for part in asked.split(",") if part.strip()]
        wrong = next((part for part in chosen if part not in sessions), None)
        if wrong is not None:
            there = ", ".join(sessions[:8]) + (", ..." if len(sessions) > 8 else "")
            raise DataError(
                f"{name}: dataset.test_sessions names {shown(wrong)}, which is no session; there are {there}"
            )
    else:
        chosen = list(sessions[2::4]) or list(sessions[-1:])
    if len(set(chosen)) >= len(sessions):
        raise DataError(
            f"{name}: of {len(sessions)} sessions {len(set(chosen))} are tested on, and none is left to learn"
        )
    return set(chosen)


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_laid_out(path: Path) -> bool:
    """Whether every folder holds folders of images: so that a data folder of other datasets is not taken for one."""
    classes = _folders(path)
    return bool(classes) and all(_holds_sessions(path / name) for name in classes)


def _holds_sessions(path: Path) -> bool:
    sessions = _folders(path)
    if not sessions:
        return False
    first = path / sessions[0]
    return not _folders(first) and any(p.suffix[1:].lower() in IMAGES for p in first.iterdir())
