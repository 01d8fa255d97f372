"""The list of wrong lines fits the code; trying them all takes minutes: `python -m tests.mutations`."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutations import running
from tests.mutations.lists import MUTANTS
from tests.mutations.mutant import ROOT, Mutant, StaleError


def test_every_wrong_line_stands_once_in_the_code() -> None:
    """Where this fails, the code has changed: bring the old text up to date, or drop the mutant if the line is gone."""
    stale = []
    for mutant in MUTANTS:
        try:
            changed = mutant.source()
        except StaleError as error:
            stale.append(str(error))
            continue
        assert mutant.old != mutant.new, mutant.breaks
        compile(changed, mutant.file, "exec")
    assert stale == []


def test_what_should_notice_them_is_there() -> None:
    for target in {t for m in MUTANTS for t in m.tests}:
        path, _, name = target.partition("::")
        text = (ROOT / path).read_text() if path.endswith(".py") else ""
        assert (ROOT / path).exists(), target
        assert not name or re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE), target
    assert all(m.tests for m in MUTANTS)


def test_there_are_enough_of_every_kind() -> None:
    assert len(MUTANTS) >= 150
    assert {"methods", "memory", "scenarios", "data", "engine", "metrics.py"} <= {m.file.split("/")[1] for m in MUTANTS}
    twice = [k for k, n in Counter((m.file, m.breaks) for m in MUTANTS).items() if n > 1]
    assert twice == []
    assert all(len(m.argued) > 20 for m in MUTANTS if m.argued)
    assert sum(bool(m.argued) for m in MUTANTS) <= 0.05 * len(MUTANTS)


def test_a_wrong_module_is_loaded_in_the_place_of_the_right_one() -> None:
    from cllab import metrics

    mutant = Mutant("cllab/metrics.py", "ACC of the first row", "    return _mean(r[-1])", "    return _mean(r[0])", ())
    assert mutant.module == "cllab.metrics"
    finder = running.Wrong(mutant.module, ROOT / mutant.file, mutant.source())
    assert finder.find_spec("cllab.settings.config", None) is None
    spec = finder.find_spec(mutant.module, None)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.task_accuracy([[0.9, 0.1], [0.5, 0.7]]) == pytest.approx(0.5)
    assert metrics.task_accuracy([[0.9, 0.1], [0.5, 0.7]]) == pytest.approx(0.6)


def test_a_text_that_is_not_there_or_there_twice_is_stale() -> None:
    for old in ("no such line", "return"):
        with pytest.raises(StaleError, match=r"cllab/metrics.py: .* occurs \d+ times"):
            Mutant("cllab/metrics.py", "x", old, "y", ()).source()


@pytest.mark.parametrize(("code", "kind"), [(0, "survived"), (1, "noticed"), (2, "broken"), (5, "broken")])
def test_only_a_failed_test_is_a_notice(tmp_path: Path, code: int, kind: str) -> None:
    answer = tmp_path / "answer.json"
    assert running._judged(None, (), answer, 0, 1.0).kind == "broken"
    assert running._judged(None, (), answer, signal.SIGXCPU, 1.0).kind == "timeout"
    answer.write_text(json.dumps({"code": code, "by": "a test"}))
    assert running._judged(None, (), answer, 0, 1.0).kind == kind


@pytest.mark.slow
def test_the_tests_notice_wrong_lines() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.mutations", "--jobs", "2"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
