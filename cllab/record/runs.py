"""Run folders: the one place that knows the names of the files inside. What each holds, a module beside it knows.

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
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllab.errors import CllabError, DataError, UsageError, nearest
from cllab.io import files
from cllab.record import control, described, launch, queue
from cllab.record import events as ev
from cllab.record.described import Described
from cllab.record.lock import LockedError, RunLock, holder, is_locked
from cllab.record.log import EventWriter, Tail, last_event
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.text import clean, cleaned

MOST_RESULT_BYTES = 64_000_000
FRESH_SECONDS = 30.0
"""How long a folder may lie there before the process is started for which it was made."""


def runs_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where runs are kept: `given`, else $CLLAB_RUNS, else ./runs."""
    return files.expand(given or os.environ.get("CLLAB_RUNS") or "runs")


Stamp = tuple[tuple[int, int], ...]
MISSING = (0, 0)


def stamp(folder: str) -> Stamp:
    """Changes whenever a file does that tells how a run stands; begins with `MISSING` where there is no config.toml."""
    stamps = []
    for name in ("config.toml", "events.jsonl", "result.json", "lock", "launched", "queued"):
        try:
            status = os.stat(f"{folder}/{name}")
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append(MISSING)
    return tuple(stamps)


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        state: queued (waits for the run before it), starting, training, paused, done, failed, stopped or lost (its
            process died without a word).
        reason: one sentence for queued, failed, stopped and lost.
        updated: when something was last written, seconds since the epoch.
        pid: of the process that trains, or was started to.
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
        return queue.read(self.queue_path)

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
        updated = (_changed_ns(self.events_path) or _changed_ns(self.folder) or 0) / 1e9
        last = self.last_event()
        if is_locked(self.lock_path):
            state = "paused" if isinstance(last, ev.Paused) else "training" if last is not None else "starting"
            return RunStatus(state, updated=updated, pid=holder(self.lock_path))
        if launched:
            return RunStatus("starting", updated=updated, pid=holder(self.launched_path))
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

    def stamp(self) -> Stamp:
        """See `stamp`; a run in which nothing lives stands as it stood while this is the same."""
        return stamp(os.fspath(self.folder))

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
        return last_event(self.events_path)

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

        Raises:
            UsageError: for a command that does not exist.
            CllabError: when it cannot be written down.
        """
        control.ask(self.control_path, name)

    def stop(self) -> None:
        """Ask the training process to stop with a checkpoint; by a signal where nothing can be written, as on a full
        disk.

        Raises:
            CllabError: when neither reaches it.
        """
        try:
            self.command("stop")
        except CllabError:
            if not self.interrupt():
                raise

    def wish(self, state: str) -> str:
        """What the process was asked for last and has not done yet, of a run in `state`: "stopping", "pausing",
        "resuming", or an empty string."""
        return control.wish(self.control_path, state, _changed_ns(self.launched_path) or _changed_ns(self.lock_path))

    def log_tail(self, lines: int = 12) -> list[str]:
        """The last lines of what libraries and Python printed."""
        return launch.output(self.log_path, lines)

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
        places = launch.Places(self.folder, self.log_path, self.launched_path, self.control_path)
        return launch.start(places, resume=resume, threads=threads)

    def kill(self) -> bool:
        """End a worker that no longer answers, with its children; False when none is alive."""
        return sys.platform != "win32" and launch.end((self.lock_path, self.launched_path), signal.SIGKILL)

    def interrupt(self) -> bool:
        """Ask the worker to stop after this batch with a checkpoint (SIGTERM); False when none is alive."""
        return launch.end((self.lock_path, self.launched_path), signal.SIGTERM)

    def delete(self) -> None:
        """Remove the folder.

        Raises:
            LockedError: while it is being trained.
        """
        if self.is_alive:
            raise LockedError(f"run '{self.id}' is being trained; stop it first")
        shutil.rmtree(self.folder)


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
            files.write_atomically(run.described_path, described.text(config.specs))
            files.write_atomically(run.config_path, config.to_toml())
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


def _changed_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
