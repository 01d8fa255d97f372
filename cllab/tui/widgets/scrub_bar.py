"""Where a replay stands: time, speed, and the tasks as marks to jump between."""

from __future__ import annotations

from textual.message import Message

from cllab.tui.player import Player
from cllab.tui.theme import style
from cllab.tui.view import clock
from cllab.tui.widgets.chart import Chart, Part

SHORT = 10.0
"""Seconds of a recording below which tenths are shown."""


class ScrubBar(Chart, can_focus=False):
    """One line; a click jumps."""

    DEFAULT_CSS = "ScrubBar, ScrubBar:focus { border: none; height: 1; padding: 0 1; background: $panel; }"

    class Jumped(Message):
        """A place on the bar was clicked, as a share of the whole."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.player: Player | None = None
        self._bar = (0, 1)

    def show(self, player: Player) -> None:
        """Draw where `player` stands."""
        self.player = player
        self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        player, colors, glyphs = self.player, self.palette, self.glyphs
        if player is None or not player.loaded:
            return [[("reading the recording", style(colors.muted))]]
        sign = glyphs.state("training" if player.playing else "paused")
        word = "replay" if player.playing else "held  "
        if player.duration < SHORT:
            time = f"{player.position:.1f} / {player.duration:.1f} s"
        else:
            time = f"{clock(player.position)} / {clock(player.duration)}"
        left = f"{sign} {word} {time}  x{player.speed:g} "
        w = max(4, width - len(left))
        self._bar = (len(left), w)
        span = max(player.duration, 1e-9)
        line = [glyphs.hline] * w
        tasks = player.timeline.tasks
        # so many marks that they would be a wall are none
        for i, t in enumerate(tasks if 3 * len(tasks) <= w else ()):
            at = min(w - 1, int(t / span * w))
            line[at] = glyphs.vline
            name = f"T{i + 1}"
            if len(tasks) * 5 <= w:
                line[at + 1 : at + 1 + len(name)] = list(name)[: max(0, w - at - 1)]
        here = min(w - 1, int(player.position / span * w))
        return [
            [
                (left, style(colors.text, bold=True)),
                ("".join(line[:here]), style(colors.gained)),
                (glyphs.knob, style(colors.focus, bold=True)),
                ("".join(line[here + 1 : w]), style(colors.muted)),
            ]
        ]

    def on_click(self, event: object) -> None:
        """Jump to the place that was clicked."""
        start, w = self._bar
        x = getattr(event, "x", 0) - 1 - start
        if 0 <= x < w:
            self.post_message(self.Jumped(x / max(1, w - 1)))
