"""Locks of a run folder: files that say who trains there, is about to, or waits.

A lock is held through an open file, so that the kernel releases it when its holder dies, however that happens; what the
file holds is the number of the process, for people. A process that inherits the open file holds the lock as well.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cllab.errors import UsageError
from cllab.io import files

if sys.platform != "win32":
    import fcntl

MOST_BYTES = 100


class LockedError(UsageError):
    """Another process is training in this run folder."""


class RunLock:
    """An exclusive lock on a run folder, released by the kernel when its holder dies.

    Raises:
        LockedError: when another process holds it.
        OSError: when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = files.open_to_write(path)
        try:
            if sys.platform != "win32":
                self._take(path)
                # a forked child would keep the lock alive after its parent's death
                os.register_at_fork(after_in_child=self.release)
            self.sign(os.getpid())
        except BaseException:
            self._file.close()
            raise

    def fileno(self) -> int:
        """The open file; a process that inherits it holds the lock as well, until it dies."""
        return self._file.fileno()

    def sign(self, pid: int) -> None:
        """Write down whose lock it is."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(pid).encode())

    def release(self) -> None:
        """Give the lock back."""
        if not self._file.closed:
            self._file.close()

    def _take(self, path: Path) -> None:
        """Lock, trying for a moment: a viewer that asks whether a run is alive holds the lock for some microseconds."""
        for patience in (4, 3, 2, 1, 0):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if patience:
                    time.sleep(0.02)
        owner = holder(path)
        raise LockedError(
            f"run '{path.parent.name}' is already being trained{f' by process {owner}' if owner is not None else ''}; "
            "use cllab attach to watch it"
        )


def inherited(*locks: RunLock) -> tuple[int, ...]:
    """Open files for `pass_fds`: the new process holds `locks` as well, however long it takes to come up."""
    return () if sys.platform == "win32" else tuple(lock.fileno() for lock in locks)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock at `path`."""
    if sys.platform == "win32":
        return False
    try:
        with files.open_regular(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    except OSError:
        return False
    return False


def holder(path: Path) -> int | None:
    """Whose lock it is, or was."""
    try:
        return int(files.read_bytes(path, MOST_BYTES))
    except (OSError, ValueError):
        return None
