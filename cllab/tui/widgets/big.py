"""Numbers in letters that the last row can read: three by five blocks each."""

from __future__ import annotations

from cllab.tui.glyphs import Glyphs

_SHAPES = {
    "0": "### #.# #.# #.# ###",
    "1": ".#. ##. .#. .#. ###",
    "2": "### ..# ### #.. ###",
    "3": "### ..# ### ..# ###",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ### ..# ###",
    "6": "### #.. ### #.# ###",
    "7": "### ..# ..# ..# ..#",
    "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ###",
    ".": ". . . . #",
    "-": "... ... ### ... ...",
}
_HALVES = " ▀▄█"


def large(text: str, scale: int, glyphs: Glyphs) -> list[str]:
    """The rows of `text`: five of them at scale 2, three of half blocks at scale 1; all as wide.

    Args:
        text: digits, points and signs.
        scale: 2 for blocks of two columns and a row, 1 for half a row and a column.
        glyphs: half blocks need Unicode; without them scale 1 gives nothing.
    """
    pixels = [".".join(parts) for parts in zip(*(_SHAPES[c].split() for c in text), strict=True)]
    if scale == 2:
        return ["".join((glyphs.bar if p == "#" else " ") * 2 for p in row) for row in pixels]
    if glyphs.ascii:
        return []
    pixels.append("." * len(pixels[0]))
    return [
        "".join(_HALVES[(a == "#") + 2 * (b == "#")] for a, b in zip(*pixels[y : y + 2], strict=True))
        for y in range(0, 6, 2)
    ]
