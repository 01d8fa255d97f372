"""What CONTRIBUTING.md says works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import cllab
import cllab.memory
from cllab.memory.base import Payload
from cllab.settings import presets, registry
from tests.memory.stores import make_learner, split_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_map_has_every_room_and_no_other() -> None:
    told = {
        name.rstrip("/")
        for row in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
        for name in re.findall("`(.*?)`", row)
    }
    package = Path(cllab.__path__[0])
    rooms = {p.name for p in package.iterdir() if (p / "__init__.py").is_file()}
    modules = {p.name for p in package.glob("[a-z]*.py")}
    assert told == rooms | modules
    tested = {p.parent.relative_to(ROOT / "tests").parts[0] for p in ROOT.glob("tests/*/test_*.py")}
    assert rooms - {"io"} <= tested
    whole = {"test_contributing.py", "test_imports.py", "test_packages.py", "test_readme.py", "test_units.py"}
    assert {p.name for p in ROOT.glob("tests/test_*.py")} == whole | {"test_metrics.py"}


def test_the_policy_is_found_described_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"<!-- policy -->\n```python\n(.*?)```\n<!-- /policy -->", TEXT, re.DOTALL)
    assert found is not None
    (tmp_path / "first_seen.py").write_text(found[1])
    monkeypatch.setattr(cllab.memory, "__path__", [*cllab.memory.__path__, str(tmp_path)])
    policy = registry.component("memory", "first-seen")
    spec = registry.describe("memory", "first-seen", policy)
    assert spec.title == "First seen"
    assert spec.summary.startswith("The samples that came first")
    memory = policy(policy.Config(), 12, Payload("images", (1, 2, 2)), torch.device("cpu"))
    learner = make_learner(memory)
    for first in (0, 10, 20):
        memory.update(split_of(torch.arange(10) % 3, first=first), learner)
    assert memory.columns["ids"].tolist() == list(range(12))


def test_every_file_and_command_that_it_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / link).is_file(), link
    for script in re.findall(r"python (tests/\S+\.py)", TEXT):
        assert (ROOT / script).is_file(), script
    for name, word in re.findall(r"pytest -n 0 (\S+\.py) -k (\w+)", TEXT):
        assert re.search(rf"^def test_\w*{word}", (ROOT / name).read_text(), re.MULTILINE), name


def test_what_it_trains_can_be_trained() -> None:
    commands = re.findall(r"^cllab run --headless (\S+)((?: --set \S+)+)", TEXT, re.MULTILINE)
    assert len(commands) == 3
    own = ROOT / "tests/sketches/der_plus_plus.py"
    for preset, sets in commands:
        asked = sets.replace("my_method.py", str(own)).replace("first-seen", "random").split(" --set ")[1:]
        presets.load(preset).config.override(asked)
