"""From units to a stream: what the session scenarios share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset, Sessions, TestSet
from cllab.errors import CllabError, UsageError
from cllab.io.files import expand
from cllab.learner.rng import Rng
from cllab.scenarios import _file_lists as file_lists
from cllab.scenarios._build import Relabeled, Rows, scenario_name
from cllab.scenarios._parts import equal_parts
from cllab.scenarios._units import Table, Tasks, appearance, order_of, planned
from cllab.scenarios.base import Scenario, Stream, Task
from cllab.text import shown

Tests = Literal["auto", "all", "sessions", "classes"]
TESTS_HELP = (
    "Test sets, columns of the accuracy matrix: one for all, one a session, one a group of classes (ten at most); "
    "auto: by session where the test images have several"
)
ORDER_HELP = (
    "Which order of the stream: 0 to 9 are CORe50's; -1 goes by the run's seed, the first for seed 1, and so on"
)
FIRST_HELP = "Classes that come at once in the first task; 0 for a fifth of them, 10 of CORe50's 50"
LISTS_HELP = "Folder of CORe50's published file lists, which are taken then; empty: the tasks follow their rules"
STREAM_HELP = "Whether the stream is read once or in epochs"
MOST_GROUPS = 10


def session_stream(scenario: Scenario, dataset: Dataset, rng: Rng, names: Sequence[str]) -> Stream:
    """The stream of the published lists where they are given, else of the tasks that the rules give.

    Args:
        names: what the folder of the lists may be called.

    Raises:
        UsageError: where the data have no sessions, or the lists no such folder.
        DataError: where a list names what is not there.
    """
    config: Any = scenario.config
    name, tests = scenario_name(scenario), config.tests
    whole = SessionStream(dataset, sessions_of(dataset, name))
    if config.lists:
        order = order_of(config.order, rng.seed)
        try:
            return whole.of_rows(
                file_lists.rows(file_lists.find(config.lists, names, order), dataset), tests, config.stream
            )
        except CllabError as error:
            raise type(error)(f"scenario '{name}': {error}") from None
    has, which = learned(table(dataset, whole.sessions))
    made = planned(name, dataclasses.asdict(config), has, rng.seed)
    tasks = [[(c, which[s]) for c, s in units] for units in made]
    return whole.of_units(tasks, tests, config.stream)


def no_lists(folder: str) -> str | None:
    """Why there can be no lists in `folder`, or None."""
    return f"lists = {shown(folder)}: no such folder" if folder and not expand(folder).is_dir() else None


def sessions_of(dataset: Dataset, scenario: str) -> Sessions:
    """The dataset's sessions.

    Raises:
        UsageError: where it has none.
    """
    if dataset.sessions is None:
        raise UsageError(
            f"scenario '{scenario}' needs samples that come in sessions, which '{dataset.name}' does not have"
        )
    return dataset.sessions


def table(dataset: Dataset, sessions: Sessions) -> Table:
    """(K, S) whether there are training images of a class in a session."""
    has = np.zeros((dataset.n_classes, len(sessions.names)), bool)
    has[dataset.train.labels.cpu().numpy(), sessions.train.numpy()] = True
    return has


def learned(has: Table) -> tuple[Table, list[int]]:
    """The columns of `has` in which anything is learned, and which sessions they are."""
    kept = np.flatnonzero(has.any(axis=0))
    return has[:, kept], kept.tolist()


class SessionStream:
    """A stream of tasks that are made of units, or of rows of the training images."""

    def __init__(self, dataset: Dataset, sessions: Sessions) -> None:
        self.dataset = dataset
        self.sessions = sessions
        labels, taken = dataset.train.labels.cpu().numpy(), sessions.train.numpy()
        order = np.lexsort((np.arange(len(labels)), taken, labels))
        cuts = np.flatnonzero(np.diff(labels[order]) | np.diff(taken[order])) + 1
        self._rows = {(int(labels[part[0]]), int(taken[part[0]])): part for part in np.split(order, cuts) if len(part)}

    def of_units(self, tasks: Tasks, tests: Tests, kind: str) -> Stream:
        """The stream of tasks of (class, session) pairs."""
        rows = [np.concatenate([self._rows[unit] for unit in units]) for units in tasks]
        return self._stream(rows, tests, kind, appearance(tasks))

    def of_rows(self, rows: Sequence[Rows], tests: Tests, kind: str) -> Stream:
        """The stream of tasks of training images."""
        labels = self.dataset.train.labels.cpu().numpy()
        return self._stream(rows, tests, kind, appearance([[(int(c), 0) for c in labels[part]] for part in rows]))

    def _stream(self, rows: Sequence[Rows], tests: Tests, kind: str, order: list[int]) -> Stream:
        data = Relabeled(self.dataset, np.array(order, np.int64))
        nothing = np.zeros(0, np.int64)
        tasks: list[Task] = []
        for t, part in enumerate(rows):
            classes = np.unique(data.train[part]).tolist()
            taken = np.unique(self.sessions.train.numpy()[part]).tolist()
            tasks.append(data.task(t, classes, part, test=nothing, name=self._name(classes, taken, order)))
        used = sum(len(part) for part in rows)
        apart = self._tests(data, tests)
        return data.stream(tasks, kind, apart, left_out=len(self.dataset.train) - used)

    def _name(self, classes: list[int], taken: list[int], order: list[int]) -> str:
        what = self.dataset.classes[order[classes[0]]] if len(classes) == 1 else f"{len(classes)} classes"
        when = self.sessions.names[taken[0]] if len(taken) == 1 else f"{len(taken)} sessions"
        return f"{what}, {when}"

    def _tests(self, data: Relabeled, tests: Tests) -> tuple[TestSet, ...]:
        """The test sets: every test image of a class of the stream is in one of them."""
        taken = self.sessions.test.numpy()
        there = data.test >= 0
        if tests == "auto":
            found = np.unique(taken[there])
            tests = "sessions" if len(found) > 1 and found.min() >= 0 else "all"
        if tests == "sessions":
            if (taken[there] < 0).any():
                raise UsageError(f"scenario.tests = 'sessions': the test images of '{data.dataset.name}' have none")
            names = self.sessions.names
            sets = [(names[s], np.flatnonzero(there & (taken == s))) for s in np.unique(taken[there]).tolist()]
        elif tests == "classes":
            parts = equal_parts(data.n_classes, min(MOST_GROUPS, data.n_classes))
            sets = [
                (_span(part), np.flatnonzero((data.test >= part.start) & (data.test < part.stop))) for part in parts
            ]
        else:
            sets = [("all", np.flatnonzero(there))]
        return tuple(data.test_set(name, rows) for name, rows in sets if len(rows))


def _span(part: range) -> str:
    return f"class {part.start}" if len(part) == 1 else f"classes {part.start}-{part.stop - 1}"
