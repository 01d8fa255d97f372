"""Every head against the contract, and each against its formula by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cllab.engine import checkpoint
from cllab.errors import UsageError
from cllab.models.base import Network
from cllab.models.heads.base import Head, head_class, kinds
from cllab.models.heads.consolidated import Consolidated
from cllab.models.heads.nearest_mean import NearestMean
from tests.models.test_models import backbone

KINDS = ["consolidated", "cosine", "linear", "nearest-mean", "normed", "unbiased"]


def head(kind: str, width: int = 6, n_classes: int = 4) -> Any:
    torch.manual_seed(0)
    made = head_class(kind)(width, n_classes)
    if isinstance(made, NearestMean):
        made.add(torch.randn(40, width), torch.arange(40) % n_classes)
    return made


def test_heads_are_found_by_their_files() -> None:
    assert kinds(own=False) == KINDS
    assert {kind: head_class(kind).kind for kind in KINDS} == {kind: kind for kind in KINDS}
    with pytest.raises(UsageError, match="no head 'cosin'; did you mean 'cosine'"):
        head_class("cosin")


@pytest.mark.parametrize("kind", KINDS)
def test_growing_keeps_what_is_known_of_old_classes_and_answers_for_more(kind: str) -> None:
    made = head(kind).train()
    features = torch.randn(32, 6)
    made.scores(features)
    made.eval()
    before, rows = made.scores(features).detach(), made.rows.detach().clone()
    made.grow(7)
    assert (made.n_classes, made.training) == (7, False)
    assert made.rows.shape == (7, 6)
    assert torch.allclose(made.scores(features)[:, :4], before, atol=1e-6)
    assert torch.equal(made.rows[:4], rows)
    if kind != "nearest-mean":
        assert made.rows[4:].std() > 0
    made.grow(3)
    assert made.n_classes == 7, "a head never shrinks"


@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_can_be_given(kind: str) -> None:
    made, new = head(kind).eval(), torch.randn(2, 6)
    made.grow(6, init=new)
    assert torch.allclose(made.rows[4:], new)
    again = head(kind).eval()
    again.grow(6)
    assert torch.equal(made.rows[:4], again.rows[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_any_head_comes_back_from_its_checkpoint(kind: str) -> None:
    network = Network(backbone("mlp", (1, 4, 4), width=6), 4, head=kind)
    network.reset_head(3, kind)
    network.grow(5)
    for name, value in network.head.state_dict(keep_vars=True).items():
        if not name.endswith("tracked"):
            value.data.uniform_(0.5, 1.5)
    network.eval()
    stored = checkpoint.encode(network)
    assert stored["structure"]["head"] == kind

    def rebuild(weights: dict[str, Any], structure: dict[str, Any]) -> Network:
        fresh = Network(backbone("mlp", (1, 4, 4), width=6), 2)  # another head: the structure decides
        fresh.rebuild(structure)
        fresh.load_state_dict(weights)
        return fresh

    again = checkpoint.decode(stored, None, rebuild)
    x = torch.randn(5, 1, 4, 4)
    assert type(again.head) is type(network.head)
    assert torch.equal(again(x), network(x))


def test_a_frozen_row_stays_frozen_when_classes_come() -> None:
    made = head("linear")
    made.weight.requires_grad_(False)
    made.grow(6)
    assert not made.weight.requires_grad
    assert made.bias.requires_grad


def test_one_of_your_own_is_known_by_the_name_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from cllab.models.heads import base

    monkeypatch.setattr(base, "_KNOWN", dict(base._KNOWN))

    class Mine(Head, kind="mine"):
        def __init__(self, width: int, n_classes: int) -> None:
            super().__init__(width, n_classes)
            self.centers = nn.Parameter(torch.zeros(n_classes, width))

        @property
        def rows(self) -> Tensor:
            return self.centers

        def scores(self, features: Tensor) -> Tensor:
            return -torch.cdist(features, self.centers)

    network = Network(backbone("mlp", (1, 4, 4), width=6), 3, head="mine")
    network.grow(5)
    assert network(torch.randn(2, 1, 4, 4)).shape == (2, 5)
    assert network.structure["head"] == "mine"
    with pytest.raises(TypeError, match="there is a built-in head 'cosine'"):
        type("Second", (Head,), {}, kind="cosine")
    with pytest.raises(TypeError, match="Third needs a name"):
        type("Third", (Head,), {})


# -- formulas


def test_linear_and_unbiased_scores() -> None:
    f = torch.randn(5, 6)
    for kind in ("linear", "unbiased"):
        made = head(kind)
        bias = made.bias if kind == "linear" else 0.0
        assert torch.allclose(made.scores(f), f @ made.weight.T + bias, atol=1e-6)
    assert head("unbiased").bias is None


def test_cosine_scores_and_their_learned_factor() -> None:
    made, f = head("cosine"), torch.randn(5, 6)
    assert made.sigma.item() == 1.0
    with torch.no_grad():
        made.sigma.fill_(3.0)
    by_hand = torch.tensor([[3 * (a @ b / (a.norm() * b.norm())).item() for b in made.rows] for a in f])
    assert torch.allclose(made.scores(f), by_hand, atol=1e-5)
    assert torch.allclose(made.scores(7 * f), by_hand, atol=1e-5), "length says nothing"
    F.cross_entropy(made.scores(f), torch.arange(5) % 4).backward()
    assert float(made.sigma.grad.abs()) > 0
    made.grow(6)
    assert made.sigma.item() == 3.0


def test_nearest_mean_scores() -> None:
    made = head_class("nearest-mean")(2, 3)
    made.add(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 0, 2]))
    made.add(torch.tensor([[4.0, 0.0]]), torch.tensor([0]))
    assert made.rows.tolist() == [[2.0, 0.0], [0.0, 0.0], [0.0, 5.0]]
    scores = made.scores(torch.tensor([[2.0, 1.0]]))
    assert scores[0, [0, 2]].tolist() == pytest.approx([-1.0, -20.0], abs=1e-5)
    assert scores[0, 1] == float("-inf"), "a class without a mean is never named"


def consolidated(n_classes: int = 3) -> Consolidated:
    made = head("consolidated", 2, n_classes)
    assert isinstance(made, Consolidated)
    return made


def test_consolidated_rows_answer_and_trained_ones_learn() -> None:
    made, f = consolidated(), torch.randn(4, 2)
    made.train()
    assert torch.allclose(made.scores(f), f @ made.weight.T)
    made.stored[1] = torch.tensor([7.0, 8.0])
    made.past[1] = 5
    assert torch.allclose(made.scores(f), f @ made.weight.T, atol=1e-6)
    made.eval()
    want = made.weight.detach().clone()
    want[1] = torch.tensor([7.0, 8.0])
    assert torch.allclose(made.scores(f), f @ want.T, atol=1e-5)
    assert torch.equal(made.rows, want)


def test_a_batch_begins_at_zero_but_for_classes_that_recur() -> None:
    made = consolidated()
    made.stored.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]))
    made.past.copy_(torch.tensor([4.0, 4.0, 0.0]))
    made.reload(torch.tensor([True, False, True]))
    assert made.weight.tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_the_consolidated_row_is_the_weighted_mean_of_past_and_new() -> None:
    """Spec, closed form: at wp = 5 the new row has a share of 1/6."""
    made = consolidated()
    made.stored.copy_(torch.tensor([[6.0, 0.0], [9.0, 9.0], [0.0, 0.0]]))
    made.past.copy_(torch.tensor([250.0, 3.0, 0.0]))
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0, 7.0], [1.0, 1.0], [4.0, 2.0]]))
    made.consolidate(torch.tensor([10.0, 0.0, 20.0]), torch.tensor([5.0, 5.0, 5.0]), torch.tensor(1.0))
    assert made.stored[0].tolist() == pytest.approx([5.0, 1.0])  # (5 * 6 + 0) / 6, (5 * 0 + 6) / 6
    assert made.stored[1].tolist() == [9.0, 9.0], "not trained on"
    assert made.stored[2].tolist() == [3.0, 1.0], "its first row is the new one alone"
    assert made.past.tolist() == [260.0, 3.0, 20.0]


def test_a_copy_of_a_network_has_a_head_of_its_own() -> None:
    network = Network(backbone("mlp", (1, 4, 4)), 3, head="cosine")
    again = copy.deepcopy(network)
    again.grow(5)
    assert (network.n_classes, again.n_classes) == (3, 5)
    assert torch.equal(network.head.rows, again.head.rows[:3])
