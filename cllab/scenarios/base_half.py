"""Half of the classes first, then the others in phases of equal size.

Hou et al., "Learning a Unified Classifier Incrementally via Rebalancing" (LUCIR), CVPR 2019; Liu et al., "Mnemonics
Training", CVPR 2020, arXiv:2002.10211. The classes come in the order that NumPy's shuffle under seed 1993 gives,
whatever the run's seed, as in iCaRL's CIFAR-100 experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, refuse_impossible
from cllab.scenarios._order import ORDER_HELP, ClassOrder, class_order
from cllab.scenarios._parts import half_parts, no_half
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class BaseHalf(Scenario):
    """A base task of half of the classes and N phases."""

    info = ScenarioInfo(title="Half first, then phases", paper="arXiv:2002.10211")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many phases follow the base task."""

        tasks: int = param(6, "The base task and N phases: N + 1", source="N = 5, 10, 25", low=2)
        stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once or in epochs")
        class_order: ClassOrder = param("seed-1993", ORDER_HELP)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return no_half(config["tasks"], n_classes)

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        refuse_impossible(self, dataset)
        config = self.config
        data = Relabeled(dataset, class_order(config.class_order, dataset.name, dataset.n_classes, rng.seed))
        parts = half_parts(data.n_classes, config.tasks)
        pools = data.pools(np.arange(len(dataset.train)), parts)
        names = ["base", *(f"phase {n}" for n in range(1, config.tasks))]
        tasks = [
            data.task(t, part, pool, name=names[t]) for t, (part, pool) in enumerate(zip(parts, pools, strict=True))
        ]
        return data.stream(tasks, config.stream)
