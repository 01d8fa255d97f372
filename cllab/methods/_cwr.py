"""Consolidation of output rows: CWR, CWR+ and CWR*, as functions over a `Consolidated` head.

Lomonaco & Maltoni, CoRL 2017, arXiv:1705.03550 (CWR); Maltoni & Lomonaco, arXiv:1806.08568 (CWR+); Lomonaco, Maltoni &
Pellegrini, arXiv:1907.03799, Algorithm 2 (CWR*).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from cllab.errors import UsageError
from cllab.models.heads.consolidated import Consolidated

if TYPE_CHECKING:
    from cllab.data.base import Split
    from cllab.learner.learner import Learner

Rule = Literal["paper", "published"]


def check(learner: Learner) -> None:
    """Refuse settings under which consolidated rows would be lost.

    Raises:
        UsageError: naming the key.
    """
    if learner.settings.head == "reset":
        raise UsageError("train.head = 'reset' would draw the consolidated rows anew; use train.head = 'keep'")


def head(learner: Learner) -> Consolidated:
    """The head of the run's network."""
    found = learner.model.head
    assert isinstance(found, Consolidated)
    return found


def install(learner: Learner, n_classes: int) -> None:
    """Give the network a consolidated head of `n_classes`, where it has none; rows that were learned stay in it."""
    model = learner.model
    if isinstance(model.head, Consolidated):
        return
    before = model.head.rows.detach().clone()
    with learner.seeded("init"):
        model.reset_head(n_classes, "consolidated")
    with torch.no_grad():
        head(learner).weight[: len(before)] = before


def begin(learner: Learner, present: Tensor) -> Tensor:
    """Begin a batch: load the rows of the classes that are `present` (K,) bool. Returns the rows (K, D) of before."""
    of = head(learner)
    before = of.weight.detach().clone()
    of.reload(present)
    return before


def unless_trained(learner: Learner, began: int, before: Tensor) -> None:
    """Go back to the rows of `before` where no step was taken since step `began`: a base stage did the learning."""
    if learner.step == began and len(before):
        with torch.no_grad():
            head(learner).weight.copy_(before)


def counts(split: Split, n_classes: int) -> Tensor:
    """(K,) float: samples of every class."""
    return torch.bincount(split.labels, minlength=n_classes).float()


def end(of: Consolidated, current: Tensor, stored: Tensor, rule: Rule = "paper") -> tuple[Tensor, Tensor]:
    """Consolidate a batch by CWR*: cw = (wp cw + tw - g) / (wp + 1) with wp = sqrt(past / cur), g the mean of the rows.

    `rule = "published"` is the code behind the published figures: its list of classes holds one entry for every stored
    sample, so that g is weighted by them, and a row is consolidated as often as its class is in the list: the past
    counts (wp / (wp + 1))^m.

    Args:
        of: the head.
        current: (K,) samples of every class in the batch.
        stored: (K,) samples of every class in the memory that were replayed with it.
        rule: which of the two.

    Returns:
        (K,) the share of the past in every row, and (K,) whether it was consolidated.
    """
    cur = current + stored
    present = cur > 0
    wp = (of.past / cur.clamp(min=1)).sqrt()
    times = present.float()
    if rule == "published":
        times = stored + (current > 0)
        kept = (wp / (wp + 1)) ** times
        wp = kept / (1 - kept).clamp(min=1e-12)
    g = (of.weight.detach() * times.unsqueeze(1)).sum() / (times.sum() * of.width)
    share = torch.where(of.known & present, wp / (wp + 1), 0.0)
    of.consolidate(cur, wp, g)
    return share, present
