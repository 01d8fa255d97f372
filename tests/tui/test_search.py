"""One order for every search: the very name, what begins so, a word of it, a part of it, what speaks of it, letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.widgets import OptionList

from cllab.settings.catalog import load
from cllab.tui.app import CllabApp
from cllab.tui.commands import LabCommands
from cllab.tui.pages import pages, search
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.search import ABOUT, EXACT, FUZZY, PREFIX, TITLED, WITHIN, WORD, WORDS, fuzzy, ranked, score
from cllab.tui.settings import Settings
from tests.tui.stories import press, shown, tell, until


@pytest.mark.parametrize(
    ("query", "name", "title", "about", "wanted"),
    [
        ("gem", "gem", "GEM", "", EXACT),
        ("GEM ", "gem", "GEM", "", EXACT),
        ("gem", "gem-permuted20", "", "", PREFIX),
        ("rm mnist", "rm-mnist-blurry10", "", "", PREFIX),
        ("gem", "forward_transfer_gem", "", "", WORD),
        ("gem", "agem", "A-GEM", "", WORD - 0.5),
        ("blur", "rm-mnist-blurry10", "", "", WORDS),
        ("mnist blur", "rm-mnist-blurry10", "", "", WORDS),
        ("ist", "mnist", "", "", WITHIN),
        ("rm rainbow", "rm", "Rainbow Memory", "", TITLED),
        ("diverse", "rm", "Rainbow Memory", "a memory of diverse samples", ABOUT),
        ("zzz", "rm", "Rainbow Memory", "a memory of diverse samples", 0.0),
        ("", "anything", "", "", EXACT),
    ],
)
def test_how_well_a_thing_answers(query: str, name: str, title: str, about: str, wanted: float) -> None:
    assert score(query, name, title, about) == wanted


def test_letters_in_this_order_come_last_and_only_alone() -> None:
    assert FUZZY < score("qckst", "quickstart") <= 1
    assert fuzzy("qckst", "quickstart") > fuzzy("qt", "quickstart") == 0.0
    assert fuzzy("quick", "quickstart") > fuzzy("quckt", "quickstart")
    names = ["quickstart", "qck-stream"]
    assert ranked("qck", names, lambda n: (n, "", "")) == ["qck-stream"]
    assert ranked("qkstrt", names, lambda n: (n, "", "")) == ["quickstart"]


def test_of_equals_the_earlier_stays_first() -> None:
    names = ["b-gem", "a-gem", "gem-b", "gem-a", "gem"]
    assert ranked("gem", names, lambda n: (n, "", "")) == ["gem", "gem-b", "gem-a", "b-gem", "a-gem"]
    assert ranked("  ", names, lambda n: (n, "", "")) == names


def test_every_page_is_the_first_for_its_own_name() -> None:
    found = pages(load())
    names = [p.name for p in found]
    for page in found:
        first = search(found, page.name)[0]
        assert first.name == page.name or names.count(page.name) > 1
    assert [p.name for p in search(found, "gem")][:1] == ["gem"]


def test_the_picker_and_the_palette_rank_alike(tmp_path: Path) -> None:
    app = CllabApp(runs=tmp_path, settings=Settings())
    catalog = load()

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        palette = LabCommands(app.screen)
        for name in catalog.names("method"):
            hits = sorted([hit async for hit in palette.search(name)], key=lambda hit: -hit.score)  # type: ignore[union-attr]
            assert str(hits[0].match_display) == f"Explain {name}", name  # type: ignore[union-attr]
        picks = [Pick(c.name, c.title, c.summary) for c in catalog.all("method")]
        app.push_screen(PickScreen("method", picks, "rm"))
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await press(pilot, *"gem")
        line = app.screen.query_one(OptionList).highlighted_option
        assert line is not None
        assert line.pick.name == "gem"  # type: ignore[attr-defined]
        await press(pilot, "escape", "colon")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await press(pilot, *"gem")
        await until(pilot, lambda: "Explain agem" in shown(app))
        lines = [x for x in shown(app).splitlines()[1:] if " Explain " in x or " Start preset " in x]
        assert "Explain gem" in lines[0]

    tell(app, story)
