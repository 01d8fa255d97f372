"""Trains several run folders one after another: `python -m cllab.study.queue RUN_DIR...`.

A small process of its own, detached from whoever started it, so that the seeds of an experiment go on when the app and
its terminal are gone. A run that waits holds a locked file `queued`, which the kernel releases should the queue die; a
folder that is deleted while it waits is passed over. A run that fails or is stopped does not hold up the next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cllab.errors import EXIT_DONE, EXIT_USAGE
from cllab.record.runs import Run, RunLock, write_atomically


def start_queue(runs: Sequence[Run]) -> subprocess.Popen[bytes]:
    """Train `runs` in their order in a detached process; they count as queued from now on, and each knows the others.

    Raises:
        OSError: when the process cannot be started.
    """
    for run in runs:
        write_atomically(run.queue_path, "".join(f"{r.id}\n" for r in runs))
    # the queue locks these files when it is up; until then their age says that it is on its way
    for run in runs[1:]:
        run.queued_path.touch()
    return subprocess.Popen(
        [sys.executable, "-m", "cllab.study.queue", *(str(run.folder.resolve()) for run in runs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def work(runs: Sequence[Run]) -> int:
    """Train `runs` one after another; the exit code of the last one that did not end well, 0 when all did."""
    locks: dict[str, RunLock] = {}
    for run in runs[1:]:
        if run.folder.is_dir():
            locks[run.id] = RunLock(run.queued_path)
    code = EXIT_DONE
    for run in runs:
        lock = locks.pop(run.id, None)
        if not run.config_path.is_file():
            continue
        worker = run.start_worker()
        # it is the worker's lock that counts from here on
        if lock is not None:
            run.queued_path.unlink(missing_ok=True)
            lock.release()
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
