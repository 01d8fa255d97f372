"""The catalogue: fresh, complete, and open to a user's own method."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cllab.errors import UsageError
from cllab.settings import catalog, registry
from cllab.settings.spec import ComponentSpec

OWN = Path(__file__).parents[1] / "my_method.py"


def test_the_catalogue_in_the_package_is_fresh() -> None:
    message = "stale: run python -m cllab.settings.registry --write"
    assert catalog.BUILT_IN.read_text(encoding="utf-8") == registry.catalog_text(), message


def test_every_component_can_be_loaded_by_its_name_and_is_described_truly() -> None:
    for spec in catalog.load().components:
        cls = registry.component(spec.kind, spec.name)
        described = json.loads(json.dumps(registry.describe(spec.kind, spec.name, cls).to_dict()))
        assert ComponentSpec.from_dict(described) == spec, spec.name
        values = spec.parse({})
        assert cls.Config(**values) == cls.Config(), f"{spec.kind} {spec.name}: the declared defaults are the class's"


def test_names_that_users_type_are_there() -> None:
    known = catalog.load()
    promised = {
        "method": "joint finetune er gdumb icarl ewc rwalk bic rm",
        "memory": "random class-balanced reservoir uncertainty prototype",
        "scenario": "disjoint blurry splits-file task-incremental permuted rotated base-half",
        "dataset": "digits mnist fashion-mnist kmnist cifar10 cifar100 imagefolder",
        "model": "mlp mlp400 resnet18 resnet32 resnet34 torchvision-resnet",
    }
    for kind, names in promised.items():
        assert set(names.split()) <= set(known.names(kind))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no method 'icral'; did you mean 'icarl'\?"):
        catalog.load().get("method", "icral")
    with pytest.raises(UsageError, match="no memory 'qqq'; known: "):
        catalog.load().get("memory", "qqq")
    assert [c.kind for c in catalog.load().find("random")] == ["memory"]


def test_a_method_file_is_described_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my_idea.py"
    path.write_text(OWN.read_text())
    starts: list[Any] = []
    run = subprocess.run

    def counted(*args: Any, **kwargs: Any) -> Any:
        starts.append(args)
        return run(*args, **kwargs)

    monkeypatch.setattr(subprocess, "run", counted)
    spec = catalog.describe_file(path)
    assert (spec.kind, spec.name, spec.title) == ("method", "my-idea", "My method")
    assert [f.name for f in spec.fields] == ["pull"]
    assert spec.facts["needs"] == ["memory"]
    assert catalog.describe_file(path) == spec
    assert len(starts) == 1, "the second time it is read from the cache"
    path.write_text(OWN.read_text().replace("My method", "Another title"))
    assert catalog.describe_file(path).title == "Another title"
    assert len(starts) == 2
    assert catalog.load().with_file(path).get("method", "my-idea").title == "Another title"
    assert "my-idea" not in catalog.load().names("method")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nonsense_that_is_not_there\n", "ModuleNotFoundError: No module named 'nonsense_that_is_not_there'"),
        ("def broken(:\n", "SyntaxError"),
        ('"""A file."""\nx = 1\n', "holds no public subclass of cllab.methods.base.Method"),
        (
            OWN.read_text().replace("    def _keep(self):", "    def end_task(self, task, loop):"),
            "TypeError: MyMethod.end_task is never called: yield what it does from learn, as Work",
        ),
        (
            OWN.read_text().replace("    def _keep(self):", "    def parameters(self):"),
            "TypeError: MyMethod.parameters is never called: say which weights a phase trains with its Optim: Phase",
        ),
    ],
)
def test_a_broken_method_file_gives_one_clear_line(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert registry.main(["--describe", str(path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "broken.py" in message
    assert expected in message


def test_a_method_file_that_ends_its_process_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import sys\nprint('first line', file=sys.stderr)\nsys.exit('no GPU here')\n")
    with pytest.raises(UsageError) as caught:
        catalog.describe_file(path)
    assert str(caught.value) == f"method.file '{path}': no GPU here"


def test_a_method_file_with_undeclared_parameters_or_two_methods_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    for old, new, expected in (
        (
            'param(0.1, "Weight of the distance to the old scores", source="alpha", low=0)',
            "0.5",
            "not declared with param",
        ),
        (
            "class MyMethod(Method):",
            "class Other(Method):\n    pass\n\n\nclass MyMethod(Method):",
            "one public Method a file",
        ),
        ("class MyMethod(Method):", "class _MyMethod(Method):", "no public subclass"),
    ):
        assert old in OWN.read_text()
        path.write_text(OWN.read_text().replace(old, new, 1))
        assert registry.main(["--describe", str(path)]) == 2
        assert expected in capsys.readouterr().err


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"method\.file: no file 'nowhere.py'"):
        catalog.describe_file(Path("nowhere.py"))
