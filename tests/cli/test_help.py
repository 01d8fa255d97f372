"""The help pages are generated text, held by golden files; renew them with `python -m tests.cli.test_help`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden")
COMMANDS = (
    *("run", "attach", "replay", "lessons", "resume", "stop", "show", "compare", "export"),
    *("list", "explain", "cuts", "data", "write-data", "table", "tune", "check-claims", "doctor"),
)


def page(command: str) -> str:
    """What `cllab COMMAND --help` prints on 80 columns."""
    from cllab.__main__ import run
    from tests.cli.conftest import Pipe

    out, old = Pipe(), sys.stdout
    sys.stdout = out
    try:
        assert run([*command.split(), "--help"]) == 0
    finally:
        sys.stdout = old
    return out.text()


def words(text: str) -> list[str]:
    """What the page says, without what typer puts around it in one version or another."""
    return re.sub(r"<\w+>|[{}\[\]]|\[required\]", " ", text).split()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_page_is_the_golden_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = page(command)
    golden = (GOLDEN / f"{command or 'cllab'}.txt").read_text(encoding="utf-8")
    assert words(said) == words(golden), "renew it with: python -m tests.cli.test_help"
    assert max(map(len, said.splitlines())) <= 80


def test_the_first_page_names_every_command_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = page("")
    for command in COMMANDS:
        assert f"  {command} " in said
    assert "..." not in said.partition("Commands:")[2]


def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process that tells which heavy modules it imported."""
    code = (
        "import sys; from cllab.__main__ import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'torchvision', 'faiss', 'sklearn', 'textual'} & set(sys.modules); "
        "print('heavy:', *sorted(heavy), file=sys.stderr); sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=os.environ
    )


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("list", "methods"), ("list", "runs"), ("explain", "blurry"), ("data",), ("run", "nothing-like-it")],
)
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = fresh(*arguments)
    assert done.stderr.strip().splitlines()[-1] == "heavy:", done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"), [("cllab run rm-mni", "rm-mnist-blurry10"), ("cllab chec", "check-claims")]
)
def test_the_shell_completes_commands_and_presets(typed: str, offered: str) -> None:
    asked = {"_CLLAB_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "cllab"], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert done.stdout.split() == [offered]


def renew() -> None:
    """Write the golden files."""
    os.environ["COLUMNS"] = "80"
    GOLDEN.mkdir(exist_ok=True)
    for command in ("", *COMMANDS):
        (GOLDEN / f"{command or 'cllab'}.txt").write_text(page(command), encoding="utf-8")


if __name__ == "__main__":
    renew()
