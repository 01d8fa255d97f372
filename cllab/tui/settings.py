"""What the app remembers between starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """Remembered choices; assigning an attribute changes it, `save` writes them.

    Attributes:
        theme: name of a theme.
        glyphs: "auto" (by locale), "unicode" or "ascii".
        marker: how lines are drawn: "braille", "quadrant" (projector) or "ascii".
        images: "auto", "kitty", "sixel" or "cells" for the enlarged picture.
        rate: repaints per second; 0 chooses 4, over SSH 2.
    """

    theme: str = "cllab-dark"
    glyphs: str = "auto"
    marker: str = "braille"
    images: str = "auto"
    rate: float = 0.0

    @classmethod
    def load(cls) -> Settings:
        """The remembered settings, or the defaults."""
        return cls()

    def save(self) -> None:
        """Write them."""
