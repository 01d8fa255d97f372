"""A row of the accuracy matrix: large batches, eval mode, one read of the device."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from cllab.data.base import Split
from cllab.learner.learner import Learner
from cllab.methods.base import Method
from cllab.models.base import Network
from cllab.scenarios.base import Stream

CACHE_BYTES = {"cpu": 1 << 28, "cuda": 4 << 30}


@dataclass(frozen=True)
class Accuracies:
    """Fractions; None where nothing was evaluated.

    Attributes:
        tests: (T,) per test set: per task, where every task has its own.
        seen: over the evaluated test samples of the classes seen so far.
        per_class: (K,) per stream label.
        unnamed: (E,) per task, of the same model when the task is not named and all classes seen so far compete; empty
            where tasks are not named anyway or share their classes.
        images: test images that were looked at.
    """

    tests: tuple[float | None, ...]
    seen: float | None
    per_class: tuple[float | None, ...]
    unnamed: tuple[float | None, ...] = ()
    images: int = 0


class Evaluator:
    """Evaluates a method on the test sets of a stream.

    Images are normalized once and kept when they fit. A class that the network has no output for yet is never named;
    where the scenario names the task and all of its classes are such, they compete by the outputs that a copy of the
    network would be given now. So nothing that is measured beforehand takes part in training.
    """

    def __init__(self, stream: Stream, *, top_k: int = 1, batch_size: int = 0, future: bool = False) -> None:
        self.stream = stream
        self.top_k = top_k
        self.batch_size = batch_size
        self.future = future
        self._cache: dict[tuple[int, int], Tensor] = {}
        self._parts: dict[tuple[int, int], Split] = {}
        self._cached_bytes = 0
        self._ahead: Network | None = None

    def covered(self, t: int) -> list[int]:
        """Test sets that are evaluated after task `t`: of the tasks whose classes have all been seen (-1: none); with
        `future`, and where they stand apart from the tasks, every one."""
        return list(range(self.stream.n_tests)) if self.future else self._learned(t)

    def size(self, t: int, part: int = 0) -> int:
        """How many test images an evaluation after task `t` looks at; with `part`, at most so many of every task's."""
        sizes = [len(self.stream.test(i).split) for i in self.covered(t)]
        return sum(min(size, part) for size in sizes) if part else sum(sizes)

    def _test(self, i: int, part: int) -> Split:
        """Test set i, or `part` of its images at even distances, always the same."""
        test = self.stream.test(i).split
        if not part or part >= len(test):
            return test
        if (i, part) not in self._parts:
            places = torch.arange(part, device=test.device) * len(test) // part
            self._parts[i, part] = test.subset(places)
        return self._parts[i, part]

    def _learned(self, t: int) -> list[int]:
        if t < 0:
            return []
        if self.stream.apart:
            return list(range(self.stream.n_tests))
        known = set(self.stream.seen(t))
        shared = len({task.classes for task in self.stream.tasks}) == 1
        if shared:  # all tasks have the same classes: what differs is how they look, so only learned tasks count
            return list(range(t + 1))
        return [task.index for task in self.stream.tasks if known.issuperset(task.classes)]

    @torch.inference_mode()
    def evaluate(self, method: Method, learner: Learner, t: int, *, part: int = 0) -> Accuracies:
        """Accuracies after task `t`; with `part`, on so many test images of every task."""
        stream = self.stream
        n_classes = stream.n_classes
        which = self.covered(t)
        if not which:
            return Accuracies((None,) * stream.n_tests, None, (None,) * n_classes)
        counts: list[Tensor] = []
        unnamed: list[Tensor] = []
        n_seen = max(stream.seen(t), default=-1) + 1 if learner.heads is not None else 0
        hits_per_class = torch.zeros(n_classes, device=learner.device)
        total_per_class = torch.zeros(n_classes, device=learner.device)
        learned = set(self._learned(t))
        self._ahead = None
        total_images = self.size(t, part)
        with learner.bulk(), learner.passes.work("evaluate", total_images):
            method.prepare_evaluation()
            for i in which:
                labels = self._test(i, part).labels
                hit, open_hit = self._hits(method, learner, i, n_seen, part)
                counts.append(hit.sum())
                unnamed.append(open_hit.sum())
                if i in learned:
                    hits_per_class.index_add_(0, labels, hit)
                    total_per_class.index_add_(0, labels, torch.ones_like(hit))
        parts = [torch.stack(counts), torch.stack(unnamed), hits_per_class, total_per_class]
        values = torch.split(torch.cat(parts).cpu(), [len(part) for part in parts])
        hits, open_hits, per_class_hits, per_class_total = (part.tolist() for part in values)
        if stream.apart:  # what has not been learned yet counts in the test sets, not in what was seen
            seen = set(stream.seen(t))
            per_class_hits, per_class_total = (
                [v if c in seen else 0.0 for c, v in enumerate(of)] for of in (per_class_hits, per_class_total)
            )
        total = sum(per_class_total)
        return Accuracies(
            self._row(which, hits, part),
            sum(per_class_hits) / total if total else None,
            tuple(h / n if n else None for h, n in zip(per_class_hits, per_class_total, strict=True)),
            self._row(which, open_hits, part) if n_seen else (),
            total_images,
        )

    def _row(self, which: list[int], hits: list[float], part: int) -> tuple[float | None, ...]:
        row: list[float | None] = [None] * self.stream.n_tests
        for i, hit_count in zip(which, hits, strict=True):
            size = len(self._test(i, part))
            row[i] = hit_count / size if size else None
        return tuple(row)

    def _hits(self, method: Method, learner: Learner, i: int, n_seen: int, part: int) -> tuple[Tensor, Tensor]:
        """Twice (N,) float, of test set i: 1 where the label is among the k best of a sample; as the scenario has it,
        and among the first `n_seen` classes without the task's name (the same where `n_seen` is 0)."""
        test = self.stream.test(i)
        labels = self._test(i, part).labels
        named = test.task >= 0 and self.stream.tasks[test.task].has_label
        label = test.task if named else None
        own: Tensor | None = None
        if named:
            own = torch.tensor(test.classes, device=learner.device)
        hits, open_hits = [], []
        size = self.batch_size or learner.bulk_size
        for start in range(0, len(labels), size):
            x = self._images(i, part, learner, start, min(start + size, len(labels)))
            y = labels[start : start + size, None]
            scores = method.predict(x, label)
            if n_seen:
                unnamed = method.predict(x, None) if method.heeds_label else scores
                open_hits.append(self._hit(unnamed[:, :n_seen], y))
            if own is not None:
                if scores.shape[1] <= int(own.max()):
                    scores = torch.cat([scores, self._untrained(learner)(x)[:, scores.shape[1] :]], dim=1)
                allowed = own[own < scores.shape[1]]
                masked = torch.full_like(scores, float("-inf"))
                scores = masked.index_copy(1, allowed, scores.index_select(1, allowed))
            hits.append(self._hit(scores, y))
            learner.passes.worked(len(y))
        if not hits:
            return torch.zeros(0, device=learner.device), torch.zeros(0, device=learner.device)
        own_hits = torch.cat(hits).float()
        return own_hits, torch.cat(open_hits).float() if n_seen else own_hits

    def _untrained(self, learner: Learner) -> Network:
        """A copy of the network with outputs for every class, drawn as they would be now; no generator moves."""
        if self._ahead is None:
            self._ahead = copy.deepcopy(learner.model).eval()
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(learner.rng.cpu("init").get_state())
                self._ahead.grow(self.stream.n_classes)
        return self._ahead

    def _hit(self, scores: Tensor, y: Tensor) -> Tensor:
        """(B,) bool: whether y (B, 1) is among the k best of (B, K) scores."""
        k = min(self.top_k, scores.shape[1])
        best = scores.topk(k, dim=1).indices if k > 1 else scores.argmax(dim=1, keepdim=True)
        return (best == y).any(dim=1)

    def _images(self, i: int, part: int, learner: Learner, start: int, stop: int) -> Tensor:
        if (i, part) in self._cache:
            return self._cache[i, part][start:stop]
        test = self._test(i, part)
        need = 4 * len(test) * learner.floats(test)
        if self._cached_bytes + need <= CACHE_BYTES.get(learner.device.type, 0):
            self._cached_bytes += need
            parts = torch.split(torch.arange(len(test), device=test.device), learner.bulk_size)
            self._cache[i, part] = torch.cat([learner.normalize(test.fetch(p)) for p in parts])
            return self._cache[i, part][start:stop]
        return learner.normalize(test.fetch(torch.arange(start, stop, device=test.device)))
