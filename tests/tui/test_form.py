"""One control per type of declaration: what is typed arrives as a value, what is no value says why."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Input, OptionList

from cllab.settings.spec import FieldSpec, fields_of
from cllab.tui.controls import ChoiceControl, ManyControl, Row, SwitchControl, TextControl
from cllab.tui.form import Form
from cllab.tui.glyphs import UNICODE
from cllab.tui.screens.pick import Pick
from cllab.tui.theme import DARK
from tests.tui.catalog_fixture import Everything
from tests.tui.stories import press, tell, until

SPECS = fields_of(Everything)


class FormApp(App[None]):
    """A form and what it says."""

    glyphs = UNICODE
    palette = DARK

    def __init__(self, specs: tuple[FieldSpec, ...] = SPECS, reasons: dict[str, str] | None = None) -> None:
        super().__init__()
        self.specs, self.reasons = specs, reasons or {}
        self.values: dict[str, Any] = {}
        self.invalid: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        yield Form([Row(s.name, s, s.default, s.name) for s in self.specs], self.picks)

    def picks(self, key: str) -> list[Pick]:
        spec = next(s for s in self.specs if s.name == key)
        return [Pick(c, reason=self.reasons.get(c, "")) for c in spec.choices]

    def on_form_changed(self, message: Form.Changed) -> None:
        self.values[message.key] = message.value
        rows = [Row(s.name, s, self.values.get(s.name, s.default), s.name) for s in self.specs]
        self.query_one(Form).show_rows(rows)

    def on_form_invalid(self, message: Form.Invalid) -> None:
        self.invalid[message.key] = message.reason


def control(app: FormApp, name: str) -> Any:
    return app.query_one(Form).row(name).control


def test_every_type_has_its_control() -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        kinds = {name: type(control(app, name)) for name in (s.name for s in SPECS)}
        assert kinds["on"] is SwitchControl
        assert kinds["pick"] is ChoiceControl
        assert kinds["some"] is ManyControl
        assert all(kinds[n] is TextControl for n in ("count", "free", "share", "rate", "word", "words", "maybe"))

    tell(app, story)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_the_default_survives_the_form(spec: FieldSpec) -> None:
    row = Row(spec.name, spec, spec.default, spec.name)
    if spec.type in ("int", "float") or spec.optional or (spec.type in ("str", "list") and not spec.choices):
        assert row.read(row.text(spec.default)) == spec.default
    else:
        assert row.read(spec.default) == spec.default


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("count", "7", 7),
        ("free", "-3", -3),
        ("share", "0.25", 0.25),
        ("share", "1", 1.0),
        ("rate", "3e-5", 3e-5),
        ("word", "two words", "two words"),
        ("words", "a, b", ("a", "b")),
        ("maybe", "0.5", 0.5),
        ("maybe", "none", None),
    ],
)
def test_what_is_typed_arrives(name: str, typed: str, value: Any) -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        field = control(app, name)
        field.focus()
        await pilot.pause()
        field.value = ""
        field.insert_text_at_cursor(typed)
        await until(pilot, lambda: app.values.get(name, "?") == value, f"{name} = {value!r}")
        assert not app.query_one(Form).errors

    tell(app, story)


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("count", "11", "from 1 to 10"),
        ("count", "2.5", "whole number"),
        ("count", "", "not empty"),
        ("share", "1.5", "from 0 to 1"),
        ("share", "x", "a number"),
        ("rate", "nan", "finite"),
        ("maybe", "-1", "at least 0"),
    ],
)
def test_what_is_no_value_says_what_is_allowed(name: str, typed: str, said: str) -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        app.values.clear()
        field = control(app, name)
        field.value = typed
        await until(pilot, lambda: app.invalid.get(name), "a message")
        assert said in app.invalid[name]
        assert said in app.query_one(Form).errors[name]
        assert app.values.get(name) in (None, next(s.default for s in SPECS if s.name == name))
        # mended, the message goes away
        field.value = "1"
        await until(pilot, lambda: not app.query_one(Form).errors, "no message")
        assert app.values[name] == 1

    tell(app, story)


def test_left_and_right_pass_over_what_cannot_be_chosen() -> None:
    app = FormApp(reasons={"b": "it is broken"})

    async def story(pilot: Any) -> None:
        control(app, "pick").focus()
        await press(pilot, "right")
        await until(pilot, lambda: app.values.get("pick") == "c")
        await press(pilot, "right")
        await until(pilot, lambda: app.values.get("pick") == "a")
        await press(pilot, "left")
        await until(pilot, lambda: app.values.get("pick") == "c")

    tell(app, story)


def test_enter_shows_all_with_reasons() -> None:
    app = FormApp(reasons={"b": "it is broken"})

    async def story(pilot: Any) -> None:
        control(app, "pick").focus()
        await press(pilot, "enter")
        assert "it is broken" in "\n".join(str(o.prompt) for o in app.screen.query_one(OptionList).options)  # type: ignore[attr-defined]
        await press(pilot, "down", "enter")
        await until(pilot, lambda: app.values.get("pick") == "c", "the one after the broken one")

    tell(app, story)


def test_switches_and_marks() -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        control(app, "on").focus()
        await press(pilot, "space")
        await until(pilot, lambda: app.values.get("on") is False)
        control(app, "some").focus()
        await press(pilot, "enter")
        await press(pilot, "down", "space", "down", "space", "enter")
        await until(pilot, lambda: app.values.get("some") == ("y", "z"))
        await press(pilot, "enter", "escape")
        assert app.values["some"] == ("y", "z")

    tell(app, story)


def test_the_mouse_does_the_same() -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        pick = control(app, "pick")
        await pilot.click(pick, offset=(21, 0))
        await until(pilot, lambda: app.values.get("pick") == "b")
        await pilot.click(pick, offset=(0, 0))
        await until(pilot, lambda: app.values.get("pick") == "a")
        await pilot.click(control(app, "on"))
        await until(pilot, lambda: app.values.get("on") is False)

    tell(app, story)


def test_rows_that_stay_keep_the_focus_when_others_change() -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        form = app.query_one(Form)
        control(app, "share").focus()
        kept = control(app, "share")
        fewer = [Row(s.name, s, s.default, s.name) for s in SPECS if s.name not in ("count", "word")]
        form.show_rows(fewer)
        await until(pilot, lambda: len(form.query("FormRow")) == len(fewer))
        assert app.focused is kept
        form.show_rows([Row(s.name, s, s.default, s.name) for s in SPECS])
        await until(pilot, lambda: len(form.query("FormRow")) == len(SPECS))
        assert [row.row.key for row in form.query("FormRow").results()] == [s.name for s in SPECS]  # type: ignore[attr-defined]
        assert app.focused is kept

    tell(app, story)


def test_a_text_that_means_the_same_is_left_alone() -> None:
    app = FormApp()

    async def story(pilot: Any) -> None:
        field = control(app, "rate")
        field.value = "0.10"
        await until(pilot, lambda: app.values.get("rate") == 0.1)
        assert app.query_one(Form).row("rate").query_one(Input).value == "0.10"

    tell(app, story)
