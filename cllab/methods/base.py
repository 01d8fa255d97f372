"""The contract of a method, and what a method is given to work with.

A method fills in the blanks of the one training loop: `loss` and hooks around it, and `learn` where its algorithm is
not plain SGD on the stream. Its attributes are its state: what it makes itself is saved and restored for it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from cllab.data.augment.pipeline import Augment, normalize
from cllab.data.base import DatasetInfo, Split
from cllab.engine.passes import Passes
from cllab.engine.rng import Rng
from cllab.methods._heads import Heads, cross_entropy
from cllab.models.base import HeadKind, Network

if TYPE_CHECKING:
    from cllab.engine.loop import Loop
    from cllab.memory.base import Memory
    from cllab.scenarios.base import Stream, Task

Replay = Literal["none", "concat", "half"]
"""How the loop mixes the memory into a stream: not at all, as one shuffled set, or half of every batch."""


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


@dataclass
class Batch:
    """One step's samples.

    Attributes:
        x: (B, C, H, W) float, augmented and normalized.
        y: (B,) long, stream labels.
        raw: (B, C, H, W) uint8, as stored.
        ids: (B,) long, sample identities.
        n_stream: how many samples, from the first, come from the stream; the others from the memory.
        y_mix, share: labels (B,) and 0-d share of `y` where cutmix pasted another image; None elsewhere.
        task_label: the task's number where the scenario gives it, else None.
        phase: the phase of the loop that the batch belongs to; empty outside of one.
        heads: which classes compete, where the scenario names the task; None when all do.
    """

    x: Tensor
    y: Tensor
    raw: Tensor
    ids: Tensor
    n_stream: int
    y_mix: Tensor | None = None
    share: Tensor | None = None
    task_label: int | None = None
    phase: str = ""
    heads: Heads | None = None

    def without_first(self) -> Batch:
        """All samples but the first, which is the stream's."""
        mix = None if self.y_mix is None else self.y_mix[1:]
        return replace(
            self,
            x=self.x[1:],
            y=self.y[1:],
            raw=self.raw[1:],
            ids=self.ids[1:],
            n_stream=self.n_stream - 1,
            y_mix=mix,
        )

    def joined(self, x: Tensor, y: Tensor, raw: Tensor, ids: Tensor) -> Batch:
        """This batch, then whole images from the memory: both labels of those are `y`. Shapes as the attributes'."""
        mix = None if self.y_mix is None else torch.cat([self.y_mix, y])
        return replace(
            self,
            x=torch.cat([self.x, x]),
            y=torch.cat([self.y, y]),
            raw=torch.cat([self.raw, raw]),
            ids=torch.cat([self.ids, ids]),
            y_mix=mix,
        )

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of (B, K) logits, over both labels where images were mixed; within each sample's task
        where the scenario names it."""
        loss = cross_entropy(self.heads, logits, self.y)
        if self.y_mix is None or self.share is None:
            return loss
        return self.share * loss + (1 - self.share) * cross_entropy(self.heads, logits, self.y_mix)


class Descend(Protocol):
    """One gradient step, as the loop hands it to `Method.step`.

    Sums the terms that `loss` returns, adds their gradients to what is there, lets the method edit them
    (`after_backward`), moves the weights, and clears the gradients unless `clear` is False. With `lr`, at that rate.
    Returns the terms.
    """

    def __call__(
        self, loss: Callable[[], dict[str, Tensor]], batch: Batch, *, clear: bool = True, lr: float | None = None
    ) -> dict[str, Tensor]: ...


class Learner:
    """What a method works with: model, memory, randomness, and what has been seen.

    Attributes:
        model: the network.
        memory: the memory, of capacity 0 when there is none.
        rng: named generators.
        task: index of the current task, -1 before the first.
        seen: labels that occurred so far, the current task's included, ascending.
        old: labels that occurred before the current task.
        own: the current task's own classes.
        online: whether each sample of the stream may be read once.
        step: steps of the loop so far, one a batch.
        updates: gradient steps so far; more than `step` for methods that take several a batch.
        rate: learning rate of the gradient step at hand.
        n_tasks: tasks of the stream, for what is divided among them.
        heads: which classes compete, where the scenario names the task; None when all do.
        tracing: whether this step is looked at; what is computed only to be published is computed only then.
        traces: what was published of this step so far.
        passes: through which everything goes that looks at many samples outside of a step.
    """

    def __init__(
        self,
        make_model: Callable[[int, HeadKind], Network],
        memory: Memory,
        rng: Rng,
        info: DatasetInfo,
        augment: Augment,
        device: torch.device,
        *,
        online: bool = False,
        threads: tuple[int, int] = (1, 1),
        bulk_size: int = 1000,
    ) -> None:
        self._make_model = make_model
        self.memory = memory
        self.rng = rng
        self.info = info
        self.pipeline = augment
        self.device = device
        self.online = online
        self.threads = threads
        self.bulk_size = bulk_size
        self.model: Network
        self.task = -1
        self.seen: tuple[int, ...] = ()
        self.old: tuple[int, ...] = ()
        self.own: tuple[int, ...] = ()
        self.step = 0
        self.updates = 0
        self.rate = 0.0
        self.n_tasks = 1
        self.heads: Heads | None = None
        self.tracing = False
        self.traces: dict[str, Tensor] = {}
        self.passes = Passes()

    def new_model(self, n_classes: int, head: HeadKind = "linear") -> Network:
        """A freshly drawn network of the run's kind."""
        with self.seeded("init"):
            return self._make_model(n_classes, head)

    def frozen_copy(self) -> Network:
        """The model as it is now, in eval mode and without gradients: a teacher."""
        teacher = copy.deepcopy(self.model).eval()
        return teacher.requires_grad_(False)

    @contextlib.contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        """Inside, torch's global generator is the one called `name`; outside it is as before."""
        generator = self.rng.cpu(name)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator.get_state())
            yield
            generator.set_state(torch.get_rng_state())

    @contextlib.contextmanager
    def bulk(self) -> Iterator[None]:
        """For passes over many samples: eval mode, and all CPU threads."""
        training = self.model.training
        self.model.eval()
        torch.set_num_threads(self.threads[1])
        try:
            yield
        finally:
            torch.set_num_threads(self.threads[0])
            self.model.train(training)

    def normalize(self, raw: Tensor) -> Tensor:
        """(B, C, H, W) uint8 to float, with the dataset's mean and deviation."""
        return normalize(raw, self.info.mean, self.info.std)

    def augment(self, raw: Tensor) -> Tensor:
        """(B, C, H, W) uint8 to augmented, normalized float: for replayed samples, whose draws are apart from the
        stream's."""
        return self.normalize(self.pipeline(raw, self.rng.cpu("augment-replay")))

    @torch.inference_mode()
    def features(self, split: Split) -> Tensor:
        """(N, D) features of the unaugmented samples, in eval mode."""
        with self.bulk():
            return torch.cat([self.model.features(x) for x, _ in self._bulk_batches(split)])

    @torch.inference_mode()
    def scores(self, split: Split, model: nn.Module | None = None) -> Tensor:
        """(N, K) scores of the unaugmented samples, in eval mode; by `model` if given."""
        with self.bulk():
            net = self.model if model is None else model
            return torch.cat([net(x) for x, _ in self._bulk_batches(split)])

    def _bulk_batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        parts = torch.split(torch.arange(len(split), device=split.device), self.bulk_size)
        for part in self.passes.over(parts):
            yield self.normalize(split.fetch(part)), split.labels[part]

    def trace(self, **values: Tensor | float) -> None:
        """Publish scalars or tensors of this step, in order and as they are now; does nothing unless tracing is on.

        Raw images, (N, C, H, W) uint8, are shown as pictures, with the labels that are called like them and "labels".
        What comes before a colon in a name ("iteration 2: validation loss") is a heading.
        """
        if self.tracing:
            self.traces.update({k: torch.as_tensor(v).detach().clone() for k, v in values.items()})


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
