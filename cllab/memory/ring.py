"""A ring a task: the most recent samples of every task, each task with the same share of the capacity.

The memory of GEM (Lopez-Paz & Ranzato 2017, arXiv:1706.08840) and of Bilevel Continual Learning (Pham et al. 2020,
arXiv:2007.15553): a batch is written at the pointer, what does not fit before the end of the ring is dropped, and the
pointer returns to the first slot. Quirks of the published code: `start = "continue"` does not move the pointer back at
a new task; `unfilled = "first-sample"` fills a whole ring with the first sample that is written to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cllab.data.augment._draw import deliver
from cllab.data.base import Split, TensorImages, nothing, widened
from cllab.errors import UsageError
from cllab.learner.learner import Learner
from cllab.memory.base import Memory, MemoryInfo, Payload, view
from cllab.settings.spec import param

NONE: Mapping[str, Tensor] = {}


@dataclass
class Block:
    """The ring of a task.

    Attributes:
        start, size: its rows in the buffers.
        first: the slot that was written first.
        filled: how many slots, from `first` on and round, hold a sample.
        pointer: the slot where the next batch is written.
    """

    start: int
    size: int
    first: int = 0
    filled: int = 0
    pointer: int = 0

    def rows(self) -> Tensor:
        """(filled,) long rows that hold a sample, ascending."""
        slots = (self.first + torch.arange(self.filled)) % max(1, self.size)
        return self.start + slots.sort().values


class Ring(Memory):
    """First in, first out, task by task.

    A method may split a task's share: part "replay" is trained on, part "held" is kept apart (`open`). Rows live in
    `buffers`, allocated once; positions in them are what `rows`, `draw` and `take` speak of. `columns` is a view of the
    filled rows for everyone else.
    """

    info = MemoryInfo(title="Ring", paper="arXiv:1706.08840", per_task=False)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings."""

        start: Literal["first", "continue"] = param(
            "first", "Where writing begins in a new task: at the first slot, or where it ended in the last task"
        )
        unfilled: Literal["empty", "first-sample"] = param(
            "empty", "Slots not written yet: empty, or filled with the first sample, as published"
        )

    def __init__(self, config: Any, capacity: int, payload: Payload, device: torch.device) -> None:
        self.blocks: dict[str, list[Block]] = {"replay": [], "held": []}
        self.tasks: list[int] = []
        self.buffers: dict[str, Tensor] = {}
        self._earlier: dict[str, Tensor] = {}
        self._every: Tensor | None = None
        super().__init__(config, capacity, payload, device)

    # -- what everyone sees

    @property
    def columns(self) -> dict[str, Tensor]:
        """The filled rows, task by task."""
        if not self.buffers:
            return self._empty
        rows = self._all_rows()
        return {name: buffer.index_select(0, rows) for name, buffer in self.buffers.items()}

    @columns.setter
    def columns(self, value: dict[str, Tensor]) -> None:
        self._empty = value

    def __len__(self) -> int:
        return sum(block.filled for part in self.blocks.values() for block in part)

    def update(self, new: Split, learner: Learner) -> None:
        """Write a batch; of more samples than a ring holds, the last are kept, the very last in the part kept apart."""
        if self.capacity == 0 or len(new) == 0:
            return
        self.open(learner)
        end = len(new)
        for name in ("held", "replay"):
            start = max(0, end - self.blocks[name][-1].size)
            if start == end:
                continue
            part = torch.arange(start, end, device=self.device)
            more = {column: values[part] for column, values in new.columns.items()}
            self.write(new.fetch(part), new.labels[part], new.sample_ids()[part], learner, part=name, columns=more)
            end = start

    def split(self) -> Split:
        columns = self.columns
        return view(TensorImages(columns["images"]), torch.arange(len(self), device=self.device), columns)

    _split = split

    def _held(self) -> dict[str, Tensor]:
        return self.columns

    def retrieve(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        n = min(n, len(self))
        chosen = deliver(torch.randperm(len(self), generator=generator)[:n], self.device)
        raw, labels = self.take(self._all_rows().index_select(0, chosen))
        return raw, labels, chosen

    def payload(self, name: str, positions: Tensor) -> Tensor:
        return self.buffers[name].index_select(0, self._all_rows().index_select(0, positions))

    # -- what methods with a part in it use

    def open(self, learner: Learner, *, held: float = 0.0) -> None:
        """Make the ring of the current task, if it is not there; a share `held` of it is kept apart.

        Raises:
            UsageError: when there is not one sample for every task.
        """
        if self.capacity == 0 or (self.tasks and self.tasks[-1] == learner.task):
            return
        quota = self.capacity // learner.n_tasks
        if quota == 0:
            raise UsageError(
                f"memory.capacity = {self.capacity} is less than one sample for each of {learner.n_tasks} tasks"
            )
        if not self.buffers:
            self._allocate(quota * learner.n_tasks)
        first, apart = quota * len(self.tasks), int(held * quota)
        for part, start, size in (("replay", first, quota - apart), ("held", first + quota - apart, apart)):
            pointer = self.blocks[part][-1].pointer if self.tasks and self.config.start == "continue" else 0
            self._earlier[part] = self._rows(self.blocks[part])
            self.blocks[part].append(Block(start, size, pointer, pointer=pointer))
        self.tasks.append(learner.task)

    def write(
        self,
        raw: Tensor,
        labels: Tensor,
        ids: Tensor,
        learner: Learner,
        *,
        part: str = "replay",
        columns: Mapping[str, Tensor] = NONE,
    ) -> None:
        """Write a batch to the current task's ring. raw: (B, C, H, W) uint8; labels, ids: (B,); columns: (B, ...)."""
        block = self.blocks[part][-1]
        n = min(len(labels), block.size - block.pointer)
        if n <= 0:
            return
        if not block.filled and self.config.unfilled == "first-sample":
            first = {name: column[:1] for name, column in columns.items()}
            self._place(block.start, block.size, raw[:1], labels[:1], ids[:1], learner, first)
            self.added += block.size
            block.filled = block.size
            self._every = None
        more = {name: column[:n] for name, column in columns.items()}
        self._place(block.start + block.pointer, n, raw[:n], labels[:n], ids[:n], learner, more)
        written = (block.pointer - block.first) % block.size + n
        fresh = max(0, min(written, block.size) - block.filled)
        self.added += n
        self.evicted += n - fresh
        block.filled += fresh
        block.pointer = (block.pointer + n) % block.size
        if fresh:
            self._every = None

    def earlier(self, part: str = "replay") -> Tensor:
        """(n,) long rows of the earlier tasks' samples."""
        return self._earlier[part] if part in self._earlier else torch.empty(0, dtype=torch.long, device=self.device)

    def rows(self, index: int, part: str = "replay") -> Tensor:
        """(n,) long rows of the samples of the `index`-th task."""
        return deliver(self.blocks[part][index].rows(), self.device)

    def draw(
        self,
        n: int,
        generator: torch.Generator,
        *,
        part: str = "replay",
        current: bool = False,
        left_out: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`n` rows (n,) long of earlier tasks, with `current` also of this one, without replacement (all when fewer).

        Args:
            n: how many.
            generator: a CPU generator.
            part: of which part of the rings.
            current: whether the current task's are candidates too.
            left_out: numbers of candidates, on the CPU, that are dropped when they are drawn.

        Returns:
            the rows, and on the CPU the numbers of those candidates.
        """
        rows = self.earlier(part)
        if current and self.tasks:
            rows = torch.cat([rows, self.rows(-1, part)])
        chosen = torch.randperm(len(rows), generator=generator)[:n]
        if left_out is not None:
            chosen = chosen[~torch.isin(chosen, left_out)]
        return rows.index_select(0, deliver(chosen, self.device)), chosen

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Raw images (n, C, H, W) uint8 and labels (n,) at `rows` (n,)."""
        return self.buffers["images"].index_select(0, rows), self.buffers["labels"].index_select(0, rows)

    def attach(self, name: str, width: int) -> Tensor:
        """The float payload column `name` (rows, at least width), made or widened by zeros when need be."""
        known = self.buffers.get(name)
        if known is None:
            known = torch.zeros(len(self.buffers["labels"]), width, device=self.device)
        self.buffers[name] = widened(known, width)
        return self.buffers[name]

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "columns": self.buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffers = {k: v.to(self.device) for k, v in state["columns"].items()}
        self.added, self.evicted = int(state["added"]), int(state["evicted"])
        own = state["own"]
        self.tasks = list(own["tasks"])
        self.blocks = {part: [Block(**b) for b in blocks] for part, blocks in own["blocks"].items()}
        self._earlier = {part: self._rows(blocks[:-1]) for part, blocks in self.blocks.items()}
        self._every = None

    def own_state(self) -> dict[str, Any]:
        return {"tasks": self.tasks, "blocks": {p: [asdict(b) for b in blocks] for p, blocks in self.blocks.items()}}

    # -- helpers

    def _allocate(self, n: int) -> None:
        for name, column in self._empty.items():
            self.buffers[name] = torch.zeros(n, *column.shape[1:], dtype=column.dtype, device=self.device)
        self.buffers["scores"].fill_(float("nan"))

    def _place(
        self,
        at: int,
        n: int,
        raw: Tensor,
        labels: Tensor,
        ids: Tensor,
        learner: Learner,
        columns: Mapping[str, Tensor],
    ) -> None:
        rows, buffers = slice(at, at + n), self.buffers
        buffers["images"][rows] = raw
        buffers["labels"][rows] = labels
        buffers["ids"][rows] = ids
        buffers["tasks"][rows] = learner.task
        buffers["entered"][rows] = learner.step
        for name, values in columns.items():
            width = values.shape[1] if values.dim() > 1 else 0
            known = buffers.get(name)
            if known is None:
                known = nothing(len(buffers["labels"]), values)
            buffers[name] = widened(known, width)
            buffers[name][rows] = widened(values.detach(), buffers[name].shape[1] if width else 0)

    def _rows(self, blocks: list[Block]) -> Tensor:
        return torch.cat([torch.empty(0, dtype=torch.long), *(block.rows() for block in blocks)]).to(self.device)

    def _all_rows(self) -> Tensor:
        if self._every is None:
            pairs = zip(self.blocks["replay"], self.blocks["held"], strict=True)
            self._every = self._rows([block for pair in pairs for block in pair])
        return self._every
