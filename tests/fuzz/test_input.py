"""2,000 presets and `--set` strings that somebody has spoiled: never a traceback, the right exit code, nothing left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cllab.cli import run as commands
from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from cllab.settings import presets
from cllab.settings.catalog import load
from cllab.settings.tables import COMMON, EVALUATE, TABLES, TRAIN
from tests.cli.conftest import Cllab, Said
from tests.cli.conftest import cllab as cllab
from tests.cli.test_hostile import obeyed
from tests.conftest import toy_preset
from tests.fuzz.damage import assignment, spoil_toml

SEED = int(os.environ.get("CLLAB_FUZZ_SEED", "20261121"))
N = 2000
SAMPLE = 12
"""How many of those that were accepted are trained, each in a process of its own."""
REACHED = 77
"""In place of training: the exit code of what was accepted."""
SMALL = toy_preset(dataset={"per_class": 20}, memory={"name": "reservoir"}, train={"batch_size": 10, "lr": 0.05})

pytestmark = pytest.mark.slow


def keys_and_names() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    catalog = load()
    keys = {table: ["name", *(f.name for f in COMMON.get(table, ()))] for table in TABLES}
    for spec in (*catalog.components, TRAIN, EVALUATE):
        keys[spec.kind] += [f.name for f in spec.fields]
    return keys, {kind: catalog.names(kind) for kind in COMMON}


def judge(said: Said, before: int, runs: Path, what: str) -> None:
    """Hold an answer to what every answer must be."""
    told = f"{what}\n{said.err}"
    assert "Traceback" not in said.err, told
    obeyed(said.err)
    obeyed(said.out)
    assert said.code in (EXIT_DONE, REACHED, EXIT_USAGE, EXIT_DATA), told
    lines = said.err.strip().splitlines()
    if said.code in (EXIT_USAGE, EXIT_DATA):
        assert said.out == "", told
        assert len(lines) <= 2, told
        assert lines[-1].startswith("cllab: "), told
        assert len(lines[-1]) < 700, told
        assert len(list(runs.glob("*"))) == before, f"a refused run leaves nothing\n{told}"


def test_spoiled_presets_and_settings(cllab: Cllab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(SEED)
    keys, names = keys_and_names()
    shipped = [path.read_text() for path in presets.shipped()]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "_train", lambda *_, **__: REACHED)
    runs = Path(os.environ["CLLAB_RUNS"])
    path = tmp_path / "spoiled.toml"
    counts: Counter[int] = Counter()
    accepted: list[tuple[str, list[str]]] = []
    wrong: list[str] = []
    for i in range(N):
        text = SMALL if rng.random() < 0.5 else rng.choice(shipped)
        if rng.random() < 0.6:
            text = spoil_toml(text, keys, rng)
        sets = [assignment(keys, names, rng) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        path.write_bytes(text.encode("utf-8", "surrogateescape" if rng.random() < 0.5 else "replace"))
        arguments = [part for item in sets for part in ("--set", item)]
        before = len(list(runs.glob("*")))
        what = f"number {i} of seed {SEED}: {arguments}\n{text[-1500:]}"
        command = ["run", str(path), "--headless"] if rng.random() < 0.8 else ["explain", str(path)]
        try:
            said = cllab(*command, *arguments)
            judge(said, before, runs, what[:4000])
        except Exception:
            wrong.append(f"{what[:2500]}\n{traceback.format_exc()[-1500:]}")
            continue
        counts[said.code] += 1
        if said.code == REACHED and text.startswith('name = "toy"'):
            accepted.append((text, sets))
    print(f"\n{N} inputs of seed {SEED}: {dict(sorted(counts.items()))}, {REACHED} is: would be trained")
    assert not wrong, f"{len(wrong)} of {N}:\n" + "\n----\n".join(wrong[:8])
    assert counts[REACHED] > N / 20
    assert counts[EXIT_USAGE] > N / 4

    ended: Counter[Any] = Counter()
    for text, sets in rng.sample(accepted, min(SAMPLE, len(accepted))):
        path.write_text(text)
        command = [sys.executable, "-m", "cllab", "run", str(path), "--headless", "--quiet"]
        process = subprocess.Popen(
            [*command, *(part for item in sets for part in ("--set", item))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            text=True,
        )
        try:
            _, err = process.communicate(timeout=25)
        except subprocess.TimeoutExpired:
            process.kill()  # it was asked for much; long is not wrong
            process.communicate()
            ended["long"] += 1
            continue
        assert "Traceback" not in err, f"{sets}\n{text}\n{err}"
        assert process.returncode in (EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_DATA), f"{sets}\n{text}\n{err}"
        obeyed(err)
        ended[process.returncode] += 1
    print(f"{sum(ended.values())} of them trained: {dict(ended)}")
