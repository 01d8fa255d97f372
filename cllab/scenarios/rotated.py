"""Rotated images: every task has all classes, turned by an angle of its own.

The protocol of Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017, arXiv:1706.08840: the angle of task t
is uniform in the t-th of T equal parts of the range (20 tasks of 1,000 images of MNIST, 0 to 180 degrees); turned
counter-clockwise to the nearest pixel, black outside, as Pillow does it. There the angles cannot be repeated, as their
generator is not seeded; here they follow from the run's seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cllab.data.base import Dataset
from cllab.learner.rng import Rng
from cllab.scenarios._build import Relabeled, refuse_impossible
from cllab.scenarios._pixels import SAME_HELP, TEST_HELP, rotation, sampled, tested, too_few
from cllab.scenarios.base import Scenario, ScenarioInfo, Stream
from cllab.settings.spec import param


class Rotated(Scenario):
    """All classes in every task, under one angle a task."""

    info = ScenarioInfo(title="Rotated images", paper="arXiv:1706.08840", has_class_tasks=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The range of angles, and how many images are seen under each."""

        tasks: int = param(10, "Number of tasks", low=1)
        stream: Literal["online", "offline"] = param("offline", "Whether the stream is read once or in epochs")
        samples: int = param(0, "Training images of a task, drawn anew for each; 0 for all", low=0)
        same_samples: bool = param(False, SAME_HELP)
        test_samples: int = param(0, TEST_HELP, low=0)
        min_angle: float = param(0.0, "Smallest angle in degrees", source="min_rot", low=-360, high=360)
        max_angle: float = param(180.0, "Largest angle in degrees", source="max_rot", low=-360, high=360)
        task_labels: bool = param(False, "Name the task at test time")

    @classmethod
    def check(cls, config: Mapping[str, Any], n_classes: int | None, n_train: int | None) -> str | None:
        low, high = config["min_angle"], config["max_angle"]
        if low > high:
            return f"min_angle = {low:g} is more than max_angle = {high:g}"
        return too_few(config["samples"], n_train)

    def stream(self, dataset: Dataset, rng: Rng) -> Stream:
        refuse_impossible(self, dataset)
        config = self.config
        data = Relabeled(dataset, np.arange(dataset.n_classes))
        _, height, width = dataset.shape
        angles = _angles(config, rng)
        rows = sampled(dataset, config.samples, config.tasks, rng, same=config.same_samples)
        test = tested(dataset, config.test_samples, config.tasks, rng)
        tasks = [
            data.task(
                t,
                range(data.n_classes),
                rows[t],
                test=test[t],
                name=f"rotated {angle:.0f}°",
                transform=rotation(height, width, angle),
                has_label=config.task_labels,
            )
            for t, angle in enumerate(angles)
        ]
        return data.stream(tasks, config.stream, angles=angles)


def _angles(config: Rotated.Config, rng: Rng) -> list[float]:
    """(E,) degrees, ascending: one in each of E equal parts of the range."""
    within = rng.numpy("scenario.angles").random(config.tasks)
    step = (config.max_angle - config.min_angle) / config.tasks
    return [config.min_angle + (t + float(u)) * step for t, u in enumerate(within)]
