"""BiC: correct the bias toward new classes with two numbers learned on held-out samples.

Wu et al., "Large Scale Incremental Learning", CVPR 2019, arXiv:1905.13260. Stage 1 is cross-entropy and distillation
(Eqs. 1-3), stage 2 fits a scale and a shift of the current task's outputs (Eqs. 4-5) on a balanced validation set, a
tenth of the memory's capacity that is trained on by neither stage 1 nor anything else. In a blurry stream the new
classes are the task's majors. Where the scenario names the task, only the classes of a sample's own task compete:
outputs are distilled task by task, and there is no bias toward other tasks to correct, so nothing is held out and stage
2 is left out. `algorithm = "published"` is Rainbow Memory's code (arXiv:2103.17230): another feature block at every
task, only the last group of outputs ever corrected, validation images also trained on, and in a blurry stream pure
distillation after the first task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.data.base import Split, TensorImages
from cllab.learner.heads import cross_entropy
from cllab.memory.base import ranks_within_class
from cllab.methods import _distill as distill
from cllab.methods.base import Batch, Group, Learner, Method, MethodInfo, Offer, Optim, Phase, Piece, Task, Work
from cllab.models.base import Network
from cllab.settings.spec import param

TEMPERATURE = 2.0


class BiC(Method):
    """Distillation, then a scale and a shift for the new classes."""

    info = MethodInfo(
        title="BiC",
        paper="arXiv:1905.13260",
        year=2019,
        family="replay",
        needs=frozenset({"memory", "boundaries"}),
        memory="prototype",
        inert={"memory.capacity": 0, "method.distill": False},
        reference={"train.head": "reset"},
    )

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        distill: bool = param(True, "Distil the earlier network in stage 1", source="--distilling")
        validation: float = param(0.1, "Share of the capacity held out for stage 2", low=0, high=0.9)
        bias_epochs: int = param(
            200,
            "Passes over the validation set in stage 2; -1 for as many as the phase before had",
            low=-1,
            reference=-1,
        )
        bias_lr: float = param(0.01, "Learning rate of Adam in stage 2", low=0, log=True, reference=0.001)
        algorithm: Literal["paper", "published"] = param(
            "paper", "The paper's algorithm, or the published code of Rainbow Memory", reference="published"
        )
        features: int = param(2048, "Features of the published variant's extra blocks", source="feature_size", low=1)

    def __init__(self, config: Config, learner: Learner) -> None:
        super().__init__(config, learner)
        self.teacher: Network | None = None
        memory = learner.memory
        self.n_valid = round(config.validation * memory.capacity) if learner.heads is None else 0
        memory.capacity -= self.n_valid
        # one (scale, shift) per task, and which task corrects a class
        self.bias = torch.zeros(0, 2, device=learner.device)
        self.group = torch.zeros(0, dtype=torch.long, device=learner.device)
        self.kept = self.group  # classes that are distilled
        self.valid = {k: v for k, v in memory.columns.items() if k in ("images", "labels")}
        self.held_out = torch.zeros(0, dtype=torch.bool, device=learner.device)
        self.live: list[nn.Parameter] = []

    @classmethod
    def variant(cls, config: Config) -> type[Method]:
        return _Published if config.algorithm == "published" else cls

    def learn(self, task: Task) -> Iterator[Piece]:
        settings = self.learner.settings
        yield Work(lambda: self._begin(task))
        yield Phase("stream", lambda: self._offered(task), len(task.train), replay="concat", cutmix=False)
        if not self.learner.rehearses:
            yield from self._stage_2(task, settings.epochs)
        yield Offer(lambda: self._offered(task))
        if self.learner.rehearses:
            yield Phase("memory", cutmix=False)
            yield from self._stage_2(task, settings.memory_epochs)
        yield Work(self._keep)

    def _begin(self, task: Task) -> None:
        learner, model = self.learner, self.learner.model
        kept = tuple(c for c in learner.old if c not in learner.own)
        self.kept = torch.tensor(kept, dtype=torch.long, device=learner.device)
        self.bias = torch.cat([self.bias, torch.tensor([[1.0, 0.0]], device=learner.device)])
        grown = torch.full((model.n_classes - len(self.group),), task.index, device=learner.device)
        own = torch.tensor(task.classes, device=learner.device)
        group = torch.cat([self.group, grown])
        self.group = group.index_fill(0, own[own < len(group)], task.index)
        self.held_out = torch.zeros(len(task.train), dtype=torch.bool, device=learner.device)
        self._hold_out(task)

    def _offered(self, task: Task) -> Split:
        """What is trained on and offered to the memory: the task's stream without what is held out."""
        return task.train.subset((~self.held_out).nonzero().flatten()) if self.held_out.any() else task.train

    def _keep(self) -> None:
        self.teacher = self.learner.frozen_copy()

    def _stage_2(self, task: Task, epochs: int) -> Iterator[Piece]:
        epochs = epochs if self.config.bias_epochs < 0 else self.config.bias_epochs
        size = self._held(task)
        if not epochs or task.index == 0 or not size:
            return
        yield Work(lambda: self._open_bias(task.index))
        yield Phase(
            "bias correction",
            self._validation,
            size,
            epochs=epochs,
            batch_size=100,
            drop_last=False,
            loss=self._bias_loss,
            optim=Optim((Group(self._bias_parameters),), "adam", lr=self.config.bias_lr, lives="phase"),
            train_mode=False,
            cutmix=False,
        )
        yield Work(lambda: self._close_bias(task.index))

    def _held(self, task: Task) -> int:
        """How many images are held out then: as many of every class."""
        return self.n_valid - self.n_valid % len(self.learner.stream.seen(task.index))

    def _validation(self) -> Split:
        images = TensorImages(self.valid["images"])
        return Split(images, torch.arange(len(images), device=self.learner.device), self.valid["labels"])

    def _bias_parameters(self) -> list[nn.Parameter]:
        self.live = [nn.Parameter(v.detach()) for v in self.live]  # from a checkpoint they come as plain tensors
        return self.live

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        learner = self.learner
        scores = self._trained(learner.model(batch.x))
        classification = cross_entropy(learner.heads, scores, batch.y)
        if self.teacher is None or not self.config.distill:
            return {"cross-entropy": classification}
        share = len(self.kept) / max(1, len(learner.seen))
        if share == 0:
            return {"cross-entropy": classification}
        with torch.no_grad():
            before = self._corrected(self.teacher(batch.x), before=True)
        distillation = distill.soft_cross_entropy(self._old(scores), self._old(before), TEMPERATURE)  # Eq. 2
        return {"cross-entropy": (1 - share) * classification, "distillation": share * distillation}  # Eq. 3

    def _trained(self, scores: Tensor) -> Tensor:
        """The scores that stage 1 trains: as the network gives them."""
        return scores

    def _old(self, scores: Tensor) -> Tensor:
        """The scores that are distilled: (B, k) of the old classes; where the task is named, (B t, C) task by task."""
        heads = self.learner.heads
        if heads is None:
            return scores.index_select(1, self.kept)
        return heads.earlier(scores, self.learner.task).flatten(0, 1)

    def predict(self, x: Tensor, task_label: int | None) -> Tensor:
        return self._corrected(self.learner.model(x))

    def _corrected(self, scores: Tensor, *, before: bool = False) -> Tensor:  # Eq. 4
        """(B, K) scores, those of the newest classes scaled and shifted; with `before`, as at the end of the task
        before. Older corrections are in the network since it distilled the corrected scores."""
        task = len(self.bias) - 1 - before
        if task < 0:
            return scores
        scale, shift = self.live if self.live and not before else self.bias[task]
        return torch.where(self.group[: scores.shape[1]] == task, scores * scale + shift, scores)

    def _bias_loss(self, batch: Batch) -> dict[str, Tensor]:  # Eq. 5
        with torch.no_grad():
            scores = self.learner.model(batch.x)
        return {"bias correction": F.cross_entropy(self._corrected(scores), batch.y)}

    def _open_bias(self, task: int) -> None:
        self.live = [nn.Parameter(v.clone()) for v in self.bias[task]]

    def _close_bias(self, task: int) -> None:
        if self.live:
            self.bias[task] = torch.stack([p.detach() for p in self.live])
        self.live = []

    def _hold_out(self, task: Task) -> None:
        """Take validation images of the task's classes from its stream, as many of each class as of every other."""
        learner = self.learner
        if self.n_valid == 0:
            return
        quota = self.n_valid // max(1, len(learner.seen))
        self._trim(quota)
        n_classes = learner.model.n_classes
        room = (quota - torch.bincount(self.valid["labels"], minlength=n_classes)).clamp(min=0)
        own = distill.columns(learner.own, n_classes, learner.device)
        self.held_out = self._take(task, torch.where(own > 0, room, 0))

    def _take(self, task: Task, room: Tensor) -> Tensor:
        """Put random images of the task's stream into the validation set, at most `room` (K,) of every class.

        Returns (N,) bool, which ones.
        """
        labels = task.train.labels
        order = torch.randperm(len(labels), generator=self.learner.rng.cpu("memory")).to(self.learner.device)
        taken = ranks_within_class(labels, order) < room[labels]
        chosen = taken.nonzero().flatten()
        self.valid = {
            "images": torch.cat([self.valid["images"], task.train.fetch(chosen)]),
            "labels": torch.cat([self.valid["labels"], labels[chosen]]),
        }
        return taken

    def _trim(self, quota: int) -> None:
        """Cut the validation set to `quota` images of every class."""
        labels = self.valid["labels"]
        if len(labels):
            kept = ranks_within_class(labels, torch.arange(len(labels), device=labels.device)) < quota
            self.valid = {k: v[kept] for k, v in self.valid.items()}


class _Published(BiC):
    """Rainbow Memory's code: another feature block at every task, the last group of outputs alone corrected, images
    held out of nothing."""

    def learn(self, task: Task) -> Iterator[Piece]:
        settings = self.learner.settings
        yield Work(lambda: self._begin(task))
        yield Phase("stream", task.train, replay="concat", cutmix=False)
        yield Work(lambda: self._close_phase(task))
        yield from self._stage_2(task, settings.epochs)
        yield Offer(task.train)
        if self.learner.rehearses:
            yield Phase("memory", cutmix=False)
            yield Work(lambda: self._close_phase(task))
            yield from self._stage_2(task, settings.memory_epochs)

    def _begin(self, task: Task) -> None:
        learner, model = self.learner, self.learner.model
        self.kept = torch.tensor(learner.old, dtype=torch.long, device=learner.device)
        with learner.seeded("init"):
            model.add_block(self.config.features)
            model.reset_head(model.n_classes)
        self.bias = torch.cat([self.bias, torch.tensor([[1.0, 0.0]], device=learner.device)])
        # the last group of outputs is the one that is corrected, whatever the task
        size = max(1, len(task.classes))
        self.group = torch.full((model.n_classes,), -1, device=learner.device)
        self.group[-size:] = task.index if round(model.n_classes / size) - 1 == task.index else -1
        self._trim(self.n_valid // max(1, len(learner.old)))

    def _close_phase(self, task: Task) -> None:
        """After every phase images are held out, beside those that are, and the network is the next teacher."""
        self._hold_out(task)
        self._keep()

    def _hold_out(self, task: Task) -> None:
        learner = self.learner
        if self.n_valid:
            quota = self.n_valid // max(1, len(learner.old) or len(learner.seen))
            self._take(task, torch.full((learner.model.n_classes,), quota, device=learner.device))

    def _held(self, task: Task) -> int:
        stream = self.learner.stream
        return self.n_valid - self.n_valid % len(stream.seen(task.index - 1) or stream.seen(task.index))

    def _trained(self, scores: Tensor) -> Tensor:
        return self._corrected(scores)
