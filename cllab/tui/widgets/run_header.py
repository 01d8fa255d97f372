"""What runs, where it stands, how long it will take: one line, and a second one when something is wrong."""

from __future__ import annotations

from cllab.record.state import RunState
from cllab.tui.theme import RGB, style
from cllab.tui.view import clock, n_tasks, seconds_left
from cllab.tui.widgets.chart import Chart, Part, clip

WORDS = {
    "queued": "queued",
    "starting": "starting",
    "training": "training",
    "paused": "paused",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
    "lost": "lost",
}
BEFORE = {"base": "base stage", "latents": "latents"}
"""What may come before the first task, by its phase."""


class RunHeader(Chart, can_focus=False):
    """State, what is trained on what, progress over the tasks, time left."""

    DEFAULT_CSS = """
    RunHeader, RunHeader:focus { border: none; height: 2; padding: 0 1; background: $panel; }
    RunHeader.-brief, RunHeader.-brief:focus { height: 1; }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.state = RunState()
        self.wish = ""
        self.name_text = ""
        self.place = ""
        self.waited = 0.0
        self.replayed = False

    def show(
        self,
        state: RunState,
        *,
        name: str = "",
        wish: str = "",
        place: str = "",
        waited: float = 0.0,
        replayed: bool = False,
    ) -> None:
        """Draw `state`; `wish` is what was asked for and has not happened yet, `place` which seed it is of how many,
        `waited` the seconds of watching; of one that is `replayed` nothing trains now and no time is left."""
        self.state, self.wish, self.name_text, self.place, self.waited = state, wish, name, place, waited
        self.replayed = replayed
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        state, colors, glyphs = self.state, self.palette, self.glyphs
        past = self.replayed and not state.is_over
        word = "replay" if past else self.wish or WORDS.get(state.status, state.status)
        wished = self.wish.split()[0].rstrip(",") if self.wish else ""
        sign = glyphs.state((wished if wished in glyphs.states else "stopping") if self.wish else state.status)
        bad = state.status in ("failed", "lost")
        ink: RGB = colors.lost if bad else colors.gained if state.status in ("training", "done") else colors.text
        started = state.started
        parts = [started.method, started.dataset, started.scenario, started.model] if started else []
        if state.latents is not None:
            parts.append(f"latents of {state.latents.cut}")
        if started and started.capacity:
            parts.append(f"{started.memory} {started.capacity}")
        if self.name_text not in parts:
            parts.insert(0, self.name_text)
        # before what there may be no room for
        parts.insert(1, self.place)
        what = glyphs.sep.join(p for p in parts if p)
        head = f"{sign} {word} "
        right = self._right()
        first: list[Part] = [
            (head, style(ink, bold=True)),
            (clip(what, max(0, width - len(head) - len(right) - 1), glyphs), style(colors.text)),
            (" " + right, style(colors.muted)),
        ]
        return [first, self._second(width)] if height > 1 else [first]

    def _right(self) -> str:
        state = self.state
        if state.started is None:
            return ""
        # "cuda:0 (NVIDIA H200)": which one it is says the first word
        device = state.started.device.partition(" ")[0]
        on = f"on {device}, " if device else ""
        if state.is_over or state.status == "lost":
            spent = clock(max(0.0, state.last_t - state.first_t)) if state.first_t else "?"
            return f"{on}took {spent}"
        if self.replayed:
            return f"{on}{clock(max(0.0, state.last_t - state.first_t))} into it"
        left = seconds_left(state)
        return on + (f"{clock(left)} left" if left is not None else "time left unknown")

    def _second(self, width: int) -> list[Part]:
        state, colors, glyphs = self.state, self.palette, self.glyphs
        if state.reason and state.status in ("failed", "lost", "stopped"):
            return [(clip(state.reason, width, glyphs), style(colors.lost, bold=True))]
        if state.started is None:
            said = f"the training process is starting {clock(self.waited)}"
            if state.status == "queued":
                said = state.reason
            if self.replayed:
                said = "the recording begins before the run had said what it trains"
            return [(clip(said, width, glyphs), style(colors.muted))]
        if state.task < 0 and state.phase in BEFORE and state.phase_steps and not state.is_over:
            return self._before(width, BEFORE[state.phase])
        n = n_tasks(state)
        task = min(n, max(0, state.task) + 1)
        phase = state.phase if not state.is_over else ""
        if phase and state.phase_steps:
            phase += f" {state.phase_step}/{state.phase_steps}"
        tail = f" {100 * state.fraction:3.0f} %  " + (phase if width >= 60 else "")
        return self._bar(
            f"task {task}/{n} ", state.fraction, tail, 30 if width >= 60 and not state.is_over else len(tail), width
        )

    def _before(self, width: int, name: str) -> list[Part]:
        """How far what comes before the first task is: its share of the whole is not known yet."""
        state = self.state
        share = min(1.0, state.phase_step / state.phase_steps)
        left = state.pace.of_pass
        tail = f" {100 * share:3.0f} %  " + (
            f"{clock(left)} left of it" if left is not None and not self.replayed else ""
        )
        return self._bar(f"{name} ", share, tail, 30 if width >= 60 else len(tail), width)

    def _bar(self, head: str, share: float, tail: str, reserved: int, width: int) -> list[Part]:
        colors, glyphs = self.palette, self.glyphs
        # the bar keeps its length while phases change their names
        room = max(8, width - len(head) - reserved)
        bar = glyphs.done * round(share * room)
        return [
            (head, style(colors.text)),
            (bar, style(colors.gained, bold=True)),
            (glyphs.rest * (room - len(bar)), style(colors.grid)),
            (clip(tail, width - len(head) - room, glyphs), style(colors.muted)),
        ]
