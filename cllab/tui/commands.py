"""What the command palette offers: the keys that act now, screens, presets to start, runs to open, pages to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from cllab.tui.index import index_of
from cllab.tui.lesson import lessons
from cllab.tui.pages import HEADINGS, pages
from cllab.tui.search import score
from cllab.tui.starts import starts

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


@dataclass(frozen=True)
class Command:
    """A line of the palette.

    Attributes:
        title: what it says.
        about: what it does.
        run: does it.
        name: of the thing that it is about: what a person types to find it; the title when it is about none.
        called: another name of that thing.
    """

    title: str
    about: str
    run: Callable[[], Any]
    name: str = ""
    called: str = ""

    def score(self, query: str) -> float:
        """How well it answers: by its thing's names, or by all of its title."""
        by_title = score(query, self.title)
        # a word of the title is as good as a word of a name; that the verb stands first makes nothing exact
        return max(score(query, self.name, self.called), by_title) if self.name else by_title


MODES = {
    "setup": "Set up a run",
    "live": "Watch the run",
    "memory": "Look into the memory",
    "runs": "All runs",
    "explain": "Explain",
    "lessons": "Lessons",
}
HIDDEN = ("move(", "cursor", "page(", "scroll", "copy_text", "focus", "dismiss", "home", "back", "clear", "unfocus")


class LabCommands(Provider):
    """Commands that make sense on the current screen, in the state things are in."""

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    async def discover(self) -> Hits:
        """What stands there before anything is typed."""
        for command in [*self._now(), *self._places()]:
            yield DiscoveryHit(command.title, command.run, help=command.about)

    async def search(self, query: str) -> Hits:
        """Everything that matches."""
        matcher = self.matcher(query)
        everything = [*self._now(), *self._places(), *self._things()]
        scores = [command.score(query) for command in everything]
        # letters alone are only looked at where nothing says it
        least = 1.0 if max(scores, default=0.0) > 1 else 0.0
        for command, found in zip(everything, scores, strict=True):
            if found > least:
                yield Hit(found, matcher.highlight(command.title), command.run, help=command.about)

    def _now(self) -> Iterator[Command]:
        """The keys of the screen that would do something at this moment."""
        seen = set()
        # the palette lies above the screen that it is asked about
        screen = self.screen
        for active in screen.active_bindings.values():
            binding, node = active.binding, active.node
            action = binding.action.removeprefix("screen.").removeprefix("app.")
            if not active.enabled or not binding.description or action in seen or action.startswith(HIDDEN):
                continue
            if node is screen:
                seen.add(action)
                doc = getattr(node, f"action_{action.partition('(')[0]}").__doc__ or ""
                about = f"{doc.partition(chr(10))[0].rstrip('.')} (key {self.app.get_key_display(binding)})"
                yield Command(binding.description, about, partial(self.app.run_action, binding.action, node))

    def _places(self) -> Iterator[Command]:
        lab = self.lab
        for i, (mode, title) in enumerate(MODES.items(), 1):
            if lab.current_mode != mode and not (mode in ("live", "memory") and lab.current is None):
                yield Command(title, f"screen {i}", partial(lab.switch_mode, mode))
        yield Command("Settings", "theme, markers, pictures, refresh rate", self._settings)
        yield Command("Theme", "other colors", lab.action_change_theme)
        yield Command("Screenshot", "this screen as an SVG file", self._screenshot)
        yield Command("Help", "every key of this screen (key ?)", partial(lab.run_action, "help"))
        yield Command("Quit", "what trains goes on, unless you stop it (key q)", partial(lab.run_action, "quit"))

    def _screenshot(self) -> None:
        # when the palette has gone
        self.lab.set_timer(0.1, self.lab.deliver_screenshot)

    def _settings(self) -> None:
        from cllab.tui.screens.settings import SettingsScreen

        self.lab.push_screen(SettingsScreen())

    def _things(self) -> Iterator[Command]:
        lab = self.lab
        for start in starts(lab.settings.presets):
            if not start.problem:
                run = partial(self._start, start.name)
                yield Command(f"Start preset {start.label}", start.about, run, start.label)
        for entry in index_of(lab.store).entries[:200]:
            about = f"{entry.state}, {entry.method} on {entry.dataset}"
            verb = "Open run" if entry.is_over else "Attach to run"
            named = (entry.run.id, entry.name)
            yield Command(f"{verb} {entry.run.id}", about, partial(lab.open_run, entry.run), *named)
            if entry.is_over:
                yield Command(
                    f"Replay run {entry.run.id}", about, partial(lab.open_run, entry.run, replay=True), *named
                )
        for lesson in lessons():
            about = " ".join(lesson.about.split())
            yield Command(
                f"Lesson {lesson.title}", about, partial(self._lesson, lesson.name), lesson.title, lesson.name
            )
        for page in pages(lab.catalog):
            about = f"{HEADINGS[page.kind].lower()}: {page.title}"
            yield Command(f"Explain {page.name}", about, partial(self._explain, page.key), page.name, page.title)

    def _start(self, name: str) -> None:
        from cllab.tui.screens.setup import SetupScreen

        self.lab.switch_mode("setup")

        def begin() -> None:
            screen = self.lab.screen
            if isinstance(screen, SetupScreen):
                screen.begin(name, at_once=True)

        self.lab.call_after_refresh(begin)

    def _lesson(self, name: str) -> None:
        from cllab.tui.screens.lessons import LessonsScreen

        self.lab.switch_mode("lessons")

        def show() -> None:
            screen = self.lab.screen
            if isinstance(screen, LessonsScreen):
                screen.begin(name)

        self.lab.call_after_refresh(show)

    def _explain(self, key: str) -> None:
        from cllab.tui.screens.explain import ExplainScreen

        self.lab.switch_mode("explain")

        def show() -> None:
            screen = self.lab.screen
            if isinstance(screen, ExplainScreen):
                screen.show_page(key)

        self.lab.call_after_refresh(show)
