"""The one training loop.

A phase (`fit`) is planned an epoch at a time: which sample goes into which batch is drawn at once, samples are fetched,
augmented and normalized a chunk of many batches at a time (`batches`), and a step is a slice of a chunk. Nothing in a
step waits for the device; losses are read when a record is due (`meter`), and what a method publishes when a step is
traced (`trace`).

A task is a sequence of `do` and `fit` calls. The loop counts them, so that a resumed task skips what was done and
enters the phase that was interrupted at the batch where it stood.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from cllab.data.base import Split, join
from cllab.engine import trace
from cllab.engine.batches import REPLAY, Position, generators, plan, prepared, set_states, states
from cllab.engine.control import Control
from cllab.engine.meter import Clock, Meter
from cllab.engine.schedule import learning_rate, make_optimizer, set_rate, stepper
from cllab.errors import TrainingError
from cllab.learner.batch import Batch, Descend, Replay
from cllab.learner.learner import Learner
from cllab.methods.base import Method
from cllab.record import events as ev
from cllab.settings.config import RunConfig

if TYPE_CHECKING:
    from cllab.scenarios.base import Stream, Task

Loss = Callable[[Batch], dict[str, Tensor]]


class Watcher(Protocol):
    """What the loop tells the run between steps."""

    def emit(self, event: ev.Event) -> None: ...
    def on_enter(self, phase: str) -> None: ...
    def on_step(self, phase: str) -> None: ...
    def on_epoch(self, phase: str, epoch: int, epochs: int) -> None: ...
    def before_work(self) -> None: ...


class Loop:
    """Runs the phases of a task for a method.

    `trace_folder` is where arrays of traced steps go; None keeps only their scalars.
    """

    def __init__(
        self, method: Method, learner: Learner, config: RunConfig, control: Control, watcher: Watcher, stream: Stream
    ) -> None:
        self.method = method
        self.learner = learner
        self.config = config
        self.train = config.train
        self.control = control
        self.watcher = watcher
        self.stream = stream
        self.online = stream.online
        self.trace_folder: Path | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.task: Task | None = None
        self.samples = 0
        self.done = 0
        self.cursor = 0
        self._inside = False
        self.whole = True  # whether what the run is now can be gone back to; not in the middle of work between phases
        self.position: Position | None = None
        self._extra: torch.optim.Optimizer | None = None
        self._extra_state: dict[str, Any] | None = None
        self._meter: Meter | None = None
        self._cutmix = "cutmix" in config.train.augment
        self._autocast = config.train.precision == "bfloat16"

    # -- the journal of a task

    def begin(self, task: Task, done: int = 0) -> None:
        """Start counting the work of `task`, of which `done` pieces are finished."""
        self.task, self.cursor, self.done, self._inside = task, 0, done, False

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
        self.watcher.before_work()
        self.whole = False
        work()
        self.whole = True

    def _enter(self) -> None:
        if self._inside:
            raise RuntimeError("loop.do and loop.fit cannot be called inside one another")
        self._inside = True

    def renew(self, *, model: bool = False, head: str = "linear") -> None:
        """A fresh optimizer; with `model`, for a freshly drawn network of as many classes (inside `do`)."""
        if model:
            self.learner.model = self.learner.new_model(max(self.learner.seen) + 1, head)  # type: ignore[arg-type]
        self.optimizer = make_optimizer(self.method.parameters(), self.train, self.learner.device)

    # -- phases

    def fit(
        self,
        split: Split,
        *,
        phase: str,
        replay: Replay = "none",
        epochs: int | None = None,
        batch_size: int | None = None,
        drop_last: bool = True,
        loss: Loss | None = None,
        parameters: Sequence[nn.Parameter] | None = None,
        optimizer: Literal["sgd", "adam", "radam", "adamw"] = "adam",
        lr: float | None = None,
        train_mode: bool = True,
        cutmix: bool = True,
    ) -> None:
        """Train on `split`.

        Args:
            phase: its name; "stream" and "memory" follow the `[train]` table.
            replay: how the memory is mixed in.
            epochs, batch_size: the `[train]` table's by default; in its place `train.steps`, where that is given, tells
                how long the phase "stream" takes.
            drop_last: leave out a last batch that is not full (unless it is the only one).
            loss: the method's by default.
            parameters, optimizer, lr: another optimizer, with momentum's and schedule's place taken by a constant rate.
            train_mode: False keeps the model in eval mode.
            cutmix: False keeps the images of this phase whole.
        """
        if self.cursor < self.done:
            self.cursor += 1
            return
        self._enter()
        limit = self.train.steps if phase == "stream" and epochs is None else 0
        if epochs is None:
            epochs = self.train.memory_epochs if phase == "memory" else max(self.train.epochs, min(limit, 1))
        size = batch_size or self.train.batch_size
        if len(split) and epochs:
            self._fit(
                split,
                phase,
                replay,
                epochs,
                limit,
                size,
                drop_last,
                loss,
                parameters,
                optimizer,
                lr,
                train_mode,
                cutmix,
            )
        self._undivided(lambda: self.method.after_fit(phase, split, self))
        self.position, self._extra, self._inside = None, None, False
        self.done = self.cursor + 1
        self.cursor += 1

    def batches(
        self, split: Split, *, purpose: str, batch_size: int | None = None, augment: bool = False
    ) -> Iterator[Batch]:
        """The samples of `split` in an order of its own for `purpose`, to look at: the order of training does not
        change."""
        learner = self.learner
        order = torch.randperm(len(split), generator=learner.rng.cpu(f"look:{purpose}")).to(split.device)
        ids, label = split.sample_ids(), self._label()
        for part in learner.passes.over(torch.split(order, batch_size or self.train.batch_size), purpose):
            raw = split.fetch(part)
            seen = learner.pipeline(raw, learner.rng.cpu(f"look-augment:{purpose}")) if augment else raw
            x = learner.normalize(seen)
            yield Batch(x, split.labels[part], raw, ids[part], len(part), task_label=label, heads=learner.heads)

    def steps_per_epoch(self, n: int, replay: Replay, batch_size: int, n_memory: int, *, drop_last: bool = True) -> int:
        """How many batches `n` samples make."""
        if replay == "half" and n_memory:
            batch_size -= batch_size // 2
        elif replay == "concat":
            n += n_memory
        return max(1, n // batch_size) if drop_last else -(-n // batch_size) - (n % batch_size == 1 and n > 1)

    def stream_steps(self, n: int, replay: Replay, n_memory: int) -> int:
        """Steps of the phase "stream" over `n` samples, as the `[train]` table has it."""
        train = self.train
        return train.steps or train.epochs * self.steps_per_epoch(n, replay, train.batch_size, n_memory)

    def _label(self) -> int | None:
        return self.task.index if self.task is not None and self.task.has_label else None

    def _fit(
        self,
        split: Split,
        phase: str,
        replay: Replay,
        epochs: int,
        limit: int,
        batch_size: int,
        drop_last: bool,
        loss: Loss | None,
        parameters: Sequence[nn.Parameter] | None,
        optimizer_name: Literal["sgd", "adam", "radam", "adamw"],
        lr: float | None,
        train_mode: bool,
        use_cutmix: bool,
    ) -> None:
        learner, memory = self.learner, self.learner.memory
        n_memory = len(memory) if replay != "none" else 0
        whole = join(memory.split(), split) if n_memory else split
        ids = whole.sample_ids()
        steps = self.steps_per_epoch(len(split), replay, batch_size, n_memory, drop_last=drop_last)
        total = limit or steps * epochs
        epochs = -(-total // steps)
        position = self.position
        if position is None:
            position = self.position = Position()
            self.watcher.emit(ev.PhaseStarted(phase=phase, task=learner.task, steps=total))
        else:
            self.watcher.on_enter(phase)
        if parameters is None:
            optimizer = self.optimizer
            assert optimizer is not None
        else:
            own = replace(self.train, optimizer=optimizer_name, lr=lr or self.train.lr)
            optimizer = make_optimizer(parameters, own, learner.device)
            if self._extra_state is not None:
                optimizer.load_state_dict(self._extra_state)
                self._extra_state = None
            self._extra = optimizer
        meter = self._meter = Meter(position, max(1, min(total // 200, 50)), learner.device)
        compute = loss or self.method.loss
        descend = self._descend(optimizer)
        self.control.enter_task(learner.task)
        torch.set_num_threads(learner.threads[0])
        learner.model.train(train_mode)
        clock = Clock()
        while position.epoch < epochs:
            rate = self._rate(phase, position.epoch) if lr is None else lr
            set_rate(optimizer, rate)
            learner.rate = rate
            orders = generators(learner.rng, "order", phase)
            if not position.order:
                position.order = states(orders)
            else:
                set_states(orders, position.order)
            order, order_replay = next(iter(orders.values())), orders[REPLAY["order"]]
            drawn = plan(len(split), n_memory, replay, batch_size, drop_last, order, order_replay, learner.device)
            mix, before = use_cutmix and self._cutmix, position.epoch * len(drawn.cuts)
            drawn = drawn.first(total - before)
            for batch in prepared(learner, whole, ids, drawn, position, mix, self._label(), phase):
                if learner.model.training is not train_mode:
                    learner.model.train(train_mode)
                learner.tracing = self.control.trace_steps > 0
                learner.passes.undivided = True
                if loss is None and phase == "stream":
                    terms = self.method.step(batch, descend)
                else:
                    terms = descend(functools.partial(compute, batch), batch)
                learner.step += 1
                self.method.after_step(batch)
                position.batch += 1
                learner.passes.undivided = False
                clock.images += len(batch.y)
                if phase == "stream":
                    self.samples += batch.n_stream
                if meter.add(terms):
                    self._report(phase, before + position.batch, total, rate, meter, clock)
                if learner.tracing:
                    self._publish(terms)
                self.watcher.on_step(phase)
            if meter.n:
                self._report(phase, before + position.batch, total, rate, meter, clock)
            if not position.ended:  # else a process was stopped in what follows
                means: dict[str, float | None] = {k: s / position.counts[k] for k, s in position.sums.items()}
                self.watcher.emit(
                    ev.EpochEnded(task=learner.task, phase=phase, epoch=position.epoch, epochs=epochs, losses=means)
                )
                position.ended = True
            self.watcher.on_epoch(phase, position.epoch, epochs)
            position.epoch, position.batch, position.chunk, position.ended = position.epoch + 1, 0, 0, False
            position.order, position.augment = {}, {}
            position.sums, position.counts = {}, {}

    def _descend(self, optimizer: torch.optim.Optimizer) -> Descend:
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
            total.backward()  # type: ignore[no-untyped-call]
            usual = learner.rate
            if lr is not None:
                learner.rate = lr
                set_rate(optimizer, lr)
            method.after_backward(batch)
            step()
            if lr is not None:
                learner.rate = usual
                set_rate(optimizer, usual)
            if clear:  # what zero_grad does, without its bookkeeping
                for p in moved:
                    p.grad = None
            learner.updates += 1
            return terms

        return descend

    def _rate(self, phase: str, epoch: int) -> float:
        train = self.train
        if phase == "stream" and self.online:
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
        """A record of the traced step; of a method that publishes nothing, its loss terms."""
        learner = self.learner
        values = learner.traces or {name: term.detach() for name, term in terms.items()}
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
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else None,
            "extra": self._extra.state_dict() if self._extra is not None else None,
            "position": dict(vars(position)) if position is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned; the model must be in place."""
        self.samples = int(state["samples"])
        if state["optimizer"] is not None:
            self.renew()
            assert self.optimizer is not None
            self.optimizer.load_state_dict(state["optimizer"])
        self._extra_state = state["extra"]
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
