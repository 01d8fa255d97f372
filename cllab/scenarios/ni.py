"""New instances: every task is a whole session, with all classes seen in new circumstances.

CORe50's NI (Lomonaco & Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017,
arXiv:1705.03550): eight tasks of some 15,000 images, in ten published orders, which the rules give exactly: one legacy
NumPy generator under seed 1 shuffles the training sessions again and again. For any data whose samples come in
sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._session_stream import (
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


class NI(Scenario):
    """A session a task."""

    info = ScenarioInfo(title="New instances", paper="arXiv:1705.03550", has_class_tasks=False, needs_sessions=True)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The order of the sessions, and what is tested."""

        stream: Literal["online", "offline"] = param("offline", STREAM_HELP)
        order: int = param(-1, ORDER_HELP, low=-1, high=999)
        tests: Tests = param("auto", TESTS_HELP)
        lists: str = param("", LISTS_HELP)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return no_lists(config["lists"])

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        return session_stream(self, dataset, rng, ("NI_inc", "NI"))
