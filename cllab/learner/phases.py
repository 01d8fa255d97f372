"""What a task is made of: phases of training, work between them, and offers to the memory.

A method's `learn` yields them in their order; the engine does them, journals them, goes on with the one that was
interrupted, and draws the progress bar from the same list, which it walks once beforehand without doing anything. So
between two of them nothing may be done or drawn: what changes something is `Work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cllab.data.base import Split
from cllab.learner.batch import Batch, Replay

Loss = Callable[[Batch], dict[str, Tensor]]
Lives = Literal["phase", "task", "run"]


@dataclass(frozen=True)
class Group:
    """Weights that learn alike.

    Attributes:
        parameters: which, looked up when the optimizer is made.
        factor: of the learning rate.
        decay: weight decay; None for that of `[train]`.
    """

    parameters: Callable[[], Iterable[nn.Parameter]]
    factor: float = 1.0
    decay: float | None = None


@dataclass(frozen=True)
class Optim:
    """What moves the weights of a phase. Gradients go to these weights alone.

    Attributes:
        groups: what is moved; empty for every weight of the model.
        name: the optimizer; empty for that of `[train]`.
        lr: a constant rate, without momentum's or the schedule's say; None for the rate of `[train]`.
        lives: how long what it has gathered (momentum, moments) is kept. With "run" it follows an output layer that
            grows: new rows begin at zero.
        key: phases that live as long and have the same key share one.
    """

    groups: tuple[Group, ...] = ()
    name: Literal["", "sgd", "adam", "adamw", "radam"] = ""
    lr: float | None = None
    lives: Lives = "task"
    key: str = ""


@dataclass(frozen=True)
class Phase:
    """Training on some samples.

    Attributes:
        name: "stream" and "memory" follow the `[train]` table; others name `epochs`.
        data: what is trained on, a split or what makes it when the phase begins; None for what the memory holds.
        size: how many samples `data` will make, where it is made later and is not the memory.
        replay: how the memory is mixed in.
        epochs, batch_size: the `[train]` table's by default; in its place `train.steps`, where that is given, tells how
            long the phase "stream" takes.
        drop_last: leave out a last batch that is not full (unless it is the only one).
        loss: the method's by default; with one of its own, every batch is one plain step.
        optim: what moves the weights.
        train_mode: False keeps the model in eval mode.
        cutmix: False keeps the images whole.
    """

    name: str
    data: Split | Callable[[], Split] | None = None
    size: int | None = None
    replay: Replay = "none"
    epochs: int | None = None
    batch_size: int | None = None
    drop_last: bool = True
    loss: Loss | None = None
    optim: Optim = Optim()
    train_mode: bool = True
    cutmix: bool = True


@dataclass(frozen=True)
class Work:
    """Whatever is done between phases: skipped when the task is resumed after it, done again when stopped inside.

    Attributes:
        do: the work.
        name: what a pass over data is called in it that nobody has named.
    """

    do: Callable[[], None]
    name: str = ""


@dataclass(frozen=True)
class Offer:
    """The memory is offered samples, and what it holds then is told and kept as a picture.

    Attributes:
        split: the samples, or what makes them then; None where the memory has had them at every step.
    """

    split: Split | Callable[[], Split] | None = None


Piece = Phase | Work | Offer
