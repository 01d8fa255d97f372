"""What a method and a memory policy work with."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cllab.data.augment.pipeline import Augment, normalize
from cllab.data.base import DatasetInfo, Split
from cllab.learner.heads import Heads
from cllab.learner.passes import Passes
from cllab.learner.rng import Rng
from cllab.models.base import HeadKind, Network

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
