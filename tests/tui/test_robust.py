"""What must not end the app: quick hands, late messages, and work in threads that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.style import Style
from textual import events
from textual.widgets import Input, OptionList, Static

from cllab.record import events as ev
from cllab.record.runs import Run
from cllab.record.state import RunState
from cllab.tui import app as app_module
from cllab.tui import troubles
from cllab.tui.app import CllabApp
from cllab.tui.doubts import Doubt
from cllab.tui.feed import StateChanged, fold
from cllab.tui.screens.dialog import Palette, Question
from cllab.tui.screens.explain import ExplainScreen
from cllab.tui.screens.pick import Pick, PickScreen
from cllab.tui.screens.quit import ConfirmScreen, QuitScreen
from cllab.tui.screens.setup import SetupScreen
from cllab.tui.screens.starting import StartScreen
from cllab.tui.settings import Settings
from cllab.tui.widgets.choices import Choices
from tests.tui.recorded import make_run, records
from tests.tui.stories import burst, make_app, press, tell, until

ROOT = Path(app_module.__file__).parent


def app_of(folder: Path, **options: Any) -> CllabApp:
    settings = Settings.load()
    settings.glyphs = "unicode"
    return CllabApp(runs=folder / "runs", settings=settings, **options)


async def ready(pilot: Any) -> None:
    await until(
        pilot,
        lambda: isinstance(pilot.app.screen, SetupScreen) and pilot.app.screen.status is not None,
        "the setup screen",
    )


# -- quick hands


def test_quick_typing_in_a_picker(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        await press(pilot, "p")
        assert isinstance(app.screen, PickScreen)
        about, options = app.screen.query_one("#about", Static), app.screen.query_one(OptionList)
        for typed in ("blur", "bcl", "zzz", "gem"):
            burst(app, *typed)
            await until(pilot, lambda typed=typed: app.screen.query_one(Input).value == typed)
            # the words are those of the line that is lit
            line = options.highlighted_option
            said = line.pick.about if line is not None else "nothing is called so"  # type: ignore[attr-defined]
            assert str(about.content) == said
            burst(app, *["backspace"] * len(typed), "down", "down", *typed, "up", *["backspace"] * len(typed))
            await until(pilot, lambda: app.screen.query_one(Input).value == "")
        await press(pilot, "escape")
        assert isinstance(app.screen, SetupScreen)

    tell(app, story)


def test_a_pasted_name_and_enter_take_that_one(tmp_path: Path) -> None:
    """The list that is shortened by the last letters is the one from which Enter chooses."""
    app = app_of(tmp_path)
    taken: list[Any] = []
    picks = [Pick(f"name {i:02}", about=f"about {i:02}") for i in range(30)]

    async def story(pilot: Any) -> None:
        await ready(pilot)
        for number in ("29", "07", "13"):
            app.push_screen(PickScreen("Which", picks, "name 20"), taken.append)
            await until(pilot, lambda: isinstance(app.screen, PickScreen) and isinstance(app.focused, Input))
            burst(app, *f"name {number}", "enter", "enter", "enter")
            await until(pilot, lambda: isinstance(app.screen, SetupScreen))

    tell(app, story)
    assert taken == ["name 29", "name 07", "name 13"]


def test_keys_after_the_one_that_opens_something_go_there(tmp_path: Path) -> None:
    """All of a burst is read before its first key has acted."""
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        screen = app.screen
        assert isinstance(screen, SetupScreen)
        burst(app, "p", *"gem-permuted20", "enter")
        await until(pilot, lambda: app.screen is screen and screen.draft.name == "gem-permuted20")
        # the palette, and a text of the same screen
        burst(app, "colon", *"explain")
        await until(pilot, lambda: app.screen.query(Input) and app.screen.query_one(Input).value == "explain")
        await press(pilot, "escape")
        await until(pilot, lambda: app.screen is screen)
        burst(app, "4", "/", *"gem")
        await until(pilot, lambda: isinstance(app.focused, Input) and app.focused.value == "gem")

    tell(app, story)


def test_a_dialog_closes_once_and_only_itself(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    answers: list[bool | None] = []

    async def story(pilot: Any) -> None:
        await ready(pilot)
        first, second = (ConfirmScreen(name, "text", "verb") for name in ("first", "second"))
        await app.push_screen(first, answers.append)
        await app.push_screen(second, answers.append)
        second.dismiss(True)
        second.dismiss(True)
        await pilot.pause()
        assert app.screen is first
        assert answers == [True]
        # under the notice that the terminal is too small
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: app.screen is not first)
        first.dismiss(False)
        assert answers == [True]
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert answers == [True, False]

    tell(app, story)


QUESTIONS: dict[str, Callable[[Run], Question[Any]]] = {
    "quit": lambda run: QuitScreen(run, run.state()),
    "start": lambda run: StartScreen(Doubt("Train it?", ("It takes an hour.",))),
    "confirm": lambda run: ConfirmScreen("Delete it?", "It will be gone.", "delete it"),
}


def test_every_question_is_answered_by_letter_enter_click_and_escape(finished: Run) -> None:
    app = make_app(finished, rate=1.0)

    async def story(pilot: Any) -> None:
        found: list[Any] = []

        async def asked(kind: str) -> Question[Any]:
            screen = QUESTIONS[kind](finished)
            await app.push_screen(screen, found.append)
            await until(pilot, lambda: app.focused is screen.query_one(Choices))
            return screen

        for kind in QUESTIONS:
            screen = await asked(kind)
            answers = list(screen.answers.values())
            # by their letters, by a click on the last and by Enter on what is lit
            for answer in answers:
                screen = await asked(kind) if answer is not answers[0] else screen
                await press(pilot, "escape" if answer.key == "esc" else answer.key)
                assert found.pop() == answer.value
            screen = await asked(kind)
            options = screen.query_one(Choices)
            # a click on a line that is gone, as one that was on its way when the list changed
            x, y = options.region.offset
            gone = events.Click(options, 1, 1, 0, 0, 1, False, False, False, x, y, style=Style(meta={"option": 9}))
            options.post_message(gone)
            await pilot.pause()
            assert app.screen is screen
            await pilot.click(options, offset=(2, len(answers) - 1))
            await until(pilot, lambda: found)
            assert found.pop() == answers[-1].value
            screen = await asked(kind)
            await press(pilot, "enter")
            assert found.pop() == screen.answers[screen.lit].value

    tell(app, story, (80, 24))


def test_two_clicks_beside_the_palette_close_it_once(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def story(pilot: Any) -> None:
        await ready(pilot)
        for opened in (app.action_command_palette, app.action_change_theme):
            opened()
            await until(pilot, lambda: isinstance(app.screen, Palette))
            screen = app.screen
            screen.dismiss(None)
            screen.dismiss(None)
            await until(pilot, lambda: isinstance(app.screen, SetupScreen))

    tell(app, story)


def test_quick_typing_in_the_search_of_pages(tmp_path: Path) -> None:
    app = app_of(tmp_path, mode="explain")

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: isinstance(app.screen, ExplainScreen) and app.screen.page is not None)
        screen = app.screen
        assert isinstance(screen, ExplainScreen)
        await press(pilot, "end", "/")
        burst(app, *"gem")
        await until(pilot, lambda: screen.query_one(Input).value.endswith("gem"))
        burst(app, *["backspace"] * 5, *"zzzz", *["backspace"] * 5, "enter", "end", "home", "enter")
        await until(pilot, lambda: screen.query_one(Input).value == "")
        assert screen.page is not None

    tell(app, story)


# -- late messages


def test_a_state_that_comes_after_quitting(finished: Run) -> None:
    app = CllabApp(runs=finished.folder.parent, run=finished, mode="live", settings=Settings())
    late: list[None] = []

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: app.feed is not None and app.feed.state.is_over)

    tell(app, story)
    # as the last message of a queue that is emptied while the screens are gone
    assert app.top is None
    assert app.feed is not None
    app._state_changed(StateChanged(app.feed))
    late.append(None)
    assert late


# -- work in threads


def test_no_work_runs_in_a_thread_unheard() -> None:
    """Whatever starts a thread says so through `background`, or stands here with the one who hears of its failure."""
    heard = {
        "troubles.py": "background itself",
        "feed.py": "Feed._guarded",
        "lifeline.py": "ends the app, by itself",
        "screens/download.py": "drains a pipe as text that no byte can break; the process has an exit code",
    }
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        if re.search(r"@work\b|textual import .*\bwork\b|run_worker|exit_on_error|Thread\(|Executor|create_task", text):
            assert name in heard, f"{name} starts work whose failure nobody hears of"


def _index(app: CllabApp) -> tuple[Any, str]:
    return app.screen.index, "refresh"  # type: ignore[attr-defined]


def _estimate(_app: CllabApp) -> tuple[Any, str]:
    from cllab.tui.screens import setup

    return setup, "estimate"


def _data(_app: CllabApp) -> tuple[Any, str]:
    from cllab.data import where

    return where, "dataset_status"


def _file(_app: CllabApp) -> tuple[Any, str]:
    from cllab.settings import catalog

    return catalog, "describe_file"


def _table(app: CllabApp) -> tuple[Any, str]:
    from cllab.tui.index import RunIndex

    return RunIndex, "refresh"


@pytest.mark.parametrize(
    ("what", "target", "provoke"),
    [
        ("looking at the runs", _index, lambda s: s._refresh_index()),
        ("estimating the time", _estimate, lambda s: s._estimate()),
        ("looking for the data", _data, lambda s: s.look_at_data(s.draft.config)),
        ("reading the method file", _file, lambda s: s._read_method("x.py")),
        ("looking at the runs", _table, lambda s: s.app.action_mode("runs")),
    ],
    ids=["index", "estimate", "data", "method-file", "table"],
)
def test_a_failure_in_a_thread_is_said_and_logged(
    what: str,
    target: Callable[[CllabApp], tuple[Any, str]],
    provoke: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    app = app_of(tmp_path)

    def fails(*_args: Any, **_options: Any) -> None:
        raise TypeError("one of [ours]")

    async def story(pilot: Any) -> None:
        await ready(pilot)
        monkeypatch.setattr(*target(app), fails)
        provoke(app.screen)
        line = f"{what} failed: TypeError: one of [ours]; more in {troubles.log_path()}"
        await until(pilot, lambda: any(n.message == line for n in app._notifications), line)
        said = [n.message for n in app._notifications if what in n.message]
        # it fails again every second; once is said
        if isinstance(app.screen, SetupScreen):
            provoke(app.screen)
        await pilot.pause(0.2)
        assert [n.message for n in app._notifications if what in n.message] == said
        assert len(said) == 1
        assert "\n" not in said[0]

    tell(app, story)
    log = troubles.log_path().read_text(encoding="utf-8")
    assert f"{what} failed: TypeError: one of [ours]" in log
    assert "Traceback" in log
    assert "in fails" in log


def test_exporting_and_downloading_say_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Run
) -> None:
    from cllab.tui.screens import download
    from cllab.tui.screens.download import DownloadScreen
    from cllab.tui.screens.export import ExportScreen

    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    app = app_of(tmp_path)

    def fails(*_args: Any, **_options: Any) -> None:
        raise AttributeError("ours")

    async def story(pilot: Any) -> None:
        await ready(pilot)
        export = ExportScreen(finished)
        monkeypatch.setattr(export, "_done", fails)
        await app.push_screen(export)
        export._write([], str(tmp_path))
        await until(pilot, lambda: any("exporting failed" in n.message for n in app._notifications))
        export.dismiss(None)
        monkeypatch.setattr(download, "_fetched", fails)
        screen = DownloadScreen("x", str(tmp_path / "data"), 1000, ["sleep", "5"])
        await app.push_screen(screen)
        await until(pilot, lambda: any("downloading failed" in n.message for n in app._notifications))
        screen.action_leave()

    tell(app, story)


def test_a_log_that_cannot_be_written_takes_nothing_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "file"))
    assert troubles.note("this", ValueError("x")) is None


def test_the_log_is_begun_anew_when_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(troubles, "MOST", 10)
    for i in range(3):
        assert troubles.note(f"work {i}", ValueError("x")) == tmp_path / "app.log"
    assert "work 2" in (tmp_path / "app.log").read_text()
    assert "work 1" in (tmp_path / "app.log.1").read_text()


# -- our own mistakes in a run


def test_fold_hides_no_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    log = list(records(steps=4, pictures=0))

    def broken(_self: RunState, _event: ev.Evaluated) -> RunState:
        raise TypeError("a mistake of ours")

    from cllab.record import state

    monkeypatch.setitem(state._FOLDS, ev.Evaluated, broken)
    with pytest.raises(TypeError, match="a mistake of ours"):
        fold(RunState(), log)
    heard: list[str] = []
    shown_all_the_same = fold(RunState(), log, lambda what, error: heard.append(f"{what}: {error}"))
    assert shown_all_the_same.status == "done"
    assert set(heard) == {"reading the record Evaluated: a mistake of ours"}


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_a_record_that_cannot_be_applied_is_said(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    run = make_run(tmp_path / "runs" / "20261120-101112-er-cifar10-s1", pictures=0)
    app = CllabApp(runs=tmp_path / "runs", run=run, mode=mode, settings=Settings())

    def broken(_self: RunState, _event: ev.MemoryUpdated) -> RunState:
        raise TypeError("a mistake of ours")

    from cllab.record import state

    monkeypatch.setitem(state._FOLDS, ev.MemoryUpdated, broken)

    async def story(pilot: Any) -> None:
        await until(pilot, lambda: any("MemoryUpdated" in n.message for n in app._notifications), "the trouble")
        assert app.feed is not None
        # the rest of the run is shown
        await until(pilot, lambda: app.feed is not None and len(app.feed.state.evaluations) > 0)
        assert len([n for n in app._notifications if "MemoryUpdated" in n.message]) == 1

    tell(app, story)
    assert "a mistake of ours" in troubles.log_path().read_text()
