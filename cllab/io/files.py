"""Files that others may have written or look at: no device and no pipe is opened, nothing is read without a limit, TOML
leaves no traceback, and what is written is there whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import tomllib
from pathlib import Path
from typing import IO, Any

from cllab.errors import CllabError, DataError, TrainingError, UsageError

MOST_BYTES = 1_000_000
"""Of a file that a person writes: a preset, a plan, a configuration."""


def expand(text: str | os.PathLike[str]) -> Path:
    """`text` as a path, with `~` as the home folder where there is one; elsewhere it is a name like any other.

    What no path may hold becomes U+FFFD, so that the file is not there instead of an error somewhere below.
    """
    path = Path(os.fspath(text).replace("\0", "\ufffd"))
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False also for what cannot be a path.

    Raises:
        PermissionError: where one may not look.
    """
    try:
        return path.is_file()
    except PermissionError:
        raise
    except OSError:
        return False


def open_regular(path: Path) -> IO[bytes]:
    """`path` opened for reading; it never waits.

    Raises:
        OSError: when it cannot be opened or is no regular file (a pipe would wait for its writer for ever).
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def open_to_append(path: Path) -> io.FileIO:
    """`path` opened at its end for writing, made where there is none; it never waits, and a write is one call.

    Raises:
        OSError: when it cannot be opened or is no regular file.
    """
    return _open_to_write(path, os.O_WRONLY | os.O_APPEND, "ab")


def open_to_write(path: Path) -> io.FileIO:
    """`path` opened for reading and writing, made where there is none and as it is otherwise; it never waits.

    Raises:
        OSError: when it cannot be opened or is no regular file.
    """
    return _open_to_write(path, os.O_RDWR, "r+b")


def _open_to_write(path: Path, flags: int, mode: str) -> io.FileIO:
    irregular = OSError(errno.EINVAL, "not a regular file", str(path))
    plain = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags | os.O_CREAT | plain, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise irregular from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise irregular
        if plain:
            os.set_blocking(number, True)  # for a process that it is handed to
        return io.FileIO(number, mode)
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file.

    Raises:
        OSError: when it cannot be read, is no regular file, or is larger than `most` bytes.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most / 1e6:g} MB", str(path))
    return content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The content of a text file.

    Raises:
        CllabError: naming the file; a `DataError` where one may not read it.
    """
    try:
        return read_bytes(path, most).decode("utf-8")
    except OSError as error:
        raise unreadable(error, path) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8") from None


def unreadable(error: OSError, path: Path) -> CllabError:
    """Why a file cannot be read: by permission it is data that is not available, otherwise a name that cannot be
    meant."""
    kind = DataError if isinstance(error, PermissionError) else UsageError
    return kind(f"{path}: {error.strerror or error}")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file and rename it into place, so that a reader sees the old one or the new one.

    Raises:
        OSError: when it cannot be written; the old one is as it was then.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_error(error: OSError) -> CllabError:
    """What an operating system error means for a run, in one sentence."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return TrainingError(f"the disk is full{where}")
    return TrainingError(f"{error.strerror or error}{where}")


def toml(text: str) -> dict[str, Any]:
    """`text` as TOML.

    Raises:
        ValueError: one line on why it is none; also for numbers of thousands of digits and tables nested without end.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
