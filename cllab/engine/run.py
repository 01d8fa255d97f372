"""Builds everything that a configuration names, and walks the stream."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from cllab.data.augment.pipeline import Augment
from cllab.data.base import Split
from cllab.engine import checkpoint, said, saved, snapshot
from cllab.engine.base_stage import FITTING, BaseStage
from cllab.engine.control import Control
from cllab.engine.evaluation import Accuracies, Evaluator
from cllab.engine.forecast import Forecast
from cllab.engine.latents import LatentStream
from cllab.engine.loop import Loop
from cllab.engine.networks import Networks
from cllab.engine.parts import augmentation, build, open_dataset, pick_device, threads_for
from cllab.engine.scores import Scores
from cllab.errors import UsageError
from cllab.learner.heads import Heads
from cllab.learner.learner import Learner
from cllab.learner.passes import Passes
from cllab.learner.phases import Offer, Phase, Piece
from cllab.learner.rng import Rng, derive
from cllab.memory.base import Memory, Payload
from cllab.methods.base import Method
from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.scenarios.base import Stream, Task
from cllab.settings.config import RunConfig

UNSAVED_SECONDS = 1.0
SAVING = 20
"""A stop inside of a pass loses so much training at most, or so many times what it takes to write a checkpoint."""


class Session:
    """One run from its first task to its result.

    Args:
        config: what to run.
        emit: where records go.
        control: what viewers ask.
        run: the run folder; None keeps nothing on disk.
    """

    def __init__(self, config: RunConfig, emit: ev.Sink, control: Control, run: Run | None = None) -> None:
        self.config = config
        self.run = run
        self.control = control
        self.emit: ev.Sink = emit
        self.seconds = {"train": 0.0, "evaluate": 0.0, "memory": 0.0, "load": 0.0}
        if config.base.on != "none":
            self.seconds["base"] = 0.0
        self.scores = Scores()
        self.position = 0
        self._glances = (0, 0, 1)
        self.bytes_written: Callable[[], int] = lambda: 0
        self._paused = 0.0
        self._started = self._clock()
        self.elapsed_before = 0.0
        self._saved, self._save_seconds = time.monotonic(), 0.0
        self._training_since: float | None = None

        device = self.device = pick_device(config.device)
        rng = Rng(config.seed, device)
        method_cls, method_config = build("method", config.method)
        self.capacity = config.memory.common["capacity"] if method_cls.info.uses_memory else 0
        self.passes = Passes()
        self.passes.tell, self.passes.look = self._tell, self._look
        with self._timed("load"), self.passes.work("loading"):
            self.dataset = open_dataset(config, device, progress=self.passes.at)
        scenario_cls, scenario_config = build("scenario", config.scenario)
        self.stream: Stream = scenario_cls(scenario_config).stream(self.dataset, rng)
        self._check_stream()
        shape = self.dataset.shape
        self.networks = Networks(config, self.dataset.info, shape, device, rng)
        self.images = self.stream
        payload = Payload("images", shape)
        self.latents: LatentStream | None = None
        if self.networks.latent_shape is not None:
            dtype = getattr(torch, config.model.common["latents"])
            payload = Payload("latents", self.networks.latent_shape, dtype)
            self.latents = LatentStream(
                self.stream, payload.shape, dtype, device, self.networks.cache(config, self.dataset)
            )
            self.stream = self.latents.stream
        memory_cls, memory_config = build("memory", config.memory)
        memory: Memory = memory_cls(memory_config, self.capacity, payload, device)
        info = self.dataset.info
        augment = Augment(()) if self.latents is not None else augmentation(config, info, config.train.augment)
        seen = self.networks.input
        self.learner = Learner(self.networks.make, memory, rng, seen, augment, device, config.train)
        self.learner.passes = self.passes
        self.learner.follow(self.stream)
        if all(task.has_label for task in self.stream.tasks):
            parts = [task.classes for task in self.stream.tasks]
            self.learner.heads = Heads.of(parts, self.stream.n_classes, device)
        self.learner.model = self.learner.new_model(max(self.stream.tasks[0].exposed) + 1)
        self.learner.threads = threads_for(self.learner.model, config.train.threads)
        torch.set_num_threads(self.learner.threads[0])
        seen_shape = seen.shape(shape)
        # as many images at once as make the work of a pass worth its calls
        self.learner.bulk_size = (
            2000 if device.type == "cuda" else max(100, min(1000, 3_000_000 // (seen_shape[1] * seen_shape[2] * 3)))
        )
        self.method: Method = method_cls.variant(method_config)(method_config, self.learner)
        self.loop = Loop(self.method, self.learner, config, control, self)
        self.loop.trace_folder = run.traces_folder if run else None
        self.evaluator = Evaluator(
            self.stream,
            top_k=config.evaluate.top_k,
            batch_size=config.evaluate.batch_size,
            future=config.evaluate.future,
        )
        self.base: BaseStage | None = None
        if config.base.on != "none":
            self.base = BaseStage(self, augmentation(config, self.dataset.info, config.base.augment))
        self.forecast = Forecast(config, self.method, self.loop, self.evaluator, self.base)

    # -- what the loop tells

    def on_step(self, phase: str) -> None:
        """After every step: evaluate where the stream says so, look at the control, save now and then."""
        self.on_enter(phase)
        self.check()

    def on_enter(self, phase: str) -> None:
        """When a resumed phase goes on: make up for an evaluation that was stopped in its middle."""
        every = self.config.evaluate.every
        if every and phase == "stream" and self.loop.samples // every > self.scores.evaluated_until:
            self._evaluate("stream")
            self.scores.evaluated_until = self.loop.samples // every
        times, part, distance = self._glances
        step = self.learner.step - self.scores.task_step
        if self.scores.glances < times and step >= (self.scores.glances + 1) * distance:
            self._evaluate("glance", part=part)
            self.scores.glances += 1

    def on_epoch(self, phase: str, epoch: int, epochs: int) -> None:
        """After every epoch: evaluate where that was asked, in the phase that decides a task's accuracy."""
        wanted = self.config.evaluate.epochs or self.config.evaluate.report == "best"
        if wanted and phase == self.forecast.last_phase:
            found = self._evaluate("epoch", epoch=epoch, phase=phase)
            if found.seen is not None:
                self.scores.epoch_best = max(self.scores.epoch_best or 0.0, found.seen)

    def check(self) -> None:
        """Pause while asked to; save a checkpoint when the last is old.

        Raises:
            StopRequested: when the run shall end here.
        """
        if self.control.poll():
            self.save()
            self._pause()
            self._saved = time.monotonic()
        if self._is_old():
            self.save()

    def _is_old(self) -> bool:
        """Whether the latest checkpoint is as old as it may be."""
        return time.monotonic() - self._saved > self.config.train.checkpoint_seconds

    def before_work(self, took: float | None) -> None:
        """Before work that no checkpoint can be written in the middle of: save when little time was spent on saving.

        So a process that is killed or stopped in a long pass loses the pass and hardly any training before it. Work
        that took no time in the task before (`took` seconds; None: there was none) is not worth a checkpoint.
        """
        if took is not None and took < UNSAVED_SECONDS:
            return
        pause = min(max(UNSAVED_SECONDS, SAVING * self._save_seconds), self.config.train.checkpoint_seconds)
        if time.monotonic() - self._saved > pause:
            self.save()

    def _pause(self) -> None:
        began = time.perf_counter()
        task, step = (self.learner.task, self.learner.step) if hasattr(self, "learner") else (-1, 0)
        self.emit(ev.Paused(task=task, step=step))
        while self.control.poll():
            self.control.wait()
        self.emit(ev.Resumed(task=task, step=step))
        self._paused += time.perf_counter() - began

    def _look(self) -> float:
        """Inside a pass: pause where that is asked; the seconds it took."""
        before = self._paused
        if self.control.poll():
            self._pause()
        return self._paused - before

    def _tell(self, phase: str, done: int, total: int, seconds: float) -> None:
        task = self.learner.task if hasattr(self, "learner") else -1
        self.emit(ev.Working(task=task, phase=phase, done=done, total=total, seconds=seconds))

    def _clock(self) -> float:
        """Seconds, pauses left out."""
        return time.perf_counter() - self._paused

    # -- the walk

    def start(self) -> None:
        """Announce the run."""
        config = self.config
        self.loop.whole = False  # a run that is stopped in here begins again
        # for code that draws from torch's own generator (dropout, a user's method)
        torch.manual_seed(derive(config.seed, "global"))
        self.emit(said.started(self))
        if unused := config.memory.common["capacity"] - self.capacity:
            name = config.method.name
            self.emit(ev.Warned(message=f"memory.capacity = {unused} is not used: method '{name}' keeps no samples"))
        self.learner.memory.begin_run(self.learner)

    def _prepare(self) -> None:
        """What comes before the first task: the base stage, latents, and a look at the model that has learned nothing
        of the stream, where forward transfer asks for it."""
        config = self.config
        self.loop.whole = False  # a run that is stopped in here begins again, but for the base stage
        if self.base is not None and not self.base.is_over:
            with self._timed("base"):
                weights = self.base.run()
            self.networks.adopt(weights, self.learner.model, whole=config.base.on == "first-task")
            self.loop.whole = True
            self.save()
            self.loop.whole = False
        if self.latents is not None:
            self._take_latents(self.latents)
        if config.evaluate.future and self.scores.baseline is None:
            found = self.evaluator.evaluate(self.method, self.learner, -1)
            self.scores.baseline = found.tests
            self.emit(
                ev.Evaluated(
                    task=-1, moment="task", step=0, samples=0, tasks=found.tests, seen=None, images=found.images
                )
            )
        self.loop.whole = True

    def _take_latents(self, latents: LatentStream, *, again: bool = False) -> None:
        """Encode every image of the stream; not told of where a resumed run does it `again`."""
        learner, network = self.learner, self.learner.model
        before = self.seconds["load"]
        with self._timed("load"), learner.bulk():
            latents.take(lambda raw: network.front(learner.normalize(raw)), learner.bulk_size, self.passes)
        if again:
            return
        if latents.unkept:
            self.emit(ev.Warned(message=latents.unkept))
        self.emit(
            ev.LatentsTaken(
                cut=network.at,
                shape=learner.stream.tasks[0].train.shape,
                dtype=self.config.model.common["latents"],
                samples=sum(map(len, latents.stores)),
                bytes=latents.nbytes,
                seconds=round(self.seconds["load"] - before, 3),
            )
        )

    def walk(self) -> None:
        """Learn the tasks from the current one on."""
        if self.learner.task < 0:
            self._prepare()
        elif self.latents is not None:
            self._take_latents(self.latents, again=True)
        for task in self.stream.tasks[self.position :]:
            self._task(task)
            self.position = task.index + 1
            self.loop.begin()
            over = self.position == self.stream.n_tasks
            pausing = self.control.pause_at_task_end and not over
            if over or pausing or self._is_old():
                # the record first: a checkpoint knows how much of the log belongs to it
                self.emit(ev.CheckpointSaved(task=task.index))
                self.save()
            if pausing:
                self.control.pause_at_task_end, self.control.paused = False, True
            self.check()

    def _task(self, task: Task) -> None:
        loop, method = self.loop, self.method
        self._glances = self.forecast.glances(task)
        loop.begin(loop.done if self.learner.task == task.index else 0)
        before = dict(self.seconds)
        with self._training():
            loop.do(lambda: self._begin_task(task))
            for piece in method.learn(task):
                self.go(task, piece)
        loop.do(lambda: self._end_task(task, before))

    def _begin_task(self, task: Task) -> None:
        learner = self.learner
        learner.task = task.index
        learner.old = learner.seen
        learner.seen = tuple(sorted({*learner.seen, *task.exposed}))
        learner.own = task.classes
        self.scores.epoch_best = None
        self.scores.task_step, self.scores.glances = learner.step, 0
        n = max(learner.seen) + 1
        with learner.seeded("init"):
            if self.config.train.head == "reset":
                learner.model.reset_head(max(n, learner.model.n_classes))
            else:
                learner.model.grow(n)
        learner.model.begin_task(task.index)
        self.loop.optimizers.drop("task")
        self.emit(ev.TaskStarted(task=task.index, name=task.name, classes=task.classes, n_train=len(task.train)))

    def go(self, task: Task, piece: Piece) -> None:
        """Do a piece of `task`, unless it was done before."""
        known = self.base is not None and self.base.covers(task)
        if isinstance(piece, Phase):
            if known and piece.name in FITTING:
                self.loop.pass_over()
            else:
                self.loop.fit(piece)
        elif isinstance(piece, Offer):
            offered = task.train if known and piece.split is None else piece.split
            self.loop.do(lambda: self._update_memory(task, offered() if callable(offered) else offered))
        else:
            self.passes.fallback = piece.name or "working"
            self.loop.do(piece.do)
            self.passes.fallback = "working"

    def _update_memory(self, task: Task, offered: Split | None) -> None:
        learner, memory = self.learner, self.learner.memory
        if memory.capacity == 0:
            return
        self.emit(ev.PhaseStarted(phase="select", task=task.index))
        began = self._clock()
        with self._timed("memory", instead_of="train"):
            if offered is not None:
                with self.passes.work("select"):
                    memory.update(offered, learner)
            added, evicted = memory.take_counts()
            written = snapshot.written(self.stream.n_tasks, memory.capacity, self.dataset.shape)
            name = f"after_task_{task.index + 1:02d}.npz" if self.run and task.index in written else ""
            if self.run and name:
                snapshot.write(self.run.memory_folder / name, memory, functools.partial(said.pictures, self))
            self.emit(
                ev.MemoryUpdated(
                    task=task.index,
                    policy=self.config.memory.name,
                    capacity=memory.capacity,
                    samples=len(memory),
                    bytes={**memory.bytes(), **self.method.stored()},
                    per_class=tuple(memory.counts("labels", self.stream.n_classes).tolist()),
                    per_task=tuple(memory.counts("tasks", self.stream.n_tasks).tolist()),
                    added=added,
                    evicted=evicted,
                    snapshot=name,
                    seconds=round(self._clock() - began, 4),
                )
            )

    def _end_task(self, task: Task, before: dict[str, float]) -> None:
        found = self._evaluate("task")
        report_best = self.config.evaluate.report == "best"
        self.scores.add(found.tests, found.unnamed, found.per_class, found.seen, report_best=report_best)
        spent = {k: round(v - before[k], 4) for k, v in self.seconds.items() if k != "load"}
        self.emit(ev.TaskEnded(task=task.index, seconds=spent))

    def _evaluate(self, moment: str, *, epoch: int = -1, phase: str = "", part: int = 0) -> Accuracies:
        began = self._clock()
        with self._timed("evaluate", instead_of="" if moment == "task" else "train"):
            found = self.evaluator.evaluate(self.method, self.learner, self.learner.task, part=part)
        report_best = moment == "task" and self.config.evaluate.report == "best" and self.scores.epoch_best is not None
        seen = max(self.scores.epoch_best or 0.0, found.seen or 0.0) if report_best else found.seen
        if moment == "stream" and found.seen is not None:
            self.scores.curve.append((self.loop.samples, found.seen))
        self.emit(
            ev.Evaluated(
                task=self.learner.task,
                moment=moment,
                step=self.learner.step,
                samples=self.loop.samples,
                tasks=found.tests,
                seen=seen,
                per_class=() if part else found.per_class,
                epoch=epoch,
                phase=phase,
                images=found.images,
                seconds=round(self._clock() - began, 4),
            )
        )
        return found

    # -- result

    def metrics(self) -> dict[str, float]:
        """Every metric that the accuracies so far determine."""
        evaluate = self.config.evaluate
        return self.scores.metrics(
            self.stream.n_tasks, self.stream.test_sizes, with_best=evaluate.epochs or evaluate.report == "best"
        )

    def result(self, status: str, reason: str = "") -> dict[str, Any]:
        """What `result.json` holds."""
        return said.result(self, status, reason)

    def all_seconds(self) -> dict[str, float]:
        """Wall seconds by kind of work, pauses left out, over all processes of the run."""
        total = self.elapsed_before + self._clock() - self._started
        return {"total": round(total, 3), **{k: round(v, 3) for k, v in self.seconds.items()}}

    # -- checkpoints

    def save(self) -> None:
        """Write a complete checkpoint, when there is a run folder.

        In the middle of undivided work there is nothing that could be gone back to: what was saved before it holds.
        """
        inside_base = self.base is not None and self.base.running
        if self.run is None or not (self.loop.whole or inside_base):
            return
        began = self._saved = time.monotonic()
        self._count_training()
        checkpoint.save(self.run.checkpoint_path, saved.collect(self))
        self._save_seconds = time.monotonic() - began

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was written.

        Raises:
            UsageError: when the checkpoint is of another configuration.
        """
        saved.restore(self, state)

    # -- helpers

    def _check_stream(self) -> None:
        capacity = self.capacity
        total = sum(len(t.train) for t in self.stream.tasks)
        if capacity > total:
            raise UsageError(f"memory.capacity = {capacity} is larger than the data: the stream has {total} samples")

    @contextlib.contextmanager
    def _training(self) -> Iterator[None]:
        """What is not timed as something else inside is training."""
        self._training_since = self._clock()
        try:
            yield
        finally:
            self._count_training()
            self._training_since = None

    def _count_training(self) -> None:
        """Bring `seconds` up to date in the middle of a task, for a checkpoint or a result."""
        if self._training_since is not None:
            now = self._clock()
            self.seconds["train"] += now - self._training_since
            self._training_since = now

    @contextlib.contextmanager
    def _timed(self, kind: str, *, instead_of: str = "") -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            spent = self._clock() - began
            self.seconds[kind] += spent
            if instead_of:
                self.seconds[instead_of] -= spent


def run(config: RunConfig, emit: ev.Sink, control: Control, resume: Path | None = None) -> dict[str, Any]:
    """Train without a run folder: the records go to `emit`, the result is returned.

    resume: a checkpoint to go on from.
    """
    session = Session(config, emit, control)
    if resume is not None:
        session.restore(checkpoint.load(resume, session.device))
    else:
        session.start()
    session.walk()
    result = session.result("done")
    emit(ev.RunEnded(status="done", metrics=dict(result["metrics"]), seconds=result["seconds"]))
    return result
