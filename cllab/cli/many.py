"""Training many configurations, one after another in this process or several at once in workers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_USAGE

if TYPE_CHECKING:
    from cllab.record.runs import Run, RunStore, Stamp
    from cllab.settings.config import RunConfig
    from cllab.study.plan import Done

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        help="Runs at once, each in a process of its own with its share of the CPU threads.",
        min=1,
        max=256,
    ),
]
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How often it is said that workers which were asked to stop still write their checkpoints."""
_ENDINGS = (EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_DATA, EXIT_INTERRUPTED, EXIT_TERMINATED)
STOPPED = (EXIT_INTERRUPTED, EXIT_TERMINATED)
"""Exit codes of what was asked to stop; every other one is a run's own affair."""
_LIVE = ("starting", "training", "paused", "queued")
Key = tuple[str, int]
"""What makes two runs the same experiment: signature and seed."""


def run_missing(
    missing: Sequence[RunConfig], store: RunStore, done: Done, *, quiet: bool, jobs: int = 1, go_on: bool = True
) -> int:
    """Train every configuration and add what ended well to `done`; the first exit code that is not 0.

    With `go_on`, a run that was stopped or lost its process goes on from its checkpoint, and one that still trains, as
    after this process was killed without its workers, is waited for. A run that fails, for whatever reason, does not
    hold up the others; a wish to stop is meant for all.

    Raises:
        CllabError: before anything is trained, when a configuration cannot work.
    """
    from cllab.cli.run import check_all

    if not missing:
        return EXIT_DONE
    # what is checked depends on these alone, and every check opens the data
    checks = {repr((config.dataset, config.scenario, config.device)): config for config in missing}
    check_all(list(checks.values()), quiet=quiet)
    clock = _Clock(len(missing), min(jobs, len(missing)), quiet)
    if jobs == 1:
        return _in_turn(missing, store, done, clock, quiet, go_on)
    return _at_once(missing, store, done, clock, go_on)


class _Begun:
    """The runs of a store that were begun and have not ended well.

    Asked when a run is about to begin: another process may have begun it in the meantime, and what trained when this
    command began may have ended by then. A folder in which nothing lives is asked again only when it has changed.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._keys: dict[str, Key | None] = {}
        self._states: dict[str, tuple[Stamp, str]] = {}
        self._trained = {run.id for run in store if self._state(run) in _LIVE}

    def find(self, config: RunConfig) -> tuple[Run | None, bool]:
        """The run of this configuration and seed that trains now (or has ended well since this command began), else
        the newest that was stopped or killed; and whether it is the former."""
        wanted, unfinished = (config.signature, config.seed), None
        for run in self._store:
            state = self._state(run)
            lives = state in _LIVE or (state == "done" and run.id in self._trained)
            if lives and self._key(run) == wanted:
                return run, True
            if state in ("stopped", "lost") and unfinished is None and self._key(run) == wanted:
                unfinished = run
        return unfinished, False

    def _state(self, run: Run) -> str:
        now = run.stamp()
        known = self._states.get(run.id)
        if known is None or known[0] != now or known[1] in _LIVE:  # whoever lives may die without a trace
            known = self._states[run.id] = (now, run.status().state)
        return known[1]

    def _key(self, run: Run) -> Key | None:
        from cllab.errors import CllabError

        if run.id not in self._keys:
            try:
                config = run.config()
                self._keys[run.id] = (config.signature, config.seed)
            except CllabError:
                self._keys[run.id] = None  # written by another version, or edited; it is left as it is
        return self._keys[run.id]


@dataclass
class _Clock:
    """How far it is, and how long it will take."""

    total: int
    jobs: int
    quiet: bool
    ended: int = 0
    took: list[float] = field(default_factory=list)

    def left(self, ages: Sequence[float] = ()) -> str:
        """`, about 3 min left` when it can be told; `ages` of the runs that go on now, in seconds."""
        from cllab.io.output import duration

        waiting = self.total - self.ended - len(ages)
        if not self.took or self.total == self.ended:
            return ""
        mean = sum(self.took) / len(self.took)
        seconds = (mean * waiting + sum(max(0.0, mean - age) for age in ages)) / self.jobs
        return f", about {duration(seconds)} left"

    def say(self, text: str) -> None:
        from cllab.io.output import narrate

        if not self.quiet:
            narrate(text)


def _in_turn(missing: Sequence[RunConfig], store: RunStore, done: Done, clock: _Clock, quiet: bool, go_on: bool) -> int:
    from cllab.cli.run import train_here
    from cllab.record import outcome

    code = EXIT_DONE
    begun = _Begun(store)
    for number, config in enumerate(missing, 1):
        clock.say(f"\nrun {number} of {clock.total}{clock.left()}")
        began = time.monotonic()
        former, lives = begun.find(config) if go_on else (None, False)
        if former is not None and lives:
            ended = _wait_for(_Worker(former, config), done, clock)
            if ended in STOPPED:
                return ended
            if ended != EXIT_LOST:
                code = code or ended
                continue
        run, ended = train_here(config, store, quiet=quiet, resume=former)
        clock.ended += 1
        clock.took.append(time.monotonic() - began)
        code = code or ended
        if ended == EXIT_DONE:
            done.add(outcome.read(run))
        elif ended in STOPPED:
            break
    return code


EXIT_LOST = -1
"""In place of an exit code: the process of a run that was waited for died without a word."""


@dataclass
class _Worker:
    """A run that trains in another process: one that was started here, or one that was found training."""

    run: Run
    config: RunConfig
    process: subprocess.Popen[bytes] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    def poll(self) -> int | None:
        """Its exit code, `EXIT_LOST` where only its folder can be asked and says nothing, None while it trains."""
        if self.process is not None:
            code = self.process.poll()
            # a process that was killed has a negative code
            return code if code is None or code in _ENDINGS else EXIT_FAILED
        state = self.run.status().state
        if state in _LIVE:
            return None
        return {"done": EXIT_DONE, "failed": EXIT_FAILED, "stopped": EXIT_TERMINATED}.get(state, EXIT_LOST)

    def kill(self) -> None:
        """End it at once."""
        if not self.run.kill() and self.process is not None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()


def _adopted(worker: _Worker, clock: _Clock) -> _Worker:
    """Say that a run is waited for which another process has begun."""
    status = worker.run.status()
    if status.state not in _LIVE:
        return worker  # it has ended since
    process = f" in process {status.pid}" if status.pid is not None else ""
    paused = "; it is paused: cllab attach goes on with it" if status.state == "paused" else ""
    clock.say(f"{worker.run.id} trains already{process}: waiting for it{paused}")
    return worker


def _wait_for(worker: _Worker, done: Done, clock: _Clock) -> int:
    """Wait for a run that trains elsewhere; how it ended."""
    _adopted(worker, clock)
    active = [worker]
    with _signals() as asked:
        while worker.poll() is None and not asked:
            time.sleep(POLL_SECONDS)
        if asked:
            _stop(active, asked, done, clock)
            return _code(asked)
    ended = worker.poll()
    assert ended is not None
    return ended if ended == EXIT_LOST else _ended(worker, ended, done, clock, [])


def _at_once(missing: Sequence[RunConfig], store: RunStore, done: Done, clock: _Clock, go_on: bool) -> int:
    """Workers that train; when this process is asked to stop, so are they, and it waits for their checkpoints."""
    threads = _threads(clock.jobs)
    waiting = deque(missing)
    begun = _Begun(store)
    active: list[_Worker] = []
    code = EXIT_DONE
    with _signals() as asked:
        try:
            while (waiting or active) and not asked:
                while waiting and len(active) < clock.jobs and not asked:
                    config = waiting.popleft()
                    former, lives = begun.find(config) if go_on else (None, False)
                    if former is not None and lives:
                        active.append(_adopted(_Worker(former, config), clock))
                        continue
                    run = former or store.create(config)
                    process = run.start_worker(resume=former is not None, threads=threads)
                    active.append(_Worker(run, config, process))
                time.sleep(POLL_SECONDS)
                for worker in list(active):
                    ended = worker.poll()
                    if ended is None:
                        continue
                    active.remove(worker)
                    if ended == EXIT_LOST:
                        waiting.appendleft(worker.config)
                        continue
                    ended = _ended(worker, ended, done, clock, [w.age for w in active])
                    code = code or ended
                    if ended in STOPPED:
                        # whoever stopped this one meant all of them
                        asked.append(0)
        finally:
            _stop(active, asked, done, clock)
    return _code(asked) if asked and asked[0] else code


def _code(asked: Sequence[int]) -> int:
    return EXIT_INTERRUPTED if asked[0] == signal.SIGINT else EXIT_TERMINATED


def _ended(worker: _Worker, code: int, done: Done, clock: _Clock, ages: Sequence[float]) -> int:
    """Say how a worker ended and keep what it gave; its exit code."""
    from cllab.errors import CllabError
    from cllab.io.output import duration, narrate, percent
    from cllab.record import outcome

    clock.ended += 1
    clock.took.append(worker.age)
    name = f"{clock.ended} of {clock.total}  {worker.config.name} seed {worker.config.seed}"
    if code == EXIT_DONE:
        try:
            found = outcome.read(worker.run)
        except CllabError as error:
            narrate(f"{name}: {error}")
            return EXIT_FAILED
        done.add(found)
        accuracy = percent(found.metrics.get("last_accuracy"))
        clock.say(f"{name}: {accuracy} % in {duration(worker.age)}{clock.left(ages)}")
    else:
        status = worker.run.status()
        narrate(f"{name}: {status.state}{f': {status.reason}' if status.reason else ''} ({worker.run.folder})")
    return code


def _stop(active: Sequence[_Worker], asked: list[int], done: Done, clock: _Clock) -> None:
    """Ask every worker to stop and wait for its checkpoint, however long that takes; a second signal, be it in the same
    moment as the first, ends them at once. What ended well in the meantime counts."""
    # one that waits for another command's queue is that command's
    active = [w for w in active if w.process is not None or w.run.status().state != "queued"]
    if not active:
        return
    many = f"{len(active)} run{'s' if len(active) > 1 else ''}"
    clock.say(f"stopping {many} with a checkpoint; once more ends {'them' if len(active) > 1 else 'it'} at once")
    for worker in active:
        worker.run.stop()
    told = time.monotonic()
    while len(asked) < 2 and (left := [w for w in active if w.poll() is None]):
        if time.monotonic() - told > PATIENCE_SECONDS:
            told = time.monotonic()
            clock.say(f"still waiting for the checkpoint of {', '.join(w.run.id for w in left)}")
        time.sleep(POLL_SECONDS)
    for worker in active:
        if worker.poll() is None:
            worker.kill()
        if worker.poll() == EXIT_DONE:
            _ended(worker, EXIT_DONE, done, clock, [])
            continue
        clock.say(f"{worker.run.id} is {worker.run.status().state}")


def _threads(jobs: int) -> int:
    """CPU threads of a worker: its share of those that one run alone would have."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit) if limit.isdigit() and int(limit) else cores) // jobs)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that asked this process to stop, while it waits for workers."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
