"""Methods that an installed package announces: packages really installed, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import toy_preset

OWN = Path(__file__).with_name("my_method.py")
ROOT = Path(__file__).parents[1]


def install(place: Path, package: str, entries: str, **modules: str) -> None:
    """Pack a wheel and let pip install it into `place`; a wheel needs no build backend."""
    wheel = place.parent / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": "",
        **{f"{package}/{name}.py": text for name, text in modules.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[cllab.methods]\n{entries}",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(place), str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    pytest.importorskip("pip", reason="installing a package needs pip, which is not installed")
    return tmp_path / "site"


def cllab(place: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}", "CLLAB_CACHE": str(cwd / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "cllab", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=cwd,
    )


def test_a_method_of_an_installed_package_trains_and_a_broken_one_costs_one_warning(
    place: Path, tmp_path: Path
) -> None:
    entries = "darker = darkreplay.method:MyMethod\nher = darkreplay.broken\ner = darkreplay.method:MyMethod\n"
    install(place, "darkreplay", entries, method=OWN.read_text(), broken="import not_there_at_all\n")

    listed = cllab(place, "list", "datasets", cwd=tmp_path)
    assert listed.returncode == 0
    assert "mnist" in listed.stdout
    warnings = sorted(listed.stderr.splitlines())
    assert len(warnings) == 2, listed.stderr
    assert "method 'er' of package 'darkreplay' is left out: there is a built-in method of that name" in warnings[0]
    assert "method 'her' of package 'darkreplay' is left out" in warnings[1]
    assert "No module named 'not_there_at_all'" in warnings[1]

    # why it is broken is remembered, so that no command waits for its import again
    assert [p.read_text() for p in (tmp_path / "cache" / "catalog").glob("*.txt")] == [warnings[1].split("out: ")[1]]
    methods = json.loads(cllab(place, "list", "methods", "--json", cwd=tmp_path).stdout)
    titles = {m["name"]: m["title"] for m in methods}
    assert titles["darker"] == "My method"
    assert titles["er"] == "Experience replay"
    assert "her" not in titles
    preset = tmp_path / "toy.toml"
    preset.write_text(toy_preset("darker", method={"pull": 0.5}))
    trained = cllab(place, "run", "toy.toml", "--headless", "--quiet", "--runs", "runs", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["config"]["method"] == {
        "name": "darker",
        "file": "",
        "pull": 0.5,
    }
    # where the package is not installed, the run shows all the same, and training it says what is missing
    elsewhere = cllab(tmp_path / "nothing", "show", "--runs", "runs", cwd=tmp_path)
    assert (elsewhere.returncode, elsewhere.stderr) == (0, "")
    assert "pull=0.5" in elsewhere.stdout
    untrained = cllab(tmp_path / "nothing", "run", "toy.toml", "--headless", cwd=tmp_path)
    assert untrained.returncode == 2
    assert "no method 'darker'" in untrained.stderr


@pytest.mark.slow
def test_every_way_of_being_broken_leaves_the_others_alone(place: Path, tmp_path: Path) -> None:
    modules = {
        "good": OWN.read_text(),
        "ends": "import sys\nsys.exit('go away')\n",
        "noclass": '"""Nothing."""\n',
        "notmethod": '"""A number."""\nMyMethod = 3\n',
        "talks": OWN.read_text() + "\nprint('hello from the import')\n",
        "escapes": "raise ValueError('\\x1b]0;title\\x07bad\\x00' + 'x' * 5000)\n",
        "undeclared": OWN.read_text().replace("param(0.1, ", "dict(a=0.1, b="),
    }
    names = [n for n in modules if n not in ("notmethod",)]
    entries = "".join(f"p-{name} = assorted.{name}\n" for name in names)
    install(place, "assorted", entries + "p-notmethod = assorted.notmethod:MyMethod\n", **modules)
    listed = cllab(place, "list", "methods", "--json", cwd=tmp_path)
    assert listed.returncode == 0
    assert [m["name"] for m in json.loads(listed.stdout) if m["name"].startswith("p-")] == ["p-good", "p-talks"]
    told = listed.stderr.splitlines()
    assert len(told) == 5, listed.stderr
    assert all(line.startswith("cllab: warning: method 'p-") and len(line) < 700 for line in told)
    assert "\x1b" not in listed.stderr
    assert "\x00" not in listed.stderr
    assert "Traceback" not in listed.stderr
    assert "go away" in listed.stderr
