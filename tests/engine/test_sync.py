"""A step never waits for the device: nothing in it turns a tensor into a Python number or a shape, or sends it a list.

On a CPU such a wait costs nothing and is not seen, so the calls themselves are forbidden while a step is computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from cllab.engine.control import Control
from cllab.engine.meter import Meter
from cllab.engine.run import Session
from cllab.learner.batch import Batch
from cllab.learner.phases import Optim
from cllab.settings import catalog
from tests.conftest import Record, toy

DATA_DEPENDENT = {
    "aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero", "aten::nonzero_numpy",
    "aten::masked_select", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::bincount",
    "aten::equal", "aten::allclose", "aten::repeat_interleave",
}  # fmt: skip
"""Operators whose result is known to the host only when the device has got there."""

HOST = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__"}
"""Methods of a tensor that hand its values to Python; for some of them no operator is called."""


class WaitsError(AssertionError):
    """Something that would wait for a device."""


class _Host:
    """Which tensors live on the host whatever the device: draws of CPU generators, lists, and what is made of those."""

    def __init__(self) -> None:
        self._known = WeakIdKeyDictionary()  # type: ignore[no-untyped-call]

    def add(self, values: Any) -> None:
        for value in tree_leaves(values):
            if isinstance(value, torch.Tensor):
                self._known[value] = True

    def holds(self, *values: Any) -> bool:
        tensors = [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]
        return bool(tensors) and all(t in self._known for t in tensors)


KNOWN = _Host()
"""Weak, and kept between steps: a method may store what it drew."""


class _Operators(TorchDispatchMode):
    def __init__(self, host: _Host) -> None:
        super().__init__()
        self.host = host

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        local = self.host.holds(args, kwargs)
        if not local and name in DATA_DEPENDENT:
            raise WaitsError(name)
        if not local and name.startswith("aten::index"):
            index = [a for arg in args[1:2] for a in (arg if isinstance(arg, (list, tuple)) else [arg])]
            if any(isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in index):
                raise WaitsError(f"{name} with a mask")
        out = func(*args, **kwargs)
        if local or any(isinstance(leaf, torch.Generator) for leaf in tree_leaves((args, kwargs))):
            self.host.add(out)
        return out


class _Functions(TorchFunctionMode):
    def __init__(self, host: _Host) -> None:
        super().__init__()
        self.host = host

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in HOST and not self.host.holds(args[:1]):
            raise WaitsError(f"Tensor.{name}")
        out = func(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], torch.Tensor):
            if kwargs.get("device") is not None:
                raise WaitsError("a list sent to the device: a copy from memory that is not pinned waits")
            self.host.add(out)
        return out


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    with _Functions(KNOWN), _Operators(KNOWN):
        yield


FORBIDDEN = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "if": lambda x: 1 if (x > 0).any() else 0,
    "int": lambda x: list(range(int(x.sum()))),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
    "mask": lambda x: x[x > 0],
    "mask assignment": lambda x: x.__setitem__(x > 0, torch.zeros(3)),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: torch.bincount(x.long()),
    "equal": lambda x: torch.equal(x, x),
    "list": lambda x: torch.tensor([1.0], device=x.device),
}


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_the_guard_sees(name: str) -> None:
    x = torch.arange(4.0)
    FORBIDDEN[name](x)
    with pytest.raises(WaitsError), no_waiting():
        FORBIDDEN[name](x)


def test_the_guard_lets_ordinary_work_pass() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    with no_waiting():
        torch.where(x > 0, x, 0.0).index_select(0, torch.arange(2)).sum().backward()
        assert len(x) == 4
        draws = torch.rand(3, generator=torch.Generator())
        assert (draws * 2).numpy().shape == (3,), "the host draws, the host may look"
        assert torch.tensor([1, 2]).tolist() == [1, 2]


class _Step(contextlib.AbstractContextManager[None]):
    """Inside, everything between a batch and the report on it is guarded; evaluation and records are not."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.steps = 0

    def __enter__(self) -> None:
        session, method = self.session, self.session.method
        step, after_step, bias_loss = method.step, method.after_step, getattr(method, "_bias_loss", None)

        def guarded_step(batch: Batch, descend: Any) -> Any:
            self.steps += 1
            with no_waiting():
                return step(batch, descend)

        def guarded_loss(batch: Batch, loss: Any = method.loss) -> Any:
            self.steps += 1
            with no_waiting():
                return loss(batch)

        def guarded_after_step(batch: Batch) -> None:
            with no_waiting():
                after_step(batch)

        method.step = guarded_step  # type: ignore[method-assign]
        method.loss = guarded_loss  # type: ignore[method-assign]
        method.after_step = guarded_after_step  # type: ignore[method-assign]
        if bias_loss is not None:
            method._bias_loss = lambda batch: guarded_loss(batch, bias_loss)  # type: ignore[attr-defined]
        make = session.loop.optimizers.get

        def get(wanted: Optim) -> Any:
            optimizer, factors = make(wanted)
            if "step" in vars(optimizer):
                return optimizer, factors
            move = optimizer.step

            def guarded_move(*args: Any, **kwargs: Any) -> Any:
                with no_waiting():
                    return move(*args, **kwargs)

            optimizer.step = guarded_move  # type: ignore[method-assign]
            return optimizer, factors

        session.loop.optimizers.get = get  # type: ignore[method-assign]
        self.add = Meter.add

        def add(meter: Meter, terms: dict[str, torch.Tensor]) -> bool:
            with no_waiting():
                return self.add(meter, terms)

        Meter.add = add  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Meter.add = self.add  # type: ignore[method-assign]


WAITING: dict[str, str] = {"gem": "its quadratic program is solved on the host, once a step"}
"""Methods that cannot do without, and why."""

CASES = [(m, f) for m in catalog.load().names("method") if m not in WAITING for f in ("correct", "reference")]


@pytest.mark.parametrize(("method", "fidelity"), CASES)
def test_no_step_of_any_method_waits(method: str, fidelity: str) -> None:
    spec = catalog.load().get("method", method)
    labelled = "task-labels" in spec.facts["needs"]
    config = toy(
        method,
        fidelity=fidelity,
        scenario={"name": "task-incremental" if labelled else "disjoint", "tasks": 2},
        dataset={"per_class": 12, "n_classes": 4},
        memory={"capacity": 40},
        train={"batch_size": 8, "memory_epochs": 1 + 2 * spec.facts["memory_only"], "augment": ["cutmix"]},
    )
    session = Session(config, Record(), Control())
    guard = _Step(session)
    with guard:
        session.start()
        session.walk()
    assert guard.steps >= 5
    assert session.metrics()["last_accuracy"] >= 0


def test_a_method_that_reads_its_loss_is_caught() -> None:
    session = Session(toy("finetune", dataset={"per_class": 12}), Record(), Control())
    original = session.method.loss

    def loss(batch: Batch) -> Any:
        terms = original(batch)
        if terms["cross-entropy"] > 100:
            raise ValueError
        return terms

    session.method.loss = loss  # type: ignore[method-assign]
    session.start()
    with pytest.raises(WaitsError), _Step(session):
        session.walk()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", ["finetune", "rm", "er", "ewc", "rwalk", "icarl", "bic"])
def test_on_cuda_the_driver_sees_no_wait_either(method: str) -> None:
    config = toy(method, memory={"capacity": 40}, train={"memory_epochs": 1, "batch_size": 8}, scenario={"tasks": 2})
    session = Session(config.override(["device=cuda"]), Record(), Control())
    step = session.method.step

    def watched(batch: Batch, descend: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(batch, descend)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    session.method.step = watched  # type: ignore[method-assign]
    session.start()
    session.walk()
