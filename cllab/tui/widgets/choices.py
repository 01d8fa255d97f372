"""A list to choose from whose lines change under the hand."""

from __future__ import annotations

from textual.events import Click
from textual.widgets import OptionList


class Choices(OptionList):
    """An option list that bears a click on a line which is gone by the time the click arrives."""

    def on_click(self, event: Click) -> None:
        """Pass over what no longer stands there; the framework would look for it all the same."""
        clicked = event.style.meta.get("option")
        if isinstance(clicked, int) and not 0 <= clicked < self.option_count:
            event.prevent_default()
