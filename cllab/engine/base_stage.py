"""What is learned before the stream: a network trained by its own table, for its front or for all of its weights.

`base.on = "first-task"`: the first task of the stream; the method takes it as learned and does with it what it does
beside training (it chooses for the memory, it measures which weights matter). `base.on = "classes"`: training samples
of some classes of the stream, or (`"aside"`) of those that the dataset sets aside, only for the sake of the part below
the cut, or of the whole backbone where there is no cut; what lies above is drawn anew, and the stream comes whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cllab.data.augment.pipeline import Augment
from cllab.data.base import Split, Stream, Task, class_counts, join
from cllab.engine import checkpoint
from cllab.engine.loop import Loop
from cllab.learner.batch import Batch
from cllab.learner.learner import Learner
from cllab.learner.phases import Phase
from cllab.memory.base import Memory, Payload
from cllab.methods.base import Method
from cllab.record import events as ev

if TYPE_CHECKING:
    from cllab.engine.run import Session

FITTING = frozenset({"stream", "memory"})
"""Phases of a method that the base stage is in the place of."""


class _Plain(Method):
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}


class BaseStage:
    """The stage of one run; also what the loop tells its steps to.

    Args:
        session: the run, with the stream in images.
        augment: the augmentation of the stage.
    """

    def __init__(self, session: Session, augment: Augment) -> None:
        self.session = session
        self.settings = session.config.base
        make = session.networks.whole
        train = self.settings.training(session.config.train)
        stream = _of(session.images, self.settings.on, self.settings.classes, session.dataset.aside)
        self.task = stream.tasks[0]
        outer = session.learner
        memory = Memory(None, 0, Payload("images", session.dataset.shape), session.device)
        self.learner = learner = Learner(make, memory, outer.rng, outer.input, augment, session.device, train)
        learner.passes, learner.bulk_size = outer.passes, outer.bulk_size
        learner.follow(stream)
        with learner.seeded("base"):
            learner.model = make(max(self.task.exposed) + 1, "linear")
        learner.threads = outer.threads
        config = dataclasses.replace(session.config, train=train)
        self.loop = Loop(_Plain(None, learner), learner, config, session.control, self)
        self.running = self.is_over = False

    def covers(self, task: Task) -> bool:
        """Whether `task` is what was learned here: its method goes on from there."""
        return self.settings.on == "first-task" and task.index == 0

    @property
    def samples(self) -> int:
        """Samples that pass through the network in it."""
        return len(self.task.train) * self.settings.epochs

    def run(self) -> dict[str, Tensor]:
        """Train, from wherever it stands; the weights that are left."""
        session, learner = self.session, self.learner
        began = session.all_seconds()["total"]
        self.running = True
        phase = Phase("base", self.task.train, epochs=self.settings.epochs)
        with learner.passes.work("base", self.samples):
            self.loop.fit(phase)
        self.running, self.is_over = False, True
        accuracy = self._accuracy()
        session.emit(
            ev.BaseEnded(
                on=self.settings.on,
                classes=self.task.exposed,
                n_train=len(self.task.train),
                epochs=self.settings.epochs,
                accuracy=accuracy,
                seconds=round(session.all_seconds()["total"] - began, 3),
            )
        )
        return learner.model.state_dict()

    def _accuracy(self) -> float | None:
        """On the test images of what was learned."""
        test = self.task.test
        if not len(test):
            return None
        with self.learner.passes.work("evaluate", len(test)):
            hits = self.learner.scores(test).argmax(dim=1) == test.labels
        return float(hits.float().mean())

    # -- what the loop tells

    def emit(self, event: ev.Event) -> None:
        """Its steps are told as a pass over samples: the stream's are counted apart."""
        if not isinstance(event, ev.StepEnded):
            self.session.emit(event)

    def on_enter(self, phase: str) -> None:
        """Nothing is measured within it."""

    def on_step(self, phase: str) -> None:
        position, passes = self.loop.position, self.learner.passes
        assert position is not None
        n = len(self.task.train)
        done = position.epoch * n + min(n, position.batch * self.settings.batch_size)
        with _told_only(passes):
            passes.at("base", done, self.samples)
        self.session.check()

    def on_epoch(self, phase: str, epoch: int, epochs: int) -> None:
        """Nothing is measured within it."""

    def before_work(self, took: float | None) -> None:
        """There is none."""

    # -- checkpoints

    def state(self) -> dict[str, Any]:
        """Everything that it needs to go on; once it is over, what it has learned is the run's."""
        if self.is_over:
            return {"over": True}
        learner = self.learner
        steps = {"step": learner.step, "updates": learner.updates}
        return {"over": False, "model": checkpoint.encode(learner.model), "loop": self.loop.state(), **steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.is_over = bool(state["over"])
        if self.is_over:
            return
        learner = self.learner
        learner.step, learner.updates = int(state["step"]), int(state["updates"])
        learner.model.load_state_dict(state["model"]["__network__"])
        self.loop.load_state(state["loop"])


@contextlib.contextmanager
def _told_only(passes: Any) -> Iterator[None]:
    """Inside, a pass is told of and neither paused nor stopped: the session looks for that itself, and saves first."""
    before, passes.undivided = passes.undivided, True
    yield
    passes.undivided = before


def _of(stream: Stream, on: str, n_classes: int, aside: Split | None) -> Stream:
    """The stream of one task that the stage learns."""
    if on == "first-task":
        task = stream.tasks[0]
    elif on == "aside":
        assert aside is not None
        classes = tuple(range(int(aside.labels.max()) + 1))
        task = Task(0, "aside", classes, classes, aside, aside.subset(torch.zeros(0, dtype=torch.long)))
        stream = dataclasses.replace(stream, class_names=tuple(map(str, classes)))
    else:
        classes = tuple(range(n_classes or max(1, stream.n_classes // 2)))
        train = _whole([_restricted(t.train, len(classes)) for t in stream.tasks])
        test = _whole([_restricted(stream.test(j).split, len(classes)) for j in range(stream.n_tests)])
        task = Task(0, "base", classes, classes, train, test)
    task = dataclasses.replace(task, has_label=False)
    return dataclasses.replace(
        stream, tasks=(task,), apart=(), online=False, counts=class_counts((task,), stream.n_classes)
    )


def _restricted(split: Split, n_classes: int) -> Split:
    return split.subset((split.labels < n_classes).nonzero().flatten())


def _whole(splits: list[Split]) -> Split:
    whole = splits[0]
    for split in splits[1:]:
        whole = join(whole, split)
    return whole
