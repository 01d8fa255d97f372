"""Training processes: started so that they outlive whoever starts them, and ended.

While such a process comes up it holds the lock `launched` of its run folder, which it inherits: the run is starting for
as long as the process lives, however busy the machine is, and lost as soon as it is dead.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cllab.io import files
from cllab.record.lock import RunLock, holder, inherited, is_locked
from cllab.text import clean

MOST_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class Places:
    """What a training process needs.

    Attributes:
        folder: of the run.
        log: to which its output is appended.
        launched: the lock that it inherits.
        control: what is asked of it from now on; what was asked of a former process is forgotten.
    """

    folder: Path
    log: Path
    launched: Path
    control: Path


def start(places: Places, *, resume: bool, threads: int) -> subprocess.Popen[bytes]:
    """A detached process that trains.

    Args:
        places: where.
        resume: go on from the checkpoint.
        threads: of the process at most; 0 for as many as it would take by itself.

    Raises:
        LockedError: when a process was started already and has not begun to train yet.
        OSError: when the process cannot be started.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", "TQDM_DISABLE": "1"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    launcher = shlex.split(os.environ.get("CLLAB_WORKER_CMD", "")) or [sys.executable, "-m", "cllab.worker"]
    command = [*launcher, str(places.folder.resolve())]
    lock = RunLock(places.launched)
    try:
        places.control.unlink(missing_ok=True)
        with files.open_to_append(places.log) as output:
            process = subprocess.Popen(
                [*command, "--resume"] if resume else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                pass_fds=inherited(lock),
            )
        lock.sign(process.pid)
    finally:
        lock.release()
    return process


def end(locks: tuple[Path, ...], number: signal.Signals) -> bool:
    """Send a signal to the process that holds one of `locks`, SIGKILL to its children as well; False when none does."""
    pid = next((holder(path) for path in locks if is_locked(path)), None)
    if pid is None:
        return False
    try:
        if number == getattr(signal, "SIGKILL", None) and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def output(log: Path, lines: int) -> list[str]:
    """The last lines of what libraries and Python printed."""
    try:
        with files.open_regular(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return clean(text, lines=True).splitlines()[-lines:]
