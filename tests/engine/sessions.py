"""Sessions on the toy stream, opened in the middle: for tests that look into a phase."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from cllab.data.base import Split
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.learner.phases import Offer, Piece, Work
from tests.conftest import Record, toy


def begun(method: str = "finetune", /, **tables: Any) -> Session:
    """A session inside its first task, before the first batch."""
    session = Session(toy(method, **tables), Record(), Control())
    session.start()
    session.loop.begin()
    session.loop.do(lambda: session._begin_task(session.stream.tasks[0]))
    begin(session)
    # wide enough for samples of any task
    session.learner.seen = tuple(range(session.stream.n_classes))
    session.learner.model.grow(session.stream.n_classes)
    session.loop.optimizers.drop("task")
    return session


def pieces(session: Session, index: int | None = None) -> list[Piece]:
    """What the method would do to learn the current task."""
    task = session.stream.tasks[session.learner.task if index is None else index]
    return list(session.method.learn(task))


def begin(session: Session) -> None:
    """What a method does at a task before the first batch."""
    task = session.stream.tasks[session.learner.task]
    for piece in itertools.takewhile(lambda p: isinstance(p, Work), pieces(session)):
        session.go(task, piece)


def rehearse(session: Session, index: int | None = None) -> None:
    """What a method does at a task after the memory was offered it."""
    task = session.stream.tasks[session.learner.task if index is None else index]
    whole = pieces(session, index)
    offered = next(i for i, piece in enumerate(whole) if isinstance(piece, Offer))
    for piece in whole[offered + 1 :]:
        session.go(task, piece)


def close(session: Session, index: int | None = None) -> None:
    """The last thing that a method does at a task."""
    last = pieces(session, index)[-1]
    assert isinstance(last, Work)
    last.do()


def walked(method: str = "finetune", /, **tables: Any) -> tuple[Session, Record]:
    """A session at its end, and what it said."""
    record = Record()
    session = Session(toy(method, **tables), record, Control())
    session.start()
    session.walk()
    return session, record


def everything(session: Session, n: int) -> Split:
    """The first `n` training samples of the whole stream, task after task."""
    from cllab.data.base import join

    splits = [task.train for task in session.stream.tasks]
    whole = splits[0]
    for split in splits[1:]:
        whole = join(whole, split)
    return whole.subset(torch.arange(n))


def watch(session: Session, note: Callable[[Batch], None]) -> None:
    """Call `note` with every batch that is learned."""
    after = session.method.after_step

    def noting(batch: Batch) -> None:
        note(batch)
        after(batch)

    session.method.after_step = noting  # type: ignore[method-assign]


def learned(session: Session, work: Callable[[], None]) -> list[Batch]:
    """The batches that are learned while `work` runs."""
    batches: list[Batch] = []
    watch(session, batches.append)
    work()
    return batches
