"""Fetching a dataset: a process of its own does the work, the screen shows how far it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import ProgressBar, Static

from cllab.data.where import data_root
from cllab.tui.screens.dialog import Dialog
from cllab.tui.troubles import background
from cllab.tui.units import size

PART = ".download-*"
"""Folders that a download fills below the data folder before it is moved into place."""


class DownloadScreen(Dialog[bool]):
    """Downloads a dataset; dismissed with whether it is there now.

    Args:
        name: the dataset.
        root: the data folder; empty for the default one.
        expected: bytes to fetch, 0 when not known.
        command: what does it; `cllab data NAME --download` unless a test says otherwise.
    """

    CSS = """
    DownloadScreen ProgressBar { width: 1fr; margin: 1 0; }
    DownloadScreen Bar { width: 1fr; }
    DownloadScreen #said { color: $text-muted; height: auto; max-height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Cancel", id="download.cancel"),
        Binding("enter", "close", "Close", id="download.close", show=False),
    ]

    def __init__(self, name: str, root: str, expected: int, command: Sequence[str] | None = None) -> None:
        super().__init__()
        self.dataset, self.expected = name, expected
        self.root = data_root(root or None)
        self.command = list(command or (sys.executable, "-m", "cllab", "data", name, "--download"))
        self.process: subprocess.Popen[str] | None = None
        self.code: int | None = None
        self._left = threading.Event()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = f"Download {self.dataset}"
            yield Static(f"into {self.root}", markup=False)
            yield ProgressBar(total=self.expected or None, show_eta=False)
            yield Static(f"{size(self.expected)}; esc cancels", id="said", markup=False)

    def on_mount(self) -> None:
        self._fetch()

    @background("download", "downloading")
    def _fetch(self) -> None:
        # tqdm of torchvision would only draw bars that nobody sees
        environment = {**os.environ, "CLLAB_DATA": str(self.root), "TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            self.app.call_from_thread(self._ended, 1, [str(error)])
            return
        lines: list[str] = []
        reader = threading.Thread(target=_drain, args=(self.process, lines), daemon=True)
        reader.start()
        while self.process.poll() is None and not self._left.wait(0.2):
            self.app.call_from_thread(self._show, _fetched(self.root), lines[-1:] or [""])
        if self._left.is_set():
            _end(self.process)
            return
        reader.join(2)
        self.app.call_from_thread(self._ended, self.process.returncode, lines)

    def _show(self, done: int, said: list[str]) -> None:
        if not self.is_running:
            return
        bar = self.query_one(ProgressBar)
        if self.expected:
            # unpacking takes more room than the archive
            bar.update(progress=min(done, int(self.expected * 0.99)))
        text = f"{size(min(done, self.expected) if self.expected else done)} of {size(self.expected)}; esc cancels"
        self.query_one("#said", Static).update(f"{text}\n{said[0][:200]}".rstrip())

    def _ended(self, code: int, lines: list[str]) -> None:
        self.code = code
        if not self.is_running:
            return
        if code == 0:
            self.app.notify(f"{self.dataset} is here", markup=False, timeout=4)
            self.dismiss(True)
            return
        last = [line for line in lines if line.strip()][-4:] or [f"the download ended with exit code {code}"]
        self.query_one("#said", Static).update(
            "! " + "\n".join(line[:400] for line in last) + "\n\nenter or esc closes"
        )

    def action_leave(self) -> None:
        """Stop the download; what was fetched so far is removed by its process."""
        self._left.set()
        self.dismiss(False)

    def action_close(self) -> None:
        """Close when it has failed."""
        if self.code is not None:
            self.dismiss(False)

    def on_unmount(self) -> None:
        self._left.set()


def _drain(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip().rpartition("\r")[2])
        del lines[:-50]


def _fetched(root: Path) -> int:
    """Bytes in the folders that downloads fill."""
    total = 0
    with contextlib.suppress(OSError):
        for folder in root.glob(PART):
            for path in folder.rglob("*"):
                with contextlib.suppress(OSError):
                    total += path.stat().st_size if path.is_file() else 0
    return total


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt the download, so that it removes what it began; then make sure that it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
