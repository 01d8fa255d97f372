"""The entry point of the command line: every expected failure is one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CllabError
from cllab.text import clean, clip


def main() -> None:
    """Run the command in `sys.argv` and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    import typer

    from cllab.cli.app import app

    try:
        code = app(args=list(arguments), prog_name="cllab", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else EXIT_DONE
    except CllabError as error:
        return _say(str(error), error.exit_code)
    except RecursionError:
        return _say("the input is nested too deep", EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except SystemExit as end:
        # typer ends so when the reader of a pipe is gone
        gone = isinstance(end.__context__, BrokenPipeError)
        return EXIT_DONE if gone or end.code is None else end.code if isinstance(end.code, int) else EXIT_FAILED
    except BrokenPipeError:
        # the reader of our output has seen enough; the interpreter must not try to flush the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        code = EXIT_DATA if isinstance(error, PermissionError) else EXIT_FAILED
        return _say(f"{where}{error.strerror or error}", code)
    except _parse_error() as error:
        return _say(_told(error), EXIT_USAGE)


def _say(message: str, code: int) -> int:
    print(f"cllab: {clip(clean(' '.join(message.split())))}", file=sys.stderr)
    return code


def _parse_error() -> type[Exception]:
    """What typer raises for arguments that it cannot parse; where the class lives depends on typer's version."""
    import typer

    return next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _told(error: Any) -> str:
    """Its message, beginning with the command and ending with where to read on."""
    message = str(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "cllab"
    within = path.removeprefix("cllab").strip()
    return f"{f'{within}: ' if within else ''}{message[:1].lower()}{message[1:]}; see {path} --help"


if __name__ == "__main__":
    main()
