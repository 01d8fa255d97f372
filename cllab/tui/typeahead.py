"""Keys that came faster than what they are meant for: they wait until it is there.

The framework aims a key at the focus of the moment in which it is read. In a burst (a paste, a held key, a quick hand)
all keys are read before the first has acted; those after one that opens a dialog, or goes to a text, would be aimed at
the former focus and be lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from textual.app import App
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

AIMED = 256
"""Keys that are remembered at most: one that a text has taken never comes back."""


class TypeAhead:
    """What keys were aimed at, and those that are to be aimed again.

    Args:
        app: whose keys they are.
        send: what the app does with a key that was just read.
    """

    def __init__(self, app: App[int], send: Callable[[Key], Awaitable[None]]) -> None:
        self.app, self.send = app, send
        self._aimed: deque[tuple[Key, Widget]] = deque(maxlen=AIMED)
        self._held: deque[Key] = deque()

    @property
    def waits(self) -> bool:
        """Whether there are keys that are still to be aimed again."""
        return bool(self._held)

    def keeps(self, key: Key) -> bool:
        """Whether `key` is kept for now: one that comes back without having acted, its aim no longer being the focus,
        and whatever is read after it until it was aimed again."""
        if key.is_forwarded:
            aim = next((widget for other, widget in self._aimed if other is key), None)
            if aim is None or not self._missed(aim, key):
                return False
            self._hold(Key(key.key, key.character))
            return True
        if self._held:
            self._hold(Key(key.key, key.character))
            return True
        self._aim(key)
        return False

    def _aim(self, key: Key) -> None:
        target = self.app.focused or self.app.screen
        self._aimed.append((key, target))

    def _missed(self, aim: Widget, key: Key) -> bool:
        """Whether what `key` was meant for came after it was read."""
        screen, focused = self.app.screen, self.app.focused
        if aim is (focused or screen):
            return False
        former = next((a for a in aim.ancestors_with_self if isinstance(a, Screen)), None)
        if former is not screen:
            # what was opened; but a key that was meant for a dialog which has closed is not for what lies beneath
            return former in self.app.screen_stack or not isinstance(former, ModalScreen)
        return focused is not None and focused.check_consume_key(key.key, key.character)

    def _hold(self, key: Key) -> None:
        if not self._held:
            # when what was opened has been mounted and has its focus
            self.app.screen.call_after_refresh(self.app.call_later, self._release)
        self._held.append(key)

    async def _release(self) -> None:
        waiting = list(self._held)
        self._held.clear()
        for key in waiting:
            self._aim(key)
            await self.send(key)
