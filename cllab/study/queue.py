"""Runs that train one after another, and the process that does so: `python -m cllab.study.queue RUN_DIR...`.

Each of them has a file `queue` with the ids of all, and one that waits holds a locked file `queued`. The lock is that
of the command that trains them, or of this small process, detached from whoever started it, so that the seeds of an
experiment go on when the app and its terminal are gone; the kernel releases it should the holder die. A folder that is
deleted while it waits, or taken up by somebody else, is passed over. A run that fails or is stopped does not hold up
the next.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cllab.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, CllabError
from cllab.record import queue
from cllab.record.lock import RunLock, inherited
from cllab.record.runs import Run


class Queue:
    """Announces that `runs` will train one after another: each knows the others, all but the first count as queued.

    Raises:
        OSError: when a folder cannot be written.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(runs)
        self._locks: dict[str, RunLock] = {}
        if len(runs) < 2:
            return
        try:
            for run in runs:
                queue.write(run.queue_path, [r.id for r in runs])
            for run in runs[1:]:
                self._locks[run.id] = RunLock(run.queued_path)
        except BaseException:
            self.release()
            raise

    @property
    def locks(self) -> tuple[RunLock, ...]:
        """Of the runs that wait."""
        return tuple(self._locks.values())

    def __iter__(self) -> Iterator[Run]:
        """The runs, each when it is its turn: whoever iterates trains it before the next is asked for."""
        for run in self.runs:
            if _is_ours(run):
                yield run
            run.queued_path.unlink(missing_ok=True)
            if run.id in self._locks:
                self._locks.pop(run.id).release()

    def release(self) -> None:
        """Give all locks back; a process that has inherited them still holds them."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def abandon(self) -> None:
        """No more of them will be trained: those that never began leave no folder behind."""
        for run in self.runs:
            if run.folder.is_dir():
                run.queued_path.unlink(missing_ok=True)
                if _is_ours(run) and not run.is_alive:
                    shutil.rmtree(run.folder, ignore_errors=True)
        self.release()


def _is_ours(run: Run) -> bool:
    """Whether `run` is there and nobody has begun it."""
    return run.config_path.is_file() and not run.lock_path.exists()


def start_queue(runs: Sequence[Run]) -> subprocess.Popen[bytes]:
    """Train `runs` in their order in a detached process; they count as queued from now on, and each knows the others.

    Raises:
        OSError: when the process cannot be started.
    """
    waiting = Queue(runs)
    try:
        # the process holds the locks from its first moment on, however long it takes to come up
        return subprocess.Popen(
            [sys.executable, "-m", "cllab.study.queue", *(str(run.folder.resolve()) for run in runs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=inherited(*waiting.locks),
        )
    finally:
        waiting.release()


def work(runs: Sequence[Run]) -> int:
    """Train `runs` one after another; the exit code of the last one that did not end well, 0 when all did."""
    code = EXIT_DONE
    for run in runs:
        if not _is_ours(run):
            continue
        try:
            worker = run.start_worker()
        except (CllabError, OSError):
            code = EXIT_FAILED
            continue
        # from here on it is launched, which is what counts
        run.queued_path.unlink(missing_ok=True)
        code = worker.wait() or code
    return code


def main(arguments: Sequence[str]) -> int:
    """Entry point of `python -m cllab.study.queue`."""
    runs = [Run(Path(argument)) for argument in arguments]
    if not runs or not all(run.config_path.is_file() for run in runs):
        print("usage: python -m cllab.study.queue RUN_DIR...", file=sys.stderr)
        return EXIT_USAGE
    return work(runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
