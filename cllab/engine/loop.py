"""The one training loop.

A phase (`fit`) is planned an epoch at a time: which sample goes into which batch is drawn at once, samples are fetched,
augmented and normalized a chunk of many batches at a time (`batches`), and a step is a slice of a chunk. Nothing in a
step waits for the device; losses are read when a record is due (`meter`), and what a method publishes when a step is
traced (`trace`).

A task is a list of pieces (`learner.phases`). The loop counts them, so that a resumed task skips what was done and
enters the phase that was interrupted at the batch where it stood.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from cllab.data.base import Split, join
from cllab.engine import trace
from cllab.engine.batches import REPLAY, Position, generators, plan, prepared, set_states, states
from cllab.engine.control import Control
from cllab.engine.meter import Clock, Meter
from cllab.engine.optimizers import Optimizers, set_rate, stepper
from cllab.engine.schedule import learning_rate
from cllab.errors import TrainingError
from cllab.learner.batch import Batch, Descend, Replay
from cllab.learner.learner import Learner
from cllab.learner.phases import Phase
from cllab.methods.base import Method
from cllab.record import events as ev
from cllab.settings.config import RunConfig


class Watcher(Protocol):
    """What the loop tells the run between steps."""

    def emit(self, event: ev.Event) -> None: ...
    def on_enter(self, phase: str) -> None: ...
    def on_step(self, phase: str) -> None: ...
    def on_epoch(self, phase: str, epoch: int, epochs: int) -> None: ...
    def before_work(self, took: float | None) -> None: ...


class Loop:
    """Runs the phases of a task for a method.

    `trace_folder` is where arrays of traced steps go; None keeps only their scalars.
    """

    def __init__(self, method: Method, learner: Learner, config: RunConfig, control: Control, watcher: Watcher) -> None:
        self.method = method
        self.learner = learner
        self.config = config
        self.train = config.train
        self.control = control
        self.watcher = watcher
        self.trace_folder: Path | None = None
        self.optimizers = Optimizers(config.train, learner)
        self.samples = 0
        self.done = 0
        self.cursor = 0
        self._inside = False
        self.whole = True  # whether what the run is now can be gone back to; not in the middle of work between phases
        self.position: Position | None = None
        self._meter: Meter | None = None
        self._took: dict[int, float] = {}  # seconds of every piece of work in the latest task that had it
        self._cutmix = "cutmix" in config.train.augment
        self._autocast = config.train.precision == "bfloat16"

    # -- the journal of a task

    def begin(self, done: int = 0) -> None:
        """Start counting the pieces of a task, of which `done` are finished."""
        self.cursor, self.done, self._inside = 0, done, False

    def do(self, work: Callable[[], None]) -> None:
        """Run `work` once: skipped when the task is resumed after it. Everything between phases goes through here.

        Work that is stopped in its middle begins again when the run goes on.
        """
        if self.cursor >= self.done:
            self._enter()
            self._undivided(work)
            self._inside = False
            self.done = self.cursor + 1
        self.cursor += 1

    def _undivided(self, work: Callable[[], None]) -> None:
        self.watcher.before_work(self._took.get(self.cursor))
        self.whole, began = False, time.monotonic()
        work()
        self.whole = True
        self._took[self.cursor] = time.monotonic() - began

    def _enter(self) -> None:
        if self._inside:
            raise RuntimeError("loop.do and loop.fit cannot be called inside one another")
        self._inside = True

    # -- phases

    def fit(self, phase: Phase) -> None:
        """Train."""
        if self.cursor < self.done:
            self.cursor += 1
            return
        self._enter()
        data = self.learner.memory.split() if phase.data is None else phase.data
        split = data() if callable(data) else data
        if len(split) and self._epochs(phase):
            self._fit(phase, split)
        self.optimizers.drop("phase")
        self.position, self._inside = None, False
        self.done = self.cursor + 1
        self.cursor += 1

    def pass_over(self) -> None:
        """Leave out a phase, as one that was done."""
        self.cursor += 1
        self.done = max(self.done, self.cursor)

    def steps_of(self, phase: Phase, n: int, n_memory: int) -> int:
        """Gradient steps of `phase` over `n` samples with `n_memory` stored ones; methods may take several a batch."""
        limit = self.train.steps if phase.name == "stream" and phase.epochs is None else 0
        epochs = self._epochs(phase)
        if not n or not epochs:
            return 0
        size = phase.batch_size or self.train.batch_size
        return limit or epochs * self.steps_per_epoch(n, phase.replay, size, n_memory, drop_last=phase.drop_last)

    def _epochs(self, phase: Phase) -> int:
        train = self.train
        if phase.epochs is not None:
            return phase.epochs
        return train.memory_epochs if phase.name == "memory" else max(train.epochs, min(train.steps, 1))

    def steps_per_epoch(self, n: int, replay: Replay, batch_size: int, n_memory: int, *, drop_last: bool = True) -> int:
        """How many batches `n` samples make."""
        if replay == "half" and n_memory:
            batch_size -= batch_size // 2
        elif replay == "concat":
            n += n_memory
        return max(1, n // batch_size) if drop_last else -(-n // batch_size) - (n % batch_size == 1 and n > 1)

    def _fit(self, phase: Phase, split: Split) -> None:
        learner, memory = self.learner, self.learner.memory
        name, replay, batch_size = phase.name, phase.replay, phase.batch_size or self.train.batch_size
        n_memory = len(memory) if replay != "none" else 0
        whole = join(memory.split(), split) if n_memory else split
        ids = whole.sample_ids()
        steps = self.steps_per_epoch(len(split), replay, batch_size, n_memory, drop_last=phase.drop_last)
        total = self.steps_of(phase, len(split), n_memory)
        epochs = -(-total // steps)
        position = self.position
        if position is None:
            position = self.position = Position()
            self.watcher.emit(ev.PhaseStarted(phase=name, task=learner.task, steps=total))
        else:
            self.watcher.on_enter(name)
        optimizer, factors = self.optimizers.get(phase.optim)
        meter = self._meter = Meter(position, max(1, min(total // 200, 50)), learner.device)
        compute = phase.loss or self.method.loss
        descend = self._descend(optimizer, factors)
        self.control.enter_task(learner.task)
        torch.set_num_threads(learner.threads[0])
        learner.model.train(phase.train_mode)
        clock = Clock()
        while position.epoch < epochs:
            rate = self._rate(name, position.epoch) if phase.optim.lr is None else phase.optim.lr
            set_rate(optimizer, rate, factors)
            learner.rate = rate
            orders = generators(learner.rng, "order", name)
            if not position.order:
                position.order = states(orders)
            else:
                set_states(orders, position.order)
            both = next(iter(orders.values())), orders[REPLAY["order"]]
            drawn = plan(len(split), n_memory, replay, batch_size, phase.drop_last, both, learner.device)
            mix, before = phase.cutmix and self._cutmix, position.epoch * len(drawn.cuts)
            drawn = drawn.first(total - before)
            for batch in prepared(learner, whole, ids, drawn, position, mix, name):
                if learner.model.training is not phase.train_mode:
                    learner.model.train(phase.train_mode)
                learner.tracing = self.control.trace_steps > 0
                learner.passes.undivided = True
                if phase.loss is None and name == "stream":
                    terms = self.method.step(batch, descend)
                else:
                    terms = descend(functools.partial(compute, batch), batch)
                learner.step += 1
                self.method.after_step(batch)
                position.batch += 1
                learner.passes.undivided = False
                clock.images += len(batch.y)
                if name == "stream":
                    self.samples += batch.n_stream
                if meter.add(terms):
                    self._report(name, before + position.batch, total, rate, meter, clock)
                if learner.tracing:
                    self._publish(terms)
                self.watcher.on_step(name)
            if meter.n:
                self._report(name, before + position.batch, total, rate, meter, clock)
            if not position.ended:  # else a process was stopped in what follows
                means: dict[str, float | None] = {k: s / position.counts[k] for k, s in position.sums.items()}
                self.watcher.emit(
                    ev.EpochEnded(task=learner.task, phase=name, epoch=position.epoch, epochs=epochs, losses=means)
                )
                position.ended = True
            self.watcher.on_epoch(name, position.epoch, epochs)
            position.epoch, position.batch, position.chunk, position.ended = position.epoch + 1, 0, 0, False
            position.order, position.augment = {}, {}
            position.sums, position.counts = {}, {}

    def _descend(self, optimizer: torch.optim.Optimizer, factors: list[float]) -> Descend:
        learner, method, autocast = self.learner, self.method, self._autocast
        moved = [p for group in optimizer.param_groups for p in group["params"]]
        step = stepper(optimizer)

        def descend(
            loss: Callable[[], dict[str, Tensor]], batch: Batch, *, clear: bool = True, lr: float | None = None
        ) -> dict[str, Tensor]:
            if autocast:
                with torch.autocast(learner.device.type, torch.bfloat16):
                    terms = loss()
                    total = _sum(terms)
            else:
                terms = loss()
                total = _sum(terms)
            torch.autograd.backward(total, inputs=moved)
            usual = learner.rate
            if lr is not None:
                learner.rate = lr
                set_rate(optimizer, lr, factors)
            method.after_backward(batch)
            step()
            if lr is not None:
                learner.rate = usual
                set_rate(optimizer, usual, factors)
            if clear:  # what zero_grad does, without its bookkeeping
                for p in moved:
                    p.grad = None
            learner.updates += 1
            return terms

        return descend

    def _rate(self, phase: str, epoch: int) -> float:
        train = self.train
        if phase == "stream" and self.learner.online:
            return train.lr * train.stream_lr_scale
        return learning_rate(train.schedule, epoch, train.lr, warmup_scale=train.warmup_scale)

    # -- records

    def _report(self, phase: str, phase_step: int, phase_steps: int, rate: float, meter: Meter, clock: Clock) -> None:
        position = self.position
        assert position is not None
        device = self.learner.device
        self.watcher.emit(
            ev.StepEnded(
                task=self.learner.task,
                phase=phase,
                step=self.learner.step,
                phase_step=phase_step,
                phase_steps=phase_steps,
                epoch=position.epoch,
                samples=self.samples,
                losses=dict(self._flush(meter)),
                lr=rate,
                images_per_second=clock.rate(),
                device_bytes=torch.cuda.memory_allocated(device) if device.type == "cuda" else 0,
            )
        )

    def _flush(self, meter: Meter) -> dict[str, float]:
        """Mean of every term since the last record; reads the device.

        Raises:
            TrainingError: when a term is not finite, naming term, task and step.
        """
        means, bad = meter.flush()
        if bad is not None:
            back, name = bad
            knob = "method.strength" if name == "penalty" else "train.lr"
            raise TrainingError(
                f"loss term '{name}' is not finite at task {self.learner.task + 1}, step {self.learner.step - back}; "
                f"a smaller {knob} may help"
            )
        return means

    def _publish(self, terms: dict[str, Tensor]) -> None:
        """A record of the traced step; of a method that publishes nothing, its loss terms. Of a network that has
        something to show, that as well."""
        learner = self.learner
        values = learner.traces or {name: term.detach() for name, term in terms.items()}
        values = {**values, **learner.model.observed()}
        scalars, file = trace.write(values, learner.step, self.trace_folder)
        self.watcher.emit(
            ev.Traced(task=learner.task, step=learner.step, method=self.config.method.name, scalars=scalars, file=file)
        )
        learner.traces, learner.tracing = {}, False
        self.control.traced()

    # -- checkpoints

    def state(self) -> dict[str, Any]:
        """Everything of the loop that a checkpoint holds."""
        position = self.position
        if position is not None and self._meter is not None:
            position.pending, position.pending_names = self._meter.pending(), self._meter.names
        return {
            "done": self.done,
            "samples": self.samples,
            "optimizers": self.optimizers.state(),
            "position": dict(vars(position)) if position is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned; the model must be in place."""
        self.samples = int(state["samples"])
        self.optimizers.load_state(state["optimizers"])
        if state["position"] is not None:
            self.position = Position(**state["position"])
            for key in ("order", "augment"):
                held: dict[str, Tensor] = getattr(self.position, key)
                setattr(self.position, key, {name: value.cpu() for name, value in held.items()})


def _sum(terms: dict[str, Tensor]) -> Tensor:
    values = iter(terms.values())
    total = next(values)
    for value in values:
        total = total + value
    return total
