"""Under the form: what is missing, how long it will take, and the line that does the same without the app."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.widgets import Button, Static

from cllab.data.info import DataStatus
from cllab.tui.draft import Draft
from cllab.tui.estimates import Estimate, duration
from cllab.tui.units import size

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class SetupFoot(Vertical):
    """The data line, the Run button with the estimate, the command."""

    DEFAULT_CSS = """
    SetupFoot { height: auto; padding: 0 1; background: $surface; }
    SetupFoot #data { color: $warning; display: none; height: auto; max-height: 3; }
    SetupFoot #data.-missing { display: block; }
    SetupFoot #buttons { height: 1; }
    SetupFoot #buttons Button { min-width: 0; margin-right: 1; }
    SetupFoot #estimate { width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    SetupFoot #estimate.-problem { color: $error; text-style: bold; }
    SetupFoot #command { height: auto; max-height: 2; color: $foreground; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._command = ""
        self._said: dict[str, tuple[str, int]] = {}

    def compose(self) -> ComposeResult:
        yield Static("", id="data", markup=False)
        with Horizontal(id="buttons"):
            yield Button("Run (r)", id="run", variant="primary", compact=True)
            yield Static("", id="estimate", markup=False)
        yield Static("", id="command", markup=False)

    def show(self, draft: Draft, problem: str, found: Estimate, runs: str) -> None:
        """Show what is known of `draft`; with a `problem`, only that.

        Args:
            draft: the run that is being set up.
            problem: why it cannot be started.
            found: what to expect of it.
            runs: the runs folder, when the command must name it.
        """
        self._command = draft.command(runs=runs)
        self._show_command()
        self.query_one("#run", Button).disabled = bool(problem)
        box = self.query_one("#estimate", Static)
        box.set_class(bool(problem), "-problem")
        sep = cast("CllabApp", self.app).glyphs.sep
        # one row whatever it says: nothing else moves
        self._say("#estimate", f"! {problem}" if problem else sep.join(p for p in expectation(draft, found) if p))

    def show_data(self, status: DataStatus, download_bytes: int) -> None:
        """Say that the data are missing, where they were looked for, and what can be done."""
        box = self.query_one("#data", Static)
        box.set_class(not status.found, "-missing")
        if not status.found:
            self._say("#data", missing(status, download_bytes), rows=3)

    def on_resize(self, _event: Resize) -> None:
        """Cut the command anew."""
        self._show_command()

    def _show_command(self) -> None:
        """The command on two rows, with a sign where there is more; copying it always takes the whole."""
        if not self._command:
            self._say("#command", "save it as a preset (s) to run it without the app")
            return
        line = f"$ {self._command}"
        width = max(20, self.size.width)
        rows = textwrap.wrap(line, width, break_on_hyphens=False)
        if len(rows) > 2:
            more = f" {cast('CllabApp', self.app).glyphs.ellipsis} (y copies all)"
            line = f"{rows[0]}\n{rows[1][: width - len(more)]}{more}"
        self._say("#command", line, rows=min(2, len(rows)))

    def _say(self, where: str, text: str, *, rows: int = 1) -> None:
        """Write `text`, which takes so many rows; the screen is laid out anew only when that number changes."""
        before = self._said.get(where)
        if before != (text, rows):
            self._said[where] = (text, rows)
            self.query_one(where, Static).update(text, layout=before is None or before[1] != rows)


def expectation(draft: Draft, found: Estimate) -> list[str]:
    """Time and memory of a draft, in words."""
    n = len(draft.seeds)
    if found.seconds is None:
        parts = ["time unknown until a run like this has ended here"]
    else:
        each = "roughly " if found.rough else "about "
        parts = [each + duration(found.seconds * n) + (f" for {n} runs" if n > 1 else ""), found.basis]
    if not draft.config.capacity:
        # what a method keeps beside samples, where a run has shown it
        beside = ", ".join(f"{kind} {size(n)}" for kind, n in (found.bytes or {}).items())
        return [*parts, f"no memory, but {beside}" if beside else "no memory"]
    if found.bytes is None:
        return [*parts, "memory size unknown"]
    kinds = ", ".join(f"{kind} {size(n)}" for kind, n in sorted(found.bytes.items(), key=lambda kv: -kv[1]))
    return [*parts, f"memory {size(sum(found.bytes.values()))}: {kinds}"]


def missing(status: DataStatus, download_bytes: int) -> str:
    """What is missing, what can be done about it, and where it was looked for."""
    offer = (
        f"d downloads {size(download_bytes)}, " if download_bytes else "nothing to download: set its root below, or "
    )
    problem = status.problem if status.problem != "nothing found" else ""
    text = f"! {status.name} is not here{f': {problem}' if problem else ''}; {offer}b uses the built-in digits."
    return text + (f" Looked for {' or '.join(status.where[:2])}" if status.where else "")
