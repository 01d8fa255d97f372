"""Permuted pixels: every task has all classes, seen through a permutation of the pixels of its own.

Goodfellow et al., arXiv:1312.6211; the protocol of Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017,
arXiv:1706.08840: 20 tasks of 1,000 images of MNIST (`tasks = 20`, `samples = 1000`, `stream = "online"`), the first
task permuted like every other. Training and test images of a task share its permutation; channels stay together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, refuse_impossible
from cllab.scenarios._pixels import SAME_HELP, TEST_HELP, PixelMap, permutations, sampled, tested, too_few
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class Permuted(Scenario):
    """All classes in every task, under one permutation of the pixels a task."""

    info = ScenarioInfo(title="Permuted pixels", paper="arXiv:1706.08840", has_class_tasks=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many permutations, and how many images are seen through each."""

        tasks: int = param(10, "Number of tasks", low=1)
        stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once or in epochs")
        samples: int = param(0, "Training images of a task, drawn anew for each; 0 for all", low=0)
        same_samples: bool = param(False, SAME_HELP)
        test_samples: int = param(0, TEST_HELP, low=0)
        first_identity: bool = param(False, "Leave the images of the first task as they are")
        task_labels: bool = param(False, "Name the task at test time")

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        return too_few(config["samples"], n_train)

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        refuse_impossible(self, dataset)
        config = self.config
        data = Relabeled(dataset, np.arange(dataset.n_classes))
        _, height, width = dataset.shape
        orders = permutations(height * width, config.tasks, rng)
        rows = sampled(dataset, config.samples, config.tasks, rng, same=config.same_samples)
        test = tested(dataset, config.test_samples, config.tasks, rng)
        tasks = []
        for t in range(config.tasks):
            as_is = t == 0 and config.first_identity
            tasks.append(
                data.task(
                    t,
                    range(data.n_classes),
                    rows[t],
                    test=test[t],
                    name="not permuted" if as_is else f"permutation {t + 1}",
                    transform=None if as_is else PixelMap(orders[t]),
                    has_label=config.task_labels,
                )
            )
        return data.stream(tasks, config.stream)
