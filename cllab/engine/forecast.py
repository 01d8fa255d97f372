"""What a run will do, before it does it: steps of training, images that are only looked at, and glances.

For the progress bar and the time left. Steps are counted on the method's own list of pieces, which is walked without
doing anything.
"""

from __future__ import annotations

from cllab.engine.base_stage import FITTING, BaseStage
from cllab.engine.evaluation import Evaluator
from cllab.engine.loop import Loop
from cllab.learner.phases import Offer, Phase
from cllab.methods.base import Method
from cllab.scenarios.base import Task
from cllab.settings.config import RunConfig

FORWARD = 0.35
"""An image that is only looked at, against one that is learned from, where a glance is not to cost too much."""
GLANCING, LEAST_IMAGES = 0.02, 50
"""Share of a task's work that glances at the test images take at most, and images of a task in each."""


class Forecast:
    """The work of every task of a run.

    Attributes:
        last_phase: the phase that decides a task's accuracy, the last that the `[train]` table speaks of.
    """

    def __init__(
        self, config: RunConfig, method: Method, loop: Loop, evaluator: Evaluator, base: BaseStage | None = None
    ) -> None:
        self.config = config
        self.method = method
        self.learner = method.learner
        self.stream = self.learner.stream
        self.loop = loop
        self.evaluator = evaluator
        self.base = base
        self.last_phase = "memory" if self.learner.rehearses or method.info.memory_only else "stream"

    def glances(self, task: Task) -> tuple[int, int, int]:
        """How often `task` is glanced at while it is learned, at how many test images of every task, and after how many
        steps each: so that a person who watches a long task sees it being learned.

        A share of `GLANCING` of the task's work at most, counted in images; none where that is not worth a look, and
        none where evaluations within a task were asked for.
        """
        config = self.config
        covered = len(self.evaluator.covered(task.index))
        if config.evaluate.every or config.evaluate.epochs or config.evaluate.report == "best" or not covered:
            return 0, 0, 1
        steps = self.steps(task)
        looked = sum(v for k, v in self.passes(task, glancing=False).items() if k != "evaluate")
        images = int(GLANCING * (steps * config.train.batch_size / FORWARD + looked))
        times = min(config.evaluate.glances, images // (covered * LEAST_IMAGES))
        if not times or times < min(2, config.evaluate.glances):
            return 0, 0, 1
        return times, images // (covered * times), max(1, steps // (times + 1))

    def steps(self, task: Task) -> int:
        """Optimizer steps that `task` will take, by its method's own list."""
        capacity = self.learner.memory.capacity
        before = sum(len(t.train) for t in self.stream.tasks[: task.index])
        held, steps = min(capacity, before), 0
        for piece in self.method.learn(task):
            if isinstance(piece, Offer):
                held = min(capacity, before + len(task.train))
            elif isinstance(piece, Phase):
                if self.base is not None and self.base.covers(task) and piece.name in FITTING:
                    continue
                if piece.data is None:
                    n = held
                elif callable(piece.data):
                    n = piece.size or 0
                else:
                    n = len(piece.data)
                steps += self.loop.steps_of(piece, n, held if piece.replay != "none" else 0)
        return steps

    def passes(self, task: Task, *, glancing: bool = True) -> dict[str, int]:
        """Images that are only looked at in `task`, by kind of pass."""
        config, memory = self.config, self.learner.memory
        before = sum(len(t.train) for t in self.stream.tasks[: task.index])
        held = min(memory.capacity, before)
        select = memory.looks(held + len(task.train), task.index) if memory.capacity else 0
        tests = self.evaluator.size(task.index)
        times = 1
        if config.evaluate.every and self.stream.online:
            times += (before + len(task.train)) // config.evaluate.every - before // config.evaluate.every
        if config.evaluate.epochs or config.evaluate.report == "best":
            train = config.train
            times += train.epochs if self.last_phase == "stream" else train.memory_epochs or train.epochs
        glances, part, _ = self.glances(task) if glancing else (0, 0, 1)
        return {"select": select, "evaluate": times * tests + glances * self.evaluator.size(task.index, part)}
