"""Image files to pixels, on all cores.

Threads gain nothing on thumbnails: opening and parsing 70,000 small PNGs holds the interpreter lock longer than the
decoding itself (two cores, warm disk: 1.7 s in one thread, 2.5 s in two, 1.1 s in two processes). So many files go to
processes that run this file as a script. It imports the standard library, NumPy and Pillow only, which makes them start
in a tenth of a second, and, unlike multiprocessing, they never import the program that started them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

FEW = 2000
"""Up to so many files are decoded in this process: starting others would take longer."""
CHUNK_BYTES = 1 << 20
_PNG = b"\x89PNG\r\n\x1a\n"


class BadImageError(Exception):
    """A file that is not the image it should be; the message begins with its path."""


@dataclass(frozen=True)
class Rule:
    """What every image must be, or is made into.

    Attributes:
        mode: "L" for 8-bit gray, "RGB" for 8-bit color.
        width: in pixels.
        height: in pixels.
        convert: True to convert other modes, False to refuse them.
        resize: True to squash other sizes, False to refuse them.
        formats: file formats that are accepted; None for all that Pillow reads.
    """

    mode: str
    width: int
    height: int
    convert: bool = False
    resize: bool = False
    formats: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return len(self.mode), self.height, self.width


def decode_file(path: str, rule: Rule) -> bytes:
    """The pixels of one file, as H * W * C bytes.

    Raises:
        BadImageError: missing, truncated, corrupt, or against the rule.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise BadImageError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise BadImageError(f"{path}: the file is empty")
    if data.startswith(_PNG):
        _check_png(data, path)
    try:
        with Image.open(BytesIO(data), formats=rule.formats) as image:
            return _to_rule(image, rule, path)
    except BadImageError:
        raise
    except UnidentifiedImageError:
        raise BadImageError(f"{path}: not an image, or its header is damaged") from None
    # what Pillow raises on damaged files is not one family: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        raise BadImageError(f"{path}: damaged image ({error})") from error


def image_size(path: str) -> tuple[int, int]:
    """(W, H) of an image file.

    Raises:
        BadImageError: when it cannot be opened.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:
        raise BadImageError(f"{path}: not an image, or its header is damaged") from error


def _to_rule(image: Image.Image, rule: Rule, path: str) -> bytes:
    size = (rule.width, rule.height)
    if (image.size != size and not rule.resize) or (image.mode != rule.mode and not rule.convert):
        found = f"{image.size[0]}x{image.size[1]} {image.mode}"
        raise BadImageError(f"{path}: must be {rule.width}x{rule.height} {rule.mode}, found {found}")
    if image.mode.startswith(("I", "F")):
        raise BadImageError(f"{path}: must have 8 bits per channel, found mode {image.mode}")
    made = image if image.mode == rule.mode else image.convert(rule.mode)
    if made.size != size:
        made = made.resize(size, Image.Resampling.BILINEAR)
    return made.tobytes()


def _check_png(data: bytes, path: str) -> None:
    """Chunk lengths and checksums: Pillow ignores those of the pixel data and lets some flipped bits pass."""
    position = len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        (expected,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[position + 4 : end - 4]) != expected:
            raise BadImageError(f"{path}: damaged image (wrong checksum)")
        if kind == b"IEND":
            return
        position = end
    raise BadImageError(f"{path}: the file is truncated")


def decode_chunk(paths: Sequence[str], rule: Rule) -> Pixels:
    """The images of `paths` as (N, C, H, W) uint8."""
    channels, height, width = rule.shape
    joined = b"".join(decode_file(path, rule) for path in paths)
    flat = np.frombuffer(joined, np.uint8).reshape(len(paths), height, width, channels)
    return np.ascontiguousarray(flat.transpose(0, 3, 1, 2))


def decode_strip(
    folder: str, names: Sequence[str], rule: Rule, out: str, offset: int, report: Callable[[int], object]
) -> None:
    """Write the pixels of `names` (relative to `folder`) into the file `out`, from byte `offset` on.

    `report` is called with the number of images that each chunk added.
    """
    step = max(1, CHUNK_BYTES // (rule.width * rule.height * len(rule.mode)))
    with open(out, "r+b") as file:
        file.seek(offset)
        for start in range(0, len(names), step):
            part = names[start : start + step]
            file.write(decode_chunk([os.path.join(folder, name) for name in part], rule).data)
            report(len(part))


def decode_all(
    folder: Path,
    names: Sequence[str],
    rule: Rule,
    out: Path,
    offset: int,
    progress: Callable[[int], object],
    *,
    processes: int | None = None,
) -> None:
    """As `decode_strip`, on all cores; `progress` is called with the number of images done so far.

    Raises:
        BadImageError: for the first file found that is not an image of this rule; every process has ended by then.
        OSError: when `out` cannot be written.
    """
    n_processes = processes or available_cores()
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        progress(done)

    if len(names) <= FEW or n_processes == 1:
        decode_strip(str(folder), names, rule, str(out), offset, report)
        return
    channels, height, width = rule.shape
    bounds = [len(names) * i // n_processes for i in range(n_processes + 1)]
    _run_jobs(
        [
            {
                "folder": str(folder),
                "names": names[a:b],
                "rule": asdict(rule),
                "out": str(out),
                "offset": offset + a * channels * height * width,
            }
            for a, b in itertools.pairwise(bounds)
        ],
        report,
    )


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_jobs(jobs: Sequence[dict[str, Any]], report: Callable[[int], object]) -> None:
    # -P keeps this folder, whose files have names like `source`, off the import path
    command = [sys.executable, "-P", os.path.abspath(__file__)]
    messages: queue.Queue[dict[str, Any]] = queue.Queue()

    def follow(worker: subprocess.Popen[str], job: dict[str, Any]) -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        # a worker that dies early closes its pipe; its exit status tells
        with contextlib.suppress(OSError):
            worker.stdin.write(json.dumps(job))
            worker.stdin.close()
        for line in worker.stdout:
            messages.put(json.loads(line))
        messages.put({"exit": worker.wait()})

    workers: list[subprocess.Popen[str]] = []
    try:
        for job in jobs:
            # a session of its own: ctrl-c reaches this process only, which then ends the workers
            worker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
            )
            workers.append(worker)
            threading.Thread(target=follow, args=(worker, job), daemon=True).start()
        running = len(workers)
        while running:
            message = messages.get()
            if "done" in message:
                report(message["done"])
            elif "bad" in message:
                raise BadImageError(message["bad"])
            elif "errno" in message:
                raise OSError(message["errno"], message["text"])
            elif message["exit"] != 0:
                raise ChildProcessError(f"a decoding process ended early (exit status {message['exit']})")
            else:
                running -= 1
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def main() -> int:
    """Decode one job, given as JSON on stdin; progress and failure are JSON lines on stdout."""

    def say(**message: object) -> None:
        try:
            print(json.dumps(message), flush=True)
        except BrokenPipeError:
            os._exit(1)  # whoever wanted the pixels is gone

    job = json.load(sys.stdin)
    formats = job["rule"].pop("formats")
    rule = Rule(**job["rule"], formats=tuple(formats) if formats else None)
    try:
        decode_strip(job["folder"], job["names"], rule, job["out"], job["offset"], lambda more: say(done=more))
    except BadImageError as error:
        say(bad=str(error))
        return 1
    except OSError as error:
        say(errno=error.errno, text=error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
