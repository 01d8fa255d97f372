"""Images as uint8 tensors on the device, or latents in their place, and views of them.

A dataset is two splits; a split is a view (indices and labels) of images that are stored once. Tasks of a stream are
splits too, so a stream costs a few index tensors, not copies of the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from cllab.data.info import DatasetInfo as DatasetInfo
from cllab.settings.rules import HELD_OUT

Transform = Callable[[Tensor], Tensor]
"""(B, C, H, W) uint8 to (B, C, H, W) uint8, the same for every call: a permutation of pixels, a rotation."""


class Images(Protocol):
    """Where pixels live: a tensor on the device, a memory map, a folder that is decoded as it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of every image, or the shape of every latent."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """uint8 of images; floats of what enters the network as it is."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that all of them take."""
        ...

    def __len__(self) -> int: ...

    def fetch(self, index: Tensor) -> Tensor:
        """Images `index` (B,) long, as (B, *shape) on the device the images were opened for."""
        ...

    def prefetch(self, index: Tensor) -> None:
        """A hint that images `index` (B,) long are fetched soon, in this order; changes no result."""
        ...


@dataclass(frozen=True)
class TensorImages:
    """Images in one uint8 tensor (N, C, H, W), or latents in one of floats (N, ...), on the CPU or an accelerator."""

    pixels: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pixels.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.pixels.dtype

    @property
    def nbytes(self) -> int:
        return self.pixels.numel() * self.pixels.element_size()

    def __len__(self) -> int:
        return len(self.pixels)

    def fetch(self, index: Tensor) -> Tensor:
        return self.pixels.index_select(0, index)

    def prefetch(self, index: Tensor) -> None:
        """Nothing to do: the pixels are there."""


@dataclass(frozen=True)
class JoinedImages:
    """Two image stores behind one index: 0..len(first)-1, then the second's."""

    first: Images
    second: Images

    @property
    def shape(self) -> tuple[int, ...]:
        return self.first.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.first.dtype

    @property
    def nbytes(self) -> int:
        return self.first.nbytes + self.second.nbytes

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def fetch(self, index: Tensor) -> Tensor:
        n = len(self.first)
        if index.device.type == "cpu":
            early, late = (index < n).nonzero().flatten(), (index >= n).nonzero().flatten()
            out = torch.empty(len(index), *self.shape, dtype=self.dtype)
            if len(early):
                out.index_copy_(0, early, self.first.fetch(index[early]))
            if len(late):
                out.index_copy_(0, late, self.second.fetch(index[late] - n))
            return out
        # both stores are read for every row and one is kept: no data-dependent shape, so no host synchronisation
        early = self.first.fetch(index.clamp(max=n - 1))
        late = self.second.fetch((index - n).clamp(min=0))
        return torch.where((index < n).view(-1, *[1] * len(self.shape)), early, late)

    def prefetch(self, index: Tensor) -> None:
        n = len(self.first)
        self.first.prefetch(index.clamp(max=n - 1))
        self.second.prefetch((index - n).clamp(min=0))


@dataclass(frozen=True)
class Split:
    """Labelled images: a view of an image store.

    Attributes:
        images: the store.
        index: (N,) long on the store's device, which images of the store.
        labels: (N,) long, same device.
        origin: (N,) long, the task each sample came from; None where that has no meaning.
        transform: applied to the raw pixels of every batch, None for none.
        ids: (N,) long, a sample's identity in the dataset; None where `index` already is that.
        columns: by name, what else is known of every sample, (N, ...) each: the scores that it had, its latents.
    """

    images: Images
    index: Tensor
    labels: Tensor
    origin: Tensor | None = None
    transform: Transform | None = None
    ids: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    @property
    def device(self) -> torch.device:
        return self.index.device

    def fetch(self, positions: Tensor | slice) -> Tensor:
        """Raw pixels at `positions` of this split, (B, C, H, W) uint8; or latents, (B, ...) float."""
        raw = self.images.fetch(self.index[positions])
        return raw if self.transform is None else self.transform(raw)

    def prefetch(self, positions: Tensor | slice) -> None:
        """A hint that `positions` are fetched soon: images that lie in files are decoded in the meantime."""
        self.images.prefetch(self.index[positions])

    def sample_ids(self) -> Tensor:
        """(N,) long: identity of every sample in its dataset."""
        return self.index if self.ids is None else self.ids

    def subset(self, positions: Tensor) -> Split:
        """The samples at `positions` (M,) long, in that order."""

        def take(column: Tensor | None) -> Tensor | None:
            return None if column is None else column[positions]

        return replace(
            self,
            index=self.index[positions],
            labels=self.labels[positions],
            origin=take(self.origin),
            ids=take(self.ids),
            columns={name: column[positions] for name, column in self.columns.items()},
        )

    def relabel(self, mapping: Tensor) -> Split:
        """Labels replaced by `mapping[label]`; mapping: (K,) long."""
        return replace(self, labels=mapping.to(self.labels.device)[self.labels])


class SeenImages:
    """A split's images with its transform applied, as an image store of their own."""

    def __init__(self, split: Split) -> None:
        self._split = split

    @property
    def shape(self) -> tuple[int, ...]:
        return self._split.shape

    @property
    def dtype(self) -> torch.dtype:
        return self._split.images.dtype

    @property
    def nbytes(self) -> int:
        return len(self._split) * self._split.images.nbytes // max(1, len(self._split.images))

    def __len__(self) -> int:
        return len(self._split)

    def fetch(self, index: Tensor) -> Tensor:
        return self._split.fetch(index)

    def prefetch(self, index: Tensor) -> None:
        self._split.prefetch(index)


def join(first: Split, second: Split) -> Split:
    """Both splits as one, `first`'s samples before `second`'s; origins are kept where both have them."""

    def opened(split: Split) -> tuple[Images, Tensor]:
        if split.transform is None:
            return split.images, split.index
        return SeenImages(split), torch.arange(len(split), device=split.device)

    if len(first) == 0 or len(second) == 0:
        return second if len(first) == 0 else first
    (early, i), (late, j) = opened(first), opened(second)
    origin = None
    if first.origin is not None and second.origin is not None:
        origin = torch.cat([first.origin, second.origin])
    same = early is late
    return Split(
        early if same else JoinedImages(early, late),
        torch.cat([i, j if same else j + len(early)]),
        torch.cat([first.labels, second.labels]),
        origin,
        None,
        torch.cat([first.sample_ids(), second.sample_ids()]),
        _joined(first, second),
    )


def _joined(first: Split, second: Split) -> dict[str, Tensor]:
    """The columns of both; where one split does not have a column it is `nothing`."""
    out = {}
    for name in {**first.columns, **second.columns}:
        like = first.columns[name] if name in first.columns else second.columns[name]
        both = [s.columns[name] if name in s.columns else nothing(len(s), like) for s in (first, second)]
        width = max(column.shape[1] if column.dim() > 1 else 0 for column in both)
        out[name] = torch.cat([widened(column, width) for column in both])
    return out


def nothing(n: int, like: Tensor) -> Tensor:
    """(n, ...) values of a column like `like` for samples that have none: not a number, or 0 in integers."""
    return like.new_full((n, *like.shape[1:]), float("nan") if like.is_floating_point() else 0)


def widened(column: Tensor, width: int) -> Tensor:
    """(N, K, ...) with zeros up to `width` places, as scores have for classes that came later."""
    missing = width - column.shape[1] if column.dim() > 1 else 0
    if missing <= 0:
        return column
    return torch.cat([column, column.new_zeros(len(column), missing, *column.shape[2:])], dim=1)


@dataclass(frozen=True)
class Sessions:
    """The session in which each sample was taken: a place, a day, an angle.

    Attributes:
        names: of all sessions, in their order.
        train: (N,) long on the CPU, the session of every training sample.
        test: (M,) long on the CPU, likewise of the test samples; -1 for those of none.
    """

    names: tuple[str, ...]
    train: Tensor
    test: Tensor

    def among(self, train: Tensor, test: Tensor) -> Sessions:
        """Of the training samples at `train` and, as the test samples, those at `test`, (N,) and (M,) long."""
        return replace(self, train=self.train[train.cpu()], test=self.test[test.cpu()])


@dataclass(frozen=True)
class Dataset:
    """Two splits with their class names.

    `train.labels` and `test.labels` are in 0..K-1, the dataset's own order; scenarios renumber them.

    Attributes:
        sessions: where the samples come in sessions.
        aside: training samples of classes that are none of the dataset's, 0..A-1, for a front to be made with.
    """

    name: str
    info: DatasetInfo
    classes: tuple[str, ...]
    train: Split
    test: Split
    files: tuple[Sequence[str], Sequence[str]] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    sessions: Sessions | None = None
    aside: Split | None = None

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.train.shape
        return c, h, w


def hold_out(dataset: Dataset) -> Dataset:
    """The dataset without its test images: one in `HELD_OUT` training images of every class takes their place.

    Which ones depends on nothing but the labels, so that settings are compared on the same images; a class of fewer
    than two images keeps them all.
    """
    labels = dataset.train.labels.cpu()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    out = torch.zeros(len(labels), dtype=torch.bool)
    for c in range(dataset.n_classes):
        own = order[labels[order] == c]
        out[own[: max(1, len(own) // HELD_OUT) if len(own) > 1 else 0]] = True
    kept, tested = (mask.nonzero().flatten().to(dataset.train.device) for mask in (~out, out))
    sessions = dataset.sessions
    if sessions is not None:
        taken = sessions.train
        sessions = replace(sessions, train=taken[kept.cpu()], test=taken[tested.cpu()])
    train, test = dataset.train.subset(kept), dataset.train.subset(tested)
    return replace(dataset, train=train, test=test, files=None, sessions=sessions)


@dataclass(frozen=True)
class Task:
    """One unit of the stream.

    Attributes:
        index: 0-based position in the stream.
        name: shown to people ("task 3", "rotated 45°").
        classes: labels that are this task's own (in blurry streams: the majors).
        exposed: labels that occur in `train`.
        train: what is learned; labels are stream labels.
        test: test images of `classes`, seen as this task sees them; empty where the stream's test sets stand apart.
        has_label: whether the task's number is given at test time.
    """

    index: int
    name: str
    classes: tuple[int, ...]
    exposed: tuple[int, ...]
    train: Split
    test: Split
    has_label: bool = False


@dataclass(frozen=True)
class TestSet:
    """Images that a stream is tested on: a column of the accuracy matrix.

    Attributes:
        name: shown to people.
        split: the images; labels are stream labels.
        classes: labels that occur in it.
        task: the task whose own it is, -1 where it stands apart from the tasks.
    """

    name: str
    split: Split
    classes: tuple[int, ...]
    task: int = -1


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are learned, and what is tested.

    A task has a test set of its own, which is evaluated once all of its classes were seen; or the test sets stand
    apart, and all of them are evaluated every time: many small tasks share one, or one for each session. Then images
    of classes not seen yet count as errors.

    Attributes:
        tasks: the tasks.
        class_names: names in stream-label order; label i was original class `class_order[i]`.
        class_order: the permutation of the dataset's classes.
        online: True when each sample of the stream may be read once.
        counts: (E, K) long on the CPU: training samples of every class in every task.
        apart: the test sets that stand apart; empty where every task has its own.
    """

    tasks: tuple[Task, ...]
    class_names: tuple[str, ...]
    class_order: tuple[int, ...]
    online: bool
    counts: Tensor
    notes: dict[str, Any] = field(default_factory=dict)
    apart: tuple[TestSet, ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    @property
    def n_tests(self) -> int:
        """How many test sets there are: columns of the accuracy matrix."""
        return len(self.apart) or self.n_tasks

    def test(self, j: int) -> TestSet:
        """Test set `j`."""
        if self.apart:
            return self.apart[j]
        task = self.tasks[j]
        return TestSet(task.name, task.test, task.classes, task.index)

    @property
    def test_sizes(self) -> tuple[int, ...] | None:
        """Images of every test set that stands apart; None where every task has its own."""
        return tuple(len(test.split) for test in self.apart) or None

    def seen(self, t: int) -> tuple[int, ...]:
        """Labels that occurred in the training data of tasks 0..t, ascending."""
        return tuple(sorted({c for task in self.tasks[: t + 1] for c in task.exposed}))


def class_counts(tasks: tuple[Task, ...], n_classes: int) -> Tensor:
    """(E, K) long: training samples per task and class."""
    return torch.stack([torch.bincount(task.train.labels.cpu(), minlength=n_classes) for task in tasks])
