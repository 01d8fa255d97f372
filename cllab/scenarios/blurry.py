"""Blurry boundaries: every task is mostly its own classes, and some images of all the others.

Bang et al., "Rainbow Memory: Continual Learning with a Memory of Diverse Samples", CVPR 2021, arXiv:2103.17230.
All classes are known from the first task on. Three constructions:
- clean: exactly `percent` percent of every task come from other tasks, equally from each; every image is used once.
- official: as the published split files were made. What is left of all pools is mixed and cut into equal parts, so a
  task gets some of its own leftovers back, and other tasks' share is only percent (T-1)/T. The parts are cut to whole
  numbers; fewer than T images are dropped.
- notebook: as the published notebook makes splits for other data. The leftovers of a pool are drawn from independently
  for every other task: images repeat, others are never used. The notebook always keeps 90 %, that is `percent = 10`.
The class order is the published one for the run's seed; which images are mixed is drawn here, only `splits-file` can
repeat the published choice. The published CIFAR-10 lists leave out 1,250 training images: `train_share = 0.975` leaves
out as many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.errors import UsageError
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, Rows, refuse_impossible
from cllab.scenarios._mix import exchange
from cllab.scenarios._order import ORDER_HELP, ClassOrder, class_order
from cllab.scenarios._parts import equal_parts, too_many
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param

Parts = list[tuple[Rows, Rows]]
"""Of every task: the rows of its own pool that come first, and the rows that are mixed in."""


class Blurry(Scenario):
    """Own classes in the majority, all others in the minority."""

    info = ScenarioInfo(title="Blurry class-incremental", paper="arXiv:2103.17230")

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How much of a task comes from elsewhere, and how it is drawn."""

        tasks: int = param(5, "Number of tasks", low=2)
        percent: float = param(
            10.0, "Percent of a task's images from other tasks", source="M in BlurryM", low=0, high=100
        )
        construction: Literal["clean", "official", "notebook"] = param(
            "clean",
            "Exactly percent from other tasks; or as the published files, or the published notebook, mix them",
            reference="official",
        )
        stream: Literal["online", "offline"] = param("online", "Whether the stream is read once or in epochs")
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
        mix = {"clean": _clean, "official": _official, "notebook": _notebook}[config.construction]
        mixed = mix(data.pools(rows, parts), config.percent / 100, rng.numpy("scenario.blurry"))
        everything = tuple(range(data.n_classes))
        tasks = [
            data.task(t, part, np.concatenate(own_and_others))
            for t, (part, own_and_others) in enumerate(zip(parts, mixed, strict=True))
        ]
        if config.percent > 0:
            tasks = [dataclasses.replace(task, exposed=everything) for task in tasks]
        used = np.unique(np.concatenate([np.concatenate(pair) for pair in mixed]))
        return data.stream(tasks, config.stream, left_out=len(dataset.train) - len(used))


def _clean(pools: Sequence[Rows], share: float, draw: np.random.Generator) -> Parts:
    try:
        flow = exchange(np.array([len(pool) for pool in pools]), share)
    except ValueError as error:
        raise UsageError(
            f"scenario 'blurry': percent = {100 * share:g} from other tasks is not possible, {error}; "
            "use a smaller percent or construction = 'official'"
        ) from None
    pieces = [
        np.split(draw.permutation(pool), np.cumsum(flow[a])[:-1]) for a, pool in enumerate(pools)
    ]  # pieces[a][b]: what goes from pool a to task b
    n = len(pools)
    return [
        (pieces[b][b], draw.permutation(np.concatenate([pieces[a][b] for a in range(n) if a != b]))) for b in range(n)
    ]


def _official(pools: Sequence[Rows], share: float, draw: np.random.Generator) -> Parts:
    n = len(pools)
    mixed = [draw.permutation(pool) for pool in pools]
    keep = [round((1 - share) * len(pool)) for pool in pools]
    rest = draw.permutation(np.concatenate([pool[k:] for pool, k in zip(mixed, keep, strict=True)]))
    # whole parts only: so seed 2 of the published MNIST files has 59,996 images, seeds 1 and 3 have all
    size = len(rest) // n
    return [(mixed[t][: keep[t]], rest[t * size : (t + 1) * size]) for t in range(n)]


def _notebook(pools: Sequence[Rows], share: float, draw: np.random.Generator) -> Parts:
    n = len(pools)
    majors: list[Rows] = []
    minors: list[list[Rows]] = [[] for _ in pools]
    for a, pool in enumerate(pools):
        mixed = draw.permutation(pool)
        keep = round((1 - share) * len(pool))
        majors.append(mixed[:keep])
        rest = mixed[keep:]
        for b in range(n):
            if b != a:
                minors[b].append(draw.choice(rest, len(rest) // (n - 1), replace=False))
    return [(majors[t], draw.permutation(np.concatenate(minors[t]))) for t in range(n)]
