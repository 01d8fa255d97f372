"""The keys and the bar of a replay, added to the screens that can show one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.screen import Screen

from cllab.record.state import RunState
from cllab.tui.player import Player
from cllab.tui.succession import place, successor
from cllab.tui.widgets.scrub_bar import ScrubBar

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class Replayable(Screen[Any]):
    """A screen that shows a run as it happens, or one that is played back; then it has a `ScrubBar`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "Play", id="replay.play", key_display="space"),
        Binding("left", "scrub(-1)", "1 % back", id="replay.back", show=False),
        Binding("right", "scrub(1)", "1 % on", id="replay.on", show=False),
        Binding(
            "shift+left,comma,left_square_bracket", "scrub_task(-1)", "Task before", id="replay.task_back", show=False
        ),
        Binding(
            "shift+right,full_stop,right_square_bracket",
            "scrub_task(1)",
            "Next task",
            id="replay.task_on",
            key_display=".",
        ),
        Binding("home", "scrub_to(0)", "Beginning", id="replay.home", show=False),
        Binding("end", "scrub_to(1)", "End", id="replay.end", show=False),
        Binding("plus,equals_sign", "speed(1)", "Faster", id="replay.faster", key_display="+"),
        Binding("minus", "speed(-1)", "Slower", id="replay.slower", key_display="-"),
        Binding("number_sign", "jump", "Go to task", id="replay.jump", key_display="#", show=False),
    ]
    # these screens choose where the focus is; the framework's own choice may be a pane that is hidden
    AUTO_FOCUS: ClassVar[str | None] = ""
    REPLAY_ACTIONS: ClassVar[frozenset[str]] = frozenset({"play", "scrub", "scrub_task", "scrub_to", "speed"})

    @property
    def lab(self) -> CllabApp:
        """The app, with its own type."""
        return cast("CllabApp", self.app)

    @property
    def player(self) -> Player | None:
        """The replay that is shown, None for a live run."""
        feed = self.lab.feed
        return feed if isinstance(feed, Player) else None

    def go_to(self, task: int) -> None:
        """Show `task` (0-based): in a replay the moment at which it was evaluated."""
        if self.player is not None:
            self.player.seek_end_of(task)

    def action_jump(self) -> None:
        """Ask for the number of a task and go there: one that was learned, in a replay any of the recording."""
        feed = self.lab.feed
        if feed is None:
            return
        most = len(self.player.timeline.ends) if self.player is not None else len(feed.state.rows)
        if not most:
            self.notify("no task has been learned yet", timeout=3)
            return
        from cllab.tui.screens.jump import JumpScreen

        def then(task: int | None) -> None:
            if task is not None:
                self.go_to(task)

        self.app.push_screen(JumpScreen(most), then)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Replay keys exist only in a replay."""
        if action in self.REPLAY_ACTIONS:
            return self.player is not None
        return super().check_action(action, parameters)

    def follow_the_queue(self) -> None:
        """When a run that was watched is over and one that follows it trains, show that one; to be called now and then.

        A run that was opened after its end stays: then it is the past that somebody looks at.
        """
        feed = self.lab.feed
        if feed is None or feed.replayed or feed.is_training:
            return
        if feed.was_training and (feed.state.is_over or feed.state.status == "lost"):
            following = successor(feed.run)
            if following is None:
                return
            mode, ended = self.lab.current_mode, feed.state
            self.lab.open_run(following)
            if mode != self.lab.current_mode:
                self.lab.switch_mode(mode)
            self.notify(f"{feed.run.id} is {ended.status}; {following.id} trains now", markup=False, timeout=6)

    def run_place(self, state: RunState) -> str:
        """Which seed the open run has, and which it is of those that were started together."""
        feed = self.lab.feed
        return place(feed.run, state.started.seed) if feed is not None and state.started is not None else ""

    def show_player(self) -> None:
        """Draw the bar, or hide it when the run is live."""
        bar = self.query_one(ScrubBar)
        bar.display = self.player is not None
        if self.player is not None:
            bar.show(self.player)

    def action_play(self) -> None:
        """Play or hold."""
        if self.player:
            self.player.toggle()

    def action_scrub(self, percent: int) -> None:
        """Go on or back by a hundredth."""
        if self.player:
            self.player.seek(self.player.position + percent * self.player.duration / 100)

    def action_scrub_task(self, by: int) -> None:
        """Go to the task before or after."""
        if self.player:
            self.player.seek_task(by)

    def action_scrub_to(self, share: float) -> None:
        """Go to a place."""
        if self.player:
            self.player.seek(share * self.player.duration)

    def action_speed(self, by: int) -> None:
        """Play faster or slower."""
        if self.player:
            self.player.faster(by)

    @on(ScrubBar.Jumped)
    def _jumped(self, message: ScrubBar.Jumped) -> None:
        self.action_scrub_to(message.share)
