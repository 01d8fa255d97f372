"""A heading that opens and closes what lies under it; what was never opened was never built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class GroupTitle(Widget, can_focus=True):
    """The heading."""

    DEFAULT_CSS = """
    GroupTitle { height: 1; width: 1fr; color: $foreground; text-style: bold; }
    GroupTitle:focus { background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "turn", "Open/close"),
        Binding("right", "turn(True)", show=False),
        Binding("left", "turn(False)", show=False),
    ]

    class Toggled(Message):
        """Open or close; None for the other of the two."""

        def __init__(self, wanted: bool | None) -> None:
            super().__init__()
            self.wanted = wanted

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self.note, self.opened = title, "", False

    def render(self) -> RenderResult:
        glyphs = cast("CllabApp", self.app).glyphs
        sign = (glyphs.right if not self.opened else "v" if glyphs.ascii else "▾") + " "
        return Text.assemble(
            (sign, "dim"), self.title, (f"  {self.note}", "not bold dim"), no_wrap=True, overflow="ellipsis"
        )

    def action_turn(self, wanted: bool | None = None) -> None:
        """Open or close."""
        self.post_message(self.Toggled(wanted))

    def on_click(self) -> None:
        """A click opens and closes."""
        self.action_turn()


class Group(Vertical):
    """A heading and, once it was opened, a body.

    Args:
        title: the heading.
        build: makes the body.
        opened: whether it is open at first.
    """

    DEFAULT_CSS = "Group { height: auto; }"

    def __init__(self, title: str, build: Callable[[], Widget], *, opened: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.heading = GroupTitle(title)
        self.heading.opened = opened
        self._build = build
        self.body: Widget | None = build() if opened else None

    def compose(self) -> ComposeResult:
        yield self.heading
        if self.body is not None:
            yield self.body

    @property
    def opened(self) -> bool:
        """Whether the body can be seen."""
        return self.heading.opened

    def show_title(self, title: str, note: str) -> None:
        """Change the heading."""
        if (title, note) != (self.heading.title, self.heading.note):
            self.heading.title, self.heading.note = title, note
            self.heading.refresh()

    def toggle(self, wanted: bool | None = None) -> None:
        """Open or close; the other of the two when it is not said."""
        opened = not self.opened if wanted is None else wanted
        if opened == self.opened:
            return
        self.heading.opened = opened
        self.heading.refresh()
        if opened and self.body is None:
            self.body = self._build()
            self.mount(self.body)
        elif self.body is not None:
            self.body.display = opened

    def on_group_title_toggled(self, message: GroupTitle.Toggled) -> None:
        """The heading was used."""
        message.stop()
        self.toggle(message.wanted)
