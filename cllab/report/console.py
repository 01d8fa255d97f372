"""The headless view: records to lines on stderr, or to a small live picture where a person looks at a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from cllab import metrics
from cllab.io.output import Paper, duration, is_terminal, percent, size
from cllab.record import events as ev
from cllab.record.state import RunState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

REPAINTS = 5.0
"""Per second; every one of them takes a few milliseconds from the training that shares the process."""
_PHASES = {"stream": "reading the stream", "memory": "training on the memory", "select": "updating the memory"}
_PHASES |= {"evaluate": "evaluating", "loading": "reading the data"}
_PHASES |= {"base": "base stage", "latents": "computing latents"}
_LISTED_TASKS = 10


class Lines:
    """One line per task, for pipes and logs.

    Args:
        print_line: where a line goes.
        paper: what can be shown there.
        limit: columns that a line should keep to; None for a log.
    """

    def __init__(self, print_line: Callable[[str], None], paper: Paper, limit: int | None = None) -> None:
        self._print = print_line
        self._paper = paper
        self._limit = limit
        self.state = RunState()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""

    def __call__(self, event: ev.Event) -> None:
        self.state = self.state.apply(event)
        line = self._line(event)
        if line:
            self._print(line)

    def narrate(self, text: str) -> None:
        """A line of the program's own."""
        self._print(text)

    def _line(self, event: ev.Event) -> str:
        if isinstance(event, ev.RunStarted):
            return _headline(event, self._paper, self._limit)
        if isinstance(event, ev.TaskEnded):
            return task_line(self.state, event, self._limit)
        if isinstance(event, ev.BaseEnded):
            return base_line(event)
        if isinstance(event, ev.LatentsTaken):
            return latents_line(event)
        if isinstance(event, ev.Traced):
            return trace_line(event, self._limit)
        if isinstance(event, ev.Warned):
            return f"warning: {event.message}"
        if isinstance(event, ev.Paused):
            return f"paused at task {event.task + 1}, step {event.step}"
        if isinstance(event, ev.Resumed):
            return f"goes on at task {event.task + 1}, step {event.step}"
        if isinstance(event, ev.RunEnded):
            total = event.seconds.get("total")
            if event.status == "done":
                return f"done in {duration(total)}" if total is not None else "done"
            return f"{event.status}: {event.reason}" if event.reason else event.status
        return ""


class Picture(Lines):
    """The same lines above a picture of where the run is, repainted in place.

    Args:
        stream: the terminal.
        paper: what it can show.
    """

    def __init__(self, stream: TextIO, paper: Paper) -> None:
        from rich.console import Console

        self._console: Console = Console(file=stream, highlight=False, no_color=not paper.color)
        super().__init__(lambda line: self._console.print(line, markup=False, soft_wrap=True), paper, paper.width)
        self._live: Live | None = None
        self._painted = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Picture:
        from rich.live import Live

        # no thread of its own: a repaint happens between two records, never beside a step
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: ev.Event) -> None:
        super().__call__(event)
        if self._live is None:
            return
        if isinstance(event, ev.RunEnded):
            from rich.text import Text

            self._live.update(Text(""), refresh=True)
            return
        now = time.monotonic()
        if now - self._painted >= 1 / REPAINTS or isinstance(event, ev.RunStarted):
            self._painted = now
            self._live.update(self._draw(now - self._began), refresh=True)

    def _draw(self, elapsed: float) -> RenderableType:
        from rich.console import Group

        state, paper = self.state, self._paper
        width = max(30, min(100, self._console.width) - 1)
        bar_width = max(10, min(40, width - 46))
        rows = []
        fraction = state.fraction
        task = f"task {max(state.task, 0) + 1}/{state.n_tasks or '?'}"
        left = state.seconds_left
        clock = _clock(elapsed) + (f", about {_clock(left)} left" if left is not None else "")
        rows.append(_row(task, _bar(fraction, bar_width, paper), f"{100 * fraction:3.0f} %  {clock}", width))
        share = state.phase_step / state.phase_steps if state.phase_steps else 0.0
        phase = _PHASES.get(state.phase, state.phase)
        rows.append(_row("now", _bar(share, bar_width, paper), phase, width))
        known = _known(state)
        if known:
            tests = state.started.tests if state.started else ()
            names = [str(test.get("name", "")) for test in tests] or [str(j + 1) for j in range(state.n_tests)]
            told = "  ".join(f"{names[j]}:{percent(v, 0)}" for j, v in known[-_LISTED_TASKS:] if j < len(names))
            seen = next((e.seen for e in reversed(state.evaluations) if e.seen is not None), None)
            about = "about " if state.evaluations[-1].moment == "glance" else ""
            rows.append(_row("tests" if tests else "tasks", None, f"{about}{told}   all seen {percent(seen)} %", width))
        if len(state.memory):
            held = state.memory[-1]
            filled = held.samples / held.capacity if held.capacity else 0.0
            text = f"{held.samples}/{held.capacity}  {size(sum(held.bytes.values()))}"
            rows.append(_row("memory", _bar(filled, bar_width, paper), text, width))
        if len(state.steps):
            step = state.steps[-1]
            losses = "  ".join(f"{k} {v:.3f}" for k, v in step.losses.items() if v is not None)
            rate = f"{step.images_per_second:,.0f} images/s" if step.images_per_second else ""
            used = size(step.device_bytes) if step.device_bytes else ""
            parts = [f"{losses}  lr {step.lr:.3g}", rate, used]
            rows.append(_row("loss", None, paper.dot.join(p for p in parts if p), width))
        return Group(*rows)


def _row(label: str, bar: Text | None, text: str, width: int) -> Text:
    from rich.text import Text

    line = Text(f"{label:<10}", style="dim", no_wrap=True, overflow="ellipsis")
    if bar is not None:
        line.append_text(bar)
        line.append("  ")
    line.append(text, style="not dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _bar(fraction: float, width: int, paper: Paper) -> Text:
    from rich.text import Text

    full = round(min(1.0, max(0.0, fraction)) * width)
    done, rest = ("━", "─") if paper.unicode else ("#", "-")
    return Text.assemble((done * full, "green not dim"), (rest * (width - full), "dim"))


def _known(state: RunState) -> list[tuple[int, float]]:
    """(task, newest accuracy) of the tasks that were evaluated."""
    if not len(state.evaluations):
        return []
    return [(j, v) for j, v in enumerate(state.evaluations[-1].tasks) if v is not None]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _headline(event: ev.RunStarted, paper: Paper, limit: int | None) -> str:
    memory = f"memory {event.memory} {event.capacity}" if event.capacity else "no memory"
    facts = [f"{event.method} on {event.dataset}", f"{event.scenario}, {len(event.tasks)} tasks", event.model, memory]
    name, told = f"{event.name}, seed {event.seed}", paper.dot.join([*facts, event.device])
    line = f"{name}{paper.dot}{told}"
    return line if limit is None or len(line) <= limit else f"{name}\n{told}"


def base_line(event: ev.BaseEnded) -> str:
    """What the base stage has learned, in a line."""
    classes = f"{len(event.classes)} classes" + (" set aside" if event.on == "aside" else "")
    what = "the first task" if event.on == "first-task" else classes
    found = "" if event.accuracy is None else f"  {percent(event.accuracy)} % on their test images"
    return f"base   {what}, {event.n_train:,} samples x {event.epochs}{found}  {duration(event.seconds)}"


def latents_line(event: ev.LatentsTaken) -> str:
    """What stands in the place of the images, in a line."""
    shape = " x ".join(map(str, event.shape))
    return (
        f"front  frozen behind {event.cut}: {event.samples:,} latents of {shape} {event.dtype}, {size(event.bytes)}  "
        f"{duration(event.seconds)}"
    )


def task_line(state: RunState, event: ev.TaskEnded, limit: int | None = None) -> str:
    """What one learned task did, on one line; of what does not fit in `limit` columns the last goes first."""
    i = event.task
    row = state.rows[i] if i < len(state.rows) else ()
    seen = state.seen[i] if i < len(state.seen) else None
    parts = [f"task {i + 1}/{state.n_tasks}", f"all seen {percent(seen):>5} %", duration(sum(event.seconds.values()))]
    known = [v for v in row if v is not None]
    if 1 < len(known) <= _LISTED_TASKS:
        parts.append(("tests " if state.is_apart else "tasks ") + " ".join(percent(v) for v in known))
    elif known and not state.is_apart and i < len(row) and row[i] is not None:
        parts.append(f"this task {percent(row[i])}")
    if i > 0 and len(state.rows) > i and not state.is_apart:
        square = metrics.matrix(state.rows[: i + 1], i + 1)
        parts.append(f"forgetting {percent(metrics.forgetting(square))} points")
    if len(state.memory):
        held = state.memory[-1]
        parts.append(f"memory {held.samples}/{held.capacity}")
    while limit is not None and len("  ".join(parts)) > limit and len(parts) > 3:
        parts.pop()
    return "  ".join(parts)


def trace_line(event: ev.Traced, limit: int | None = None) -> str:
    """What a method published of one step, on one line; of what does not fit in `limit` columns the last goes first.

    The heading of a name, before its colon, is said once for all that follow under it.
    """
    parts, heading = [f"step {event.step}, task {event.task + 1}"], ""
    for full, value in event.scalars.items():
        head, _, name = full.rpartition(": ")
        said = f"{name} {'not a number' if value is None else f'{value:.4g}'}"
        parts.append(f"{head}: {said}" if head and head != heading else said)
        heading = head
    whole = len(parts)
    while limit is not None and len("  ".join(parts)) + 3 > limit and len(parts) > 2:
        parts.pop()
    more = " ..." if len(parts) < whole else f"  {event.file}" if event.file and limit is None else ""
    return "  ".join(parts) + more


class Nothing(Lines):
    """`--quiet`: only what went wrong."""

    def _line(self, event: ev.Event) -> str:
        if isinstance(event, ev.Warned) or (isinstance(event, ev.RunEnded) and event.status == "failed"):
            return super()._line(event)
        return ""

    def narrate(self, text: str) -> None:
        """Nothing."""


class JsonLines:
    """Records to a stream, one per line; when its reader goes away the training goes on.

    Args:
        stream: stdout.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open = True

    def __call__(self, event: ev.Event) -> None:
        self.write(ev.to_line(event))

    def write(self, line: str) -> None:
        """One line, at once."""
        if not self._open:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._open = False
            silence(self._stream)


def silence(stream: Any) -> None:
    """Send what is still written to a closed pipe nowhere, so that the interpreter ends quietly."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def view(*, quiet: bool = False) -> Lines:
    """The view that suits stderr."""
    paper = Paper.of(sys.stderr)

    def to_stderr(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if quiet:
        return Nothing(to_stderr, paper)
    if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
        return Picture(sys.stderr, paper)
    return Lines(to_stderr, paper)
