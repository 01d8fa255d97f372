"""Pages on everything that can be chosen or measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from cllab.metrics import METRICS
from cllab.settings.catalog import load
from cllab.settings.tables import SECTIONS
from cllab.tui.app import CllabApp
from cllab.tui.glyphs import ASCII, UNICODE
from cllab.tui.pages import page_text, pages, paper_link, reflow, search
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import Settings
from cllab.tui.theme import DARK
from tests.tui.catalog_fixture import CATALOG
from tests.tui.stories import SIZES, press, shown, tell, until


def app_of(**options: Any) -> CllabApp:
    settings = Settings()
    settings.glyphs = "unicode"
    return CllabApp(settings=settings, mode="explain", **options)


async def go(pilot: Any) -> ExplainScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, ExplainScreen) and pilot.app.screen.page is not None)
    screen = pilot.app.screen
    assert isinstance(screen, ExplainScreen)
    return screen


def test_every_component_and_metric_has_a_page_with_all_it_declares() -> None:
    found = {p.key: p for p in pages(load())}
    assert len(found) == len(load().components) + len(METRICS) + len(SECTIONS)
    for component in load().components:
        text = page_text(found[f"{component.kind}/{component.name}"], DARK, UNICODE).plain
        assert component.title in text
        assert component.paper in text
        for field in component.fields:
            assert f"{component.kind}.{field.name}" in text
            assert field.help in text
            assert field.source in text
    for metric in METRICS.values():
        text = page_text(found[f"metric/{metric.name}"], DARK, UNICODE).plain
        assert metric.formula in text
        assert metric.source in text


def test_pages_in_ascii_hold_no_other_signs_of_ours() -> None:
    plain = [page_text(p, DARK, ASCII).plain for p in pages(CATALOG)]
    assert all(sign not in text for text in plain for sign in "·…▸")


def test_a_page_gives_range_source_and_published_value() -> None:
    page = next(p for p in pages(CATALOG) if p.key == "method/plain")
    text = page_text(page, DARK, UNICODE).plain
    assert "method.count  default 3" in text
    assert "A whole number from 1 to 10 · source: n in Eq. 1" in text
    assert "default 0.5 · published code 0.9" in text
    assert "on a logarithmic scale" in text
    assert "or none" in text


def test_search_finds_names_first_and_looks_into_parameters() -> None:
    assert search(pages(load()), "forgetting")[0].name == "forgetting"
    assert "ewc" in {p.name for p in search(pages(load()), "fisher")}
    assert search(pages(load()), "no such thing anywhere") == []
    assert len(search(pages(load()), "")) == len(pages(load()))


@pytest.mark.parametrize(
    ("paper", "link"),
    [
        ("arXiv:1612.00796", "https://arxiv.org/abs/1612.00796"),
        ("CVPR 2021, arXiv:2103.17230", "https://arxiv.org/abs/2103.17230"),
        ("https://example.org/x", "https://example.org/x"),
        ("ECCV 2020", ""),
        ("", ""),
    ],
)
def test_papers(paper: str, link: str) -> None:
    assert paper_link(paper) == link


def test_paragraphs_flow_and_lists_stay() -> None:
    assert reflow("a\nb\n\n- c\n  d\n- e") == "a b\n\n- c d\n- e"


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_screen(size: tuple[int, int]) -> None:
    app = app_of()

    async def story(pilot: Any) -> None:
        screen = await go(pilot)
        assert "Methods" in shown(app)
        assert screen.show_page("method/ewc")
        await until(pilot, lambda: screen.page is not None and screen.page.name == "ewc")
        text = " ".join(shown(app).split())
        assert "Elastic Weight Consolidation" in text
        assert "arXiv:1612.00796" in text
        await press(pilot, "enter", *["pagedown"] * 4)
        await until(pilot, lambda: "method." in shown(app) and "default" in shown(app), "its settings")
        assert all(len(line) <= size[0] + 1 for line in shown(app).splitlines())

    tell(app, story, size)


def test_searching_and_using() -> None:
    app = app_of()

    async def story(pilot: Any) -> None:
        screen = await go(pilot)
        await press(pilot, "slash")
        screen.query_one("#search", Input).value = "rwalk"
        await until(pilot, lambda: screen.page is not None and screen.page.name == "rwalk")
        await press(pilot, "enter", "u")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await until(pilot, lambda: app.screen.draft.values["method.name"] == "rwalk")  # type: ignore[attr-defined]
        await press(pilot, "5", "slash")
        screen.query_one("#search", Input).value = "zzzzz"
        await until(pilot, lambda: "Nothing speaks of that" in shown(app))
        await press(pilot, "escape")
        await until(pilot, lambda: "Methods" in shown(app))

    tell(app, story)


def test_only_what_a_page_offers_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of()
    opened: list[str] = []
    monkeypatch.setattr(app, "open_url", opened.append)

    async def story(pilot: Any) -> None:
        screen = await go(pilot)
        screen.show_page("metric/forgetting")
        await until(pilot, lambda: screen.page is not None and screen.page.kind == "metric")
        assert not screen.check_action("paper", ())
        assert not screen.check_action("use", ())
        screen.show_page("method/ewc")
        await until(pilot, lambda: screen.check_action("paper", ()))
        await press(pilot, "o")
        assert opened == ["https://arxiv.org/abs/1612.00796"]
        assert not screen.show_page("method/gone")

    tell(app, story)


def test_the_arrows_move_in_the_list_while_one_types(tmp_path: Path) -> None:
    app = CllabApp(runs=tmp_path, mode="explain", settings=Settings())

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, ExplainScreen) and app.screen.page is not None)
        screen = app.screen
        assert isinstance(screen, ExplainScreen)
        await press(pilot, "slash", *"benchmark-file")
        # two things have this name, and the list says which is which
        await until(pilot, lambda: "benchmark-file  scenario" in shown(app) and "benchmark-file  dataset" in shown(app))
        first = screen.page
        await press(pilot, "down")
        await until(pilot, lambda: screen.page is not first)
        await press(pilot, "up")
        await until(pilot, lambda: screen.page is first)
        assert screen.query_one("#search").has_focus

    tell(app, story)
