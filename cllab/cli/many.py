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
    from cllab.config import RunConfig
    from cllab.plan import Done
    from cllab.runs import Run, RunStore

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
"""How long workers that were asked to stop may take for their checkpoints."""
_ENDINGS = (EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_DATA, EXIT_INTERRUPTED, EXIT_TERMINATED)


def run_missing(
    missing: Sequence[RunConfig], store: RunStore, done: Done, *, quiet: bool, jobs: int = 1, go_on: bool = True
) -> int:
    """Train every configuration and add what ended well to `done`; the first exit code that is not 0.

    With `go_on`, a run that was stopped or lost its process goes on from its checkpoint. One that fails does not hold
    up the others; a wish to stop is meant for all.

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
    unfinished = _unfinished(store, missing) if go_on else {}
    if jobs == 1:
        return _in_turn(missing, store, done, unfinished, clock, quiet)
    return _at_once(missing, store, done, unfinished, clock)


def _unfinished(store: RunStore, missing: Sequence[RunConfig]) -> dict[tuple[str, int], Run]:
    """Runs of these configurations that were stopped or killed, the newest of each."""
    from cllab.errors import UsageError

    wanted = {(config.signature, config.seed) for config in missing}
    found: dict[tuple[str, int], Run] = {}
    for run in store:
        if run.status().state not in ("stopped", "lost"):
            continue
        try:
            config = run.config()
        except UsageError:
            continue  # written by another version, or edited; it is left as it is
        key = (config.signature, config.seed)
        if key in wanted:
            found.setdefault(key, run)
    return found


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
        from cllab.output import duration

        waiting = self.total - self.ended - len(ages)
        if not self.took or self.total == self.ended:
            return ""
        mean = sum(self.took) / len(self.took)
        seconds = (mean * waiting + sum(max(0.0, mean - age) for age in ages)) / self.jobs
        return f", about {duration(seconds)} left"

    def say(self, text: str) -> None:
        from cllab.output import narrate

        if not self.quiet:
            narrate(text)


def _in_turn(
    missing: Sequence[RunConfig],
    store: RunStore,
    done: Done,
    unfinished: dict[tuple[str, int], Run],
    clock: _Clock,
    quiet: bool,
) -> int:
    from cllab import outcome
    from cllab.cli.run import train_here

    code = EXIT_DONE
    for number, config in enumerate(missing, 1):
        clock.say(f"\nrun {number} of {clock.total}{clock.left()}")
        began = time.monotonic()
        run, ended = train_here(config, store, quiet=quiet, resume=unfinished.get((config.signature, config.seed)))
        clock.ended += 1
        clock.took.append(time.monotonic() - began)
        code = code or ended
        if ended == EXIT_DONE:
            done.add(outcome.read(run))
        elif ended != EXIT_FAILED:
            break
    return code


@dataclass
class _Worker:
    run: Run
    config: RunConfig
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        return time.monotonic() - self.began


def _at_once(
    missing: Sequence[RunConfig],
    store: RunStore,
    done: Done,
    unfinished: dict[tuple[str, int], Run],
    clock: _Clock,
) -> int:
    """Workers that train; when this process is asked to stop, so are they, and it waits for their checkpoints."""
    threads = _threads(clock.jobs)
    waiting = deque(missing)
    active: list[_Worker] = []
    code = EXIT_DONE
    with _signals() as asked:
        try:
            while (waiting or active) and not asked:
                while waiting and len(active) < clock.jobs:
                    config = waiting.popleft()
                    former = unfinished.get((config.signature, config.seed))
                    run = former or store.create(config)
                    process = run.start_worker(resume=former is not None, threads=threads)
                    active.append(_Worker(run, config, process))
                time.sleep(POLL_SECONDS)
                for worker in [w for w in active if w.process.poll() is not None]:
                    active.remove(worker)
                    ended = _ended(worker, done, clock, [w.age for w in active])
                    code = code or ended
                    if ended not in (EXIT_DONE, EXIT_FAILED):
                        # whoever stopped this one meant all of them
                        asked.append(0)
        finally:
            _stop(active, asked, clock)
    if asked and asked[0]:
        return EXIT_INTERRUPTED if asked[0] == signal.SIGINT else EXIT_TERMINATED
    return code


def _ended(worker: _Worker, done: Done, clock: _Clock, ages: Sequence[float]) -> int:
    """Say how a worker ended and keep what it gave; its exit code."""
    from cllab import outcome
    from cllab.output import duration, narrate, percent

    clock.ended += 1
    clock.took.append(worker.age)
    name = f"{clock.ended} of {clock.total}  {worker.config.name} seed {worker.config.seed}"
    # a process that was killed has a negative code
    code = worker.process.returncode if worker.process.returncode in _ENDINGS else EXIT_FAILED
    if code == EXIT_DONE:
        found = outcome.read(worker.run)
        done.add(found)
        accuracy = percent(found.metrics.get("last_accuracy"))
        clock.say(f"{name}: {accuracy} % in {duration(worker.age)}{clock.left(ages)}")
    else:
        status = worker.run.status()
        narrate(f"{name}: {status.state}{f': {status.reason}' if status.reason else ''} ({worker.run.folder})")
    return code


def _stop(active: Sequence[_Worker], asked: list[int], clock: _Clock) -> None:
    """Ask every worker to stop and wait for their checkpoints; a second signal ends them at once."""
    if not active:
        return
    clock.say(
        f"stopping {len(active)} run{'s' if len(active) > 1 else ''} with a checkpoint; once more ends them at once"
    )
    for worker in active:
        worker.run.command("stop")
    before, until = len(asked), time.monotonic() + PATIENCE_SECONDS
    while any(w.process.poll() is None for w in active) and time.monotonic() < until and len(asked) == before:
        time.sleep(POLL_SECONDS)
    for worker in active:
        if worker.process.poll() is None and not worker.run.kill():
            worker.process.kill()
        worker.process.wait()
        status = worker.run.status()
        clock.say(f"{worker.run.id} is {status.state}")


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
