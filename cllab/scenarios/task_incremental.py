"""Task-incremental: disjoint classes, and the task is named at test time, so only its own classes compete.

Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017, arXiv:1706.08840; Pham et al., "Bilevel Continual
Learning", arXiv:2007.15553, which chooses hyper-parameters on the first 3 of 20 tasks (`part = "cv"`) and reports the
other 17 (`part = "cl"`), with `class_order = "bilevel"`.
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
from cllab.scenarios._parts import equal_parts, kept_tasks, too_many
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class TaskIncremental(Scenario):
    """Disjoint classes with task labels."""

    info = ScenarioInfo(title="Task-incremental", paper="arXiv:1706.08840", has_task_labels=True)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the classes are dealt out, and which of the tasks are used."""

        tasks: int = param(5, "Number of tasks that the classes are cut into", low=1)
        stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once or in epochs")
        class_order: ClassOrder = param("natural", ORDER_HELP)
        cv_tasks: int = param(0, "The first tasks, set aside for choosing hyper-parameters", low=0)
        part: Literal["all", "cv", "cl"] = param(
            "all", "All tasks, only those set aside, or only the rest; labels begin at 0 in each"
        )

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        _, reason = kept_tasks(config["tasks"], config["cv_tasks"], config["part"])
        return reason or too_many(config["tasks"], n_classes)

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        refuse_impossible(self, dataset)
        config = self.config
        order = class_order(config.class_order, dataset.name, dataset.n_classes, rng.seed)
        chosen, _ = kept_tasks(config.tasks, config.cv_tasks, config.part)
        assert chosen is not None
        all_parts = equal_parts(len(order), config.tasks)
        parts = [all_parts[t] for t in chosen]
        first = parts[0].start
        data = Relabeled(dataset, order[first : parts[-1].stop])
        parts = [range(part.start - first, part.stop - first) for part in parts]
        pools = data.pools(np.arange(len(dataset.train)), parts)
        tasks = [
            data.task(t, part, pool, has_label=True) for t, (part, pool) in enumerate(zip(parts, pools, strict=True))
        ]
        return data.stream(tasks, config.stream)
