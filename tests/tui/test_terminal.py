"""The app in a real terminal (tmux) with a training process that writes a recorded run.

What is awaited is what the terminal shows. Skipped, with the reason, where there is no tmux.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cllab.record.lock import is_locked
from cllab.record.runs import Run
from tests.tui.recorded import make_run

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed: the app is not tried in a real terminal"
)
ROOT = Path(__file__).parents[2]


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux.socket")
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR", "SSH_CONNECTION")},
            # what a parent that once had this size exports; the app must look at the terminal instead
            "COLUMNS": "80", "LINES": "24",
            "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT),
            "CLLAB_CONFIG": str(folder / "config"), "CLLAB_RUNS": str(folder / "runs"),
            "CLLAB_WORKER_CMD": f"{sys.executable} {ROOT / 'tests/tui/fake_worker.py'}",
        }  # fmt: skip

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        return done.stdout

    def start(self, size: tuple[int, int]) -> None:
        self.tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "sh")
        self.wait(lambda: self.screen().strip() != "", "a shell")

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def run(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def is_app(self) -> bool:
        return self.tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> float:
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > seconds:
                raise AssertionError(f"waited {seconds} s for {what}; the terminal shows:\n{self.screen()}")
            time.sleep(0.02)  # between two looks
        return time.monotonic() - start

    def wait_for(self, text: str, seconds: float = 30.0) -> float:
        return self.wait(lambda: text in self.screen(), repr(text), seconds)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    screen = Terminal(tmp_path)
    yield screen
    screen.tmux("kill-server")
    for lock in (tmp_path / "runs").glob("*/lock"):
        if is_locked(lock):
            os.kill(int(lock.read_text()), signal.SIGKILL)


def start_worker(terminal: Terminal, folder: Path, **story: object) -> Run:
    """A run with a process that trains it slowly, started as the app starts it."""
    run = make_run(folder / "runs" / "20261120-101112-er-cifar10-s1", n_tasks=1, n_classes=2, steps=1, pictures=0)
    run.events_path.write_bytes(b"")
    run.lock_path.unlink()
    run.result_path.unlink()
    # as `Run.start_worker` does it; the tests of the app use that function through the app itself
    with run.log_path.open("ab") as log:
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests/tui/fake_worker.py"), str(run.folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**terminal.environment, "CLLAB_FAKE": json.dumps(story)},
        )  # fmt: skip
    return run


LAUNCH = (
    f'{sys.executable} -c "import sys; from pathlib import Path; from cllab.tui.app import run_app; '
    'from cllab.record.runs import Run; sys.exit(run_app(run=Run(Path(sys.argv[1])), mode=sys.argv[2]))" '
    "{folder} live; echo code=$?"
)


def launch(terminal: Terminal, run: Run) -> None:
    terminal.run(LAUNCH.replace("{folder}", str(run.folder)))


def app_pid(terminal: Terminal) -> int:
    shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    return int(
        subprocess.run(
            ["ps", "-o", "pid=", "--ppid", shell], capture_output=True, text=True, check=True
        ).stdout.split()[0]
    )


def test_attach_resize_detach_and_the_run_goes_on(terminal: Terminal, tmp_path: Path) -> None:
    run = start_worker(terminal, tmp_path, rate=40, pictures=0, steps=1000)
    terminal.start((120, 36))
    launch(terminal, run)
    terminal.wait_for("accuracy matrix")
    terminal.wait_for("training")
    terminal.wait_for("task 1/5")
    # smaller: one pane; too small: one line; large again
    terminal.tmux("resize-window", "-x", "80", "-y", "24")
    terminal.wait_for("[accuracy]")
    terminal.tmux("resize-window", "-x", "50", "-y", "10")
    terminal.wait_for("needs 60x16, now 50x10")
    terminal.tmux("resize-window", "-x", "120", "-y", "36")
    terminal.wait_for("accuracy matrix")
    # pause is obeyed by the process and shown
    terminal.type("Space")
    terminal.wait_for("paused")
    terminal.type("Space")
    terminal.wait(lambda: "paused" not in terminal.screen(), "going on")
    # quit asks; enter detaches; the process goes on and can be found again
    terminal.type("q")
    terminal.wait_for("A run is still training")
    terminal.type("Enter")
    terminal.wait_for("code=0")
    assert "goes on training" in terminal.screen()
    assert not terminal.is_app()
    assert is_locked(run.lock_path)
    terminal.run("clear")
    launch(terminal, run)
    terminal.wait_for("accuracy matrix")
    # two viewers on one run
    terminal.tmux("new-window", "sh")
    terminal.wait(lambda: terminal.screen().strip(), "a shell")
    launch(terminal, run)
    terminal.wait_for("accuracy matrix")
    terminal.type("x")
    terminal.wait_for("Stop this run?")
    terminal.type("y")
    terminal.wait_for("stopped by a viewer")
    terminal.tmux("select-window", "-t", "0")
    terminal.wait_for("stopped by a viewer")
    assert run.status().state == "stopped"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_the_terminal_clean(
    terminal: Terminal, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=5)
    terminal.start((100, 30))
    launch(terminal, run)
    terminal.wait_for("done")
    assert terminal.is_app()
    os.kill(app_pid(terminal), number)
    terminal.wait_for(f"code={code}")
    assert not terminal.is_app()
    assert terminal.tmux("display-message", "-p", "#{mouse_any_flag}#{cursor_flag}").strip() == "01"
    assert "Traceback" not in terminal.screen()


def test_the_death_of_the_worker_is_named(terminal: Terminal, tmp_path: Path) -> None:
    run = start_worker(terminal, tmp_path, rate=40, pictures=0, steps=1000)
    terminal.start((100, 30))
    launch(terminal, run)
    terminal.wait_for("task 1/5")
    pid = run.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    waited = terminal.wait_for("The training process is gone", seconds=20)
    assert waited < 1.5, f"on the screen after {waited:.2f} s"
    assert "died without a word" in terminal.screen()
    terminal.type("Escape")
    terminal.wait_for("lost")


def test_closing_the_terminal_leaves_the_run_alone(terminal: Terminal, tmp_path: Path) -> None:
    run = start_worker(terminal, tmp_path, rate=20, pictures=0, steps=1000)
    terminal.start((80, 24))
    launch(terminal, run)
    terminal.wait_for("task 1/5")
    viewer = app_pid(terminal)
    terminal.tmux("kill-server")
    terminal.wait(lambda: not Path(f"/proc/{viewer}").exists(), "the end of the viewer")
    assert is_locked(run.lock_path)


def test_without_color_and_without_unicode(terminal: Terminal, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=5)
    terminal.environment |= {"NO_COLOR": "1", "LANG": "C", "LC_ALL": "C"}
    terminal.start((100, 30))
    launch(terminal, run)
    terminal.wait_for("v done")
    raw = terminal.tmux("capture-pane", "-p", "-e")
    assert not [line for line in raw.splitlines() if not line.isascii()]
    # gray only: the three parts of every color are alike
    for found in __import__("re").findall(r"[34]8;2;(\d+);(\d+);(\d+)", raw):
        r, g, b = map(int, found)
        assert max(r, g, b) - min(r, g, b) <= 3, found
    terminal.type("q")
    terminal.wait_for("code=0")
