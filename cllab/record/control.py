"""The control file of a run: what viewers ask of the process that trains.

It is only ever appended to, a line a command: nanoseconds since the epoch, the command, its argument. Every line is
applied once, in its order, so that nothing is lost that is asked for between two looks.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cllab.errors import UsageError, nearest
from cllab.io import files

COMMANDS = ("pause", "resume", "step", "stop", "trace")
"""What a viewer may ask: `step` runs to the end of the current task and pauses there; `trace N` traces the next N steps
(1 without a number), and a run that is paused takes exactly these steps and pauses again."""

WISHES = {
    "starting": {"stop": "stopping", "pause": "pausing"},
    "training": {"stop": "stopping", "pause": "pausing"},
    "paused": {"stop": "stopping", "resume": "resuming", "step": "resuming"},
}
"""By the state of a run: what a command is until it has been carried out."""


def ask(path: Path, command: str) -> None:
    """Append a command, in one write, so that no other writer's is lost or mixed with it.

    Raises:
        UsageError: for a command that does not exist.
        CllabError: when the file cannot be written.
    """
    if command.partition(" ")[0] not in COMMANDS:
        raise UsageError(f"no command '{command}'{nearest(command, COMMANDS)}")
    try:
        with files.open_to_append(path) as file:
            file.write(f"{time.time_ns()} {command}\n".encode())
    except OSError as error:
        raise files.write_error(error) from None


def wish(path: Path, state: str, since: int | None) -> str:
    """What a process was asked for last and has not done yet: "stopping", "pausing", "resuming", or an empty string.

    Args:
        path: the control file.
        state: of the run.
        since: when the process began, in nanoseconds since the epoch: what was asked of a former one was not asked of
            it. None where there is none.
    """
    wishes = WISHES.get(state)
    if not wishes or since is None:
        return ""
    try:
        when, _, command = files.read_bytes(path).decode().strip().rpartition("\n")[2].partition(" ")
        return wishes.get(command.strip(), "") if int(when) >= since else ""
    except (OSError, ValueError):
        return ""


class Asked:
    """Reads commands as they are appended; a line that is still being written waits for its end.

    Args:
        path: the control file; None where there is none.
        waiting: heed what it already holds; otherwise only what is written from now on.
    """

    def __init__(self, path: Path | None, *, waiting: bool = False) -> None:
        self.path = path
        now = self._mark()
        self._inode, self._offset = now if not waiting else (now[0], 0)

    def new(self) -> list[list[str]]:
        """The words of every command that is new. About a microsecond when there is none."""
        if self.path is None:
            return []
        inode, size = self._mark()
        if (inode, size) == (self._inode, self._offset):
            return []
        if inode != self._inode or size < self._offset:  # a file that took the place of the one read so far
            self._inode, self._offset = inode, 0
        try:
            with files.open_regular(self.path) as file:
                file.seek(self._offset)
                chunk = file.read(files.MOST_BYTES)
        except OSError:
            return []
        whole, end, rest = chunk.rpartition(b"\n")
        # what goes on for so long without an end is no command
        self._offset += len(chunk) if len(rest) == files.MOST_BYTES else len(whole) + len(end)
        return [line.split()[1:] for line in whole.decode("utf-8", "replace").splitlines()]

    def _mark(self) -> tuple[int, int]:
        """Which file it is and how long: what changes with every command."""
        if self.path is None:
            return 0, 0
        try:
            status = os.stat(self.path)
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size
