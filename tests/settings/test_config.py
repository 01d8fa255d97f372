"""Configurations: complete, checked, told in one line with file, line, key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cllab.errors import UsageError
from cllab.settings import catalog
from cllab.settings.config import RunConfig

GOOD = """name = "mine"
seed = 3

[dataset]
name = "digits"

[scenario]
name = "disjoint"
tasks = 5

[memory]
name = "reservoir"
capacity = 100

[method]
name = "ewc"
strength = 5

[train]
lr = 0.1
augment = ["cutmix"]
"""


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        RunConfig.from_toml(text, where="mine.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # unknown names
        ("strength = 5", "strenght = 5", ["mine.toml:17:", "method.strenght", "ewc", "did you mean 'strength'?"]),
        ("seed = 3", "sed = 3", ["mine.toml:2:", "no key 'sed'", "did you mean 'seed'?"]),
        ("[memory]", "[memroy]", ["mine.toml:11:", "no key 'memroy'", "did you mean 'memory'?"]),
        ("lr = 0.1", "learnrate = 0.1", ["mine.toml:20:", "train.learnrate", "known: epochs"]),
        ('name = "ewc"', 'name = "ewcc"', ["mine.toml:16:", "method.name", "no method 'ewcc'", "did you mean 'ewc'?"]),
        ('name = "digits"', 'name = "zzz"', ["mine.toml:5:", "no dataset 'zzz'", "known: ", "mnist"]),
        ('"cutmix"', '"cutmx"', ["mine.toml:21:", "train.augment", "'cutmx'", "cutmix", "did you mean 'cutmix'?"]),
        # wrong types
        ("lr = 0.1", 'lr = "fast"', ["mine.toml:20:", "train.lr must be a number", "'fast'"]),
        ("tasks = 5", "tasks = 2.5", ["mine.toml:9:", "scenario.tasks must be a whole number", "2.5"]),
        ("capacity = 100", "capacity = true", ["mine.toml:13:", "memory.capacity must be a whole number", "True"]),
        ("seed = 3", "seed = [1]", ["mine.toml:2:", "seed must be a whole number", "[1]"]),
        ('name = "ewc"', "name = 5", ["mine.toml:16:", "method.name must be text", "5"]),
        # out of range
        ("lr = 0.1", "lr = -1", ["mine.toml:20:", "train.lr must be a number from 0 to 100", "-1"]),
        ("lr = 0.1", "lr = nan", ["mine.toml:20:", "train.lr must be a finite number"]),
        ("capacity = 100", "capacity = -4", ["mine.toml:13:", "at least 0", "-4"]),
        ("tasks = 5", "tasks = 0", ["mine.toml:9:", "scenario.tasks", "at least"]),
        # what cannot work together
        ("tasks = 5", "tasks = 11", ["mine.toml:9:", "scenario.tasks = 11", "10 classes", "'digits'"]),
        ("capacity = 100", "capacity = 999999", ["mine.toml:13:", "memory.capacity = 999999", "larger than the data"]),
        ("seed = 3", 'device = "gpu"', ["mine.toml:2:", "device = 'gpu' must be auto, cpu, cuda"]),
    ],
)
def test_a_refusal_names_file_line_key_value_and_what_is_allowed(old: str, new: str, expected: list[str]) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    message = refusal(text)
    for part in expected:
        assert part in message, message


def test_an_online_stream_is_read_once() -> None:
    message = refusal(GOOD.replace("tasks = 5", 'stream = "online"').replace("lr = 0.1", "epochs = 5"))
    for part in ("mine.toml:20:", "train.epochs = 5", "an online stream is read once", "train.memory_epochs"):
        assert part in message


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (
            {"method": {"name": "icarl"}, "memory": {"capacity": 0}},
            "memory.capacity must be at least 1: method 'icarl'",
        ),
        (
            {"method": {"name": "gdumb"}, "memory": {"capacity": 0}},
            "memory.capacity must be at least 1: method 'gdumb'",
        ),
        ({"method": {"name": "gdumb"}}, "train.memory_epochs must be at least 1: method 'gdumb'"),
        (
            {"scenario": {"name": "disjoint", "stream": "offline"}, "train": {"memory_epochs": 3}},
            "belongs to online streams",
        ),
        (
            {"scenario": {"name": "disjoint", "stream": "offline"}, "evaluate": {"every": 3}},
            "belongs to online streams",
        ),
        ({"evaluate": {"top_k": 11}}, "evaluate.top_k = 11 is more than the 10 classes"),
        ({"model": {"name": "torchvision-resnet"}}, "needs images of at least 32 pixels, 'digits' has 8"),
    ],
)
def test_combinations_that_cannot_work_are_refused(tables: dict[str, Any], expected: str) -> None:
    base: dict[str, Any] = {
        "dataset": {"name": "digits"}, "method": {"name": "finetune"},
        "scenario": {"name": "disjoint", "stream": "online"},
    }  # fmt: skip
    with pytest.raises(UsageError) as caught:
        RunConfig.from_dict({**base, **tables})
    assert expected in str(caught.value)


def test_er_may_run_without_a_memory_because_that_is_its_inert_setting() -> None:
    config = RunConfig.from_dict({"dataset": {"name": "digits"}, "method": {"name": "er"}, "memory": {"capacity": 0}})
    assert config.memory.common["capacity"] == 0


def test_text_that_is_not_toml_and_tables_that_are_none() -> None:
    assert refusal("[method\n").startswith("mine.toml: not TOML: ")
    assert "method.name is missing" in refusal('[dataset]\nname = "digits"\n')
    assert "method must be a table: [method]" in refusal('method = "ewc"\n')


def test_what_is_not_said_follows_method_and_dataset() -> None:
    config = RunConfig.from_dict({"method": {"name": "icarl"}, "dataset": {"name": "mnist"}})
    assert config.memory.name == "prototype"
    assert config.memory.common["capacity"] == 200
    assert config.model.name == "mlp400"
    assert config.scenario.name == "disjoint"
    assert (
        RunConfig.from_dict({"method": {"name": "finetune"}, "dataset": {"name": "mnist"}}).memory.common["capacity"]
        == 0
    )


def test_reference_fidelity_takes_the_published_settings_where_none_is_given() -> None:
    data: dict[str, Any] = {"method": {"name": "rm"}, "dataset": {"name": "mnist"}, "fidelity": "reference"}
    config = RunConfig.from_dict(data)
    assert config.method.values["memory_batch"] == "half"
    assert config.memory.values["pick"] == "stride"
    assert config.memory.values["first_task"] == "random"
    assert (config.train.head, config.evaluate.report) == ("reset", "best")
    assert config.model.values["channels"] == 3
    given = RunConfig.from_dict({**data, "train": {"head": "keep"}, "memory": {"pick": "even"}})
    assert (given.train.head, given.memory.values["pick"], given.evaluate.report) == ("keep", "even", "best")
    plain = RunConfig.from_dict({**data, "fidelity": "correct"})
    assert (plain.train.head, plain.memory.values["pick"], plain.evaluate.report) == ("keep", "even", "last")


@pytest.mark.parametrize("fidelity", ["correct", "reference"])
@pytest.mark.parametrize("method", catalog.load().names("method"))
def test_written_back_it_is_complete_and_reads_as_the_same(method: str, fidelity: str) -> None:
    needs = catalog.load().get("method", method).facts["needs"]
    config = RunConfig.from_dict(
        {
            "name": 'a "name" with \\ and é\n',
            "method": {"name": method},
            "dataset": {"name": "digits"},
            "scenario": {"name": "task-incremental" if "task-labels" in needs else "disjoint", "stream": "online"},
            "train": {"memory_epochs": 1, "lr": 1e-7, "augment": ["cutmix", "flip"]},
            "fidelity": fidelity,
        }
    )
    text = config.to_toml()
    again = RunConfig.from_toml(text, where="config.toml")
    assert again == config
    assert again.to_toml() == text
    assert again.signature == config.signature
    for kind in ("dataset", "scenario", "memory", "method", "model"):
        spec = catalog.load().get(kind, getattr(config, kind).name)
        assert {f.name for f in spec.fields} <= set(config.to_dict()[kind])


def test_overrides() -> None:
    config = RunConfig.from_toml(GOOD, where="mine.toml")
    changed = config.override(["train.lr=0.2", "seed=9", 'train.augment=["flip", "crop"]', "method.strength=1e3"])
    assert (changed.train.lr, changed.seed, changed.method.values["strength"]) == (0.2, 9, 1000.0)
    assert changed.train.augment == ("flip", "crop")
    assert changed.name == "mine"
    other = config.override(["method=finetune"])
    assert other.method.name == "finetune"
    assert "strength" not in other.method.values, "another method does not inherit parameters"
    assert config.override(["method.name=rwalk"]).method.name == "rwalk"
    assert config.override(["memory.name=random"]).memory.common["capacity"] == 100, "what all memories have stays"
    assert config.override(["fidelity=reference"]).train.head == "reset", "what was not given follows again"
    assert config.override([]) == config


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("train.lr", "expected KEY=VALUE"),
        ("trian.lr=1", "no table 'trian'; did you mean 'train'?"),
        ("train.rl=1", "train.rl: no key 'rl'"),
        ("train.lr=fast", "train.lr must be a number"),
        ("method.strenght=1", "did you mean 'strength'?"),
        ("memory=4", "expected memory.KEY=VALUE or memory=NAME"),
    ],
)
def test_a_wrong_override_says_which_and_why(assignment: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunConfig.from_toml(GOOD, where="mine.toml").override([assignment])
    assert f"--set {assignment}" in str(caught.value)
    assert expected in str(caught.value)


def test_the_signature_groups_the_seeds_of_one_experiment() -> None:
    config = RunConfig.from_toml(GOOD.replace("tasks = 5", 'stream = "online"'), where="mine.toml")
    same = ["seed=7", "name=other", "about=words", "device=cpu", "dataset.root=/somewhere"]
    assert config.override(same).signature == config.signature
    for change in ("train.lr=0.2", "method.strength=6", "memory.capacity=101", "scenario.tasks=2", "evaluate.every=10"):
        assert config.override([change]).signature != config.signature, change


def test_a_method_file_takes_the_place_of_the_presets_method() -> None:
    own = Path(__file__).parents[1] / "my_method.py"  # known to others: to describe a file takes a process
    plain = RunConfig.from_dict(
        {"dataset": {"name": "blobs"}, "method": {"name": "rm", "memory_batch": "half"}, "memory": {"capacity": 40}}
    )
    config = plain.override([f"method.file={own}", "method.pull=0.5"])
    assert config.method.name == "my-method"
    assert config.method.common["file"] == str(own.resolve())
    assert config.method.values["pull"] == 0.5
    assert "memory_batch" not in config.method.values
    assert config.capacity == 40
    assert config.override(["method=er"]).method.common["file"] == ""
    with pytest.raises(UsageError, match=r"method\.name = 'rm', but the method in '.*my_method\.py' is 'my-method'"):
        RunConfig.from_dict({**plain.given, "method": {"name": "rm", "file": str(own)}})


def test_a_method_file_is_found_beside_the_preset(tmp_path: Path) -> None:
    (tmp_path / "my_idea.py").write_text((Path(__file__).parents[1] / "my_method.py").read_text())
    text = '[method]\nfile = "my_idea.py"\n[dataset]\nname = "digits"\n'
    config = RunConfig.from_toml(text, where="x.toml", base=tmp_path)
    assert config.method.name == "my-idea"
    assert config.method.common["file"] == str(tmp_path / "my_idea.py")
    assert RunConfig.from_toml(config.to_toml(), base=Path("/")) == config
    with pytest.raises(UsageError, match=r"x\.toml:2: method\.file: no file"):
        RunConfig.from_toml(text, where="x.toml", base=tmp_path / "elsewhere")
