"""Bursts of what hands and terminals send at once: pastes, held keys, clicks while a picture is renewed, other sizes.

Every burst comes from one generator with a kept seed, so that a failure can be told by its number and played again.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

from textual import events
from textual.app import App
from textual.geometry import Size
from textual.widgets import Input, OptionList

from cllab.tui.app import CllabApp
from cllab.tui.controls import ChoiceControl, TextControl
from cllab.tui.feed import StateChanged
from cllab.tui.form import Form
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.pick import Line, PickScreen
from cllab.tui.screens.runs import RunsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.screens.small import TooSmall
from cllab.tui.widgets.run_table import RunTable
from tests.tui.stories import burst

MOVES = ("up", "down", "left", "right", "tab", "shift+tab", "home", "end", "pageup", "pagedown", "backspace", "delete")
SIGNS = tuple(string.ascii_lowercase + string.digits + "TFKLGD/?:.,+-[]= ")
SIZES = ((80, 24), (120, 36), (160, 45), (60, 16), (40, 10), (200, 55), (100, 30))
NEVER = ("ctrl+c",)
"""Textual's own notice how to quit."""


class Bursts:
    """A hand on the keys of an app.

    Args:
        app: the app, which is kept from ending.
        seed: of every draw.
    """

    def __init__(self, app: CllabApp, seed: int) -> None:
        self.app = app
        self.random = random.Random(seed)
        self.quits = 0
        self.said = ""
        app.exit = self._exit  # type: ignore[method-assign,assignment]

    def _exit(self, *_args: Any, **_options: Any) -> None:
        self.quits += 1

    async def one(self, pilot: Any) -> None:
        """One burst, and what must hold after it."""
        kind: Callable[[], None] = self.random.choice(
            [self.keys, self.keys, self.held, self.paste, self.resized, self.clicks, self.refreshed]
        )
        self.said = kind.__name__
        typed = self.typing() if self.random.random() < 0.3 else None
        if typed is None:
            kind()
        await settle(pilot)
        if typed is not None:
            field, wanted = typed
            if field.is_attached and field is self.app.focused:
                assert field.value == wanted, f"typed {wanted!r}, there stands {field.value!r}"
        for check in (consistent_form, consistent_lists, consistent_run, focus_is_shown):
            check(self.app)

    # -- kinds of bursts

    def keys(self) -> None:
        """Any keys that this screen knows, and letters."""
        screen = self.app.screen
        known = [k for k in screen.active_bindings if k not in NEVER and not k.startswith("ctrl+")]
        picked = [self.random.choice([*known, *known, *MOVES, *SIGNS]) for _ in range(self.random.randint(2, 10))]
        self.said += f" {picked}"
        burst(self.app, *picked)

    def held(self) -> None:
        """One key, held."""
        key, n = self.random.choice([*MOVES, "enter", "space", "escape"]), self.random.randint(5, 25)
        self.said += f" {key} x {n}"
        burst(self.app, *[key] * n)

    def paste(self) -> None:
        """A paste, as the terminal tells it and as it types it."""
        text = "".join(self.random.choice(SIGNS) for _ in range(self.random.randint(1, 30)))
        text = self.random.choice([text, "gem", "blur", "bcl", "1-3", "method:er state:done", "99999999", "a\nb\tc"])
        self.said += f" {text!r}"
        if self.random.random() < 0.5:
            self.app.post_message(events.Paste(text))
        else:
            burst(self.app, *[c for c in text if c not in "\n\t"])

    def resized(self) -> None:
        """Other sizes between keys."""
        for _ in range(self.random.randint(1, 4)):
            self._size(self.random.choice(SIZES))
            burst(self.app, *self.random.choices([*MOVES, *SIGNS], k=self.random.randint(0, 4)))
        self._size(self.random.choice(SIZES[:3]))

    def clicks(self) -> None:
        """Clicks and turns of the wheel anywhere, while something is drawn anew."""
        size = self.app.size
        for _ in range(self.random.randint(1, 5)):
            x, y = self.random.randrange(max(1, size.width)), self.random.randrange(max(1, size.height))
            self.said += f" {x},{y}"
            self._news()
            wheel = self.random.random() < 0.3
            kinds: tuple[type[events.MouseEvent], ...] = (
                (self.random.choice([events.MouseScrollDown, events.MouseScrollUp]),)
                if wheel
                else (events.MouseMove, events.MouseDown, events.MouseUp)
            )
            for kind in kinds:
                self.app.post_message(
                    kind(None, x, y, 0, 0, 0 if kind is events.MouseMove else 1, False, False, False, x, y)
                )
            if self.random.random() < 0.3:
                burst(self.app, self.random.choice(MOVES))

    def refreshed(self) -> None:
        """News of the run and of the folder between keys."""
        for _ in range(self.random.randint(1, 4)):
            self._news()
            burst(self.app, *self.random.choices([*MOVES, "enter", "escape"], k=self.random.randint(0, 3)))

    def typing(self) -> tuple[Input, str] | None:
        """Letters into a text between other sizes and news: none of them may be lost. None where there is no text."""
        found = [w for w in self.app.screen.query(Input) if w.display and w.region and not w.disabled]
        if not found or isinstance(self.app.screen, TooSmall):
            return None
        field = self.app.focused if isinstance(self.app.focused, Input) else self.random.choice(found)
        field.focus()
        text = "".join(self.random.choices(string.digits + "abc", k=self.random.randint(1, 8)))
        before, start, end = field.value, *sorted(field.selection)
        if field is not self.app.focused and field.select_on_focus:
            start, end = 0, len(before)
        if not field.has_focus:
            # the focus, which selects all, comes with a message of its own
            field.selection = type(field.selection)(end, end)
            start = end
            return None
        self.said = f"typing {text!r} into {field!r}"
        for letter in text:
            burst(self.app, letter)
            if self.random.random() < 0.4:
                self._news()
            if self.random.random() < 0.2:
                self._size(self.random.choice(SIZES[:3]))
        if field.type == "integer":  # it takes nothing else
            text = "".join(c for c in text if c in string.digits)
        return field, before[:start] + text + before[end:]

    def _size(self, size: tuple[int, int]) -> None:
        self.said += f" {size[0]}x{size[1]}"
        new = Size(*size)
        assert self.app._driver is not None
        self.app._driver._size = new  # type: ignore[attr-defined]
        self.app.post_message(events.Resize(new, new))

    def _news(self) -> None:
        if self.app.feed is not None:
            self.app.post_message(StateChanged(self.app.feed))
        screen = self.app.screen
        tick = getattr(screen, "_tick", None)
        if tick is not None and screen.is_mounted:
            screen.call_later(tick)


async def settle(pilot: Any) -> None:
    """Wait until nothing is left to do, but for what goes on by itself."""
    for _ in range(3):
        await pilot.pause()
    for _ in range(200):  # keys that came faster than what they are meant for act when that is there
        if not pilot.app._typed.waits:
            return
        await pilot.pause(0.01)
    raise AssertionError("keys that were typed ahead wait for ever")


# -- what must hold whatever was pressed


def screens(app: App[Any]) -> list[Any]:
    """All screens of the mode, the lowest first."""
    return list(app.screen_stack)


def consistent_form(app: CllabApp) -> None:
    """What stands in the form is what would be run, or says why it is no value."""
    for screen in screens(app):
        if not isinstance(screen, SetupScreen) or not screen.is_mounted:
            continue
        draft = screen.draft
        for form in screen.query(Form):
            for key in form.keys:
                row = form.row(key)
                value = draft.seeds if key == "seed" else draft.values.get(key)
                if isinstance(row.control, TextControl):
                    if row.error:
                        assert screen.errors.get(key) == row.error
                    elif key != "method.file":
                        assert row.row.read(row.control.value) == value, (
                            f"{key} shows {row.control.value!r}, is {value!r}"
                        )
                elif isinstance(row.control, ChoiceControl):
                    assert row.control.value == value, f"{key} shows {row.control.value!r}, is {value!r}"


def consistent_lists(app: CllabApp) -> None:
    """The words beside a list are those of the line that is lit."""
    for screen in screens(app):
        if isinstance(screen, PickScreen) and screen.is_mounted:
            line = screen.query_one(OptionList).highlighted_option
            if isinstance(line, Line):
                assert str(screen.query_one("#about").content) == line.pick.about  # type: ignore[attr-defined]
        elif isinstance(screen, ExplainScreen) and screen.is_mounted:
            option = screen.query_one(OptionList).highlighted_option
            if option is not None:
                assert screen.page is not None
                assert screen.page.key == option.id
        elif isinstance(screen, RunsScreen) and screen.is_mounted:
            table = screen.query_one(RunTable)
            assert (table.current is not None) == bool(table.entries)


def consistent_run(app: CllabApp) -> None:
    """The run that is open is still followed, and the newest state of it is the one that is shown."""
    feed = app.feed
    if feed is None:
        return
    assert feed._thread is not None
    assert feed._thread.is_alive(), "nobody follows the run any more"
    shown = getattr(app.screen, "_state", None)
    if shown is not None and app.current_mode == "live" and app.screen.is_mounted and not feed.replayed:
        assert shown.n_events <= feed.state.n_events


def focus_is_shown(app: CllabApp) -> None:
    """Keys do not go where nobody sees them."""
    focused = app.focused
    if focused is not None and focused.is_attached:
        assert focused.screen is app.screen
        assert all(getattr(a, "display", True) for a in focused.ancestors_with_self), f"{focused!r} is hidden"
