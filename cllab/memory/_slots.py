"""Slots for samples: allocated once and written in place, with any columns.

A policy says which samples stay and which come; those that stay lie where they are, and new ones take the slots of
those that left. Positions, in which everyone else speaks, follow the policy's own order.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import torch
from torch import Tensor

from cllab.data.base import TensorImages, nothing, widened


class Slots:
    """Columns of equal length, the first `size` slots of each filled.

    What is handed out stays what it is: rows are copies; an image store that was lent is left alone as long as somebody
    has it, and the next write goes on in a copy.
    """

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.size = len(columns["labels"])
        self._columns = dict(columns)
        self._order: Tensor | None = None  # (size,) long, the slot of the sample at each position; None: its number
        self._lent: weakref.ref[TensorImages] | None = None

    def rows(self, name: str, positions: Tensor) -> Tensor:
        """(m, ...) of the column `name` at `positions` (m,) long.

        Raises:
            KeyError: when there is no such column.
        """
        where = positions if self._order is None else self._order.index_select(0, positions)
        return self._columns[name].index_select(0, where)

    def columns(self, *left_out: str) -> dict[str, Tensor]:
        """Every column by position, (size, ...) each, but those that are `left_out`."""
        order = self._order
        return {
            name: column[: self.size].clone() if order is None else column.index_select(0, order)
            for name, column in self._columns.items()
            if name not in left_out
        }

    def views(self) -> dict[str, Tensor]:
        """Every column in the order of slots, (size, ...) each, to look at before the next write."""
        return {name: column[: self.size] for name, column in self._columns.items()}

    def images(self) -> tuple[TensorImages, Tensor]:
        """What is stored of samples, and where in it the sample at each position is, (size,) long; not to be kept."""
        images = self._columns["images"]
        index = torch.arange(self.size, device=images.device) if self._order is None else self._order
        return TensorImages(images), index

    def lend(self) -> tuple[TensorImages, Tensor]:
        """The same, to be kept."""
        store, index = self.images()
        lent = None if self._lent is None else self._lent()
        if lent is None:
            self._lent = weakref.ref(store)
        return store if lent is None else lent, index

    def write(self, where: Tensor, rows: Mapping[str, Tensor], size: int, capacity: int) -> None:
        """Put `rows`, (m, ...) each, into the slots `where` (m,) long; positions are slots.

        Columns that came without this one, or have become wider with the classes, have nothing in what is missing.

        Args:
            where: among the first `size`.
            rows: values of columns by name.
            size: how many slots are filled then.
            capacity: how many slots there are.
        """
        self._open(capacity)
        missing = {name: nothing(len(where), c) for name, c in self._columns.items() if name not in rows}
        for name, values in {**rows, **missing}.items():
            column = self._columns.get(name)
            if column is None:
                column = nothing(capacity, values)
            if values.dim() > 1 and values.shape[1] != column.shape[1]:
                width = max(values.shape[1], column.shape[1])
                column, values = widened(column, width), widened(values, width)
            self._columns[name] = column.index_copy_(0, where, values.detach())
        self.size = size

    def keep(self, positions: Tensor, new: Tensor, rows: Mapping[str, Tensor], capacity: int) -> None:
        """Hold another choice of samples, in another order.

        Args:
            positions: (m,) long, where the sample at each place is now; anything where it is `new`.
            new: (m,) bool, which of the samples come.
            rows: values of those, (new.sum(), ...) each.
            capacity: how many slots there are, at least m.
        """
        m, old = len(positions), (~new).nonzero().flatten()
        slots = positions[old] if self._order is None else self._order[positions[old]]
        stays = slots < m  # the others move down, so that the first m slots are filled
        taken = torch.zeros(m, dtype=torch.bool, device=positions.device)
        taken[slots[stays]] = True
        free = (~taken).nonzero().flatten()
        order = torch.empty_like(positions)
        order[old[stays]] = slots[stays]
        order[torch.cat([old[~stays], new.nonzero().flatten()])] = free
        move = slots[~stays]
        self.write(free[: len(move)], {name: column[move] for name, column in self._columns.items()}, m, capacity)
        self.write(free[len(move) :], rows, m, capacity)
        self._order = order

    def assign(self, name: str, values: Tensor) -> None:
        """Give the column `name` the `values`, (size, ...) by position."""
        where = slice(0, self.size) if self._order is None else self._order
        self._columns[name][where] = values.to(self._columns[name].dtype)

    def _open(self, capacity: int) -> None:
        """All slots, that nobody else looks at."""
        if len(self._columns["labels"]) >= capacity and (self._lent is None or self._lent() is None):
            return
        for name, column in self._columns.items():
            self._columns[name] = column.new_empty(max(capacity, len(column)), *column.shape[1:])
            self._columns[name][: self.size] = column[: self.size]
        self._lent = None
