"""500 damaged run folders through every reader: no traceback, the right exit code, other runs as they were."""

from __future__ import annotations

import os
import random
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from cllab.record.runs import Run, RunStore
from cllab.tui.index import RunIndex
from cllab.worker import train
from tests.cli.conftest import Cllab
from tests.cli.conftest import cllab as cllab
from tests.cli.test_hostile import no_longer_than, obeyed
from tests.conftest import toy
from tests.fuzz.damage import spoil_folder
from tests.recorded import config, write_run
from tests.tui.stories import make_app, press, tell

if sys.platform != "win32":
    import resource

SEED = int(os.environ.get("CLLAB_FUZZ_SEED", "20261121"))
N = 500
SECONDS = 120
"""After which a command hangs, however busy the machine is."""
BYTES = 12 << 30
"""Of address space; what needs more reads something without end."""
IN_THE_APP = 25
"""How many of them are also looked at on the screens of the app."""
FORMS = ("csv", "md", "json", "svg", "npy", "bcl", "gem")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")]


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    """Whoever reads without end runs out of memory alone."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders to spoil: one that was really trained and stopped before its end, and one that is done."""
    store = RunStore(tmp_path_factory.mktemp("originals"))
    asked = toy("er", scenario={"tasks": 2}, dataset={"per_class": 20}, train={"memory_epochs": 1})
    made = []
    for name in ("stopped", "done"):
        run = store.create(asked.override([f"name={name}"]))
        assert train(run, signals=False) == EXIT_DONE
        made.append(run.folder)
    # as if it had been killed after its last checkpoint
    log = Run(made[0]).events_path
    lines = log.read_bytes().splitlines(keepends=True)
    saved = max(i for i, line in enumerate(lines) if b"CheckpointSaved" in line)
    log.write_bytes(b"".join(lines[: saved + 1]))
    Run(made[0]).result_path.unlink()
    return made


def hold(cllab: Cllab, wrong: list[str], what: str, *arguments: str, allowed: tuple[int, ...]) -> str:
    """Run a command and note what an answer must not be."""
    try:
        with no_longer_than(SECONDS):
            said = cllab(*arguments)
        obeyed(said.err)
        obeyed(said.out.replace("\r", ""))
        assert "Traceback" not in said.err, said.err[-1500:]
        assert said.code in allowed, f"exit code {said.code}: {said.err[-500:]}"
        assert said.code == EXIT_DONE or all(len(line) < 700 for line in said.err.splitlines()), said.err[:900]
        return said.out
    except Exception:
        wrong.append(f"{what}\n{' '.join(arguments)}\n{traceback.format_exc()[-1800:]}")
        return ""


class Told(list[str]):
    """What is wrong, said as soon as it is found."""

    def append(self, item: str) -> None:
        super().append(item)
        print(f"\nwrong {len(self)}: {item}", flush=True)


async def walk(pilot: Any) -> None:
    """Every screen of the app, with the damaged run chosen."""
    for keys in (("4",), ("down", "enter"), ("2",), ("3",), ("right",), ("5",), ("4", "e", "escape"), ("1",)):
        await press(pilot, *keys)


def test_damaged_folders(
    cllab: Cllab, originals: list[Path], store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = write_run(store, config(name="good"))
    folder = store.folder / "20260101-000000-damaged-s1"
    whole = cllab("show", good.id).out
    row = next(line for line in cllab("list", "runs").out.splitlines() if good.id in line)
    wrong: list[str] = Told()
    codes: Counter[int] = Counter()
    readable = (EXIT_DONE, EXIT_USAGE, EXIT_DATA)
    for i in range(N):
        shutil.copytree(originals[i % 2], folder, symlinks=True)
        damage = spoil_folder(folder, random.Random(f"{SEED}, {i}"))
        what = f"folder {i} of seed {SEED}: {'; '.join(damage)}"
        name = "damaged"
        hold(cllab, wrong, what, "show", name, allowed=readable)
        hold(cllab, wrong, what, "show", name, "--json", allowed=readable)
        hold(cllab, wrong, what, "compare", name, good.id, allowed=readable)
        form = FORMS[i % len(FORMS)]
        out = str(tmp_path / "out") + "/"
        hold(cllab, wrong, what, "export", name, f"--{form}", "--out", out, allowed=readable)
        listed = hold(cllab, wrong, what, "list", "runs", allowed=(EXIT_DONE,))
        if row.split() not in [line.split() for line in listed.splitlines()]:
            wrong.append(f"{what}\nthe other run is listed otherwise:\n{row}\n{listed}")
        if hold(cllab, wrong, what, "show", good.id, allowed=(EXIT_DONE,)) != whole:
            wrong.append(f"{what}\nthe other run is shown otherwise")
        try:
            index = RunIndex(store)
            index.refresh()
            index.refresh()
            entry = index.get(good.id)
            assert entry is not None
            assert (entry.state, entry.last) == ("done", 0.65)
            if i % (N // IN_THE_APP) == 0:
                with no_longer_than(SECONDS):
                    tell(make_app(Run(folder) if (folder / "config.toml").is_file() else good), walk)
        except Exception:
            wrong.append(f"{what}\nthe app\n{traceback.format_exc()[-1800:]}")
        before = sorted(p.name for p in store.folder.iterdir())
        resumed = (*readable, EXIT_FAILED)
        hold(cllab, wrong, what, "resume", name, "--quiet", allowed=resumed)
        codes[len(damage)] += 1
        assert sorted(p.name for p in store.folder.iterdir()) == before, what
        shutil.rmtree(folder)
        if i % 10 == 9:
            print(f"{i + 1} of {N}", flush=True)
    print(
        f"\n{N} folders of seed {SEED}, by kinds of damage: {dict(sorted(codes.items()))}; {len(wrong)} answers wrong"
    )
    assert not wrong, "\n----\n".join(wrong[:12])
