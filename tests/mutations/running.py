"""Runs tests on a package with one wrong line, in a process that is forked from one where torch is already imported.

The checkout is never touched: the forked process compiles the one module from the changed text.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.mutations.mutant import ROOT, Mutant

WARM = ("torch", "numpy", "scipy.optimize", "scipy.stats", "PIL.ImageOps", "torchvision.transforms.v2", "pytest")
"""What costs seconds to import and is never wrong."""

OPTIONS = ("-o", "addopts=", "-q", "-x", "-m", "not slow and not gpu", "-p", "no:cacheprovider", "--assert=plain")


class Wrong(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads one module from a text instead of its file."""

    def __init__(self, module: str, file: Path, source: str) -> None:
        self.module, self.file, self.text = module, file, source

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self)  # type: ignore[arg-type]

    def get_source(self, fullname: str) -> str:
        return self.text

    def get_code(self, fullname: str) -> Any:
        return compile(self.text, str(self.file), "exec")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `kind` is "noticed", "survived", "timeout" or "broken"; `by` the first test that
    failed, or what went wrong."""

    mutant: Mutant | None
    tests: tuple[str, ...]
    kind: str
    by: str
    seconds: float


def warm() -> None:
    """Import what every run needs, so that forks have it."""
    for name in WARM:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # what one fork has compiled, the next ones load
    sys.dont_write_bytecode, sys.pycache_prefix = False, tempfile.mkdtemp(prefix="cllab-mutations-")
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)
    gc.freeze()  # collections in the forks need not look at what is here


class _Note:
    """Remembers the first failure."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.first:
            self.first = f"{report.nodeid}: {str(report.longrepr)[-300:]}"


def _child(mutant: Mutant | None, tests: tuple[str, ...], answer: Path, limit: int) -> None:
    """The forked process: never returns."""
    code, note = 3, _Note()
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    try:
        with open(os.devnull, "w") as nothing:
            for stream in (1, 2):
                os.dup2(nothing.fileno(), stream)
        if mutant is not None:
            sys.meta_path.insert(0, Wrong(mutant.module, ROOT / mutant.file, mutant.source()))
        import pytest

        code = int(pytest.main([*OPTIONS, *tests], plugins=[note]))
    except BaseException as error:  # the parent reads it
        note.first = note.first or repr(error)
    finally:
        answer.write_text(json.dumps({"code": code, "by": note.first}))
        os._exit(0)


def _judged(mutant: Mutant | None, tests: tuple[str, ...], answer: Path, status: int, seconds: float) -> Outcome:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return Outcome(mutant, tests, "timeout", "computes without an end", seconds)
    if not answer.exists():
        return Outcome(mutant, tests, "broken", "the process ended without an answer", seconds)
    found = json.loads(answer.read_text())
    kind = {0: "survived", 1: "noticed"}.get(found["code"], "broken")
    return Outcome(mutant, tests, kind, found["by"], seconds)


def run(work: Sequence[tuple[Mutant | None, tuple[str, ...]]], jobs: int, limit: int) -> Iterator[Outcome]:
    """Outcomes in the order in which they come; without a mutant, the tests run on the code as it is.

    Args:
        work: mutants, and the tests to run on each.
        jobs: processes at a time.
        limit: seconds of computing after which one is stopped; a line that makes the tests go on for ever is noticed
            by that. Time that a busy machine gives to others does not count.
    """
    todo, running = list(reversed(work)), {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    mutant, tests = todo.pop()
                    answer = Path(folder) / f"{len(todo)}.json"
                    pid = os.fork()
                    if pid == 0:
                        _child(mutant, tests, answer, limit)
                    running[pid] = (mutant, tests, answer, time.monotonic())
                time.sleep(0.02)
                for pid, (mutant, tests, answer, began) in list(running.items()):
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    if ended:
                        del running[pid]
                        yield _judged(mutant, tests, answer, status, time.monotonic() - began)
        finally:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
