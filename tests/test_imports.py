"""The light half in a fresh process: without torch, and quick."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cllab

HEAVY = ("torch", "torchvision", "faiss", "sklearn", "scipy")
ROOMS = ("cli", "io", "record", "report", "settings", "study", "tui")
LIGHT = [
    "errors",
    "metrics",
    "text",
    *(m.name for m in pkgutil.walk_packages(cllab.__path__) if m.name in ROOMS),
    *(f"{room}.{m.name}" for room in ROOMS for m in pkgutil.iter_modules([f"{cllab.__path__[0]}/{room}"])),
]


def fresh(code: str) -> str:
    """What `code` prints in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_light_half_never_imports_the_heavy_libraries() -> None:
    modules = ", ".join(f"cllab.{m}" for m in LIGHT)
    found = fresh(
        f"import sys, json\nimport {modules}\nfrom cllab.settings import catalog\ncatalog.load()\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert json.loads(found) == []


def test_reading_a_configuration_and_a_run_needs_no_torch() -> None:
    found = fresh(
        "import sys\nfrom cllab.settings.config import RunConfig\nfrom cllab.record.runs import RunStore\n"
        "from cllab.record.state import RunState\n"
        'RunConfig.from_toml(\'[method]\\nname = "rm"\\n[dataset]\\nname = "digits"\\n\')\n'
        "list(RunStore())\nRunState()\nprint('torch' in sys.modules)"
    )
    assert found.strip() == "False"


def test_the_package_itself_imports_nothing() -> None:
    found = fresh("import sys\nbefore = set(sys.modules)\nimport cllab\nprint(sorted(set(sys.modules) - before))")
    assert found.strip() == "['cllab']"


@pytest.mark.parametrize("module", ["cllab.settings.catalog", "cllab.settings.config", "cllab.record.runs"])
def test_the_parts_of_the_command_line_need_little(module: str) -> None:
    # what it costs in seconds is measured by tests/bench/bench_loop.py
    code = f"import sys\nbefore = set(sys.modules)\nimport {module}\nprint(*set(sys.modules) - before)"
    packages = {name.split(".")[0].lstrip("_") for name in fresh(code).split()}
    assert packages - {name.lstrip("_") for name in sys.stdlib_module_names} == {"cllab", "platformdirs"}


def test_the_live_screen_is_painted_without_what_only_other_screens_need() -> None:
    # each of these costs every start of the app; what it costs in seconds is measured by tests/bench/bench_tui.py
    found = fresh(
        "import sys\nfrom textual import app, widgets\nfrom cllab.tui.app import CllabApp\n"
        "from cllab.tui.glyphs import sharp_pixels\nfrom cllab.tui.screens.live import LiveScreen\n"
        "sharp_pixels('auto')\nprint(*sys.modules)"
    ).split()
    screens = {m for m in found if m.startswith("cllab.tui.screens.")}
    assert screens == {f"cllab.tui.screens.{m}" for m in ("live", "commanding", "replay")}
    others = {
        "importlib.metadata",
        "email",
        "typer",
        "PIL",
        "cllab.settings.presets",
        "cllab.settings.rules",
        "cllab.report",
        "cllab.cli",
    }
    assert others & set(found) == set()


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    found = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return [a.arg for a in found if a is not None and a.arg not in ("self", "cls")]


def test_nothing_takes_more_than_seven_arguments() -> None:
    """What belongs together is grouped. Typer makes the options of a command of its arguments: those are left out."""
    package = Path(cllab.__path__[0])
    many, commands = [], set()
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and len(arguments(node)) > 7:
                where = f"{path.relative_to(package)}: {node.name}"
                if path.parent.name == "cli" and "typer." in ast.unparse(node.args):
                    commands.add(where)
                else:
                    many.append(where)
    assert many == []
    assert commands <= {"cli/tune.py: tune", "cli/inspect.py: export", "cli/run.py: run"}
