"""The terminal app: its screens, themes and global keys; what a screen shows is the screen's own business.

What a screen may use: `app.store`, `app.catalog`, `app.settings`, `app.glyphs`, `app.current` (the run that is open),
`app.feed` (its `RunState`), `app.open_run`, `app.start_run`. A screen that draws a run implements `show_state(state)`,
which is called with the newest state while the screen is visible, at most `feed.rate` times a second.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.events import Event, Key, Resize
from textual.screen import Screen

from cllab.errors import EXIT_TERMINATED, EXIT_USAGE, CllabError
from cllab.record.runs import Run, RunStore
from cllab.tui.feed import Feed, LiveFeed, StateChanged, Troubled
from cllab.tui.glyphs import Glyphs, choose_glyphs, sharp_pixels
from cllab.tui.lifeline import Lifeline, terminal_is_there
from cllab.tui.settings import Settings
from cllab.tui.theme import THEMES, Palette, palette_for
from cllab.tui.typeahead import TypeAhead

if TYPE_CHECKING:
    from textual.command import Provider

    from cllab.settings.catalog import Catalog
    from cllab.settings.config import RunConfig

EXIT_HANGUP = 129
SMALLEST = (60, 16)
"""Columns and rows below which nothing useful can be drawn."""
KEYS_IN_ASCII = {"\u2190": "<", "\u2192": ">", "\u2191": "up", "\u2193": "down", "\u23ce": "enter", "\u21e5": "tab"}


def _setup() -> Screen[Any]:
    from cllab.tui.screens.setup import SetupScreen

    return SetupScreen()


def _live() -> Screen[Any]:
    from cllab.tui.screens.live import LiveScreen

    return LiveScreen()


def _memory() -> Screen[Any]:
    from cllab.tui.screens.memory import MemoryScreen

    return MemoryScreen()


def _runs() -> Screen[Any]:
    from cllab.tui.screens.runs import RunsScreen

    return RunsScreen()


def _explain() -> Screen[Any]:
    from cllab.tui.screens.explain import ExplainScreen

    return ExplainScreen()


def _lessons() -> Screen[Any]:
    from cllab.tui.screens.lessons import LessonsScreen

    return LessonsScreen()


def _palette_commands() -> type[Provider]:
    from cllab.tui.commands import LabCommands

    return LabCommands


class CllabApp(App[int]):
    """cllab in the terminal.

    Args:
        runs: the runs folder; see `cllab.record.runs.runs_folder`.
        run: a run to open at once.
        mode: "live" or "replay" of `run`; without a run, the screen to begin with.
        settings: remembered settings; read from the user's file when None.
        catalog: components; the built-in ones when None.
    """

    TITLE = "cllab"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar[set[Any]] = {_palette_commands}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "setup": _setup,
        "live": _live,
        "memory": _memory,
        "runs": _runs,
        "explain": _explain,
        "lessons": _lessons,
    }
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (150, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-medium"), (42, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "mode('setup')", "Set up", id="app.setup", show=False),
        Binding("2", "mode('live')", "Live", id="app.live", show=False),
        Binding("3", "mode('memory')", "Memory", id="app.memory", show=False),
        Binding("4", "mode('runs')", "Runs", id="app.runs", show=False),
        Binding("5", "mode('explain')", "Explain", id="app.explain", show=False),
        Binding("6", "mode('lessons')", "Lessons", id="app.lessons", show=False),
        Binding("colon", "command_palette", "Commands", id="app.palette", show=False),
        Binding("question_mark", "help", "Help", id="app.help", key_display="?"),
        Binding("q", "quit", "Quit", id="app.quit"),
        # where letters are typed
        Binding("f1", "help", "Help", id="app.help_in_text", key_display="F1"),
        Binding("ctrl+q", "quit", "Quit", id="app.quit_in_text", key_display="^q"),
    ]

    def __init__(
        self,
        *,
        runs: str | os.PathLike[str] | None = None,
        run: Run | None = None,
        mode: str = "setup",
        settings: Settings | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or Settings.load()
        self.glyphs: Glyphs = choose_glyphs(self.settings.glyphs)
        self.store = RunStore(runs)
        self.feed: Feed | None = None
        self._catalog = catalog
        self._first_run, self._first_mode = run, mode
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._troubles: set[str] = set()
        self._typed = TypeAhead(self, super().on_event)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.settings.theme if self.settings.theme in self.available_themes else "cllab-dark"

    # -- what screens use

    @property
    def catalog(self) -> Catalog:
        """Every component as data, read when it is first needed."""
        if self._catalog is None:
            from cllab.settings.catalog import load

            self._catalog = load()
        return self._catalog

    @property
    def current(self) -> Run | None:
        """The run that is open."""
        return self.feed.run if self.feed else None

    @property
    def palette(self) -> Palette:
        """The chart colours of the current theme."""
        return palette_for(self.current_theme)

    @property
    def rate(self) -> float:
        """Repaints per second: 4, over SSH 2, unless the settings say otherwise."""
        return self.settings.rate or (2.0 if os.environ.get("SSH_CONNECTION") else 4.0)

    @property
    def top(self) -> Screen[Any] | None:
        """The screen that is shown; None before the first one and while the app closes, when messages still come."""
        try:
            stack = self.screen_stack
        except KeyError:
            return None
        return stack[-1] if stack else None

    def troubled(self, what: str, error: BaseException) -> None:
        """Say in one line that `what` failed, once, and keep the rest in the app's log; from any thread."""
        from cllab.tui import troubles

        line = troubles.sentence(what, error)
        if line in self._troubles:
            return
        self._troubles.add(line)
        path = troubles.note(what, error)
        self.notify(f"{line}; more in {path}" if path else line, severity="error", markup=False, timeout=10)

    def open_run(self, run: Run, replay: bool = False) -> None:
        """Show `run` on the Live screen: as it happens, or played back."""
        if self.feed is not None:
            self.feed.close()
        if replay:
            from cllab.tui.player import Player

            self.feed = Player(run, self, self.rate)
        else:
            self.feed = LiveFeed(run, self, self.rate, worker=self._processes.get(run.id))
        self.feed.start()
        self.switch_mode("live")
        self._show(self.feed)

    def start_run(self, config: RunConfig) -> Run:
        """Create a run folder, start its training process and show it.

        Raises:
            CllabError: when the folder cannot be made or the process cannot be started.
        """
        run = self.store.create(config)
        self.resume_run(run, resume=False)
        return run

    def resume_run(self, run: Run, *, resume: bool = True) -> None:
        """Start the training process of `run`, from its checkpoint when `resume`, and show it.

        Raises:
            CllabError: when the process cannot be started.
        """
        try:
            self._processes[run.id] = run.start_worker(resume=resume)
        except OSError as error:
            raise CllabError(f"the training process cannot be started: {error.strerror or error}") from None
        self.open_run(run)

    def close_run(self) -> None:
        """Stop looking at the open run; its training goes on."""
        if self.feed is not None:
            self.feed.close()
            self.feed = None

    # -- life

    def on_mount(self) -> None:
        self.set_class(self.glyphs.ascii, "-ascii")
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        if not self.is_headless and sys.platform != "win32":
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self._end, EXIT_TERMINATED)
            parent = os.getppid()
            # in a browser there is no terminal; the server's death is what ends the app
            there = (lambda: os.getppid() == parent) if self.is_web else terminal_is_there
            lifeline = Lifeline(lambda: loop.call_soon_threadsafe(self._end, EXIT_HANGUP), EXIT_HANGUP, there)
            loop.add_signal_handler(signal.SIGHUP, lifeline.cut)
            lifeline.start()
        if self._first_run is not None:
            self.open_run(self._first_run, replay=self._first_mode == "replay")
        else:
            self.switch_mode(self._first_mode if self._first_mode in self.MODES else "setup")

    def on_ready(self) -> None:
        if not gc.isenabled():
            gc.freeze()
            gc.enable()

    def on_unmount(self) -> None:
        if self.feed is not None:
            self.feed.close()

    def _end(self, code: int) -> None:
        self.exit(code, return_code=code)

    def _remember_theme(self, _theme: object) -> None:
        self.settings.theme = self.theme
        self.settings.save()

    # -- showing

    @on(StateChanged)
    def _state_changed(self, message: StateChanged) -> None:
        if message.feed is self.feed:
            self._show(message.feed)

    @on(Troubled)
    def _heard(self, message: Troubled) -> None:
        self.troubled(message.what, message.error)

    def _show(self, feed: Feed) -> None:
        screen = self.top
        show = getattr(screen, "show_state", None)
        if show is not None and screen is not None and screen.is_running:
            with self.batch_update():
                show(feed.state)

    @on(Resize)
    def _resized(self, event: Resize) -> None:
        from cllab.tui.screens.small import TooSmall

        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        if self.top is None:
            return
        shown = isinstance(self.top, TooSmall)
        if small and not shown:
            self.push_screen(TooSmall())
        elif shown and not small:
            self.pop_screen()

    # -- keys

    async def on_event(self, event: Event) -> None:
        """Keys go to what those before them have opened, also when all came at once."""
        if not (isinstance(event, Key) and self._typed.keeps(event)):
            await super().on_event(event)

    def action_mode(self, mode: str) -> None:
        """Switch to a screen, closing what lies above the current one."""
        self.switch_mode(mode)

    def action_command_palette(self) -> None:
        """Everything that can be done, to search in."""
        from cllab.tui.screens.dialog import Palette

        if self.use_command_palette and not isinstance(self.top, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """All themes, to search in."""
        from textual.theme import ThemeProvider

        from cllab.tui.screens.dialog import Palette

        self.push_screen(Palette(providers=[ThemeProvider], placeholder="Search for themes"))

    def action_help(self) -> None:
        """The keys and the panes of the current screen, generated from them."""
        from cllab.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.of(self.screen))

    async def action_quit(self) -> None:
        """Leave; while the open run trains, ask what is to become of it."""
        from cllab.tui.screens.quit import QuitScreen

        feed = self.feed
        if feed is None or not feed.is_training:
            self.exit(0)
        elif not isinstance(self.screen, QuitScreen):
            self.push_screen(QuitScreen(feed.run, feed.state, self.glyphs.sep), self._quit_chosen)

    def _quit_chosen(self, choice: str | None) -> None:
        feed = self.feed
        if choice == "stop" and feed is not None:
            try:
                feed.run.stop()
            except CllabError as error:
                self.notify(str(error), severity="error", markup=False)
                return
        if choice in ("detach", "stop"):
            self.exit(0)

    def get_key_display(self, binding: Binding) -> str:
        shown = super().get_key_display(binding)
        if not self.glyphs.ascii or shown.isascii():
            return shown
        plain = "".join(KEYS_IN_ASCII.get(c, c) for c in shown)
        return plain if plain.isascii() else binding.key


def run_app(*, runs: str | None = None, run: Run | None = None, mode: str = "setup") -> int:
    """The terminal app; returns its exit code.

    Args:
        runs: the runs folder.
        run: a run to open at once.
        mode: "setup", "lessons", "live" (needs `run`) or "replay" (needs `run`).
    """
    if not _is_terminal():
        print("cllab: not a terminal; use: cllab run --headless PRESET", file=sys.stderr)
        return EXIT_USAGE
    _forget_the_former_size()
    app = CllabApp(runs=runs, run=run, mode=mode)
    if sharp_pixels(app.settings.images):
        # it asks the terminal what it can do when it is imported, which must be before the app reads the keys
        importlib.import_module("textual_image.widget")
    # what is made while starting stays: collecting garbage among it only delays the first paint
    gc.disable()
    result = app.run()
    feed = app.feed
    if feed is not None and feed.is_training:
        print(f"{feed.run.id} goes on training; come back with: cllab attach {feed.run.id}", file=sys.stderr)
    return app.return_code or result or 0


def _forget_the_former_size() -> None:
    """Drop COLUMNS and LINES where the terminal knows its size.

    A shell or a library (readline does it) may have exported the size that the terminal had once; Textual would take it
    for the present one, and for ever.
    """
    try:
        known = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    except (OSError, ValueError):
        return
    if known.columns and known.lines:
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)


def _is_terminal() -> bool:
    """Whether there is a keyboard to read and a screen to paint: Textual paints on standard error."""
    try:
        return (
            bool(sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty())
            and os.environ.get("TERM") != "dumb"
        )
    except ValueError:
        return False
