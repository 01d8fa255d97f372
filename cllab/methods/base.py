"""The contract of a method.

A method fills in the blanks of the one training loop: `loss` and hooks around it, and `learn` where its algorithm is
not plain SGD on the stream. Its attributes are its state: what it makes itself is saved and restored for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from cllab.data.base import Split
from cllab.learner.batch import Batch as Batch
from cllab.learner.batch import Descend as Descend
from cllab.learner.batch import Replay as Replay
from cllab.learner.learner import Learner as Learner

if TYPE_CHECKING:
    from cllab.engine.loop import Loop
    from cllab.scenarios.base import Stream, Task


@dataclass(frozen=True)
class MethodInfo:
    """A method in a listing.

    Attributes:
        needs: what it cannot do without: memory, boundaries, task-labels, past-data.
        stores: payload it keeps beside images and labels ("logits", "latents").
        inert: settings ("table.key") at which it is fine-tuning, step by step; None where there are none.
        reference: settings of other tables under `fidelity = "reference"`.
        memory: the memory policy it is published with.
        policies: the only policies it works with; empty for any.
        replay: how the memory is mixed into the stream.
        memory_update: offered once per "task", or at every "step".
        memory_only: True when it trains on the memory alone.
        uses_memory: False when it never looks into a memory; it is given none then, whatever the capacity.
    """

    title: str
    paper: str = ""
    year: int = 0
    family: str = ""
    needs: frozenset[str] = frozenset()
    stores: tuple[str, ...] = ()
    inert: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] = field(default_factory=dict)
    memory: str = "reservoir"
    policies: tuple[str, ...] = ()
    replay: Replay = "concat"
    memory_update: Literal["task", "step"] = "task"
    memory_only: bool = False
    uses_memory: bool = True


class Method:
    """Base of every method; a concrete one is final and lives alone in its file.

    `loss` alone must be filled in.
    """

    info: ClassVar[MethodInfo]
    derived: ClassVar[frozenset[str]] = frozenset()
    """Attributes that are made anew when they are missing: no checkpoint holds them."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Replaced by every method; fields are declared with `param`."""

    def __init__(self, config: Any, learner: Learner) -> None:
        self.config = config
        self.learner = learner

    def begin_task(self, task: Task) -> None:
        """Called when the head has grown, before the first batch of `task`."""

    def learn(self, task: Task, loop: Loop) -> None:
        """Learn the task's stream; by default one phase of the loop over it, mixed as `info.replay` says."""
        loop.fit(task.train, phase="stream", replay=self.info.replay)

    def rehearse(self, task: Task, loop: Loop) -> None:
        """Train on the memory after an online stream has passed (`train.memory_epochs` > 0)."""
        loop.fit(self.learner.memory.split(), phase="memory")

    def step(self, batch: Batch, descend: Descend) -> dict[str, Tensor]:
        """Learn one batch of the stream; by default one gradient step on `loss`. Returns the terms to log.

        For algorithms that take several gradient steps a batch; other phases always take one.
        """
        return descend(lambda: self.loss(batch), batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms; the loop sums and logs them."""
        raise NotImplementedError

    def after_backward(self, batch: Batch) -> None:
        """Edit gradients."""

    def after_step(self, batch: Batch) -> None:
        """Accumulate; runs after the optimizer."""

    def after_fit(self, phase: str, split: Split, loop: Loop) -> None:
        """Called once when a phase of the loop is over."""

    def offered(self, task: Task) -> Split:
        """What the memory is offered at the end of a task's stream."""
        return task.train

    def end_task(self, task: Task, loop: Loop) -> None:
        """Called once before evaluation; phases of the loop belong into `learn` and `rehearse`."""

    @property
    def heeds_label(self) -> bool:
        """Whether `predict` gives other scores when it is told the task."""
        return False

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        """(B, K) scores of (B, C, H, W) normalized images; which classes compete is not its concern."""
        return self.learner.model(x)  # type: ignore[no-any-return]

    def prepare_evaluation(self) -> None:
        """Called before every evaluation, in eval mode (class means, averaged weights)."""

    def planned_steps(self, task: Task, loop: Loop, stream: Stream) -> int:
        """Optimizer steps that `task` will take, for the progress bar; the default counts the default phases."""
        train, capacity = loop.train, self.learner.memory.capacity
        before = sum(len(t.train) for t in stream.tasks[: task.index])
        held = min(capacity, before)
        steps = loop.stream_steps(len(task.train), self.info.replay, held)
        if loop.online and train.memory_epochs and capacity:
            after = min(capacity, before + len(task.train))
            steps += train.memory_epochs * loop.steps_per_epoch(after, "none", train.batch_size, 0)
        return steps

    def stored(self) -> dict[str, int]:
        """Bytes that the method carries from task to task beside the memory, by attribute: tensors and networks."""
        sizes = {name: _n_bytes(value) for name, value in self.state().items()}
        return {name.strip("_").replace("_", " "): size for name, size in sizes.items() if size}

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer moves."""
        return list(self.learner.model.parameters())

    def state(self) -> dict[str, Any]:
        """Attributes that a checkpoint holds: all but the configuration, the learner and what is `derived`."""
        left_out = self.derived | {"config", "learner"}
        return {k: v for k, v in vars(self).items() if k not in left_out}


def _n_bytes(value: object) -> int:
    """Bytes of the tensors in `value`: itself, a network's, a container's."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, nn.Module):
        return sum(map(_n_bytes, (*value.parameters(), *value.buffers())))
    if isinstance(value, dict):
        return sum(map(_n_bytes, value.values()))
    return sum(map(_n_bytes, value)) if isinstance(value, (list, tuple)) else 0
