"""Lessons as data: short texts, positions in recorded runs, questions; numbers are read from the recordings.

A lesson is `lessons/NAME.toml`, a recording a small run folder in `lessons/recordings/`. In a text, `{accuracy task=1
after=3}` stands for what the recording holds, so that no number can be wrong; `holds` lists what a text claims without
a number ("almost nothing is left"), and a test checks it.
"""

from __future__ import annotations

import functools
import math
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllab.errors import UsageError
from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui.player import Timeline
from cllab.tui.view import short, task_classes

FOLDER = Path(__file__).with_name("lessons")
RECORDINGS = FOLDER / "recordings"
PANES = ("accuracy", "forgetting", "matrix", "memory", "rates", "classes", "pictures", "trace", "stream")
"""What a step may show; each is a widget of the Live or Memory screen."""
MOST_LINES = 5
"""Lines of text of a step, at `WIDTH` columns."""
WIDTH = 44


@dataclass(frozen=True)
class Recording:
    """A recorded run and how it was made.

    Attributes:
        label: what a chart of it is called where there are several.
        preset, settings: what to train; the same as `cllab run PRESET --set ...`.
        pictures: whether what the memory held is recorded.
        trace: (task, steps): from the beginning of that task (1-based) on, so many steps were traced.
    """

    name: str
    label: str
    preset: str
    settings: tuple[str, ...] = ()
    trace: tuple[int, ...] = ()
    pictures: bool = True

    @property
    def run(self) -> Run:
        """Its folder."""
        return Run(RECORDINGS / self.name)

    @functools.cached_property
    def timeline(self) -> Timeline:
        """Its records."""
        timeline = Timeline()
        timeline.add([e for line in self.run.events_path.read_bytes().splitlines() if (e := ev.from_line(line))])
        return timeline

    @property
    def command(self) -> str:
        """The command line that trains it."""
        return shlex.join(["cllab", "run", self.preset, *(p for s in self.settings for p in ("--set", s))])

    def position(self, at: str) -> int:
        """How many records there are up to a moment: "start", "end", "task 2", "half 2" (of task 2), "trace 3".

        Raises:
            UsageError: for another moment, or one that the recording does not have.
        """
        events = self.timeline.events
        word, _, number = at.partition(" ")
        if word == "end":
            return len(events)
        if word == "start":
            return next(i for i, e in enumerate(events) if isinstance(e, ev.RunStarted)) + 1
        n = int(number) if number.isdigit() else 0
        kinds: dict[str, type[ev.Event]] = {"task": ev.TaskEnded, "half": ev.TaskEnded, "trace": ev.Traced}
        if word in kinds and n:
            found = [i + 1 for i, e in enumerate(events) if isinstance(e, kinds[word])]
            if n <= len(found):
                before = found[n - 2] if n > 1 else self.position("start")
                return (before + found[n - 1]) // 2 if word == "half" else found[n - 1]
        raise UsageError(f"recording {self.name}: no moment '{at}'")


@dataclass(frozen=True)
class Ask:
    """A question to answer before the curve is drawn.

    Attributes:
        value: what the recording holds, e.g. "accuracy task=1 after=2".
        choices: a text each with the range in which it is right.
    """

    question: str
    value: str
    choices: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Step:
    """One thing to see.

    Attributes:
        show: the panes, the most important first; "matrix@er20" is that of another recording.
        at: the moment up to which they are drawn.
        focus: the task (1-based) in color, 0 for all.
        by: what the memory is divided by, "class" or "task".
        look: names of a traced step's numbers and pictures that stand out, numbered ones without their number.
        holds: comparisons of what the recordings hold, true whenever the text is.
    """

    text: str
    show: tuple[str, ...]
    at: str = "end"
    focus: int = 0
    by: str = "class"
    look: tuple[str, ...] = ()
    ask: Ask | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """Steps over one or more recordings."""

    name: str
    title: str
    about: str
    run: str
    steps: tuple[Step, ...] = ()
    real: str = ""
    recordings: Mapping[str, Recording] = field(default_factory=dict, repr=False)

    def recording(self, pane: str) -> Recording:
        """The recording of a pane, by default the lesson's."""
        return self.recordings[pane.partition("@")[2] or self.run]

    def runs_of(self, step: Step) -> list[str]:
        """The recordings that a step shows."""
        return list(dict.fromkeys(pane.partition("@")[2] or self.run for pane in step.show))

    def text(self, step: Step) -> str:
        """The step's text with the recordings' numbers."""
        return re.sub(r"\{([^}]*)\}", lambda m: self.say(m[1]), " ".join(step.text.split()))

    def say(self, what: str) -> str:
        """A value as it stands in a text."""
        word = what.split()[0]
        if word == "classes":
            names = task_classes(self._state(what), int(_options(what).get("task", "1")) - 1)
            return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
        value = self.value(what)
        if word in ("accuracy", "seen"):
            return f"{value:.1f} %"
        if word == "forgetting":
            return f"{value:.1f} points"
        return (
            short(value)
            if word == "trace" and value != int(value)
            else f"{value:.0f}"
            if word != "trace"
            else short(value)
        )

    def value(self, what: str) -> float:
        """A number of a recording: accuracies and forgetting in percent.

        accuracy task after, test set after, seen after, forgetting task after, stored task|class after, samples after,
        capacity, tasks, traces, trace name at. `after` is a task (1-based), by default the last one; `run` another
        recording.

        Raises:
            UsageError: for what the recording does not hold.
        """
        word, options = what.split()[0], _options(what)
        state = self._state(what)
        after = int(options.get("after", len(state.rows))) - 1
        task = int(options.get("task", "0")) - 1
        found: float | None = None
        try:
            if word == "accuracy":
                found = _percent(state.rows[after][task])
            elif word == "seen":
                found = _percent(state.seen[after])
            elif word == "test":
                found = _percent(state.rows[after][int(options["set"]) - 1])
            elif word == "forgetting" and not state.is_apart:
                past = [row[task] for row in state.rows[task:after]]
                best, now = max(v for v in past if v is not None), state.rows[after][task]
                found = 100 * (best - now) if now is not None else None
            elif word in ("stored", "samples"):
                record = [m for m in state.memory if m.task == after][-1]
                groups = record.per_task if "task" in options else record.per_class
                at = task if "task" in options else int(options.get("class", "0"))
                found = float(record.samples if word == "samples" else groups[at])
            elif word == "capacity" and state.started is not None:
                found = float(state.started.capacity)
            elif word == "tasks":
                found = float(state.n_tasks)
            elif word == "traces":
                found = float(len(state.traces))
            elif word == "trace":
                found = state.traces[int(options["at"]) - 1].scalars[options["name"]]
        except (IndexError, KeyError, ValueError):
            found = None
        if found is None or not math.isfinite(found):
            raise UsageError(f"lesson {self.name}: the recording holds no '{what}'")
        return found

    def _state(self, what: str) -> RunState:
        return self.recordings[_options(what).get("run", self.run)].timeline.state

    def holds(self, claim: str) -> bool:
        """Whether "accuracy task=1 after=2 < 10" is true; both sides may be values of recordings."""
        left, sign, right = re.split(r"\s([<>])\s", claim)
        a, b = (float(side) if _is_number(side) else self.value(side) for side in (left, right))
        return a < b if sign == "<" else a > b

    def is_right(self, ask: Ask, choice: int) -> bool:
        """Whether a choice is what the recording holds."""
        _, low, high = ask.choices[choice]
        return low <= self.value(ask.value) < high


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _options(what: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(what)[1:] if "=" in part)


def read_recordings() -> dict[str, Recording]:
    """Every recording, from `lessons/recordings.toml`."""
    data = tomllib.loads((FOLDER / "recordings.toml").read_text(encoding="utf-8"))
    return {
        name: Recording(
            name,
            entry["label"],
            entry["preset"],
            tuple(entry.get("settings", ())),
            tuple(entry.get("trace", ())),
            entry.get("pictures", True),
        )
        for name, entry in data.items()
    }


@functools.cache
def lessons() -> tuple[Lesson, ...]:
    """The lessons in their order."""
    recordings = read_recordings()
    return tuple(_read(path, recordings) for path in sorted(FOLDER.glob("[0-9]*.toml")))


def _read(path: Path, recordings: Mapping[str, Recording]) -> Lesson:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    steps = []
    for entry in data.pop("step"):
        ask = entry.pop("ask", None)
        if ask is not None:
            choices: Sequence[Sequence[Any]] = ask["choices"]
            ask = Ask(ask["question"], ask["value"], tuple((str(t), float(a), float(b)) for t, a, b in choices))
        entry["show"] = tuple(entry["show"])
        entry["look"] = tuple(entry.get("look", ()))
        entry["holds"] = tuple(entry.get("holds", ()))
        steps.append(Step(ask=ask, **entry))
    return Lesson(path.stem.partition("-")[2], steps=tuple(steps), recordings=recordings, **data)
