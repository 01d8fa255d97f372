"""Where a person begins: the quick look, what ran lately, what can be started from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from cllab.tui.index import Entry, age
from cllab.tui.starts import Start
from cllab.tui.theme import style
from cllab.tui.widgets.chart import clip
from cllab.tui.widgets.choices import Choices

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp

MOST_RECENT = 12


class StartList(Choices):
    """Presets and recent runs; what is chosen is `quick:NAME`, `last`, `lessons`, `preset:NAME`, `run:ID` or `more`."""

    HELP = (
        "Enter on Quick look starts at once; on the last setup or a preset fills the form; on Lessons shows them; on a "
        "run opens it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("right", "screen.focus_form", "Form", show=False)]
    DEFAULT_CSS = """
    StartList {
        height: 1fr; border: round $border-blurred; background: $background; padding: 0 1;
        scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        scrollbar-background: $background; scrollbar-color: $border-blurred;
    }
    StartList > .option-list--option-disabled { color: $text-muted; }
    StartList:focus { border: round $border; background-tint: $foreground 0%; border-title-style: bold; }
    """

    class Opened(Message):
        """A line was chosen."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    class Looked(Message):
        """A line is being looked at."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.border_title = "Start here"
        self._ids: list[str | None] = []
        self._last: tuple[Start | None, str, Sequence[Start], int, Sequence[Entry]] | None = None

    def show(
        self, quick: Start | None, last: str, presets: Sequence[Start], n_more: int, entries: Sequence[Entry]
    ) -> None:
        """Fill the list; the highlighted line stays what it was, at first the one that the form shows.

        Args:
            quick: the quick look.
            last: name of the setup that was remembered, which the form shows at first; empty when there is none.
            presets: some to begin with.
            n_more: how many there are.
            entries: every run.
        """
        app = cast("CllabApp", self.app)
        glyphs = app.glyphs
        self._last = (quick, last, presets, n_more, entries)
        lines: list[tuple[str | None, Text]] = []
        if quick is not None:
            lines.append((f"quick:{quick.name}", Text.assemble((f"{glyphs.right} Quick look", "bold"))))
        if last:
            room = max(18, self.scrollable_content_region.width or 20) - 8
            name = last if len(last) <= room else last[: room - 1] + glyphs.ellipsis
            lines.append(("last", Text.assemble("  last: ", name)))
        lines.append(("lessons", Text("  Lessons (6)")))
        lines += [(f"preset:{start.name}", Text(f"  {start.label}")) for start in presets]
        if n_more:
            lines.append(("more", Text(f"  all {n_more} presets (p)")))
        running = [e for e in entries if not e.is_over]
        recent = [e for e in entries if e.is_over][: max(0, MOST_RECENT - len(running))]
        if running or recent:
            lines.append((None, self._heading()))
        lines += [(f"run:{e.run.id}", self._entry(e)) for e in [*running, *recent]]
        ids = [i for i, _ in lines]
        if ids == self._ids:
            for i, (what, text) in enumerate(lines):
                if what is not None and what.startswith("run:") and self.get_option_at_index(i).prompt != text:
                    self.replace_option_prompt_at_index(i, text)
            return
        option = self.highlighted_option
        here = option.id if option is not None else None
        self._ids = ids
        with self.prevent(OptionList.OptionHighlighted):
            self.clear_options()
            self.add_options([Option(text, id=what, disabled=what is None) for what, text in lines])
            self.highlighted = ids.index(here) if here in ids else ids.index("last") if "last" in ids else 0

    @property
    def _room(self) -> int:
        return max(18, self.scrollable_content_region.width or 20)

    def _heading(self) -> Text:
        """What follows, and what its numbers are: the metric that presets make claims about."""
        title, what = "recent runs", "last %"
        # above the numbers, which end where the ages begin
        end = self._room - (7 if self._room >= 26 else 0)
        return Text(f"{title}{what.rjust(max(len(what) + 1, end - len(title)))}")

    def _entry(self, entry: Entry) -> Text:
        app = cast("CllabApp", self.app)
        colors = app.palette
        bad = entry.state in ("failed", "lost")
        ink = colors.lost if bad else colors.gained if not entry.is_over else colors.text
        if entry.last is not None and entry.is_over:
            value = f"{100 * entry.last:.1f}"
        elif entry.fraction is not None and not entry.is_over:
            value = f"{entry.word} {100 * entry.fraction:.0f} %"
        else:
            value = entry.word
        when = age(max(0.0, time.time() - entry.updated)) if entry.is_over else ""
        width = self._room
        if width < 26:
            when = ""
        tail = f" {value:>6}" + (f" {when:>6}" if when else "") if entry.is_over else f" {value}"
        return Text.assemble(
            (f"{app.glyphs.state(entry.word)} ", style(ink, bold=True)),
            clip(entry.name, max(4, width - 2 - len(tail)), app.glyphs),
            (tail[:7] if entry.is_over else tail, style(ink)),
            (tail[7:] if entry.is_over else "", style(colors.muted)),
        )

    def on_resize(self, _event: Resize) -> None:
        """Lines are cut to the width."""
        self._ids = []
        if self._last is not None:
            self.show(*self._last)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Opened(event.option.id or ""))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(self.Looked(event.option.id or ""))
