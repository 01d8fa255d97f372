"""BCL-Single: some steps on stream, replay and former outputs, of which a share is kept.

Pham, Sahoo, Liu & Hoi, "Bilevel Continual Learning", 2020, arXiv:2007.15553: the variant without a validation memory,
so without an outer loss; what is left of the outer level is the interpolation. With `beta = 1` and `strength = 0` it is
replay with `inner_steps` steps a batch. Not to be confused with `single`, which is fine-tuning. The quirks of the
published code are those of `bcl-dual` that apply here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from cllab.methods import _bilevel as bi
from cllab.methods import _replay as rp
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo
from cllab.spec import param

if TYPE_CHECKING:
    from cllab.scenarios.base import Task


class BCLSingle(Method):
    """Replay, distillation, interpolation."""

    info = MethodInfo(
        title="BCL-Single",
        paper="arXiv:2007.15553",
        year=2020,
        family="bilevel",
        needs=frozenset({"memory", "boundaries"}),
        stores=("targets",),
        inert={"memory.capacity": 0, "method.inner_steps": 1, "method.beta": 1.0},
        memory="ring",
        policies=("ring",),
        replay="none",
        memory_update="step",
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        inner_steps: int = param(2, "Steps a batch", source="K; inner_steps", low=1, high=1000)
        beta: float = param(0.3, "Share of a batch's way that is kept", source="beta", low=0, high=1)
        replay_size: int = param(128, "Replayed samples a step", source="replay_batch_size", low=1)
        strength: float = param(
            10.0, "Weight of the distillation", source="memory_strength", low=0, log=True, reference=100.0
        )
        temperature: float = param(5.0, "Softness of the targets", source="tau", low=0.01, high=1000)
        replay: bool = param(True, "Replay earlier tasks")
        mean: Literal["batch", "element"] = param(
            "batch", "Distillation: mean over the batch, or over its elements", reference="element"
        )
        statistics: Literal["follow", "interpolate"] = param(
            "follow", "Running statistics: as the passes leave them, or interpolated", reference="interpolate"
        )
        teacher: Literal["eval", "train"] = param("eval", "Mode of the pass that makes the targets", reference="train")
        adapt: bool = param(False, "Adapt to a task's samples before its test, where the task is named")
        adapt_lr: float = param(0.1, "Learning rate of that adaptation", low=0, high=100)
        adapt_head: Literal["task", "all"] = param(
            "task", "Classes that compete in the adaptation: the task's, or all", reference="all"
        )

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.apart = False
        self.prepare_evaluation()

    def begin_task(self, task: Task) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        if self.learner.memory.capacity == 0:
            return
        if self.config.strength > 0:
            bi.remember_targets(self.learner, self.config.temperature, self.config.teacher)
        rp.ring(self.learner.memory).open(self.learner)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config, learner = self.config, self.learner
        rp.store(batch, learner)
        values = bi.moving(learner.model, buffers=config.statistics == "interpolate")
        start = bi.copies(values) if config.beta < 1 or learner.tracing else []
        for k in range(config.inner_steps):
            terms = descend(lambda: self._inner(batch), batch)
            if learner.tracing:
                learner.trace(**{f"inner loss {k + 1}": sum(t.detach() for t in terms.values())})
        bi.interpolate(values, start, config.beta)
        if learner.tracing:
            learner.trace(displacement=bi.distance(values, start))
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _inner(self, batch: Batch) -> dict[str, Tensor]:
        learner, config = self.learner, self.config
        if not (learner.memory.capacity and config.replay and len(rp.ring(learner.memory).earlier())):
            return self.loss(batch)
        memory = rp.ring(learner.memory)
        rows, _ = memory.draw(config.replay_size, learner.rng.cpu("replay"))
        return bi.inner_loss(batch, learner, rows, config, apart=self.apart)

    def prepare_evaluation(self) -> None:
        config = self.config
        steps = config.inner_steps if config.adapt else 0
        self.adapted = bi.Adapted(self.learner, steps, config.adapt_lr, every_class=config.adapt_head == "all")

    @property
    def heeds_label(self) -> bool:
        return bool(self.config.adapt)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self.adapted.model(task_label)(x)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Any]:
        return {k: v for k, v in super().state().items() if k != "adapted"}
