"""A run being set up: what follows from a choice, what is refused, and the command that does the same."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cllab.errors import UsageError
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.tui.draft import Base, Draft
from cllab.tui.rows import GROUPS, first_rows, group_rows, picks
from cllab.tui.starts import read_base, read_start, recall, shipped_paths, starts
from cllab.tui.words import parse_seeds, seeds_text, written
from tests.tui.catalog_fixture import CATALOG

PLAIN: dict[str, Any] = {"method": {"name": "plain"}, "dataset": {"name": "mnist"}}


def draft(**tables: Any) -> Draft:
    given = {**PLAIN, **tables}
    return Draft.of(given, CATALOG, base=Base("base", given))


def test_what_is_chosen_is_in_the_config() -> None:
    chosen = draft().set("method.count", 7).set("train.lr", 0.2)
    assert chosen.config.method.values["count"] == 7
    assert chosen.config.train.lr == 0.2
    assert chosen.is_changed("method.count")
    assert not chosen.is_changed("method.share")


def test_a_value_set_back_to_its_default_is_not_said() -> None:
    assert "train" not in draft().set("train.lr", 0.2).set("train.lr", 0.05).given


def test_another_component_drops_what_only_the_first_one_has() -> None:
    chosen = draft(method={"name": "plain", "count": 7}, memory={"capacity": 50}).set("method.name", "replayer")
    assert chosen.given["method"] == {"name": "replayer"}
    assert chosen.given["memory"] == {"capacity": 50}


def test_the_outline_of_a_stream_is_carried_over() -> None:
    chosen = draft(scenario={"tasks": 2, "stream": "online"}).set("scenario.name", "task-incremental")
    assert chosen.config.scenario.values == {"tasks": 2, "stream": "online"}


def test_the_model_follows_the_dataset_until_one_is_chosen() -> None:
    assert draft().set("dataset.name", "photos").config.model.name == "big"
    assert draft(model={"name": "small"}).set("dataset.name", "photos").config.model.name == "small"


def test_a_choice_mends_what_it_breaks_and_says_so() -> None:
    chosen, notes = draft(dataset={"name": "photos"}, model={"name": "big"}).choose("dataset.name", "digits")
    assert chosen.problems == ()
    assert chosen.config.model.name == "small"
    assert len(notes) == 1
    assert "model.name is now small (was big)" in notes[0]
    assert "32 pixels" in notes[0]


def test_a_memory_that_is_too_large_shrinks_with_the_data() -> None:
    chosen, notes = draft(memory={"capacity": 5000}).choose("dataset.name", "digits")
    assert chosen.config.memory.common["capacity"] <= 1000
    assert "memory.capacity" in notes[0]


def test_an_online_stream_ends_epochs() -> None:
    chosen, notes = draft(train={"epochs": 5}).choose("scenario.stream", "online")
    assert chosen.config.train.epochs == 1
    assert notes == ("train.epochs is now 1 (was 5): an online stream is read once",)


def test_what_was_just_typed_is_never_changed_behind_ones_back() -> None:
    chosen, notes = draft(scenario={"stream": "online"}).choose("train.epochs", 5)
    assert chosen.config.train.epochs == 5
    assert notes == ()
    assert chosen.problems[0].startswith("train.epochs = 5")


def test_what_cannot_work_is_blocked_with_the_reason() -> None:
    assert "gives no task labels" in draft().blocked("method.name", "labelled")
    assert draft(scenario={"name": "task-incremental"}).blocked("method.name", "labelled") == ""
    assert "32 pixels" in draft().blocked("model.name", "big")
    assert "it has no rank" in draft(method={"name": "replayer"}).blocked("memory.name", "ranked")
    assert draft().blocked("method.name", "replayer") == ""


def test_a_problem_elsewhere_blocks_nothing() -> None:
    broken = draft(train={"epochs": 5}, scenario={"stream": "online"})
    assert broken.problems
    assert broken.blocked("method.name", "replayer") == ""


def test_picks_carry_reasons_and_papers() -> None:
    found = {p.name: p for p in picks(draft(), "method.name")}
    assert found["labelled"].reason
    assert not found["replayer"].reason
    assert "arXiv:1234.56789" in found["plain"].about


def test_every_declared_key_has_a_row_exactly_once() -> None:
    chosen = draft()
    keys = [r.key for r in first_rows(chosen)] + [r.key for t in GROUPS for r in group_rows(chosen, t)]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(chosen.values)


def run_line(line: str) -> RunConfig:
    """What the command line would train, from its own words."""
    words = shlex.split(line)
    assert words[:3] == ["cllab", "run", "--headless"]
    base = read_base(words[3])
    assert base is not None
    sets = [words[i + 1] for i, w in enumerate(words) if w == "--set"]
    return RunConfig.from_dict(base.given, load(), default_name=words[3]).override(sets)


# of streams and latents that not every dataset and augmentation can have, these steps would be refused on the way
FREE = [path for path in shipped_paths() if path.parent.name not in ("ar1-latent-replay", "latents")]


@pytest.mark.parametrize("path", FREE[:6] + FREE[-4:], ids=lambda p: p.stem)
def test_the_line_does_what_the_form_says(path: Path) -> None:
    chosen = read_start(path, shipped=True).draft(load())
    assert chosen.command() == f"cllab run --headless {path.stem}"
    steps = (
        ("method.name", "ewc"),
        ("method.strength", 12.5),
        ("dataset.name", "fashion-mnist"),
        ("scenario.name", "disjoint"),
        ("scenario.tasks", 2),
        ("train.augment", ("cutmix", "flip")),
        ("train.nesterov", False),
        ("evaluate.future", True),
        ("fidelity", "reference"),
        ("name", "my own [run]"),
    )
    for key, value in steps:
        chosen, _ = chosen.choose(key, value)
        assert run_line(chosen.command()).to_dict() == chosen.config.to_dict(), key
    assert "--seeds 1-3" in chosen.with_seeds((1, 2, 3)).command()


@pytest.mark.parametrize("value", ["plain", "1", "true", "a b", "", "it's", "[x]", 3, 0.1, True, None, ("a", "b")])
def test_a_written_value_is_read_back(value: Any) -> None:
    text = written(value)
    read = RunConfig.from_dict({"method": {"name": "finetune"}, "dataset": {"name": "digits"}}, load())
    if isinstance(value, str):
        assert read.override([f"about={text}"]).about == value
    elif isinstance(value, tuple):
        assert tomllib.loads(f"v = {text}")["v"] == list(value)
    elif value is None:
        assert text == "none"
    else:
        assert tomllib.loads(f"v = {text}")["v"] == value


def test_a_saved_preset_is_the_draft_again(tmp_path: Path) -> None:
    chosen = (
        read_start(shipped_paths()[0], shipped=True).draft(load()).set("method.name", "ewc").set("method.strength", 5.0)
    )
    path = tmp_path / "mine.toml"
    path.write_text(chosen.to_toml(name="mine", about='a "quoted" sentence'))
    again = read_start(path, shipped=False).draft(load())
    ours, theirs = chosen.config.to_dict(), again.config.to_dict()
    assert {**theirs, "name": "", "about": ""} == {**ours, "name": "", "about": ""}
    assert again.config.about == 'a "quoted" sentence'
    assert [s.name for s in starts([str(path), str(tmp_path / "gone.toml")]) if not s.shipped] == [str(path)]


def test_the_name_tells_what_it_is() -> None:
    chosen = read_start(shipped_paths()[0], shipped=True).draft(load())
    assert chosen.name == "quickstart"
    assert chosen.set("train.lr", 0.1).name == "quickstart"
    assert chosen.set("method.name", "er").name == "er-digits"
    assert chosen.set("method.name", "er").set("name", "mine").name == "mine"


def test_configs_are_checked_and_one_per_seed() -> None:
    assert [c.seed for c in draft().with_seeds((3, 5)).configs()] == [3, 5]
    with pytest.raises(UsageError, match=r"train\.epochs"):
        draft(train={"epochs": 5}, scenario={"stream": "online"}).configs()


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", (1,)), ("1-3", (1, 2, 3)), ("7,1-2", (7, 1, 2)), (" 1 , 1 ", (1,)), ("0", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds
    assert parse_seeds(seeds_text(seeds)) == seeds


@pytest.mark.parametrize("text", ["", "x", "3-1", "1-", "-1", "1,,2", "0-1000000", "99999999999"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="must"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"setup": 3},
        {"setup": {}},
        {"setup": {"method": {"name": "gone"}, "dataset": {"name": "digits"}}},
        {"setup": {"method": "er", "dataset": {"name": "digits"}}},
        {"setup": {"method": {"name": "er"}, "dataset": {"name": "digits"}}, "seeds": "x"},
        {"setup": {"method": {"name": "er"}, "dataset": {"name": "digits"}, "train": {"lr": "fast"}}},
    ],
)
def test_a_remembered_setup_that_makes_no_sense_is_forgotten(broken: dict[str, Any]) -> None:
    assert recall(broken, load()) is None


def test_a_remembered_setup_comes_back() -> None:
    chosen = read_start(shipped_paths()[0], shipped=True).draft(load()).set("train.lr", 0.1).with_seeds((1, 2))
    again = recall(chosen.remembered(), load())
    assert again is not None
    assert again.command() == chosen.command()


def test_a_cut_is_one_of_the_parts_of_the_chosen_network() -> None:
    draft = Draft.of({"method": {"name": "er"}, "dataset": {"name": "mnist"}, "model": {"name": "mlp"}}, load())
    found = draft.field("model.cut")
    assert found is not None
    assert found.choices == ("", "hidden1", "hidden2")
    more = draft.set("model.layers", 3).field("model.cut")
    assert more is not None
    assert more.choices == ("", "hidden1", "hidden2", "hidden3")
    frozen, said = draft.choose("model.front", "frozen")
    assert frozen.values["model.cut"] == "hidden1", "a front ends somewhere"
    assert any("cut" in line for line in said)
    assert not frozen.problems
