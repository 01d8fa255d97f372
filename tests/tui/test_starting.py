"""How a run begins: what the list says Enter does, what is asked before, and what the key bar offers meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from cllab.record.runs import Run, RunStore
from cllab.settings import presets
from cllab.settings.catalog import load
from cllab.settings.config import RunConfig
from cllab.tui.doubts import LARGE, LONG, costs, doubts, twins
from cllab.tui.draft import Draft
from cllab.tui.estimates import Estimate
from cllab.tui.index import Entry, read_entry
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.runs import RunsScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.screens.starting import StartScreen
from cllab.tui.settings import Settings
from cllab.tui.starts import starts
from cllab.tui.widgets.explanation import Explanation
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.start_list import StartList
from tests.tui.recorded import make_run
from tests.tui.stories import burst, press, shown, tell, until
from tests.tui.test_setup import FAKE, app_of, field, ready, setup_of


@pytest.fixture(autouse=True)
def _fake_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4}))
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path / "data"))


def draft_of(preset: str, seeds: tuple[int, ...] = (1,)) -> Draft:
    start = next(s for s in starts() if s.label == preset)
    return start.draft(load()).with_seeds(seeds)


def finished_run(folder: Path, config: RunConfig, average: float = 0.806) -> Run:
    """A run of `config` that is done."""
    run = RunStore(folder).create(config)
    recorded = make_run(folder.parent / "recorded", pictures=0)
    run.events_path.write_bytes(recorded.events_path.read_bytes())
    result = {
        "status": "done", "signature": config.signature, "seed": config.seed, "device": "cpu",
        "metrics": {"average_accuracy": average}, "seconds": {"total": 3.0},
    }  # fmt: skip
    run.result_path.write_text(json.dumps(result))
    return run


# -- what Enter does


def test_the_first_line_is_that_of_the_form(tmp_path: Path) -> None:
    """With a setup that is remembered, nothing says that Enter starts the quick look over it."""
    settings = Settings.load()
    settings.last = draft_of("rm-mnist-blurry10").remembered()
    settings.save()
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = setup_of(app)
        assert screen.draft.values["dataset.name"] == "mnist"
        said = screen.query_one(Explanation)
        assert said.text.plain.startswith("Last setup  rm-mnist-blurry10")
        assert "Enter goes to the form" in said.text.plain
        assert "Quick look" not in said.text.plain
        assert "last: rm-mnist-blu" in shown(app)
        # Enter does what is said, and starts nothing
        await press(pilot, "enter")
        assert app.focused is field(app, "method.name")
        assert app.current is None
        # the quick look says what it takes the place of
        await press(pilot, "escape", "home")
        await until(pilot, lambda: said.text.plain.startswith("Quick look"))
        assert "Enter starts it now, in place of rm-mnist-blurry10 in the form." in " ".join(said.text.plain.split())
        await press(pilot, "enter")
        await until(pilot, lambda: app.current is not None)
        assert app.current is not None
        assert app.current.config().name == "quickstart"

    tell(app, story)


def test_without_a_last_setup_the_quick_look_is_first(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        said = setup_of(app).query_one(Explanation).text.plain
        assert said.startswith("Quick look")
        assert "Enter starts it now.\n" in said
        assert "last:" not in shown(app)
        assert setup_of(app).draft.name == "quickstart"

    tell(app, story)


def test_the_last_setup_comes_back_after_looking_at_a_preset(tmp_path: Path) -> None:
    settings = Settings.load()
    settings.last = draft_of("gem-permuted20", (2, 3)).remembered()
    settings.save()
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app).begin("forgetting")
        await until(pilot, lambda: setup_of(app).draft.name == "forgetting")
        await press(pilot, "escape")
        start_list = setup_of(app).query_one(StartList)
        start_list.highlighted = start_list.get_option_index("last")
        await press(pilot, "enter")
        await until(pilot, lambda: setup_of(app).draft.name == "gem-permuted20")
        assert setup_of(app).draft.seeds == (2, 3)

    tell(app, story)


# -- what is asked


def entry_of(config: RunConfig, /, **given: Any) -> Entry:
    values = {
        "state": "done", "seed": config.seed, "method": config.method.name, "dataset": config.dataset.name,
        "config": config.to_dict(), **given,
    }  # fmt: skip
    return Entry(Run(Path("runs/one")), **values)


def test_a_twin_has_the_same_setting_and_the_same_seed() -> None:
    catalog = load()
    config = presets.load("quickstart").config
    done = entry_of(config, result={"signature": config.signature})
    training = entry_of(config, state="training", result={})
    other_seed = entry_of(config, seed=2, result={"signature": config.signature})
    other = entry_of(presets.load("quickstart").config.override(["memory.capacity=99"]), result={})
    broken = entry_of(config, config={"method": "nonsense"}, result={})
    over = [entry_of(config, state=state, result={}) for state in ("failed", "stopped", "lost")]
    entries = [training, done, other_seed, other, broken, *over]
    assert twins([config], entries, catalog) == [training, done]
    assert twins([config, replace(config, seed=2)], entries, catalog) == [training, done, other_seed]
    # the device and the folder of the data make no other run
    assert twins([config.override(["device=cuda"])], entries, catalog) == [training, done]


def test_what_is_long_or_large_and_unknown_is_said() -> None:
    quick, large = draft_of("quickstart"), draft_of("rm-cifar10-blurry10")
    assert costs(quick, Estimate()) == ""
    assert costs(quick, Estimate(3.0, "from a run of this very setup")) == ""
    assert "How long it takes is not known here" in costs(large, Estimate())
    assert "About 700,000 images pass through resnet18" in costs(large, Estimate())
    assert "3 runs" in costs(draft_of("rm-cifar10-blurry10", (1, 2, 3)), Estimate())
    assert costs(large, Estimate(LONG - 1, "from a run")) == ""
    assert costs(large, Estimate(LONG, "from a run")) == "It will take about 5 min: from a run."
    assert "roughly 5 min" in costs(large, Estimate(LONG, "from a run", rough=True))
    assert "about 10 min for 2 runs, one after another" in costs(
        draft_of("quickstart", (1, 2)), Estimate(LONG, "from a run")
    )
    # many quick ones are as long as a large one
    assert costs(draft_of("quickstart", tuple(range(1, 100))), Estimate()) != ""
    assert LARGE > 12_000


def test_no_reason_no_question() -> None:
    quick = draft_of("quickstart")
    assert doubts(quick, [], Estimate()) is None
    asked = doubts(quick, [entry_of(quick.config, state="training", fraction=0.4)], Estimate())
    assert asked is not None
    assert asked.title == "This is being trained"
    assert "with seed 1 is training, 40 % of its tasks are done" in asked.lines[0]
    both = doubts(quick, [entry_of(quick.config, average=0.5)], Estimate(1e4, "from a run"))
    assert both is not None
    assert [line.partition(" ")[0] for line in both.lines] == ["one:", "It"]
    assert "average accuracy 50.0 %" in both.lines[0]
    several = doubts(draft_of("quickstart", (1, 2, 3)), [entry_of(quick.config)], Estimate())
    assert several is not None
    assert "with seed 1 is there already" in several.lines[0]


def test_enter_enter_enter_starts_no_long_run(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = setup_of(app)
        screen.choose("train.memory_epochs", 10000)
        await until(pilot, lambda: "How long it takes is not known" in costs(screen.draft, screen.estimate))
        field(app, "memory.capacity").focus()
        await press(pilot, "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        text = " ".join(shown(app).split())
        assert "This may take long" in text
        assert "images pass through mlp" in text
        await press(pilot, "enter")
        assert app.screen is screen
        assert app.current is None
        assert not (tmp_path / "runs").exists()
        # a paste of many is no more
        screen.query_one("#run").focus()
        burst(app, *["enter"] * 2)
        await until(pilot, lambda: isinstance(app.screen, StartScreen) or app.screen is screen)
        await pilot.pause()
        assert app.current is None
        if isinstance(app.screen, StartScreen):
            await press(pilot, "escape")
        # who means it, starts it
        await press(pilot, "escape", "r", "r")
        await until(pilot, lambda: app.current is not None, "the run")

    tell(app, story)


def test_a_second_run_of_the_same_setting_is_offered_to_be_opened(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    run = finished_run(tmp_path / "runs", presets.load("quickstart").config)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await until(pilot, lambda: setup_of(app).index.entries)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        text = " ".join(shown(app).replace("│", " ").split())
        assert "This was trained already" in text
        assert run.id in text
        assert "average accuracy 80.6 %" in text
        # a quick look stays two keys: the second shows what came out
        await press(pilot, "enter")
        await until(pilot, lambda: app.current is not None)
        assert app.current is not None
        assert app.current.id == run.id
        assert len(list(RunStore(tmp_path / "runs"))) == 1
        # back, and train it all the same
        await press(pilot, "1", "home", "enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        await press(pilot, "r")
        await until(pilot, lambda: len(list(RunStore(tmp_path / "runs"))) == 2)

    tell(app, story)


def test_another_seed_is_no_second_run(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    finished_run(tmp_path / "runs", presets.load("quickstart").config)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await until(pilot, lambda: setup_of(app).index.entries)
        field(app, "seed").value = "2"
        await until(pilot, lambda: setup_of(app).draft.seeds == (2,))
        await press(pilot, "escape", "r")
        await until(pilot, lambda: app.current is not None)
        assert not isinstance(app.screen, StartScreen)

    tell(app, story)


def test_the_palette_asks_too(tmp_path: Path) -> None:
    app = app_of(tmp_path, mode="explain")
    finished_run(tmp_path / "runs", presets.load("quickstart").config)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, ExplainScreen))
        await press(pilot, "1")
        await ready(pilot)
        await until(pilot, lambda: setup_of(app).index.entries)
        await press(pilot, "5", "colon", *"start", "space", "p", "r", "e", "s", "e", "t", "space", *"quickstart")
        await until(pilot, lambda: "Start preset quickstart" in shown(app))
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        assert app.current_mode == "setup"

    tell(app, story)


# -- new like it


def test_new_like_it_keeps_the_preset(tmp_path: Path) -> None:
    app = app_of(tmp_path, mode="runs")
    config = presets.load("rm-mnist-blurry10").config.override(["memory.capacity=300", "seed=3"])
    read = read_entry(finished_run(tmp_path / "runs", config))
    assert read.name == "rm-mnist-blurry10"

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.entry is not None)
        await press(pilot, "n")
        await until(
            pilot, lambda: isinstance(app.screen, SetupScreen) and app.screen.draft.values["dataset.name"] == "mnist"
        )
        draft = setup_of(app).draft
        assert draft.name == "rm-mnist-blurry10"
        assert draft.base is not None
        assert draft.base.name == "rm-mnist-blurry10"
        assert draft.command() == ("cllab run --headless rm-mnist-blurry10 --set memory.capacity=300 --seeds 3")
        # its name is the preset's only as long as its parts are
        assert draft.set("method.name", "er").name == "er-mnist-blurry"

    tell(app, story)


# -- the key bar


def test_the_key_bar_offers_what_acts_where_one_types(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        bar = app.screen.query_one(KeyBar)
        assert {"q", "?", "r"} <= {key for key, *_ in bar.keys}
        field(app, "memory.capacity").focus()
        await until(pilot, lambda: "q" not in {key for key, *_ in bar.keys})
        offered = {words: key for key, words, *_ in bar.keys}
        assert offered["Quit"] == "^q"
        assert offered["Help"] == "F1"
        assert offered["Done"] == "enter" or offered["Done"] == "⏎"
        assert "Leave the form" in offered
        assert not {"Run", "Save", "Copy", "Presets"} & set(offered)
        # every key that is offered acts: none of them is typed
        before = field(app, "memory.capacity").value
        for _, _, key, _ in bar.keys:
            assert not field(app, "memory.capacity").check_consume_key(key, key if len(key) == 1 else None)
        await press(pilot, "f1")
        await until(pilot, lambda: "esc closes" in shown(app))
        await press(pilot, "escape")
        assert field(app, "memory.capacity").value == before
        await press(pilot, "escape")
        await until(pilot, lambda: {"q", "?", "r"} <= {key for key, *_ in bar.keys})
        # the same where pages are searched
        await press(pilot, "5", "slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        bar = app.screen.query_one(KeyBar)
        await until(pilot, lambda: "^q" in {key for key, *_ in bar.keys})
        assert "esc" in " ".join(key for key, *_ in bar.keys)
        assert "/" not in {key for key, *_ in bar.keys}
        await press(pilot, "ctrl+q")

    tell(app, story)
    assert app.return_code == 0
