"""Pages on everything that can be chosen or measured: idea, paper, parameters with ranges and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from cllab.settings.spec import ComponentSpec
from cllab.tui.pages import HEADINGS, Page, page_text, pages, paper_link, search
from cllab.tui.widgets.choices import Choices
from cllab.tui.widgets.field import Field
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.mode_bar import ModeBar

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class Search(Field):
    """What pages are looked for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", "Pages")]


class PageScroll(VerticalScroll, can_focus=True):
    """The page."""


class ExplainScreen(Screen[None]):
    """A list of pages, and one of them."""

    HELP = (
        "What everything is, where it was published, what its settings are. / searches in names, texts and parameters."
    )
    CSS = """
    ExplainScreen #list { width: 30; }
    ExplainScreen #search { background: $surface; padding: 0 1; margin: 0 1; }
    ExplainScreen OptionList {
        height: 1fr; border: round $border-blurred; background: $background; padding: 0 1;
        border-title-color: $text-muted;
        scrollbar-background: $background; scrollbar-color: $border-blurred; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    ExplainScreen OptionList > .option-list--option-disabled { color: $text-muted; }
    ExplainScreen OptionList:focus, ExplainScreen PageScroll:focus {
        border: round $border; background-tint: $foreground 0%; border-title-color: $primary; border-title-style: bold;
    }
    ExplainScreen PageScroll {
        border: round $border-blurred; padding: 0 2; scrollbar-size-vertical: 1; border-title-color: $text-muted;
        scrollbar-background: $background; scrollbar-color: $border-blurred;
    }
    ExplainScreen #page { max-width: 96; height: auto; padding-bottom: 1; }
    ExplainScreen.-narrow #list { width: 24; }
    ExplainScreen.-narrow PageScroll { padding: 0 1; }
    App.-ascii ExplainScreen OptionList, App.-ascii ExplainScreen PageScroll { border: ascii $border-blurred; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="explain.search", key_display="/"),
        Binding("o", "paper", "Open paper", id="explain.paper"),
        Binding("u", "use", "Use in a run", id="explain.use"),
        Binding("escape", "back", "List", id="explain.back", show=False),
        Binding("down", "move(1)", "Next", show=False),
        Binding("up", "move(-1)", "Previous", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.page: Page | None = None
        self._shown: list[Page] = []

    @property
    def lab(self) -> CllabApp:
        """The app."""
        return cast("CllabApp", self.app)

    def compose(self) -> ComposeResult:
        yield ModeBar("explain")
        with Horizontal():
            with Vertical(id="list"):
                yield Search(placeholder="/ search", compact=True, id="search")
                yield Choices(markup=False)
            with PageScroll():
                yield Static("", id="page")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).border_title = "pages"
        self._pages = pages(self.lab.catalog)
        self._fill("")
        self.query_one(OptionList).focus()
        self.lab.theme_changed_signal.subscribe(self, lambda _theme: self._show())

    def show_page(self, key: str) -> bool:
        """Open the page `kind/name`; whether there is one."""
        found = next((p for p in self._pages if p.key == key), None)
        if found is None:
            return False
        self.query_one("#search", Input).value = ""
        self._fill("", key)
        return True

    def _fill(self, needle: str, key: str = "") -> None:
        options = self.query_one(OptionList)
        self._shown = search(self._pages, needle)
        wanted = key or (self.page.key if self.page is not None and not needle else "")
        lines: list[Option] = []
        kind = ""
        for page in self._shown:
            if page.kind != kind and not needle.strip():
                kind = page.kind
                lines.append(Option(Text(HEADINGS[kind], style="bold"), disabled=True))
            text = Text(f"  {page.name}" if not needle.strip() else page.name, no_wrap=True, overflow="ellipsis")
            if needle.strip():
                # without headings, and some names are those of two things
                text.append(f"  {page.kind}", style="dim")
            lines.append(Option(text, id=page.key))
        options.clear_options()
        options.add_options(lines)
        ids = [o.id for o in lines]
        first = next((i for i, o in enumerate(ids) if o is not None), None)
        options.highlighted = ids.index(wanted) if wanted in ids else first
        options.border_title = f"{len(self._shown)} pages"
        if first is None:
            self.query_one("#page", Static).update(Text("Nothing speaks of that. Escape shows all pages.", style="dim"))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        found = next((p for p in self._shown if p.key == event.option.id), None)
        if found is not None:
            self.page = found
            self._show()

    def _show(self) -> None:
        if self.page is None or not self.is_running:
            return
        self.query_one("#page", Static).update(page_text(self.page, self.lab.palette, self.lab.glyphs))
        scroll = self.query_one(PageScroll)
        scroll.border_title = f"{HEADINGS[self.page.kind].lower()}{self.lab.glyphs.sep}{self.page.name}"
        scroll.scroll_home(animate=False)
        self.refresh_bindings()

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.query_one(PageScroll).focus()

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted, "#search")
    def _entered(self) -> None:
        self.query_one(OptionList).focus()

    def action_move(self, by: int) -> None:
        """Move in the list while the search has the focus."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_search(self) -> None:
        """Type what to look for."""
        # at once: what is typed next is searched for
        self.set_focus(self.query_one("#search"))

    def action_back(self) -> None:
        """All pages."""
        self.query_one("#search", Input).value = ""
        self.query_one(OptionList).focus()

    @property
    def _paper(self) -> str:
        thing = self.page.thing if self.page is not None else None
        return paper_link(thing.paper) if isinstance(thing, ComponentSpec) else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what this page offers."""
        if action == "paper":
            return bool(self._paper)
        if action == "use":
            return self.page is not None and self.page.kind in ("method", "scenario", "memory", "dataset", "model")
        return super().check_action(action, parameters)

    def action_paper(self) -> None:
        """Open the paper in a browser, and say its address where there is none."""
        self.app.open_url(self._paper)
        self.notify(self._paper, title="Paper", markup=False, timeout=8)

    def action_use(self) -> None:
        """Choose it in the form."""
        from cllab.tui.screens.setup import SetupScreen

        page = self.page
        if page is None:
            return
        self.lab.switch_mode("setup")
        screen = self.lab.screen
        if isinstance(screen, SetupScreen):
            self.lab.call_later(screen.take, f"{page.kind}.name", page.name)
