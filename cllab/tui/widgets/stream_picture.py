"""Which task gets how much of which class, as a small picture beside the form."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from cllab.errors import CllabError

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp
    from cllab.tui.draft import Draft


class StreamPicture(Widget):
    """The stream of a draft."""

    HELP = (
        "One line a task, the dataset's classes in the order in which the run meets them; a cell's shade is the share "
        "of those classes' images that the task gets."
    )

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "the stream"
        self._asked: tuple[str, str, int | None, str, int] | None = None
        self._ready = False

    def _make_ready(self) -> None:
        self._ready = True
        self.refresh()

    def show(self, draft: Draft) -> None:
        """Draw the stream of `draft`."""
        config = draft.config
        values = {**config.scenario.values, "seed": config.seed}
        n_classes = config.dataset.values.get("n_classes", draft.component("dataset").facts.get("n_classes"))
        told = json.dumps(values, sort_keys=True, default=str)
        sessions = int(draft.component("dataset").facts.get("sessions") or 0)
        asked = (config.scenario.name, told, n_classes, config.dataset.name, sessions)
        if asked != self._asked:
            self._asked = asked
            self.border_title = f"the stream: {config.scenario.name}"
            self.refresh()

    def render(self) -> RenderResult:
        if not self._ready:
            # NumPy is loaded when the screen has been painted once
            self.call_after_refresh(self._make_ready)
            return Text()
        if self._asked is None or self._asked[2] is None:
            return Text("the classes are known when the data are there", style="dim")
        width, height = self.size
        ascii_only = cast("CllabApp", self.app).glyphs.ascii
        name, values, n_classes, dataset, sessions = self._asked
        told = draw(name, values, n_classes, dataset, sessions, width, height, ascii_only)
        return Text(told, no_wrap=True, overflow="ellipsis")


@functools.lru_cache(maxsize=64)
def draw(
    name: str, values: str, n_classes: int, dataset: str, sessions: int, width: int, height: int, ascii_only: bool
) -> str:
    """The picture as text, with the classes in the order of the run's seed, or why there is none."""
    from cllab.scenarios import picture

    config: dict[str, Any] = json.loads(values)
    try:
        found = picture.shares(name, config, n_classes, sessions)
        order = picture.classes(name, config, n_classes, dataset, int(config["seed"]), sessions)
    except (CllabError, KeyError, ValueError) as error:
        return str(error)
    return picture.draw(
        found,
        max(20, width),
        classes=order,
        ascii=ascii_only,
        max_rows=max(1, height - 3),
        grouped="order" in config,
    )
