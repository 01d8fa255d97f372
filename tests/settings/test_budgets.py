"""A memory's size in bytes: how many samples that is, that they fit, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cllab.engine.control import Control
from cllab.engine.run import Session
from cllab.errors import UsageError
from cllab.settings import catalog
from cllab.settings.budgets import parse, sample_bytes
from cllab.settings.config import RunConfig
from cllab.study import tune
from cllab.tui.draft import Draft
from cllab.tui.rows import first_rows
from tests.conftest import Record, toy


def sized(method: str, size: object, /, **tables: Any) -> RunConfig:
    """A toy experiment with a memory of `size` bytes."""
    return toy(method, **tables).override([f"memory.bytes={size}"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("820 B", 820),
        ("1.5 kB", 1500),
        ("1.5MB", 1_500_000),
        (" 2 GB ", 2 * 10**9),
        ("1 KiB", 1024),
        ("1.5 MiB", 3 * 2**19),
        ("0.3 kB", 300),
        ("1.0005 kB", 1000),
    ],
)
def test_what_is_a_size(text: str, expected: int) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1.5", "1.5 B", "0 MB", "-1 MB", "1 mb", "1 M", "MB", "1e6 B", "nan B", "9" * 5000]
)
def test_what_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"^memory\.bytes = .* is no size: write a number above 0 and B, kB, MB"
    ) as found:
        parse(text)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 250


@pytest.mark.parametrize("given", [3000, "3 kB", "3000 B"])
def test_a_number_is_bytes(given: Any) -> None:
    assert sized("er", given).memory.common["capacity"] == 3000 // (36 + 32)


@pytest.mark.parametrize(
    ("method", "memory", "each"),
    [
        ("er", {"name": "reservoir"}, 36 + 32),
        ("rm", {"name": "uncertainty"}, 36 + 32 + 4),
        ("icarl", {"name": "prototype"}, 36 + 32 + 4),
        ("bcl-dual", {"name": "ring"}, 36 + 32 + 4 * 10),
    ],
)
def test_as_many_samples_are_held_as_fit(method: str, memory: dict[str, Any], each: int) -> None:
    """The rule is what the memory says of itself once it is full."""
    asked = 50 * each + each - 1
    train = {"memory_epochs": 0} if method == "bcl-dual" else {}
    session = Session(sized(method, asked, memory=memory, train=train), Record(), Control())
    session.start()
    session.walk()
    held = session.learner.memory
    assert session.config.capacity == 50
    assert len(held) == 50
    assert sum(held.bytes().values()) <= asked
    if method != "bcl-dual":  # whose newest task has no targets yet
        assert sum(held.bytes().values()) == 50 * each


def test_the_one_takes_the_place_of_the_other() -> None:
    plain = toy("er", memory={"capacity": 44})
    config = plain.override(["memory.bytes=3 kB"])
    assert config.memory.common == {"capacity": 44, "bytes": "3 kB"}
    assert config.signature == plain.signature, "it is the same experiment"
    assert config.override(["memory.capacity=7"]).memory.common == {"capacity": 7, "bytes": ""}
    again = RunConfig.from_toml(config.to_toml())
    assert again.memory.common == config.memory.common
    assert "bytes" not in plain.override([]).given["memory"]
    with pytest.raises(
        UsageError, match=r"memory\.bytes = '3 kB' and memory\.capacity = 9: only one .* 44 samples of 68 B"
    ):
        plain.override(["memory.bytes=3 kB", "memory.capacity=9"])


def test_a_method_that_needs_a_memory_is_given_what_fits_and_not_the_usual_size() -> None:
    assert sized("rm", "1 kB").capacity == 1000 // 72
    plain = {"dataset": {"name": "blobs"}, "method": {"name": "rm"}, "memory": {"bytes": 720}}
    assert RunConfig.from_dict(plain).capacity == 10


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"memory": {"bytes": "60 B"}}, r"^memory\.bytes = '60 B' holds no sample: one takes 68 B$"),
        ({"memory": {"bytes": "1 GB"}}, r"^memory\.bytes = '1 GB', which are \d+ samples, is larger than the data"),
        (
            {"memory": {"bytes": "1 kB"}, "model": {"name": "mlp", "cut": "layers.1"}},
            r"^memory\.bytes = '1 kB': how large a sample behind a cut of the network is cannot be told",
        ),
        (
            {"memory": {"bytes": "1 kB"}, "dataset": {"name": "imagefolder", "size": 0}},
            r"^memory\.bytes = '1 kB': how large a sample of 'imagefolder' is cannot be told .* set memory\.capacity",
        ),
    ],
)
def test_what_cannot_be_a_number_of_samples_is_refused(tables: dict[str, Any], expected: str) -> None:
    asked = {"dataset": {"name": "blobs"}, "method": {"name": "er"}, **tables}
    with pytest.raises(UsageError, match=expected):
        RunConfig.from_dict(asked)


def test_a_folders_images_are_as_large_as_they_are_made() -> None:
    for channels, planes in (("rgb", 3), ("gray", 1)):
        dataset = {"name": "imagefolder", "size": 20, "channels": channels}
        config = RunConfig.from_dict(
            {"dataset": dataset, "method": {"name": "er"}, "memory": {"bytes": "1 MB"}}, checked=False
        )
        assert sample_bytes(config) == planes * 400 + 32


def test_the_form_shows_how_many_they_are() -> None:
    draft = Draft.of(toy("er", memory={"capacity": 30}).given, catalog.load()).set("memory.bytes", "3 kB")
    assert draft.values["memory.capacity"] == 44
    (row,) = [r for r in first_rows(draft) if r.key == "memory.capacity"]
    assert (row.value, row.note) == (44, "samples: as many as 3 kB hold")
    assert not draft.problems
    assert draft.set("memory.capacity", 12).values["memory.bytes"] == ""


def test_settings_are_chosen_with_a_share_of_it() -> None:
    asked = sized("er", "3 kB", scenario={"name": "permuted", "tasks": 10, "samples": 60})
    assert tune.aside(asked, tasks=3).memory.common == {"capacity": 44 * 3 // 10, "bytes": ""}
