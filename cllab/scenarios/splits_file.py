"""Rainbow Memory's own split files: exactly the published tasks, image by image.

Reads `collections/<data>/*.json` of a checkout of the published code (arXiv:2103.17230), which the user names; the
files for the run's seed are taken. Each is an array of records with the keys klass, file_name and label. MNIST images
are found by their number in the original files, CIFAR's by class and counter (from 0 or from 1, in the order of the
official batches), those of image folders by class folder and file name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.errors import CllabError, DataError, UsageError
from cllab.learner.rng import Rng
from cllab.scenarios import _split_files as split_files
from cllab.scenarios._build import Relabeled, Rows
from cllab.scenarios._order import base_order, shuffled
from cllab.scenarios._split_files import Record
from cllab.scenarios._split_match import Matcher
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param

Matched = list[tuple[Rows, Rows]]
"""Of every file: the rows of its images, and their labels."""


class SplitsFile(Scenario):
    """Tasks as a folder of split files lists them."""

    info = ScenarioInfo(title="Published split files", paper="arXiv:2103.17230")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the files are, and which of them."""

        folder: str = param("", "Folder of the split files: a checkout, its collections, or one dataset's folder")
        experiment: str = param("blurry10", "Experiment in the file names: disjoint, blurry10, blurry30")
        tasks: int = param(0, "Number of tasks; 0 for as many as there are files", low=0)
        stream: Literal["online", "offline"] = param("online", "Whether the stream is read once or in epochs")
        counter: Literal["auto", "zero-based", "one-based"] = param(
            "auto", "First number of the images of a class; auto: 0 if that occurs, else 1"
        )

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        """Looks at file names only; with a `seed` in `config` also for that seed's files."""
        try:
            split_files.find(config["folder"], config["experiment"], config.get("seed"), config["tasks"])
        except split_files.AmbiguousError:
            return None  # datasets side by side are told apart once the dataset is known
        except CllabError as error:
            return str(error)
        return None

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        config = self.config
        name: str | None = dataset.name
        try:
            if name == "imagefolder":
                name = "imagenet" if "imagenet" in split_files.datasets(config.folder) else None
            files = split_files.find(config.folder, config.experiment, rng.seed, config.tasks, name)
        except UsageError as error:
            raise UsageError(f"scenario 'splits-file': {error}") from None
        except DataError as error:
            raise DataError(f"scenario 'splits-file': {error}") from None
        lists = [[split_files.read(path) for path in paths] for paths in (files.train, files.test)]
        matcher = Matcher(dataset, config.counter, [part for half in lists for part in half])
        class_of: dict[int, tuple[int, Record]] = {}
        train, test = (_match(matcher, lists[split], split, class_of) for split in (0, 1))
        order = _order(class_of, files, dataset)
        data = Relabeled(dataset, order)
        test_rows = np.unique(np.concatenate([rows for rows, _ in test]))
        tasks = []
        for t, (rows, labels) in enumerate(train):
            own = range(t * files.n, min((t + 1) * files.n, data.n_classes))
            # whether a list of test images holds one task or all tasks so far: a task is tested on its own classes
            own_test = test_rows[data.test[test_rows] // files.n == t]
            if len(own_test) == 0:
                raise DataError(f"{files.test[t]}: no test images of labels {own.start} to {own.stop - 1}")
            task = data.task(t, own, rows, test=own_test)
            tasks.append(dataclasses.replace(task, exposed=tuple(int(c) for c in np.unique(labels))))
        rows = np.concatenate([rows for rows, _ in train])
        used = len(np.unique(rows))
        published = len(order) == dataset.n_classes and np.array_equal(
            order, shuffled(base_order(dataset.name, dataset.n_classes), rng.seed)
        )
        return data.stream(
            tasks,
            config.stream,
            left_out=len(dataset.train) - used,
            repeated=len(rows) - used,
            published_order=bool(published),
            first_number=matcher.first_number,
        )


def _match(matcher: Matcher, lists: list[list[Record]], split: int, class_of: dict[int, tuple[int, Record]]) -> Matched:
    """Rows and labels of every list; fills in which class every label is, and refuses what contradicts it."""
    matched = []
    for records in lists:
        rows, classes = matcher.match(records, split)
        labels = np.array([record.label for record in records], np.int64)
        pairs, first = np.unique(np.stack([labels, classes], 1), axis=0, return_index=True)
        for (label, c), i in zip(pairs.tolist(), first.tolist(), strict=True):
            known, before = class_of.setdefault(label, (c, records[i]))
            if known != c:
                names = matcher.dataset.classes
                raise DataError(
                    f"{records[i].where}: label {label} is '{names[c]}' here, but '{names[known]}' in {before.where}"
                )
        matched.append((rows, labels))
    return matched


def _order(
    class_of: dict[int, tuple[int, Record]], files: split_files.SplitFiles, dataset: Dataset
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(K,) original class behind every label."""
    label_of: dict[int, int] = {}
    n_tasks = len(files.train)
    last = n_tasks * files.n
    for label in sorted(class_of):
        c, record = class_of[label]
        if c in label_of:
            raise DataError(
                f"{record.where}: class '{dataset.classes[c]}' has label {label} here, but also {label_of[c]}"
            )
        if label >= last:
            raise DataError(
                f"{record.where}: label {label} is too large: {n_tasks} tasks of {files.n} classes end at {last - 1}"
            )
        label_of[c] = label
    gap = next((k for k in range(len(class_of)) if k not in class_of), None)
    if gap is not None:
        raise DataError(f"{files.train[gap // files.n]}: no image has label {gap}, but some have {max(class_of)}")
    return np.array([class_of[k][0] for k in range(len(class_of))], np.int64)
