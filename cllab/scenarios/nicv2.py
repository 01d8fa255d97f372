"""Small tasks that are far from alike: one class in one session each, some 300 images of CORe50, 391 tasks.

NICv2 (Lomonaco, Maltoni & Pellegrini, "Rehearsal-Free Continual Learning over Small Non-I.I.D. Batches", CVPR workshops
2020, arXiv:1907.03799): ten classes in the first session, and then units of a class and a session, one a task (391
tasks), two (196) or five (79). The sessions of a class come in their order. The ten published orders are read where the
lists are (`lists`); else an order is drawn that has what was measured of those: new classes come at random until 86 %
of the stream, and in between any class goes on that was begun, as likely as it has sessions left. For any data whose
samples come in sessions.
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

TASKS = {1: 391, 2: 196, 5: 79}
"""Tasks of CORe50's streams, by their units a task."""


class NICv2(Scenario):
    """A few units a task; classes and sessions come back in the sessions' order."""

    info = ScenarioInfo(title="NICv2", paper="arXiv:1907.03799", has_class_tasks=False, needs_sessions=True)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How large a task is, how many classes come first, the order of what follows, and what is tested."""

        units: int = param(
            1, "Pairs of a class and a session in a task: 1, 2 or 5 for NICv2-391, -196 and -79 of CORe50", low=1
        )
        first: int = param(0, FIRST_HELP, low=0)
        stream: Literal["online", "offline"] = param("offline", STREAM_HELP)
        order: int = param(-1, ORDER_HELP, low=-1, high=999)
        tests: Tests = param("auto", TESTS_HELP)
        lists: str = param("", LISTS_HELP)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        if config["lists"] and config["units"] not in TASKS:
            return f"units = {config['units']}, but there are published lists for 1, 2 and 5 units a task only"
        return no_lists(config["lists"])

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        n = TASKS.get(self.config.units, 0)
        return session_stream(self, dataset, rng, (f"NIC_v2_{n}", f"sIII_v2_{n}"))
