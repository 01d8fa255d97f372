"""What a viewer may ask of a run: pause, one task, stop, kill, resume; and what was asked and has not happened yet."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.binding import Binding, BindingType

from cllab.errors import CllabError
from cllab.record.state import RunState
from cllab.tui.screens.replay import Replayable

PATIENCE = 10.0
"""Seconds after which a worker that was asked to stop and has not may be killed."""
KEPT = (
    "It ends after the batch at hand and writes a checkpoint. "
    "What it has learned, its records and its memory are kept; r resumes it from there."
)
"""What stopping a run means."""


class Commanding(Replayable):
    """A screen with the keys that command the open run; only those that can work now are offered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause/go on", id="live.pause", key_display="space"),
        Binding("n", "step", "Next task", id="live.step"),
        Binding("t", "trace", "Trace", id="live.trace"),
        Binding("x", "stop", "Stop", id="live.stop"),
        Binding("d", "detach", "Detach", id="live.detach"),
        Binding("K", "kill", "Kill", id="live.kill"),
        Binding("r", "resume", "Resume", id="live.resume"),
        Binding("l", "log", "Log", id="live.log"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[str, float] | None = None
        self._state = RunState()
        self._traced = 0

    @property
    def key_words(self) -> dict[str, str]:
        """What keys do now, where that depends on the run."""
        if self.player is not None:
            return {"pause": "Hold" if self.player.playing else "Play", "log": ""}
        return {"pause": "Go on" if self._state.status == "paused" else "Pause"}

    def show_state(self, state: RunState) -> None:
        """Draw the newest state."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        feed, status = self.lab.feed, self._state.status
        training = feed is not None and not feed.replayed and feed.is_training
        if action == "pause" and feed is not None and feed.replayed:
            return True
        if action in ("pause", "step", "stop", "detach"):
            return training
        if action == "kill":
            return training and self._overdue()
        if action == "resume":
            return feed is not None and not feed.replayed and not training and status in ("failed", "stopped", "lost")
        return super().check_action(action, parameters)

    def _ask(self, command: str, wish: str) -> None:
        if self.lab.feed is None:
            return
        try:
            self.lab.feed.run.command(command)
        except (OSError, CllabError) as error:
            self.notify(f"the run cannot be reached: {error}", severity="error", markup=False)
            return
        self._asked = (wish, time.monotonic())
        self._traced = len(self._state.traces)
        self.show_state(self._state)

    def action_pause(self) -> None:
        """Pause after this batch, or go on; a replay holds or plays."""
        if self.player is not None:
            self.player.toggle()
            return
        if self._state.status == "paused":
            self._ask("resume", "resuming")
        else:
            self._ask("pause", "pausing")

    def action_trace(self) -> None:
        """Train one step, show what the method published about it, and pause again."""
        self._ask("trace 1", "tracing")

    def action_step(self) -> None:
        """Train to the end of the current task and pause there."""
        self._ask("step", "one task")

    def action_stop(self) -> None:
        """Stop after this batch; asks first."""
        from cllab.tui.screens.quit import ConfirmScreen

        def stop(yes: bool | None) -> None:
            if yes:
                self._ask("stop", "stopping")

        self.app.push_screen(
            ConfirmScreen(
                "Stop this run?",
                KEPT,
                "stop it",
            ),
            stop,
        )

    def action_kill(self) -> None:
        """End a process that was asked to stop and does not."""
        if self.lab.feed is not None and self.lab.feed.run.kill():
            self.notify("the training process was killed; the last checkpoint is kept")

    def action_detach(self) -> None:
        """Leave the app; the run goes on."""
        self.app.exit(0)

    def action_resume(self) -> None:
        """Go on from the checkpoint."""
        if self.lab.feed is None:
            return
        try:
            self.lab.resume_run(self.lab.feed.run)
        except CllabError as error:
            self.notify(str(error), severity="error", markup=False)

    def action_log(self) -> None:
        """What the training process printed."""
        from cllab.tui.screens.log import LogScreen

        if self.lab.feed is not None:
            self.app.push_screen(LogScreen(self.lab.feed.run))

    def _settle(self, state: RunState) -> None:
        """Forget a wish that came true."""
        if self._asked is None:
            return
        wish, _ = self._asked
        over = state.is_over or state.status == "lost"
        if (
            over
            or (wish, state.status) in (("pausing", "paused"), ("one task", "paused"), ("resuming", "training"))
            or (wish == "one task" and state.status == "training" and time.monotonic() - self._asked[1] > 2)
            or (wish == "tracing" and state.status == "paused" and len(state.traces) > self._traced)
            # a method that publishes nothing about this step leaves no trace of it
            or (wish == "tracing" and time.monotonic() - self._asked[1] > 10)
        ):
            self._asked = None

    def _overdue(self) -> bool:
        return self._asked is not None and self._asked[0] == "stopping" and time.monotonic() - self._asked[1] > PATIENCE

    def _wish(self) -> str:
        if self._asked is None:
            return ""
        wish, since = self._asked
        waited = int(time.monotonic() - since)
        if self._overdue():
            return f"stopping, no answer for {waited} s (K kills it)"
        return f"{wish} {waited} s" if waited >= 2 else wish
