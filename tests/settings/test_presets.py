"""Presets: every shipped one can be read, and seeds are written and read the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cllab.errors import UsageError
from cllab.settings import presets


def test_every_shipped_preset_is_complete() -> None:
    names = presets.names()
    assert names[:2] == ["quickstart", "forgetting"]
    assert "rm-mnist-blurry10" in names
    for name in names:
        preset = presets.load(name)
        assert preset.name == preset.config.name == preset.path.stem == name
        assert preset.about
        assert len(preset.comment.splitlines()) == 3, (
            f"{name} opens with three lines: what, after which paper, what to expect"
        )
        for claim in preset.expect:
            assert claim.source
            assert claim.tolerance > 0


def test_quickstart_claims_something_over_seeds() -> None:
    claim = presets.load("quickstart").expect[0]
    assert (claim.metric, claim.seeds) == ("last_accuracy", (1, 2, 3))


def test_find_prefers_a_file_and_suggests_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('[dataset]\nname = "blobs"\n[method]\nname = "finetune"\n')
    loaded = presets.load("mine.toml")
    assert (loaded.name, loaded.config.name) == ("mine.toml", "mine")
    for name, hint in (("mime.toml", "did you mean 'mine.toml'"), ("quickstart.tml", "'quickstart'"), (".", "folder")):
        with pytest.raises(UsageError, match=hint.replace("(", "\\(")):
            presets.find(name)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        presets.load("binary.toml")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (3,)), ("1-3", (1, 2, 3)), ("1, 2,7", (1, 2, 7)), ("2-4,1,3", (2, 3, 4, 1)), ("0", (0,))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert presets.parse_seeds(text) == seeds
    assert presets.parse_seeds(presets.seeds_text(seeds)) == seeds


@pytest.mark.parametrize("text", ["", "-", "1-", "3-1", "a", "1,,2", "-1", "1-1000", "1.5", "9999999999", "²"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        presets.parse_seeds(text)


def test_seeds_are_written_short() -> None:
    assert presets.seeds_text((1, 2, 3, 7, 9, 10)) == "1-3,7,9-10"
    assert presets.seeds_text((5,)) == "5"
