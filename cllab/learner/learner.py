"""What a method and a memory policy work with."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cllab.data.augment.pipeline import Augment, Input
from cllab.data.base import Split, Stream
from cllab.learner.batch import Batch
from cllab.learner.heads import Heads
from cllab.learner.passes import Passes
from cllab.learner.rng import Rng
from cllab.models.base import Network
from cllab.settings.tables import TrainConfig

if TYPE_CHECKING:
    from cllab.memory.base import Memory


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
        step: steps of the loop so far, one a batch.
        updates: gradient steps so far; more than `step` for methods that take several a batch.
        rate: learning rate of the gradient step at hand.
        heads: which classes compete, where the scenario names the task; None when all do.
        tracing: whether this step is looked at; what is computed only to be published is computed only then.
        traces: what was published of this step so far.
        passes: through which everything goes that looks at many samples outside of a step.
        settings: the `[train]` table.
        online: whether each sample of the stream may be read once.
        n_tasks: tasks of the stream, for what is divided among them.
        stream: what is learned, task by task; only methods that need "past-data" may look back.
    """

    def __init__(
        self,
        make_model: Callable[[int, str], Network],
        memory: Memory,
        rng: Rng,
        seen: Input,
        augment: Augment,
        device: torch.device,
        settings: TrainConfig | None = None,
    ) -> None:
        self._make_model = make_model
        self.memory = memory
        self.rng = rng
        self.input = seen
        self.pipeline = augment
        self.device = device
        self.settings = settings or TrainConfig()
        self.stream: Stream
        self.online = False
        self.n_tasks = 1
        self.threads = (1, 1)
        self.bulk_size = 1000
        self.model: Network
        self.task = -1
        self.seen: tuple[int, ...] = ()
        self.old: tuple[int, ...] = ()
        self.own: tuple[int, ...] = ()
        self.step = 0
        self.updates = 0
        self.rate = 0.0
        self.heads: Heads | None = None
        self.tracing = False
        self.traces: dict[str, Tensor] = {}
        self.passes = Passes()

    def follow(self, stream: Stream) -> None:
        """Learn `stream`, from its first task on."""
        self.stream, self.online, self.n_tasks = stream, stream.online, stream.n_tasks

    @property
    def label(self) -> int | None:
        """The number of the current task where the scenario gives it."""
        named = self.task >= 0 and self.stream.tasks[self.task].has_label
        return self.task if named else None

    @property
    def rehearses(self) -> bool:
        """Whether the memory is trained on after an online stream has passed."""
        return self.online and self.settings.memory_epochs > 0 and self.memory.capacity > 0

    def new_model(self, n_classes: int, head: str = "linear") -> Network:
        """A freshly drawn network of the run's kind."""
        with self.seeded("init"):
            return self._make_model(n_classes, head)

    def begin_anew(self, head: str = "linear") -> None:
        """A freshly drawn network of as many classes takes the model's place."""
        self.model = self.new_model(max(self.seen) + 1, head)

    def frozen_copy(self) -> Network:
        """The model as it is now, in eval mode and without gradients: a teacher."""
        front = self.model.frozen_front  # learns no more: one is enough
        teacher = copy.deepcopy(self.model, {} if front is None else {id(front): front}).eval()
        return teacher.requires_grad_(False)

    @contextlib.contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        """Inside, torch's global generator is the one called `name`; outside it is as before."""
        with self.rng.seeded(name):
            yield

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
        """(B, C, H, W) uint8 to float, as the network wants its images; latents as they are, as float32."""
        if raw.dtype != torch.uint8:
            return raw.float()
        return self.input(raw)

    def floats(self, split: Split) -> int:
        """How many numbers the network is shown of one sample of `split`."""
        images = split.images.dtype == torch.uint8
        return math.prod(self.input.shape(split.shape) if images else split.shape)

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

    def batches(
        self, split: Split, *, purpose: str, batch_size: int | None = None, augment: bool = False
    ) -> Iterator[Batch]:
        """The samples of `split` in an order of its own for `purpose`, to look at: the order of training does not
        change."""
        order = torch.randperm(len(split), generator=self.rng.cpu(f"look:{purpose}")).to(split.device)
        ids = split.sample_ids()
        for part in self.passes.over(torch.split(order, batch_size or self.settings.batch_size), purpose):
            raw = split.fetch(part)
            seen = self.pipeline(raw, self.rng.cpu(f"look-augment:{purpose}")) if augment else raw
            x = self.normalize(seen)
            yield Batch(x, split.labels[part], raw, ids[part], len(part), task_label=self.label, heads=self.heads)

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
