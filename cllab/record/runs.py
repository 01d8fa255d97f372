"""Run folders: the one place that knows the names of the files inside.

config.toml     what was asked, complete          events.jsonl   what happened, append-only
control         what a viewer wants               worker.log     what libraries printed
memory/         what the memory held              traces/        what methods published of traced steps
checkpoint/     how to go on                      lock           held while a process trains
result.json     what came out, written last       queued          held while the run waits for another (study.queue)
queue           ids of the runs that were started together, to train one after another
launched        held by a process that was started to train and does not hold `lock` yet
described.json  components and metrics as data (cllab.record.described)

Reading a folder runs nothing from it, waits for nothing, and hands out no control characters.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cllab.errors import CllabError, DataError, UsageError, nearest
from cllab.io import files
from cllab.record import described
from cllab.record import events as ev
from cllab.record.described import Described
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.text import clean, cleaned

if sys.platform != "win32":
    import fcntl

MOST_RESULT_BYTES = 64_000_000
MOST_LOG_BYTES = 1_000_000
FRESH_SECONDS = 30.0
"""How long a folder may lie there before the process is started for which it was made."""
CONTROL_COMMANDS = ("pause", "resume", "step", "stop", "trace")
"""What a viewer may ask: `step` runs to the end of the current task and pauses there; `trace N` traces the next N steps
(1 without a number), and a run that is paused takes exactly these steps and pauses again."""

_WISHES = {
    "starting": {"stop": "stopping", "pause": "pausing"},
    "training": {"stop": "stopping", "pause": "pausing"},
    "paused": {"stop": "stopping", "resume": "resuming", "step": "resuming"},
}
"""By the state of a run: what a command is until it has been carried out."""


def runs_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where runs are kept: `given`, else $CLLAB_RUNS, else ./runs."""
    return files.expand(given or os.environ.get("CLLAB_RUNS") or "runs")


class LockedError(UsageError):
    """Another process is training in this run folder."""


class RunLock:
    """An exclusive lock on a run folder, released by the kernel when its holder dies.

    Raises:
        LockedError: when another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        if sys.platform != "win32":
            try:
                self._take()
            except OSError:
                self._file.seek(0)
                owner = self._file.read().strip()
                self._file.close()
                raise LockedError(
                    f"run '{path.parent.name}' is already being trained{f' by process {owner}' if owner else ''}; "
                    "use cllab attach to watch it"
                ) from None
            # a forked child would keep the lock alive after its parent's death
            os.register_at_fork(after_in_child=self.release)
        self.sign(os.getpid())

    def fileno(self) -> int:
        """The open file; a process that inherits it holds the lock as well, until it dies."""
        return self._file.fileno()

    def sign(self, pid: int) -> None:
        """Write down whose lock it is."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(pid))
        self._file.flush()

    def _take(self) -> None:
        """Lock, trying for a moment: a viewer that asks whether a run is alive holds the lock for some microseconds."""
        for _ in range(4):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(0.02)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the lock back."""
        if not self._file.closed:
            self._file.close()


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


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        state: queued (waits for the run before it), starting, training, paused, done, failed, stopped or lost (its
            process died without a word).
        reason: one sentence for failed and lost.
        task, n_tasks: position, when known.
        updated: when something was last written, seconds since the epoch.
    """

    state: str
    reason: str = ""
    updated: float = 0.0
    pid: int | None = None


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @property
    def id(self) -> str:
        return clean(self.folder.name)

    @property
    def events_path(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def config_path(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log_path(self) -> Path:
        return self.folder / "worker.log"

    @property
    def lock_path(self) -> Path:
        return self.folder / "lock"

    @property
    def control_path(self) -> Path:
        return self.folder / "control"

    @property
    def memory_folder(self) -> Path:
        return self.folder / "memory"

    @property
    def traces_folder(self) -> Path:
        return self.folder / "traces"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint" / "latest.pt"

    @property
    def launched_path(self) -> Path:
        return self.folder / "launched"

    @property
    def queued_path(self) -> Path:
        return self.folder / "queued"

    @property
    def queue_path(self) -> Path:
        return self.folder / "queue"

    @property
    def result_path(self) -> Path:
        return self.folder / "result.json"

    @property
    def described_path(self) -> Path:
        return self.folder / "described.json"

    def config(self, *, trusted: bool = False) -> RunConfig:
        """What was asked.

        Args:
            trusted: the run is about to be trained, so that the file of its method may be run; otherwise the method is
                known by what is stored in the folder.

        Raises:
            CllabError: when config.toml is missing, may not be read, or was edited out of shape.
        """
        text, where = files.read_text(self.config_path), str(self.config_path)
        if trusted:
            return RunConfig.from_toml(text, where=where, base=self.folder)
        known = load().with_components(self.described().components)
        return RunConfig.from_toml(text, known, where=where, base=self.folder, run_files=False)

    def settings(self) -> dict[str, Any]:
        """config.toml as it stands, unchecked.

        Raises:
            CllabError: when it is missing, may not be read, or is not TOML.
        """
        text = files.read_text(self.config_path)
        try:
            found: dict[str, Any] = cleaned(files.toml(text))
        except ValueError as error:
            raise UsageError(f"{self.config_path}: not TOML: {error}") from None
        return found

    def described(self) -> Described:
        """What the folder says of its components and metrics."""
        return described.read(self.described_path)

    def queue(self) -> tuple[str, ...]:
        """Ids of the runs that train one after another, this one among them; empty for a run that was started alone."""
        try:
            lines = files.read_bytes(self.queue_path).decode().split("\n")
        except (OSError, ValueError):
            return ()
        # names of folders beside this one, and nothing else
        return tuple(line for line in lines if line and line == Path(line).name and line not in (".", ".."))

    def result(self) -> dict[str, Any] | None:
        """`result.json`, None when the run has not ended or the file is torn."""
        try:
            data = json.loads(files.read_bytes(self.result_path, MOST_RESULT_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        return cleaned(data) if isinstance(data, dict) else None

    def status(self) -> RunStatus:
        """How the run stands, from the locks and the last lines of the log; cheap enough for a list."""
        # looked at first: it is given up for the other lock, by the process that has that one by then
        launched = is_locked(self.launched_path)
        try:
            updated = self.events_path.stat().st_mtime
        except OSError:
            updated = _changed(self.folder)
        last = self.last_event()
        if is_locked(self.lock_path):
            state = "paused" if isinstance(last, ev.Paused) else "training" if last is not None else "starting"
            return RunStatus(state, updated=updated, pid=_pid(self.lock_path))
        if launched:
            return RunStatus("starting", updated=updated, pid=_pid(self.launched_path))
        if isinstance(last, ev.RunEnded):
            if last.status == "done" and not os.path.exists(self.result_path):
                return RunStatus(
                    "lost", "its process died before the result was written; cllab resume goes on", updated
                )
            return RunStatus(last.status, last.reason, updated)
        if is_locked(self.queued_path):
            return RunStatus("queued", "waits for the run before it", updated)
        if last is None and not os.path.exists(self.lock_path):
            if os.path.exists(self.launched_path):
                return RunStatus("lost", "its process ended before it began to train; see worker.log", updated)
            # made a moment ago, by someone who is about to start it, or by someone who died before that
            fresh = time.time() - updated < FRESH_SECONDS
            return RunStatus("starting" if fresh else "lost", "it never started", updated)
        return RunStatus("lost", "the training process died without a word; see worker.log", updated)

    @property
    def is_alive(self) -> bool:
        """Whether a process trains this run, or was started to."""
        return is_locked(self.launched_path) or is_locked(self.lock_path)

    def take(self) -> RunLock:
        """The lock of whoever trains here; the run is no longer one that only starts.

        Raises:
            LockedError: when another process holds it.
        """
        lock = RunLock(self.lock_path)
        self.launched_path.unlink(missing_ok=True)
        return lock

    def last_event(self) -> ev.Event | None:
        """The last whole record."""
        try:
            with files.open_regular(self.events_path) as file:
                file.seek(0, os.SEEK_END)
                size = file.tell()
                file.seek(max(0, size - 65536))
                lines = file.read().split(b"\n")
        except OSError:
            return None
        for line in reversed(lines[:-1]):
            event = ev.from_line(line)
            if event is not None:
                return event
        return None

    def events(self, *, follow: bool = False, poll: float = 0.1) -> Iterator[ev.Event]:
        """The records so far; with `follow`, further ones as they are written, until the run is over."""
        tail = Tail(self.events_path)
        while True:
            alive = self.is_alive
            over, before = False, tail.position
            for event in tail.read():
                over = isinstance(event, ev.RunEnded)
                yield event
            if over:
                return
            if tail.position != before:
                continue  # a long log is read in parts
            if not follow or (not alive and os.path.exists(self.events_path)):
                return
            time.sleep(poll)

    def state(self) -> Any:
        """The fold of all records: a `RunState`."""
        from cllab.record.state import RunState

        state = RunState()
        for event in self.events():
            state = state.apply(event)
        return state

    def sink(self, *, keep_bytes: int | None = None) -> EventWriter:
        """A sink that appends to `events.jsonl`; `keep_bytes` first cuts the file there (for a resume)."""
        return EventWriter(self.events_path, keep_bytes=keep_bytes)

    def command(self, name: str) -> None:
        """Ask the training process for something; it looks between steps and inside of passes over data.

        Appended in one write, so that no other writer's command is lost or mixed with it.

        Raises:
            UsageError: for a command that does not exist.
        """
        if name.partition(" ")[0] not in CONTROL_COMMANDS:
            raise UsageError(f"no command '{name}'{nearest(name, CONTROL_COMMANDS)}")
        with self.control_path.open("ab", buffering=0) as file:
            file.write(f"{time.time_ns()} {name}\n".encode())

    def wish(self, state: str) -> str:
        """What the process was asked for last and has not done yet, of a run in `state`: "stopping", "pausing",
        "resuming", or an empty string."""
        wish = _WISHES.get(state, {})
        if not wish:
            return ""
        try:
            # one command a line, the newest last; what was asked of a former process was not asked of this one
            asked, _, name = files.read_bytes(self.control_path).decode().strip().rpartition("\n")[2].partition(" ")
            locks = [path for path in (self.launched_path, self.lock_path) if os.path.exists(path)]
            ours = int(asked) >= locks[0].stat().st_mtime_ns
        except (OSError, ValueError, IndexError):
            return ""
        return wish.get(name.strip(), "") if ours else ""

    def log_tail(self, lines: int = 12) -> list[str]:
        """The last lines of what libraries and Python printed."""
        try:
            with files.open_regular(self.log_path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_LOG_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return clean(text, lines=True).splitlines()[-lines:]

    def start_worker(self, *, resume: bool = False, threads: int = 0) -> subprocess.Popen[bytes]:
        """Train in a detached process, which goes on when the caller and its terminal are gone.

        $CLLAB_WORKER_CMD replaces `python -m cllab.worker`: a launcher of your own, or a recorded run in tests. It must
        not end before the training does.

        Args:
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
        command = [*launcher, str(self.folder.resolve())]
        self.control_path.unlink(missing_ok=True)  # whatever is asked from here on is asked of the new process
        launched = RunLock(self.launched_path)
        try:
            with self.log_path.open("ab") as log:
                process = subprocess.Popen(
                    [*command, "--resume"] if resume else command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                    pass_fds=inherited(launched),
                )
            launched.sign(process.pid)
        finally:
            launched.release()
        return process

    def kill(self) -> bool:
        """End a worker that no longer answers, with its children; False when none is alive."""
        pid = self._worker()
        if pid is None or sys.platform == "win32":
            return False
        try:
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def interrupt(self) -> bool:
        """Ask the worker to stop after this batch with a checkpoint (SIGTERM); False when none is alive."""
        pid = self._worker()
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return False
        return True

    def delete(self) -> None:
        """Remove the folder.

        Raises:
            LockedError: while it is being trained.
        """
        if self.is_alive:
            raise LockedError(f"run '{self.id}' is being trained; stop it first")
        shutil.rmtree(self.folder)

    def _worker(self) -> int | None:
        """The process that trains, or was started to."""
        return next((_pid(path) for path in (self.lock_path, self.launched_path) if is_locked(path)), None)


def _pid(path: Path) -> int | None:
    """Whose lock it is."""
    try:
        return int(files.read_bytes(path, 100))
    except (OSError, ValueError):
        return None


class Tail:
    """Reads records as they are appended; a torn last line waits, a rewritten file is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self._offset = 0
        self._rest = b""
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
                    self._offset, self._rest, self.restarted = 0, b"", True
                self._inode = status.st_ino
                file.seek(self._offset)
                chunk = file.read(limit)
        except OSError:
            return []
        self._offset += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [event for event in map(ev.from_line, lines) if event is not None]


class EventWriter:
    """A sink: one write per record, so that a reader never sees two halves mixed.

    Raises:
        OSError: from a call, when the disk is full or the file is gone.
    """

    def __init__(self, path: Path, *, keep_bytes: int | None = None) -> None:
        if keep_bytes is not None and path.exists():
            # what followed the checkpoint will happen again; it is kept aside, never lost
            data = path.read_bytes()
            kept = data[
                : data.rfind(b"\n", 0, keep_bytes) + 1
            ]  # a log that a crash has shortened may end in half a line
            _append_whole(path.with_name("discarded.jsonl"), data[len(kept) :])
            write_atomically(path, kept)
        self._file = path.open("ab", buffering=0)
        self.bytes = self._file.tell()

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


class RunStore:
    """The runs of one folder.

    Args:
        folder: see `runs_folder`.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = runs_folder(folder)

    def create(self, config: RunConfig) -> Run:
        """A new run folder with its config.

        Raises:
            UsageError: when the runs folder cannot be written.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-") or "run"
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}-s{config.seed}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
                folder = self.folder / f"{stem}{suffix}"
                try:
                    folder.mkdir()
                except FileExistsError:
                    continue
                break
            else:
                raise UsageError(f"--runs {self.folder}: too many runs called {stem}")
            run = Run(folder)
            run.memory_folder.mkdir()
            run.checkpoint_path.parent.mkdir()
            write_atomically(run.described_path, described.text(config.specs))
            write_atomically(run.config_path, config.to_toml())
        except OSError as error:
            raise UsageError(f"--runs {self.folder}: cannot be written: {error.strerror}") from None
        return run

    def create_all(self, configs: Sequence[RunConfig]) -> list[Run]:
        """New run folders, one for each of `configs`, or none.

        Raises:
            UsageError: when the runs folder cannot be written.
        """
        made: list[Run] = []
        try:
            for config in configs:
                made.append(self.create(config))
        except BaseException:
            for run in made:
                shutil.rmtree(run.folder, ignore_errors=True)
            raise
        return made

    def __iter__(self) -> Iterator[Run]:
        """Runs, newest first."""
        try:
            folders = [p for p in self.folder.iterdir() if os.path.isdir(p)]
        except OSError:
            return
        for folder in sorted(folders, key=lambda p: p.name, reverse=True):
            if os.path.isfile(folder / "config.toml"):
                yield Run(folder)

    def closed(self) -> list[Path]:
        """Folders in which one may not look.

        Raises:
            DataError: when that is the runs folder itself.
        """
        try:
            folders = [p for p in self.folder.iterdir() if os.path.isdir(p)]
        except PermissionError as error:
            raise files.unreadable(error, self.folder) from None
        except OSError:
            return []
        return [p for p in folders if not os.access(p, os.X_OK)]

    def find(self, name: str) -> Run:
        """The run called `name`: a path, an id, the beginning of one, a part of one; or "last".

        Raises:
            UsageError: when there is none or more than one.
            DataError: when one may not look there.
        """
        path = files.expand(name)
        if os.path.isfile(path / "config.toml"):
            return Run(path)
        for closed in (path, self.folder / name):
            if os.path.isdir(closed) and not os.access(closed, os.X_OK):
                raise DataError(f"{closed}: Permission denied")
        self.closed()
        runs = list(self)
        if name in ("last", "latest") and runs:
            return runs[0]
        for matches in (
            [r for r in runs if r.id == name],
            [r for r in runs if r.id.startswith(name)],
            [r for r in runs if name in r.id],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                some = ", ".join(r.id for r in matches[:3])
                raise UsageError(f"'{name}' could be {len(matches)} runs: {some}{', ...' if len(matches) > 3 else ''}")
        if not runs:
            raise UsageError(f"no run '{name}': there are no runs in {self.folder}")
        raise UsageError(f"no run '{name}' in {self.folder}{nearest(name, [r.id for r in runs])}")


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file and rename it into place, so that a reader sees the old one or the new one."""
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


def _append_whole(path: Path, data: bytes) -> None:
    """Append all of `data`, or nothing when the disk is full."""
    if not data:
        return
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(before)
            raise


def write_error(error: OSError) -> CllabError:
    """What an operating system error means for a run, in one sentence."""
    from cllab.errors import TrainingError

    if error.errno == 28:
        return TrainingError(f"the disk is full{f': {error.filename}' if error.filename else ''}")
    return TrainingError(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
