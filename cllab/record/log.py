"""The log of a run, events.jsonl: a record a line, appended by the process that trains and followed by whoever looks.

A last line without its end is a record that is still being written.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cllab.io import files
from cllab.record import events as ev

LAST_BYTES = 65536
"""In which the last record is looked for."""
CHUNK = 1 << 20
MOST_RECORD_BYTES = 16 << 20
"""What goes on for longer without an end is no record, but a log with a hole in it."""


class Tail:
    """Reads records as they are appended; a torn last line waits, a rewritten file is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self._offset = 0
        self._rest = b""
        self._endless = False
        self._inode: int | None = None

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._offset

    def read(self, limit: int = 1 << 22) -> list[ev.Event]:
        """Records that are new since the last call; `restarted` is set when they begin again from the first."""
        self.restarted = False
        try:
            with files.open_regular(self.path) as file:
                status = os.fstat(file.fileno())
                if self._inode is not None and (status.st_ino != self._inode or status.st_size < self._offset):
                    self._offset, self._rest, self._endless, self.restarted = 0, b"", False, True
                self._inode = status.st_ino
                file.seek(self._offset)
                chunk = file.read(limit)
        except OSError:
            return []
        self._offset += len(chunk)
        parts = chunk.split(b"\n")
        parts[0] = b"" if self._endless else self._rest + parts[0]
        self._endless = self._endless and len(parts) == 1
        *lines, self._rest = parts
        if len(self._rest) > MOST_RECORD_BYTES:
            self._rest, self._endless = b"", True
        return [event for event in map(ev.from_line, lines) if event is not None]


def last_event(path: Path) -> ev.Event | None:
    """The last whole record of the log at `path`."""
    try:
        with files.open_regular(path) as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - LAST_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines[:-1]):
        event = ev.from_line(line)
        if event is not None:
            return event
    return None


class EventWriter:
    """A sink: one write per record, so that a reader never sees two halves mixed.

    Args:
        path: the log, appended to.
        keep_bytes: first cut it there, for a run that goes on; what followed is kept aside in discarded.jsonl.

    Raises:
        OSError: when the log is no file that can be written; from a call, when the disk is full or the file is gone.
    """

    def __init__(self, path: Path, *, keep_bytes: int | None = None) -> None:
        if keep_bytes is not None and path.exists():
            _cut(path, keep_bytes)
        self._file = files.open_to_append(path)
        self.bytes = self._file.seek(0, os.SEEK_END)

    def __call__(self, event: ev.Event) -> None:
        object.__setattr__(event, "t", round(time.time(), 3))
        line = (ev.to_line(event) + "\n").encode()
        written = self._file.write(line)
        if written != len(line):
            self._file.truncate(self.bytes)
            raise OSError(28, "No space left on device")
        self.bytes += len(line)

    def sync(self) -> int:
        """Flush to disk; how many bytes lie there, for a checkpoint that counts on them."""
        os.fsync(self._file.fileno())
        return self.bytes

    def close(self) -> None:
        """Flush to disk and close."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def _cut(path: Path, keep_bytes: int) -> None:
    """Cut the log at the end of the last record within `keep_bytes`; what followed will happen again and is kept aside.

    A log that a crash has shortened may end in half a line.
    """
    with files.open_regular(path) as log:
        kept = log.read(max(0, min(keep_bytes, os.fstat(log.fileno()).st_size)))
        kept = kept[: kept.rfind(b"\n") + 1]
        log.seek(len(kept))
        if rest := log.read(CHUNK):
            with files.open_to_append(path.with_name("discarded.jsonl")) as aside:
                before = aside.seek(0, os.SEEK_END)
                try:
                    while rest:
                        rest = rest[aside.write(rest) :] or log.read(CHUNK)
                except OSError:
                    aside.truncate(before)
                    raise
    files.write_atomically(path, kept)
