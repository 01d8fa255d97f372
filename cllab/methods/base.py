"""The contract of a method.

A method says what a task is made of (`learn`) and what is lost on a batch (`loss`), and edits a step where its
algorithm does (`step`, `after_backward`, `after_step`) or what is predicted (`predict`, `prepare_evaluation`). Its
attributes are its state: what it makes itself is saved and restored for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from cllab.data.base import Split
from cllab.data.base import Task as Task
from cllab.learner.batch import Batch as Batch
from cllab.learner.batch import Descend as Descend
from cllab.learner.batch import Replay as Replay
from cllab.learner.learner import Learner as Learner
from cllab.learner.phases import Group as Group
from cllab.learner.phases import Offer as Offer
from cllab.learner.phases import Optim as Optim
from cllab.learner.phases import Phase as Phase
from cllab.learner.phases import Piece as Piece
from cllab.learner.phases import Work as Work


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
    memory_only: bool = False
    uses_memory: bool = True


PIECE = "yield what it does from learn, as Work"
FORMER = {
    **dict.fromkeys(("begin_task", "end_task", "rehearse", "after_fit", "offered", "planned_steps"), PIECE),
    "parameters": "say which weights a phase trains with its Optim: Phase(..., optim=Optim((Group(which),)))",
}
"""Hooks that methods had once, and what to do instead; one that is still there would be passed over silently."""


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

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if former := sorted(FORMER.keys() & vars(cls).keys()):
            raise TypeError(f"{cls.__name__}.{former[0]} is never called: {FORMER[former[0]]}")

    @classmethod
    def variant(cls, config: Any) -> type[Method]:
        """The class that `config` asks for: where paper and published code are two algorithms, a private one beside."""
        return cls

    def __init__(self, config: Any, learner: Learner) -> None:
        self.config = config
        self.learner = learner

    def learn(self, task: Task) -> Iterator[Piece]:
        """What is done to learn `task`, piece by piece: by default its stream, mixed with the memory as `info.replay`
        says, then an offer of it to the memory, which is trained on where an online stream is rehearsed.

        It is walked once beforehand, for the progress bar, and again up to where a resumed run stood. So it may look at
        `task`, the settings and the learner's, and do nothing between the pieces: what changes something is `Work`.
        The classes of the task have their outputs, old ones as they were, when it begins.
        """
        yield Phase("stream", task.train, replay=self.info.replay)
        yield from self.remember(task.train)

    def remember(self, offered: Split | None, **rehearsal: Any) -> Iterator[Piece]:
        """The end of most lists: an offer to the memory, then the phase "memory" where there is one.

        Args:
            offered: None where the memory was offered every batch.
            rehearsal: what is special about that phase; see `Phase`.
        """
        yield Offer(offered)
        if self.learner.rehearses:
            yield Phase("memory", **rehearsal)

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

    @property
    def heeds_label(self) -> bool:
        """Whether `predict` gives other scores when it is told the task."""
        return False

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        """(B, K) scores of (B, C, H, W) normalized images; which classes compete is not its concern."""
        return self.learner.model(x)  # type: ignore[no-any-return]

    def prepare_evaluation(self) -> None:
        """Called before every evaluation, in eval mode (class means, averaged weights)."""

    def stored(self) -> dict[str, int]:
        """Bytes that the method carries from task to task beside the memory, by attribute: tensors and networks."""
        sizes = {name: _n_bytes(value) for name, value in self.state().items()}
        return {name.strip("_").replace("_", " "): size for name, size in sizes.items() if size}

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
