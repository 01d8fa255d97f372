"""Which task gets how much of which class, as a small picture beside the form."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from cllab.errors import CllabError

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp
    from cllab.tui.draft import Draft


class Asked(NamedTuple):
    """What a picture shows: a scenario, its settings as JSON, and the classes and sessions of a dataset."""

    scenario: str
    values: str
    n_classes: int | None
    dataset: str
    sessions: int


class StreamPicture(Widget):
    """The stream of a draft."""

    HELP = (
        "One line a task, the dataset's classes in the order in which the run meets them; a cell's shade is the share "
        "of those classes' images that the task gets."
    )

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "the stream"
        self._asked: Asked | None = None
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
        asked = Asked(config.scenario.name, told, n_classes, config.dataset.name, sessions)
        if asked != self._asked:
            self._asked = asked
            self.border_title = f"the stream: {config.scenario.name}"
            self.refresh()

    def render(self) -> RenderResult:
        if not self._ready:
            # NumPy is loaded when the screen has been painted once
            self.call_after_refresh(self._make_ready)
            return Text()
        if self._asked is None or self._asked.n_classes is None:
            return Text("the classes are known when the data are there", style="dim")
        width, height = self.size
        ascii_only = cast("CllabApp", self.app).glyphs.ascii
        return Text(draw(self._asked, width, height, ascii_only), no_wrap=True, overflow="ellipsis")


@functools.lru_cache(maxsize=64)
def draw(asked: Asked, width: int, height: int, ascii_only: bool) -> str:
    """The picture as text, with the classes in the order of the run's seed, or why there is none."""
    from cllab.scenarios import picture

    config: dict[str, Any] = json.loads(asked.values)
    n_classes = asked.n_classes or 0
    try:
        found = picture.shares(asked.scenario, config, n_classes, asked.sessions)
        order = picture.classes(asked.scenario, config, n_classes, asked.dataset, int(config["seed"]), asked.sessions)
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
