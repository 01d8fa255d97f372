"""The one training loop.

A phase (`fit`) is planned an epoch at a time: which sample goes into which batch is drawn at once, samples are fetched,
augmented and normalized a chunk of many batches at a time, and a step is a slice of a chunk. Nothing in a step waits
for the device; losses are read when a record is due.

A task is a sequence of `do` and `fit` calls. The loop counts them, so that a resumed task skips what was done and
enters the phase that was interrupted at the batch where it stood.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from cllab import events as ev
from cllab.config import RunConfig
from cllab.data.augment.cutmix import cutmix
from cllab.data.base import Split, join
from cllab.engine.control import Control
from cllab.engine.schedule import learning_rate, make_optimizer, set_rate
from cllab.errors import TrainingError
from cllab.methods.base import Batch, Descend, Learner, Method, Replay

if TYPE_CHECKING:
    from cllab.scenarios.base import Stream, Task

CHUNK_FLOATS = {"cpu": 1 << 20, "cuda": 1 << 26}
Loss = Callable[[Batch], dict[str, Tensor]]


class Watcher(Protocol):
    """What the loop tells the run between steps."""

    def emit(self, event: ev.Event) -> None: ...
    def on_step(self, phase: str) -> None: ...
    def on_epoch(self, phase: str, epoch: int, epochs: int) -> None: ...


@dataclass
class Position:
    """Where a phase stands; with the generators, enough to enter it again.

    Attributes:
        epoch, batch: next batch to train.
        order: state of the "order" generator when the epoch began.
        chunk: first batch of the chunk that `batch` lies in.
        augment: state of the "augment" generator when that chunk was made.
        sums, count: losses of the epoch so far; `pending` (n, k): those since the last record.
    """

    epoch: int = 0
    batch: int = 0
    order: Tensor | None = None
    chunk: int = 0
    augment: Tensor | None = None
    sums: list[float] = field(default_factory=list)
    count: int = 0
    names: list[str] = field(default_factory=list)
    pending: list[list[float]] = field(default_factory=list)


class Loop:
    """Runs the phases of a task for a method."""

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
        self.optimizer: torch.optim.Optimizer | None = None
        self.task: Task | None = None
        self.samples = 0
        self.done = 0
        self.cursor = 0
        self._inside = False
        self.position: Position | None = None
        self._extra: torch.optim.Optimizer | None = None
        self._extra_state: dict[str, Any] | None = None
        self._meter: _Meter | None = None
        self._cutmix = "cutmix" in config.train.augment
        self._autocast = config.train.precision == "bfloat16"

    # -- the journal of a task

    def begin(self, task: Task, done: int = 0) -> None:
        """Start counting the work of `task`, of which `done` pieces are finished."""
        self.task, self.cursor, self.done, self._inside = task, 0, done, False

    def do(self, work: Callable[[], None]) -> None:
        """Run `work` once: skipped when the task is resumed after it. Everything between phases goes through here."""
        if self.cursor >= self.done:
            self._enter()
            work()
            self._inside = False
            self.done = self.cursor + 1
        self.cursor += 1

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
            epochs, batch_size: the `[train]` table's by default.
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
        if epochs is None:
            epochs = self.train.memory_epochs if phase == "memory" else self.train.epochs
        size = batch_size or self.train.batch_size
        if len(split) and epochs:
            self._fit(
                split, phase, replay, epochs, size, drop_last, loss, parameters, optimizer, lr, train_mode, cutmix
            )
        self.method.after_fit(phase, split, self)
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
        for part in torch.split(order, batch_size or self.train.batch_size):
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

    def _label(self) -> int | None:
        return self.task.index if self.task is not None and self.task.has_label else None

    def _fit(
        self,
        split: Split,
        phase: str,
        replay: Replay,
        epochs: int,
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
        position = self.position
        if position is None:
            position = self.position = Position()
            self.watcher.emit(ev.PhaseStarted(phase=phase, task=learner.task, steps=steps * epochs))
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
        meter = self._meter = _Meter(position, max(1, min(steps * epochs // 200, 50)), learner.device)
        compute = loss or self.method.loss
        descend = self._descend(optimizer)
        torch.set_num_threads(learner.threads[0])
        clock = _Clock()
        while position.epoch < epochs:
            rate = self._rate(phase, position.epoch) if lr is None else lr
            set_rate(optimizer, rate)
            order = learner.rng.cpu("order")
            if position.order is None:
                position.order = order.get_state()
            else:
                order.set_state(position.order)
            flat, cuts, from_stream = self._plan(
                len(split), n_memory, replay, batch_size, drop_last, order, learner.device
            )
            label, mix = self._label(), use_cutmix and self._cutmix
            for batch in self._prepared(whole, ids, flat, cuts, from_stream, position, mix, label, phase):
                learner.model.train(train_mode)
                if self.control.trace_steps:
                    learner.tracing = True
                if loss is None and phase == "stream":
                    terms = self.method.step(batch, descend)
                else:
                    terms = descend(functools.partial(compute, batch), batch)
                learner.step += 1
                self.method.after_step(batch)
                position.batch += 1
                clock.images += len(batch.y)
                if phase == "stream":
                    self.samples += batch.n_stream
                if meter.add(terms):
                    self._report(phase, position.epoch * len(cuts) + position.batch, steps * epochs, rate, meter, clock)
                if learner.tracing:
                    self._publish()
                self.watcher.on_step(phase)
            if meter.n:
                self._report(phase, position.epoch * len(cuts) + position.batch, steps * epochs, rate, meter, clock)
            sums = {k: s / max(1, position.count) for k, s in zip(position.names, position.sums, strict=True)}
            self.watcher.emit(
                ev.EpochEnded(task=learner.task, phase=phase, epoch=position.epoch, epochs=epochs, losses=dict(sums))
            )
            self.watcher.on_epoch(phase, position.epoch, epochs)
            position.epoch, position.batch, position.chunk = position.epoch + 1, 0, 0
            position.order = position.augment = None
            position.sums, position.count = [0.0] * len(position.sums), 0

    def _descend(self, optimizer: torch.optim.Optimizer) -> Descend:
        learner, method = self.learner, self.method

        def descend(
            loss: Callable[[], dict[str, Tensor]], batch: Batch, *, clear: bool = True, lr: float | None = None
        ) -> dict[str, Tensor]:
            with torch.autocast(learner.device.type, torch.bfloat16, enabled=self._autocast):
                terms = loss()
                total = sum(terms.values()) if len(terms) > 1 else next(iter(terms.values()))
            assert isinstance(total, Tensor)
            total.backward()  # type: ignore[no-untyped-call]
            method.after_backward(batch)
            usual = optimizer.param_groups[0]["lr"]
            if lr is not None:
                set_rate(optimizer, lr)
            optimizer.step()
            if lr is not None:
                set_rate(optimizer, usual)
            if clear:
                optimizer.zero_grad(set_to_none=True)
            learner.updates += 1
            return terms

        return descend

    def _rate(self, phase: str, epoch: int) -> float:
        train = self.train
        if phase == "stream" and self.online:
            return train.lr * train.stream_lr_scale
        return learning_rate(train.schedule, epoch, train.lr, warmup_scale=train.warmup_scale)

    def _plan(
        self,
        n: int,
        n_memory: int,
        replay: Replay,
        batch_size: int,
        drop_last: bool,
        order: torch.Generator,
        device: torch.device,
    ) -> tuple[Tensor, list[int], list[int]]:
        """Positions of an epoch's samples, where its batches end, and how many of each batch are the stream's.

        Positions count in (memory, stream) as one split; in a batch the stream's samples come first.
        """
        if replay == "half" and n_memory:
            n_half = batch_size // 2
            n_stream = batch_size - n_half
            steps = max(1, n // n_stream)
            stream = torch.randperm(n, generator=order)[: steps * n_stream] + n_memory
            rounds = max(1, -(-steps * n_half // n_memory))
            drawn = torch.cat([torch.randperm(n_memory, generator=order) for _ in range(rounds)])[: steps * n_half]
            if len(stream) < steps * n_stream:
                return torch.cat([stream, drawn]).to(device), [len(stream) + len(drawn)], [len(stream)]
            flat = torch.cat([stream.view(steps, -1), drawn.view(steps, -1)], dim=1).flatten()
            return flat.to(device), [batch_size * (i + 1) for i in range(steps)], [n_stream] * steps
        total = n + n_memory
        flat = torch.randperm(total, generator=order)
        cuts = list(range(batch_size, total + 1, batch_size))
        rest = total % batch_size
        if not cuts or (not drop_last and rest > 1):  # a single sample cannot be batch-normalized
            cuts.append(total)
        flat = flat[: cuts[-1]]
        from_stream = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
        if n_memory:
            batch = torch.arange(len(flat)) // cuts[0]
            is_old = (flat < n_memory).long()
            flat = flat[torch.argsort(2 * batch + is_old, stable=True)]
            from_stream = torch.bincount(batch, weights=1 - is_old).long().tolist()
        return flat.to(device), cuts, from_stream

    def _prepared(
        self,
        whole: Split,
        ids: Tensor,
        flat: Tensor,
        cuts: list[int],
        from_stream: list[int],
        position: Position,
        mix: bool,
        label: int | None,
        phase: str,
    ) -> Iterator[Batch]:
        """The batches from `position.batch` on, made a chunk at a time."""
        learner = self.learner
        generator = learner.rng.cpu("augment")
        c, h, w = whole.shape
        floats = CHUNK_FLOATS.get(learner.device.type, 1 << 22)
        per_chunk = max(1, floats // (c * h * w * cuts[0]))
        first = position.chunk
        while first < len(cuts):
            last = min(first + per_chunk, len(cuts))
            later: Tensor | None = None
            if position.augment is not None and position.batch > first:
                later = generator.get_state()  # resumed inside this chunk: make it again
                generator.set_state(position.augment)
            position.chunk, position.augment = first, generator.get_state()
            start = cuts[first - 1] if first else 0
            part = flat[start : cuts[last - 1]]
            raw = whole.fetch(part)
            if last < len(cuts):
                whole.prefetch(flat[cuts[last - 1] : cuts[min(last + per_chunk, len(cuts)) - 1]])
            y, sample_ids = whole.labels[part], ids[part]
            seen = learner.pipeline(raw, generator)
            y_mix: Tensor | None = None
            shares: Tensor | None = None
            if mix:
                seen, y_mix, shares = _mixed(seen, y, [cuts[i] - start for i in range(first, last)], generator)
            x = learner.normalize(seen)
            if later is not None:  # where a method that augments by itself had left the generator
                generator.set_state(later)
            for i in range(max(first, position.batch), last):
                a, b = (cuts[i - 1] if i else 0) - start, cuts[i] - start
                yield Batch(
                    x[a:b],
                    y[a:b],
                    raw[a:b],
                    sample_ids[a:b],
                    from_stream[i],
                    None if y_mix is None else y_mix[a:b],
                    None if shares is None else shares[i - first],
                    label,
                    phase,
                    learner.heads,
                )
            first = last

    # -- records

    def _report(self, phase: str, phase_step: int, phase_steps: int, rate: float, meter: _Meter, clock: _Clock) -> None:
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

    def _flush(self, meter: _Meter) -> dict[str, float]:
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

    def _publish(self) -> None:
        learner = self.learner
        scalars = {k: float(v) for k, v in learner.traces.items() if v.numel() == 1}
        self.watcher.emit(
            ev.Traced(task=learner.task, step=learner.step, method=self.config.method.name, scalars=dict(scalars))
        )
        learner.traces.clear()
        learner.tracing = False
        self.control.trace_steps -= 1

    # -- checkpoints

    def state(self) -> dict[str, Any]:
        """Everything of the loop that a checkpoint holds."""
        position = self.position
        if position is not None and self._meter is not None:
            position.pending = self._meter.pending()
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
                value = getattr(self.position, key)
                if value is not None:
                    setattr(self.position, key, value.cpu())


def _mixed(seen: Tensor, y: Tensor, cuts: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """CutMix of consecutive batches that end at `cuts`: images, the other labels (N,), and shares, one per batch."""
    size = cuts[0]
    full = len(cuts) if cuts[-1] == size * len(cuts) else len(cuts) - 1
    images, labels, shares = [], [], []
    for a, b, n in ((0, full * size, full), (full * size, cuts[-1], len(cuts) - full)):
        if n:
            part = seen[a:b].view(n, -1, *seen.shape[1:])
            mixed, permutation, share = cutmix(part, generator)
            images.append(mixed.flatten(0, 1))
            labels.append(y[a:b].view(n, -1).gather(1, permutation.to(y.device)).flatten())
            shares.append(share)
    return torch.cat(images), torch.cat(labels), torch.cat(shares).to(y.device)


class _Clock:
    """Images per second since the last record."""

    def __init__(self) -> None:
        self.images = 0
        self._since = time.perf_counter()

    def rate(self) -> float:
        now = time.perf_counter()
        rate = self.images / max(1e-9, now - self._since)
        self.images, self._since = 0, now
        return round(rate, 1)


class _Meter:
    """Loss terms of the steps since the last record, on the device."""

    def __init__(self, position: Position, interval: int, device: torch.device) -> None:
        self.position = position
        self.interval = interval
        self.device = device
        self.n = 0
        self._buffer: Tensor | None = None
        if position.pending:
            buffer = self._make(position.names)
            self.n = len(position.pending)
            buffer[: self.n] = torch.tensor(position.pending, dtype=torch.float64).to(buffer)
            position.pending = []

    def add(self, terms: dict[str, Tensor]) -> bool:
        """Note a step; True when a record is due."""
        buffer = self._make(list(terms)) if self._buffer is None else self._buffer
        values = [t.detach() for t in terms.values()]
        torch.stack(values, out=buffer[self.n])
        self.n += 1
        return self.n == self.interval

    def flush(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Means since the last record, and (steps ago, term) of the first value that is not finite."""
        position, values = self.position, self.pending()
        self.n = 0
        if not values:
            return {}, None
        for i, row in enumerate(values):
            for name, value in zip(position.names, row, strict=True):
                if value != value or value in (float("inf"), float("-inf")):
                    return {}, (len(values) - 1 - i, name)
        totals = [sum(column) for column in zip(*values, strict=True)]
        position.sums = [s + t for s, t in zip(position.sums, totals, strict=True)]
        position.count += len(values)
        return {name: total / len(values) for name, total in zip(position.names, totals, strict=True)}, None

    def pending(self) -> list[list[float]]:
        """The values since the last record, (n, k); reads the device."""
        return self._buffer[: self.n].tolist() if self._buffer is not None else []

    def _make(self, names: list[str]) -> Tensor:
        if not self.position.names:
            self.position.names, self.position.sums = names, [0.0] * len(names)
        self._buffer = torch.zeros(self.interval, len(names), device=self.device)
        return self._buffer
