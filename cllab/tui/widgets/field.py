"""A line to type into."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Input


class Field(Input):
    """An `Input` whose cursor stands still.

    A cursor that blinks wakes the app twice a second for as long as nobody types (measured: 1 % of a core).
    """

    cursor_blink = reactive(False, init=False)
