"""Class-incremental: every task brings classes of its own, and there is one head for all of them.

The split of Rainbow Memory's "disjoint" and of most class-incremental papers. All training images of a class are in
its task; a task's test set are the test images of its own classes. Rainbow Memory's own lists for CIFAR-10 leave out
1,250 training images: `train_share = 0.975` leaves out as many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, refuse_impossible
from cllab.scenarios._order import ORDER_HELP, ClassOrder, class_order
from cllab.scenarios._parts import equal_parts, too_many
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class Disjoint(Scenario):
    """Tasks of equal numbers of classes; where they do not divide, the first tasks have one more."""

    info = ScenarioInfo(title="Class-incremental", paper="arXiv:2103.17230")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the classes are dealt out."""

        tasks: int = param(5, "Number of tasks", low=1)
        stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once or in epochs")
        class_order: ClassOrder = param("rainbow-memory", ORDER_HELP)
        train_share: float = param(1.0, "Share of the training images of every class that is used", low=0.001, high=1)

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return too_many(config["tasks"], n_classes)

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        refuse_impossible(self, dataset)
        config = self.config
        data = Relabeled(dataset, class_order(config.class_order, dataset.name, dataset.n_classes, rng.seed))
        parts = equal_parts(data.n_classes, config.tasks)
        rows = data.kept(config.train_share, rng)
        pools = data.pools(rows, parts)
        tasks = [data.task(t, part, pool) for t, (part, pool) in enumerate(zip(parts, pools, strict=True))]
        return data.stream(tasks, config.stream, left_out=len(dataset.train) - len(rows))
