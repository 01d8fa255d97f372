"""What is known of a dataset without opening it: plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset in a listing.

    Attributes:
        title: what a person calls it.
        n_classes: number of classes; None where the data decide, as for every other None here.
        shape: (C, H, W) of every image.
        n_train: training images.
        n_test: test images.
        mean: per channel, of pixels scaled to [0, 1].
        std: per channel, likewise.
        base_augment: augmentations that training uses unless told otherwise.
        download_bytes: what `--download` fetches; None where nothing can be fetched.
        paper: where it was published.
        home: its page.
        model: the default model.
        sessions: sessions in which its training images were taken; 0 where there are none or the data decide.
        has_sessions: whether its samples come in sessions.
        aside: whether it sets classes aside that a front can be made with.
    """

    title: str
    n_classes: int | None
    shape: tuple[int, int, int] | None
    n_train: int | None
    n_test: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    base_augment: tuple[str, ...] = ()
    download_bytes: int | None = None
    paper: str = ""
    home: str = ""
    model: str = "mlp400"
    sessions: int = 0
    has_sessions: bool = False
    aside: bool = False


@dataclass(frozen=True)
class DataStatus:
    """Whether a dataset is here.

    Attributes:
        name: the dataset.
        found: whether its files are complete as far as their names tell, or it needs none.
        where: places looked at, in order, each with what would be accepted there.
        path: the folder that holds it, None where it needs none or nothing was found.
        kind: "built-in", "png", "idx", "pickle" or "folder"; "" where nothing was found.
        bytes: size of its files; None when not asked for.
        cached: whether the decoded images are in the cache; None when not asked for.
        problem: what is missing or cannot be read, in one clause; "" if nothing.
    """

    name: str
    found: bool
    where: tuple[str, ...]
    path: Path | None = None
    kind: str = ""
    bytes: int | None = None
    cached: bool | None = None
    problem: str = ""
