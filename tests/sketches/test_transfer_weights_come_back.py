"""Mnemonics' network in a few lines: kernels stay, a factor for each is learned and comes back from the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cllab.engine import checkpoint, saved
from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.learner.phases import Group, Optim, Phase, Piece, Work
from cllab.methods.base import Batch, Method, MethodInfo, Task
from cllab.models import _transfer as transfer
from cllab.models.base import Network
from cllab.settings.config import RunConfig
from tests.conftest import Record
from tests.models.test_models import backbone


class Sketch(Method):
    """The first task trains everything, later ones the transfer weights alone."""

    info = MethodInfo(title="Sketch", uses_memory=False, replay="none")

    def learn(self, task: Task) -> Iterator[Piece]:
        model = self.learner.model
        if task.index == 0:
            yield Phase("stream", task.train)
            return
        yield Work(model.transfer)
        yield Phase("stream", task.train, optim=Optim((Group(model.transfer_parameters),), key="transfer"))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross-entropy": batch.cross_entropy(self.learner.model(batch.x))}


def made() -> Session:
    tables: dict[str, Any] = {
        "device": "cpu",
        "dataset": {"name": "digits"},
        "scenario": {"tasks": 2, "stream": "online"},
        "model": {"name": "slim-resnet18", "filters": 4},
        "method": {"name": "finetune"},
    }
    session = Session(RunConfig.from_dict(tables), Record(), Control())
    session.method = session.loop.method = Sketch(None, session.learner)
    session.start()
    return session


def test_a_network_with_transfer_weights_is_rebuilt_from_its_checkpoint() -> None:
    session = made()
    learner = session.learner
    session._task(session.stream.tasks[0])
    session._begin_task(session.stream.tasks[1])
    model = learner.model.eval()
    x = learner.normalize(session.stream.tasks[1].train.fetch(torch.arange(16)))
    before, kernels = model(x), {n: p.detach().clone() for n, p in model.named_parameters() if p.dim() == 4}
    session.loop.begin()
    work, phase = session.method.learn(session.stream.tasks[1])
    session.go(session.stream.tasks[1], work)
    model.eval()
    assert torch.allclose(model(x), before, atol=1e-5), "factors of 1, to begin with"
    found: list[set[str]] = []
    session.method.after_backward = lambda batch: found.append(  # type: ignore[method-assign]
        {n for n, p in model.named_parameters() if p.grad is not None}
    )
    session.go(session.stream.tasks[1], phase)
    wanted = {n for n, p in model.named_parameters() if n.endswith(("factor", "shift"))}
    assert wanted
    assert all(names == wanted for names in found), "only transfer weights get gradients"
    originals = {n: p for n, p in model.named_parameters() if n.endswith("original")}
    assert len(originals) == len(kernels)
    assert not any(p.requires_grad for p in originals.values())
    for name, kernel in kernels.items():
        assert torch.equal(originals[name.replace("weight", "parametrizations.weight.original")], kernel)
    model.eval()
    assert not torch.allclose(model(x), before, atol=1e-3), "they have learned"

    del session.method.after_backward
    state = saved.collect(session)
    again = made()
    saved.restore(again, state)
    now = again.learner.model.eval()
    assert now.structure == model.structure
    assert torch.equal(now(x), model(x))
    assert [p.requires_grad for p in now.parameters()] == [p.requires_grad for p in model.parameters()]
    assert {n for n, p in now.named_parameters() if p.grad is not None} == set()


def test_one_factor_a_kernel() -> None:
    net = backbone("resnet32", (3, 16, 16))
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    kernels = sum(m.in_channels * m.out_channels for m in convs)
    transfer.apply(net)
    transfer.apply(net)
    factors = transfer.parameters(net)
    assert sum(p.numel() for p in factors) == kernels
    assert all(m.weight.shape == (m.out_channels, m.in_channels, *m.kernel_size) for m in convs)


def test_a_factor_scales_its_kernel_and_a_shift_its_bias() -> None:
    layer: Any = nn.Sequential(nn.Conv2d(2, 3, 3))
    kernel, bias, x = layer[0].weight.detach().clone(), layer[0].bias.detach().clone(), torch.randn(1, 2, 5, 5)
    transfer.apply(layer)
    factor, shift = transfer.parameters(layer)
    with torch.no_grad():
        factor.copy_(torch.arange(6.0).view(3, 2, 1, 1))
        shift.copy_(torch.tensor([0.1, 0.2, 0.3]))
    want = nn.functional.conv2d(x, kernel * torch.arange(6.0).view(3, 2, 1, 1), bias + torch.tensor([0.1, 0.2, 0.3]))
    assert torch.allclose(layer(x), want, atol=1e-5)


def test_behind_a_frozen_front_what_is_left_gets_transfer_weights_and_both_come_back() -> None:
    network = Network(backbone("slim-resnet18", (3, 8, 8), filters=4), 3)
    other = Network(backbone("slim-resnet18", (3, 8, 8), filters=4), 3)
    other.cut("stage1")
    other.transfer()
    with pytest.raises(ValueError, match="before it is given them"):
        other.freeze()
    network.cut("stage2")
    network.freeze()
    network.transfer()
    with torch.no_grad():
        for p in network.transfer_parameters():
            p.uniform_(0.5, 1.5)
    network.eval()
    stored = checkpoint.encode(network)

    def rebuild(weights: dict[str, Any], structure: dict[str, Any]) -> Network:
        fresh = Network(backbone("slim-resnet18", (3, 8, 8), filters=4), 3)
        fresh.rebuild(structure)
        fresh.load_state_dict(weights)
        return fresh

    again, x = checkpoint.decode(stored, None, rebuild), torch.randn(2, 3, 8, 8)
    assert torch.equal(again(x), network(x))
    assert not any("stage1" in n for n, _ in again.named_parameters())
