"""New classes, of all sessions: some classes at once, and then half as many a task.

CORe50's NC (Lomonaco & Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017,
arXiv:1705.03550): ten objects, one of each category, and then five a task, in ten published orders, which the rules
give exactly: one legacy NumPy generator under seed 1 shuffles what comes after the first task again and again. Labels
count in the order in which classes are first seen. For any data whose samples come in sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._session_stream import (
    FIRST_HELP,
    LISTS_HELP,
    ORDER_HELP,
    STREAM_HELP,
    TESTS_HELP,
    Tests,
    no_lists,
    session_stream,
)
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class NC(Scenario):
    """Some classes a task, with all of their images."""

    info = ScenarioInfo(title="New classes", paper="arXiv:1705.03550", needs_sessions=True)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many classes come first, the order of the others, and what is tested."""

        first: int = param(0, FIRST_HELP, low=0)
        stream: Literal["online", "offline"] = param("offline", STREAM_HELP)
        order: int = param(-1, ORDER_HELP, low=-1, high=999)
        tests: Tests = param("auto", TESTS_HELP)
        lists: str = param("", LISTS_HELP)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return no_lists(config["lists"])

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        return session_stream(self, dataset, rng, ("NC_inc", "NC"))
