"""Colors can be told apart: under color blindness, in 256 colors, on their background; signs stand beside them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rich.color import Color, ColorSystem

from cllab.tui.glyphs import ASCII, UNICODE
from cllab.tui.theme import (
    CONTRAST,
    DARK,
    LIGHT,
    RGB,
    THEMES,
    Palette,
    are_told_apart,
    ink_on,
    luminance,
    palette_for,
    scale,
)

PALETTES = {"dark": DARK, "light": LIGHT, "contrast": CONTRAST}

# Machado, Oliveira & Fernandes 2009, severity 1.0, in linear RGB
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(color: RGB) -> np.ndarray:
    c = np.array(color) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(color: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a linear RGB color."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = (to_xyz @ color.clip(0, 1)) / np.array([0.9505, 1.0, 1.089])
    f = [t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: RGB, b: RGB, kind: str) -> float:
    matrix = BLINDNESS[kind]
    return float(np.linalg.norm(lab(matrix @ linear(a)) - lab(matrix @ linear(b))))


def contrast(a: RGB, b: RGB) -> float:
    """WCAG contrast ratio."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("name", PALETTES)
def test_series_can_be_told_apart(name: str, kind: str) -> None:
    palette = PALETTES[name]
    # the five that most runs need are far apart, all eight still differ
    for count, least in ((5, 20), (8, 11)):
        pairs = itertools.combinations(palette.series[:count], 2)
        nearest = min((distance(a, b, kind), a, b) for a, b in pairs)
        assert nearest[0] >= least, nearest


@pytest.mark.parametrize("name", PALETTES)
def test_series_differ_in_256_colors(name: str) -> None:
    palette = PALETTES[name]
    reduced = [Color.from_rgb(*c).downgrade(ColorSystem.EIGHT_BIT).number for c in palette.series]
    assert len(set(reduced)) == len(reduced)


SYSTEMS = {"16": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT, "truecolor": ColorSystem.TRUECOLOR}


@pytest.mark.parametrize("count", [2, 5, 8, 10, 20, 24])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", PALETTES)
def test_no_two_neighboring_tasks_are_alike(name: str, system: str, count: int) -> None:
    """Twenty tasks in any terminal: neighbors differ everywhere, and where there are colors enough, all of them."""
    palette = PALETTES[name]
    inks = [palette.of(i, count) for i in range(count)]
    shown = [Color.from_rgb(*c).downgrade(SYSTEMS[system]) for c in inks]
    assert all(a != b for a, b in itertools.pairwise(shown))
    assert are_told_apart(inks, SYSTEMS[system]) == (len(set(shown)) == count)
    if system != "16":
        assert len(set(shown)) == count
    near = [min(distance(a, b, kind) for kind in BLINDNESS) for a, b in itertools.pairwise(inks)]
    assert min(near) >= 11, near
    assert min(distance(a, b, "none") for a, b in itertools.combinations(inks, 2)) >= 17
    assert all(contrast(c, palette.background) >= 3 for c in inks)
    assert not are_told_apart(inks, None)
    assert are_told_apart(inks[:1], None)


@pytest.mark.parametrize("name", PALETTES)
def test_what_is_written_can_be_read(name: str) -> None:
    palette = PALETTES[name]
    least = 7.0 if name == "contrast" else 4.5
    assert contrast(palette.text, palette.background) >= 7
    assert contrast(palette.muted, palette.background) >= least
    for color in (*palette.series, palette.gained, palette.lost):
        assert contrast(color, palette.background) >= 3.0, color
    for share in np.linspace(0, 1, 21):
        back = palette.warmth(float(share))
        assert contrast(ink_on(back), back) >= 4.5


@pytest.mark.parametrize("name", PALETTES)
def test_heat_rises_in_lightness_alone(name: str) -> None:
    steps = [luminance(PALETTES[name].warmth(v)) for v in np.linspace(0, 1, 50)]
    assert steps == sorted(steps) or steps == sorted(steps, reverse=True)


def test_dark_and_light_differ_and_many_series_follow_a_scale() -> None:
    assert not set(DARK.series) & set(LIGHT.series)
    assert DARK.of(3, 8) == DARK.series[3]
    many = [DARK.of(i, 50) for i in range(50)]
    assert len(set(many)) == 50
    assert scale(((0, 0, 0), (100, 200, 50)), 0.5) == (50, 100, 25)


def test_a_dimmed_color_steps_back() -> None:
    for palette in PALETTES.values():
        for color in palette.series:
            assert contrast(palette.dim(color), palette.background) < contrast(color, palette.background)


def test_every_theme_has_its_palette() -> None:
    assert {t.name for t in THEMES} == {"cllab-dark", "cllab-light", "cllab-contrast"}
    found: list[Palette] = [palette_for(t) for t in THEMES]
    assert found == [DARK, LIGHT, CONTRAST]
    from textual.theme import BUILTIN_THEMES

    assert palette_for(BUILTIN_THEMES["nord"]) is DARK
    assert palette_for(BUILTIN_THEMES["textual-light"]) is LIGHT


def test_signs_are_one_cell_and_states_differ_without_color() -> None:
    from rich.cells import cell_len

    for glyphs in (UNICODE, ASCII):
        words = {s: glyphs.state(s) for s in ("starting", "training", "paused", "done", "failed", "stopped")}
        assert len(set(words.values())) == len(words)
        for value in vars(glyphs).values():
            if isinstance(value, str) and value not in (glyphs.sep, glyphs.arrow):
                assert all(cell_len(c) == 1 for c in value), value
    everything = "".join(
        v if isinstance(v, str) else "".join(v.values()) for v in vars(ASCII).values() if not isinstance(v, bool)
    )
    assert everything.isascii()
