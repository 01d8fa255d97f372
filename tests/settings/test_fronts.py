"""Cuts, frozen fronts, latents and base stages: what is refused, and what leaves earlier runs' signatures alone."""

from __future__ import annotations

from typing import Any

import pytest

from cllab.errors import UsageError
from cllab.settings.config import RunConfig
from cllab.study.joint import problem_of

Tables = dict[str, dict[str, Any]]


def config(**tables: dict[str, Any]) -> RunConfig:
    return RunConfig.from_dict({"method": {"name": "er"}, "dataset": {"name": "mnist"}, **tables})


REFUSED: list[tuple[Tables, str]] = [
    (
        {"model": {"name": "mlp", "cut": "hiden1"}},
        r"^model\.cut = 'hiden1': .*hidden1, hidden2; did you mean 'hidden1'",
    ),
    ({"model": {"name": "mlp", "layers": 1, "cut": "hidden2"}}, r"^model\.cut .* it can be cut behind hidden1;"),
    ({"model": {"front": "frozen"}}, r"^model\.cut must say where the frozen front ends: one of hidden1, hidden2"),
    (
        {"model": {"cut": "hidden1", "front": "frozen"}, "train": {"augment": ["cutout"]}},
        r"^train\.augment asks for 'cutout', but latents .* model\.latents = 'fresh'",
    ),
    (
        {"model": {"cut": "hidden1", "front": "frozen"}, "train": {"base_augment": "crop-flip"}},
        r"^train\.base_augment asks for crop and flip",
    ),
    ({"base": {"on": "first-task", "classes": 3}}, r"^base\.classes = 3 belongs to base\.on = 'classes'"),
    ({"base": {"on": "classes"}, "scenario": {"name": "permuted"}}, r"^base\.on = 'classes' needs tasks with classes"),
    ({"base": {"on": "aside"}}, r"^base\.on = 'aside': 'mnist' sets no classes aside; use 'classes'"),
    ({"base": {"epoch": 3}}, r"^base\.epoch: no key 'epoch'; did you mean 'epochs'"),
]


@pytest.mark.parametrize(("tables", "message"), REFUSED, ids=[message[2:28] for _, message in REFUSED])
def test_what_cannot_work_is_refused_by_its_key(tables: Tables, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**tables)


def test_fresh_latents_may_be_of_augmented_images() -> None:
    config(model={"cut": "hidden1", "front": "frozen", "latents": "fresh"}, train={"augment": ["cutout"]})


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
def test_earlier_runs_keep_their_signature_and_their_joint_run(fidelity: Any) -> None:
    """Runs that were made before there was a base stage are still replicates of the same experiment."""
    now = config(fidelity=fidelity)
    before = now.to_dict()
    del before["base"]
    for key in ("cut", "front", "latents"):
        del before["model"][key]
    again = RunConfig.from_dict(before)
    assert again.signature == now.signature
    assert problem_of(before) == problem_of(now.to_dict())


def test_other_fronts_and_base_stages_are_other_experiments() -> None:
    now = config()
    assert config(fidelity="reference").signature != now.signature  # type: ignore[arg-type]
    apart = [
        config(base={"on": "first-task"}),
        config(base={"on": "first-task", "epochs": 3}),
        config(model={"cut": "hidden1"}),
        config(model={"cut": "hidden1", "front": "frozen"}),
        config(model={"cut": "hidden1", "front": "frozen", "latents": "fresh"}),
    ]
    assert len({c.signature for c in (now, *apart)}) == 6
    assert len({str(problem_of(c.to_dict())) for c in (now, *apart)}) == 6


def test_the_signature_is_that_of_the_versions_before() -> None:
    """A number written down when there was no base stage; every finished run on a disk has one like it."""
    assert RunConfig.from_dict({"method": {"name": "er"}, "dataset": {"name": "blobs"}}).signature == "c7c7b00c4b46"
