"""BCL-Single: some steps on stream, replay and former outputs, of which a share is kept.

Pham, Sahoo, Liu & Hoi, "Bilevel Continual Learning", 2020, arXiv:2007.15553: the variant without a validation memory,
so without an outer loss; what is left of the outer level is the interpolation. With `beta = 1` and `strength = 0` it is
replay with `inner_steps` steps a batch. Not to be confused with `single`, which is fine-tuning. The quirks of the
published code are those of `bcl-dual` that apply here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from cllab.methods import _bilevel as bi
from cllab.methods import _replay as rp
from cllab.methods._tell import Tell
from cllab.methods.base import Batch, Descend, Learner, Method, MethodInfo, Phase, Piece, Task, Work
from cllab.settings.spec import param


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
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(bi.Adapting, bi.Interpolating, bi.Distilling):
        """Settings."""

        inner_steps: int = param(2, "Steps a batch", source="K; inner_steps", low=1, high=1000)
        beta: float = param(0.3, "Share of a batch's way that is kept", source="beta", low=0, high=1)
        replay_size: int = param(128, "Replayed samples a step", source="replay_batch_size", low=1)
        replay: bool = param(True, "Replay earlier tasks")

    derived = frozenset({"adapted", "tell"})

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.apart = False
        self.tell = Tell(learner)
        self.prepare_evaluation()

    def learn(self, task: Task) -> Iterator[Piece]:
        yield Work(self._begin)
        yield Phase("stream", task.train)
        yield from self.remember(None)

    def _begin(self) -> None:
        self.apart = rp.has_batch_norm(self.learner.model)
        bi.remember_targets(self.learner, self.config)
        rp.begin_task(self.learner)

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        config, learner, tell = self.config, self.learner, self.tell
        rp.store(batch, learner)
        tell.begin()
        tell.samples("stream batch", batch.raw, batch.y)
        with bi.part_of_the_way(learner, config.beta, config.statistics, tell):
            for _ in range(config.inner_steps):
                terms = descend(lambda: self._inner(batch), batch)
                tell.stepped(terms)
        return terms

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}

    def _inner(self, batch: Batch) -> dict[str, Tensor]:
        config, learner, memory = self.config, self.learner, rp.ring(self.learner.memory)
        if not (config.replay and len(memory.earlier())):
            return self.loss(batch)
        rows, _ = memory.draw(config.replay_size, learner.rng.cpu("replay"))
        return bi.inner_loss(batch, learner, rows, config, apart=self.apart, tell=self.tell)

    def prepare_evaluation(self) -> None:
        self.adapted = bi.Adapted(self.learner, self.config.inner_steps, self.config)

    @property
    def heeds_label(self) -> bool:
        return bool(self.config.adapt)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self.adapted.predict(x, task_label)
