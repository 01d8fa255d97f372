"""The keys that act now, in one line: what Textual's footer says, drawn as one widget.

The footer of the framework mounts a widget for every key again at every move of the focus, which costs as much as all
the rest of a key press (measured: 45 of 95 ms). This one draws a line, and only when it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.keys import format_key, key_to_character
from textual.screen import Screen

from cllab.tui.theme import style
from cllab.tui.widgets.chart import Chart, Part


class KeyBar(Chart, can_focus=False):
    """Keys and what they do; a click does it. Where room is short, the last two (help and quit) stay."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key"}
    DEFAULT_CSS = """
    KeyBar, KeyBar:focus { border: none; height: 1; padding: 0 1; background: $panel; dock: bottom; }
    KeyBar > .key-bar--key { color: $footer-key-foreground; text-style: bold; }
    """
    ALLOW_MAXIMIZE = False

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[tuple[str, str, str, bool], ...] = ()
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Hear of other keys."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.call_after_refresh(self._changed, self.screen)

    def _changed(self, screen: Screen[Any]) -> None:
        if not self.is_running or screen is not self.screen:
            return
        keys: dict[str, tuple[str, str, str, bool]] = {}
        # what a key does may depend on how things stand
        words: Mapping[str, str] = getattr(screen, "key_words", {})
        focused = screen.focused
        # in a text, letters and signs are typed
        typing = focused is not None and focused.check_consume_key("a", "a")
        for active in screen.active_bindings.values():
            binding = active.binding
            if focused is not None and focused.check_consume_key(binding.key, typed(binding.key)):
                continue
            # the way out of it is always said
            shows = binding.show or (typing and binding.key == "escape")
            known = keys.get(binding.action)
            # of several keys the plain one: it is the first of its kind, or without a modifier
            if (
                shows
                and words.get(binding.action, binding.description)
                and (known is None or ("+" in known[2] and "+" not in binding.key))
            ):
                shown = self.app.get_key_display(binding)
                said = words.get(binding.action, binding.description)
                keys[binding.action] = (shown, said, binding.key, active.enabled)
        if tuple(keys.values()) != self.keys:
            self.keys = tuple(keys.values())
            self.invalidate()

    def draw(self, width: int, height: int) -> list[list[Part]]:
        colors = self.palette
        key_style = self.get_component_rich_style("key-bar--key", partial=True)
        self._spans = []
        widths = [len(shown) + len(words) + 3 for shown, words, _, _ in self.keys]
        tail = sum(widths[-2:])
        row: list[Part] = []
        used = 0
        for i, (shown, words, key, enabled) in enumerate(self.keys):
            last = i >= len(self.keys) - 2
            if used + widths[i] - 2 + (0 if last else tail) > width:
                continue
            row += [
                (shown, key_style if enabled else style(colors.muted)),
                (f" {words}  ", style(colors.text if enabled else colors.muted)),
            ]
            self._spans.append((used, used + widths[i] - 2, key))
            used += widths[i]
        return [row]

    async def on_click(self, event: object) -> None:
        """Do what the key would."""
        x = getattr(event, "x", 0) - 1
        for start, end, key in self._spans:
            if start <= x < end:
                self.app.simulate_key(key)


def typed(key: str) -> str | None:
    """What a key writes, None for one that writes nothing; the framework's own table lacks slash, plus and minus."""
    sign = format_key(key)
    return key_to_character(key) or (sign if len(sign) == 1 and sign.isascii() else None)
