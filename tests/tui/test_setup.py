"""Setting up a run: the quick look, presets, the form, what is refused, what is kept."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from textual.widgets import Button, Input

from cllab.cli import run as cli
from cllab.data.info import DataStatus
from cllab.record.runs import Run, RunStore
from cllab.settings import presets
from cllab.settings.catalog import load
from cllab.settings.config import Choice
from cllab.tui import costs
from cllab.tui.app import CllabApp
from cllab.tui.form import Form
from cllab.tui.screens.download import DownloadScreen
from cllab.tui.screens.pick import PickScreen
from cllab.tui.screens.save_preset import SavePresetScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.settings import Settings
from cllab.tui.widgets.group import Group
from cllab.tui.widgets.start_list import StartList
from tests.tui.catalog_fixture import CATALOG
from tests.tui.recorded import make_run
from tests.tui.stories import SIZES, press, shown, tell, until

FAKE = f"{sys.executable} {Path(__file__).with_name('fake_worker.py')}"


@pytest.fixture(autouse=True)
def _fake_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", FAKE)
    monkeypatch.setenv("CLLAB_FAKE", json.dumps({"rate": 0, "pictures": 0, "steps": 4}))
    monkeypatch.setenv("CLLAB_DATA", str(tmp_path / "data"))


def app_of(tmp_path: Path, **options: Any) -> CllabApp:
    settings = Settings.load()
    settings.glyphs = "unicode"
    return CllabApp(runs=tmp_path / "runs", settings=settings, **options)


def setup_of(app: CllabApp) -> SetupScreen:
    assert isinstance(app.screen, SetupScreen)
    return app.screen


def field(app: CllabApp, key: str) -> Any:
    """The control of a key, wherever it stands."""
    for form in setup_of(app).query(Form):
        if key in form.keys:
            return form.row(key).control
    raise AssertionError(f"no row {key}")


async def ready(pilot: Any) -> None:
    await until(
        pilot,
        lambda: isinstance(pilot.app.screen, SetupScreen) and pilot.app.screen.status is not None,
        "the setup screen",
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_first_screen(size: tuple[int, int], tmp_path: Path, finished: Run) -> None:
    make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await until(pilot, lambda: (app.screen.index.entries and "done" in shown(app)) or "%" in shown(app))  # type: ignore[attr-defined]
        text = shown(app)
        for words in ("Start here", "Quick look", "recent runs", "New run", "Method", "Memory size", "what it means"):
            assert words in text, words
        assert "$ cllab run --headless quickstart" in text
        assert "Rainbow Memory" in text
        assert isinstance(app.focused, StartList)
        if size[0] >= 100:
            assert "task 1" in text
            assert "of a class's images" in text
        # nothing is wider than the screen
        assert all(len(line) <= size[0] + 1 for line in text.splitlines())

    tell(app, story, size)


def test_enter_on_quick_look_starts_at_once(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: app.current is not None and app.current_mode == "live", "the live screen")
        assert app.current is not None
        config = app.current.config()
        assert (config.name, config.method.name, config.dataset.name) == ("quickstart", "rm", "digits")
        await until(pilot, lambda: app.feed is not None and app.feed.state.status == "done", "the end of the run")

    tell(app, story)
    assert Settings.load().last["preset"] == "quickstart"


def test_a_preset_fills_the_form_and_r_starts_it(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "p")
        assert isinstance(app.screen, PickScreen)
        await press(pilot, *"rwalk", "space", *"mnist", "enter")
        await until(
            pilot,
            lambda: app.current_mode == "setup" and field(app, "method.name").value == "rwalk",
            "rwalk in the form",
        )
        screen = setup_of(app)
        assert screen.draft.command().startswith("cllab run --headless rwalk-mnist-blurry10")
        await until(pilot, lambda: app.focused is field(app, "method.name"), "the focus in the form")

    tell(app, story)


def test_a_choice_changes_the_line_the_picture_and_the_words(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "tab")
        assert app.focused is field(app, "method.name")
        await press(pilot, "right", "down", "down", "enter")
        assert isinstance(app.screen, PickScreen)
        await press(pilot, "home", "down", "enter")
        await until(pilot, lambda: app.current_mode == "setup" and isinstance(app.screen, SetupScreen))
        screen = setup_of(app)
        chosen = screen.draft.values
        assert f"method.name={chosen['method.name']}" in screen.draft.command()
        assert f"scenario.name={chosen['scenario.name']}" in screen.draft.command()
        assert chosen["method.name"] != "rm"
        title = screen.query_one("#picture").border_title
        assert chosen["scenario.name"] in str(title)
        field(app, "method.name").focus()
        await pilot.pause()
        spec = load().get("method", chosen["method.name"])
        assert spec.title in shown(app)

    tell(app, story, (160, 45))


def test_a_field_explains_itself(tmp_path: Path) -> None:
    app = app_of(tmp_path, catalog=CATALOG)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = setup_of(app)
        screen.take("method.name", "plain")
        screen.query_one("#group-method", Group).toggle(True)
        await until(pilot, lambda: screen.query("#form-method"))
        field(app, "method.share").focus()
        await until(pilot, lambda: "A share" in shown(app))
        text = " ".join(shown(app).split())
        for words in ("method.share", "default 0.5", "published code 0.9", "number from 0 to 1"):
            assert words in text, words

    tell(app, story, (160, 45))


def test_what_cannot_work_is_gray_with_the_reason(tmp_path: Path) -> None:
    app = app_of(tmp_path, catalog=CATALOG)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, "method.name").focus()
        await press(pilot, "enter")
        assert isinstance(app.screen, PickScreen)
        assert "gives no task labels" in shown(app)
        options = app.screen.query_one("OptionList").options  # type: ignore[attr-defined]
        gray = [app.screen.picks[i].name for i, option in enumerate(options) if option.disabled]
        assert gray == ["labelled"]

    tell(app, story)


def test_what_had_to_change_is_said(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, "scenario.stream").focus()
        await press(pilot, "right")
        await until(pilot, lambda: setup_of(app).draft.values["scenario.stream"] == "offline")
        said = [n.message for n in app._notifications]
        assert any("train.memory_epochs is now 0 (was 15)" in m for m in said)
        assert setup_of(app).problem == ""

    tell(app, story)


@pytest.mark.parametrize(
    ("key", "typed", "said"),
    [
        ("scenario.tasks", "many", "whole number"),
        pytest.param("memory.capacity", "-5", "at least 0", marks=pytest.mark.slow),
        pytest.param("seed", "3-1", "must rise", marks=pytest.mark.slow),
    ],
)
def test_invalid_input_shows_the_message_and_does_not_start(key: str, typed: str, said: str, tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, key).focus()
        await pilot.pause()
        field(app, key).value = typed
        await until(pilot, lambda: setup_of(app).errors.get(key), "the error")
        assert said in shown(app)
        assert setup_of(app).query_one("#run", Button).disabled
        await press(pilot, "escape", "r")
        assert app.current is None
        assert any(said in n.message for n in app._notifications)
        await until(pilot, lambda: app.focused is field(app, key), "the focus on what is wrong")
        # a preset wipes it away
        await press(pilot, "escape", "down", "down", "enter")
        await until(pilot, lambda: setup_of(app).draft.values["method.name"] == "finetune" and not setup_of(app).errors)
        assert typed not in field(app, key).value
        assert not (tmp_path / "runs").exists()

    tell(app, story)


def test_a_combination_that_cannot_work_does_not_start(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, "train.epochs").value = "5"
        await until(pilot, lambda: "online stream is read once" in setup_of(app).problem)
        await press(pilot, "escape", "r")
        assert app.current is None
        assert not (tmp_path / "runs").exists()
        await press(pilot, "escape", "u")
        await until(pilot, lambda: setup_of(app).problem == "")

    tell(app, story)


def test_enter_in_a_text_goes_to_run_and_enter_there_starts(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, "memory.capacity").focus()
        await pilot.pause()
        field(app, "memory.capacity").value = "60"
        await press(pilot, "enter")
        assert app.focused is setup_of(app).query_one("#run")
        await press(pilot, "enter")
        await until(pilot, lambda: app.current is not None)
        assert app.current is not None
        assert app.current.config().memory.common["capacity"] == 60

    tell(app, story)


def test_several_seeds_queue_and_survive_the_app(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        field(app, "seed").value = "1-3"
        await until(pilot, lambda: setup_of(app).draft.seeds == (1, 2, 3))
        assert "--seeds 1-3" in shown(app)
        await press(pilot, "escape", "r")
        await until(pilot, lambda: app.current is not None)

        def all_done() -> bool:
            runs = list(RunStore(tmp_path / "runs"))
            return len(runs) == 3 and all(run.status().state == "done" for run in runs)

        await until(pilot, all_done, "three runs, one after another", 30)

    tell(app, story)
    runs = sorted(RunStore(tmp_path / "runs"), key=lambda r: r.config().seed)
    assert [r.config().seed for r in runs] == [1, 2, 3]
    first, last = ([e.t for e in run.events()] for run in (runs[0], runs[2]))
    assert max(first) <= min(last)
    assert not any(run.queued_path.exists() for run in runs)


def test_missing_data_offers_the_download_and_the_built_in_digits(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app).take("dataset.name", "mnist")
        await until(pilot, lambda: setup_of(app).status and setup_of(app).status.name == "mnist")  # type: ignore[union-attr]
        await pilot.pause()
        text = " ".join(shown(app).split())
        assert "mnist is not here" in text
        assert "d downloads 11.6 MB" in text
        await press(pilot, "escape", "r")
        assert app.current is None
        assert "Looked for" in text
        await press(pilot, "escape", "b")
        await until(pilot, lambda: setup_of(app).status and setup_of(app).status.found)  # type: ignore[union-attr]
        assert setup_of(app).draft.values["dataset.name"] == "digits"
        assert "! mnist is not here" not in shown(app)

    tell(app, story)


def test_a_status_that_comes_late_is_not_shown_for_other_data(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app)._seen(DataStatus("photos", False, ("somewhere",)), Choice("photos", {}))
        await pilot.pause()
        assert "photos" not in shown(app)

    tell(app, story)


@pytest.mark.parametrize("ok", [True, False])
def test_a_download_shows_its_end(ok: bool, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    script = f"import sys; print('downloading x 10%'); print('no mirror answers'); sys.exit({0 if ok else 3})"
    screen = DownloadScreen("x", str(tmp_path / "data"), 1000, [sys.executable, "-c", script])
    left: list[bool | None] = []

    async def story(pilot: Any) -> None:
        await ready(pilot)
        app.push_screen(screen, left.append)
        await until(pilot, lambda: screen.code is not None, "the end of the download")
        if not ok:
            assert "no mirror answers" in shown(app)
            await press(pilot, "enter")
        await until(pilot, lambda: left, "the dialog to close")

    tell(app, story)
    assert left == [ok]


def test_a_download_can_be_canceled(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    script = "import time; print('going', flush=True); time.sleep(60)"
    screen = DownloadScreen("x", str(tmp_path / "data"), 1000, [sys.executable, "-c", script])

    async def story(pilot: Any) -> None:
        await ready(pilot)
        app.push_screen(screen)
        await until(pilot, lambda: screen.process is not None)
        await press(pilot, "escape")
        await until(
            pilot, lambda: screen.process is not None and screen.process.poll() is not None, "the process to end"
        )

    tell(app, story)


def test_a_setup_is_saved_and_stands_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app).take("method.name", "er")
        await press(pilot, "escape", "s")
        assert isinstance(app.screen, SavePresetScreen)
        app.screen.query_one("#file", Input).value = "mine"
        app.screen.query_one("#sentence", Input).value = "Replay on [digits]"
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert setup_of(app).draft.command().startswith("cllab run --headless mine.toml")
        assert "mine" in shown(app)
        # a second time asks before it replaces
        await press(pilot, "escape", "s")
        app.screen.query_one("#file", Input).value = "mine.toml"
        await press(pilot, "enter")
        assert "is there already" in shown(app)
        await press(pilot, "escape")

    tell(app, story)
    text = (tmp_path / "mine.toml").read_text()
    assert 'name = "er"' in text
    assert "Replay on [digits]" in text
    assert [Path(p).name for p in Settings.load().presets] == ["mine.toml"]


def test_a_preset_is_not_saved_under_the_name_of_a_shipped_one_unawares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "escape", "s")
        file = app.screen.query_one("#file", Input)
        assert file.value == "my-quickstart.toml"
        file.value = "quickstart"
        await press(pilot, "enter")
        assert "comes with cllab" in shown(app)
        assert not (tmp_path / "quickstart.toml").exists()
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert setup_of(app).draft.command() == "cllab run --headless quickstart.toml"

    tell(app, story)
    # on the command line the name means the shipped one, and that is said where both are
    assert presets.load("quickstart").path.parent == presets.folder()
    assert presets.load("quickstart.toml").path.resolve() == tmp_path / "quickstart.toml"
    monkeypatch.setattr(cli, "train_all", lambda *_args, **_options: 0)
    for name, said in (("quickstart", True), ("quickstart.toml", False), ("forgetting", False)):
        with pytest.raises(typer.Exit):
            cli.run(name, headless=True)
        assert ("cllab run quickstart.toml" in capsys.readouterr().err) is said


def test_the_line_is_copied(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "y")
        assert app.clipboard.startswith("cllab run --headless quickstart")
        assert str(tmp_path / "runs") in app.clipboard or "--runs" not in app.clipboard

    tell(app, story)


def test_the_last_setup_comes_back(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def first(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app).take("method.name", "er")
        await press(pilot, "escape", "r")
        await until(pilot, lambda: app.current is not None)

    tell(app, first)
    again = app_of(tmp_path)

    async def second(pilot: Any) -> None:
        await ready(pilot)
        assert setup_of(again).draft.values["method.name"] == "er"

    tell(again, second)


def test_every_group_opens_and_shows_every_parameter(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = setup_of(app)
        for group in screen.query(Group):
            group.toggle(True)
        await until(pilot, lambda: len(screen.query(Form)) == 1 + len([g for g in screen.query(Group) if g.display]))
        keys = {key for form in screen.query(Form) for key in form.keys}
        assert keys == set(screen.draft.values)
        # going through all methods rebuilds what differs and loses nothing
        for name in ("ewc", "bic", "gdumb", "finetune"):
            screen.choose("method.name", name)
            await pilot.pause()
        assert not app._notifications
        keys = {key for form in screen.query(Form) for key in form.keys}
        assert keys == set(screen.draft.values)

    tell(app, story)


def test_up_and_down_go_through_the_whole_form(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "tab")
        first = app.focused
        stops = setup_of(app).form.stops
        assert len(stops) >= 18
        await press(pilot, *["down"] * (len(stops) + 1))
        assert app.focused is stops[-1]
        assert app.focused.region in app.screen.query_one("#form").region
        await press(pilot, *["up"] * (len(stops) + 1))
        assert app.focused is first is stops[0]

    tell(app, story, (80, 24))


def test_recent_runs_open(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await until(pilot, lambda: setup_of(app).index.entries)
        await pilot.pause()
        await press(pilot, "end", "enter")
        await until(pilot, lambda: app.current is not None and app.current_mode == "live")
        assert app.current is not None
        assert app.current.id == run.id

    tell(app, story)


def test_moving_through_the_form_lays_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout of the whole screen costs more than all the rest of a key press."""
    from textual.screen import Screen

    app = app_of(tmp_path)
    laid_out: list[object] = []
    plain = Screen._refresh_layout

    def counted(self: Any, *args: Any, **options: Any) -> None:
        laid_out.append(self)
        plain(self, *args, **options)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        setup_of(app).action_focus_form()
        await pilot.pause(0.3)
        monkeypatch.setattr(Screen, "_refresh_layout", counted)
        seen = set()
        for key in (*["down"] * 8, *["up"] * 6):
            await press(pilot, key)
            await pilot.pause(0.05)
            seen.add(setup_of(app).query_one("#text").text.plain)  # type: ignore[attr-defined]
        assert len(seen) >= 7
        assert not laid_out

    tell(app, story)


def test_the_choice_of_a_cut_says_what_each_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `cllab cuts` says it, which is asked in a process of its own; once for every network."""
    app = app_of(tmp_path)
    asked: list[tuple[str, ...]] = []
    usual = costs.ask
    monkeypatch.setattr(costs, "KNOWN", {})
    monkeypatch.setattr(costs, "ask", lambda question: (asked.append(question), usual(question))[1])

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = setup_of(app)
        for key, value in (("dataset.name", "mnist"), ("model.name", "mlp400")):
            screen.take(key, value)
        screen.query_one("#group-model", Group).toggle(True)
        await until(pilot, lambda: screen.query("#form-model"))
        field(app, "model.cut").focus()
        await until(pilot, lambda: "165 k" in shown(app), "the costs", 60)
        text = shown(app)
        # 784 x 400 of 784 x 400 + 400 x 400 + 400 x 10 multiplications; 400 numbers of 4, 2 and 1 bytes
        assert re.search(r"hidden1 +1\.6/0\.8/0\.4 +66 % +165 k", text)
        assert re.search(r"hidden2 +1\.6/0\.8/0\.4 +99 % +4 k", text)
        field(app, "model.front").focus()
        field(app, "model.cut").focus()
        await until(pilot, lambda: "165 k" in shown(app))
        assert len(asked) == 1

    tell(app, story, (160, 45))
