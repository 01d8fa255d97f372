"""What the set-up screen does about data: look whether they are there, fetch them, or do without."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen

from cllab.data.info import DataStatus
from cllab.errors import CllabError
from cllab.settings.config import Choice, RunConfig
from cllab.tui.draft import Draft
from cllab.tui.troubles import background
from cllab.tui.widgets.setup_foot import SetupFoot


class DataOffer(Screen[None]):
    """A screen with a draft whose data may be missing."""

    status: DataStatus | None = None
    """Of the draft's dataset; None until it is known."""

    @property
    def draft(self) -> Draft:
        """The run that is being set up."""
        raise NotImplementedError

    def choose(self, key: str, value: Any) -> None:
        """Change the draft."""
        raise NotImplementedError

    def data_seen(self) -> None:
        """The status is known now."""
        raise NotImplementedError

    def forget_status(self) -> None:
        """What was known of other data says nothing about these."""
        if self.status is not None and self.status.name != self.draft.values["dataset.name"]:
            self.status = None

    @property
    def is_missing(self) -> bool:
        """Whether the data are known not to be there."""
        return self.status is not None and not self.status.found

    @property
    def download_bytes(self) -> int:
        """What fetching them would take; 0 where nothing can be fetched."""
        return int(self.draft.component("dataset").facts.get("download_bytes") or 0)

    @background("data", "looking for the data")
    def look_at_data(self, config: RunConfig) -> None:
        """Find out, without holding up the keys."""
        from cllab.data.where import dataset_status

        root = config.dataset.common.get("root") or None
        try:
            status = dataset_status(config.dataset.name, root, config=dict(config.dataset.values), scan=False)
        except (CllabError, OSError) as error:
            status = DataStatus(config.dataset.name, False, (), problem=str(error))
        self.app.call_from_thread(self._seen, status, config.dataset)

    def _seen(self, status: DataStatus, asked: Choice) -> None:
        # the answer for data that are not chosen any more may come last
        if not self.is_running or asked != self.draft.config.dataset:
            return
        self.status = status
        self.query_one(SetupFoot).show_data(status, self.download_bytes)
        self.data_seen()
        self.refresh_bindings()

    def action_download(self) -> None:
        """Fetch the data that are missing."""
        from cllab.tui.screens.download import DownloadScreen

        values = self.draft.values
        root = str(values.get("dataset.root") or "")
        screen = DownloadScreen(str(values["dataset.name"]), root, self.download_bytes)
        self.app.push_screen(screen, self._downloaded)

    def _downloaded(self, _done: bool | None) -> None:
        self.look_at_data(self.draft.config)

    def action_built_in(self) -> None:
        """Take the digits, which need no download."""
        self.choose("dataset.name", "digits")
