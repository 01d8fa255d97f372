"""Reading what others wrote: never a device or a pipe, never without a limit, TOML without tracebacks."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import IO, Any

from cllab.errors import CllabError, DataError, UsageError

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


def toml(text: str) -> dict[str, Any]:
    """`text` as TOML.

    Raises:
        ValueError: one line on why it is none; also for numbers of thousands of digits and tables nested without end.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
