"""New instances and classes: some classes in one session, and then half as many classes of one session a task.

CORe50's NIC (Lomonaco & Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017,
arXiv:1705.03550): 79 tasks, in ten published orders. The published lists are read where they are (`lists`); else the
order follows their rules: the other classes are shuffled under seed 0 and put into groups of five, each group and
session is a task, and so are the two halves of the first ten classes with every session but the first; these are
shuffled, and once more for every order. For any data whose samples come in sessions.
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


class NIC(Scenario):
    """Classes of one session a task; both come back."""

    info = ScenarioInfo(
        title="New instances and classes", paper="arXiv:1705.03550", has_class_tasks=False, needs_sessions=True
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many classes come first, the order of what follows, and what is tested."""

        first: int = param(0, FIRST_HELP, low=0)
        stream: Literal["online", "offline"] = param("offline", STREAM_HELP)
        order: int = param(-1, ORDER_HELP, low=-1, high=999)
        tests: Tests = param("auto", TESTS_HELP)
        lists: str = param("", LISTS_HELP)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return no_lists(config["lists"])

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        return session_stream(self, dataset, rng, ("NIC_inc", "NIC"))
