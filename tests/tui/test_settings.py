"""Settings are remembered, whatever state their file is in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cllab.tui.settings import Settings, settings_path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.path == tmp_path / "config" / "settings.toml" == settings_path()
    settings.theme, settings.rate, settings.marker = "cllab-light", 2.5, "quadrant"
    settings.last = {
        "seeds": "1-3",
        "preset": "quickstart",
        "setup": {"method": {"name": "er"}, "train": {"augment": ["flip"]}},
    }
    settings.save()
    again = Settings.load()
    assert (again.theme, again.rate, again.marker, again.last) == ("cllab-light", 2.5, "quadrant", settings.last)
    assert again.problem == ""
    assert [p.name for p in settings_path().parent.iterdir()] == ["settings.toml"]


def test_presets_are_remembered_newest_first(tmp_path: Path) -> None:
    settings = Settings.load()
    settings.remember_preset(tmp_path / "a.toml")
    settings.remember_preset(tmp_path / "b.toml")
    settings.remember_preset(tmp_path / "a.toml")
    assert [Path(p).name for p in Settings.load().presets] == ["a.toml", "b.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theme = ", "cannot be read"),
        ("rate = 'fast'", "rate must be"),
        ("rate = 1000", "rate must be"),
        ("marker = 'crayon'", "marker must be"),
        ("\x00", "cannot be read"),
        ("presets = 3\nlast = 'x'", ""),
    ],
)
def test_a_bad_file_gives_defaults_and_is_named(text: str, said: str) -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text(text)
    settings = Settings.load()
    assert (settings.theme, settings.marker, settings.presets, settings.last) == ("cllab-dark", "braille", [], {})
    assert said in settings.problem


def test_keys_of_a_newer_version_are_kept() -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text("sound = true\ntheme = 'cllab-light'\n[colors]\nred = 1\n")
    Settings.load().save()
    data = tomllib.loads(settings_path().read_text())
    assert data["sound"] is True
    assert data["colors"] == {"red": 1}
    assert data["theme"] == "cllab-light"


def test_a_folder_that_cannot_be_written_is_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLLAB_CONFIG", str(tmp_path / "file" / "below"))
    settings = Settings.load()
    settings.theme = "cllab-light"
    settings.save()
    assert (tmp_path / "file").read_text() == ""
