"""What the app remembers between starts: a small TOML file, read with patience and written whole.

The file is `settings.toml` in $CLLAB_CONFIG, else in the platform's folder for a user's configuration. A value that
cannot be meant falls back to its default; keys of a newer version are kept.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_config_dir

from cllab.errors import UsageError
from cllab.io.files import expand, write_atomically
from cllab.settings.config import dump_toml
from cllab.settings.spec import FieldSpec, fields_of, param


def settings_path() -> Path:
    """The file that holds the settings."""
    folder = expand(os.environ.get("CLLAB_CONFIG") or user_config_dir("cllab", appauthor=False))
    return folder if folder.suffix == ".toml" else folder / "settings.toml"


@dataclass
class Settings:
    """Remembered choices; assigning an attribute changes it, `save` writes them."""

    theme: str = param("cllab-dark", "Colors of the app; the palette (:) shows them all")
    glyphs: Literal["auto", "unicode", "ascii"] = param(
        "auto", "Signs: by the locale, Unicode, or plain ASCII; takes effect at the next start"
    )
    marker: Literal["braille", "quadrant", "ascii"] = param(
        "braille", "How lines are drawn: finely, boldly for a projector, or in ASCII"
    )
    images: Literal["auto", "kitty", "sixel", "cells"] = param(
        "auto", "The enlarged picture: as the terminal can, by one of its protocols, or in character cells"
    )
    rate: float = param(0.0, "Repaints per second; 0 chooses 4, over SSH 2", low=0, high=30)

    def __post_init__(self) -> None:
        self.path: Path | None = None
        self.problem = ""
        self.presets: list[str] = []
        self.last: dict[str, Any] = {}
        self._rest: dict[str, Any] = {}

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """The remembered settings; `problem` says what could not be read of them."""
        settings = cls()
        settings.path = path or settings_path()
        try:
            data = tomllib.loads(settings.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return settings
        except (OSError, ValueError) as error:
            settings.problem = f"{settings.path} cannot be read, the defaults are used: {error}"
            return settings
        for spec in FIELDS:
            if spec.name in data:
                try:
                    setattr(settings, spec.name, spec.parse(data.pop(spec.name)))
                except UsageError as error:
                    settings.problem = f"{settings.path}: {spec.name} {error}"
        presets = data.pop("presets", [])
        settings.presets = [p for p in presets if isinstance(p, str)] if isinstance(presets, list) else []
        last = data.pop("last", {})
        settings.last = last if isinstance(last, dict) else {}
        settings._rest = data
        return settings

    def save(self) -> None:
        """Write them whole; a folder that cannot be written is borne, the choice then lasts as long as the app."""
        if self.path is None:
            return
        data = {**self._rest, **{f.name: getattr(self, f.name) for f in fields(self)}, "presets": self.presets}
        text = dump_toml({k: v for k, v in data.items() if not isinstance(v, Mapping)})
        for name, table in ({k: v for k, v in data.items() if isinstance(v, Mapping)} | {"last": self.last}).items():
            text += _tables(name, table)
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, text)

    def remember_preset(self, path: Path) -> None:
        """Keep a saved preset in the list to start from, newest first."""
        name = str(path.resolve())
        self.presets = [name, *(p for p in self.presets if p != name)][:20]
        self.save()


def _tables(name: str, table: Mapping[str, Any]) -> str:
    """`table` and the tables in it as TOML."""
    if not table:
        return ""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    text = "\n" + f"[{name}]\n" + dump_toml(plain) if plain else ""
    return text + "".join(_tables(f"{name}.{k}", v) for k, v in table.items() if isinstance(v, Mapping))


FIELDS: tuple[FieldSpec, ...] = fields_of(Settings)
