"""A run as a picture for a page: accuracy over the tasks beside the accuracy matrix, as SVG and as PNG.

The picture is a list of shapes in a coordinate system of its own; the two writers only spell them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from cllab.io.output import percent
from cllab.metrics import unit
from cllab.record.outcome import Outcome
from cllab.report.plots import COLORS, most_forgotten, points_of, spread, told_tasks

WIDTH, HEIGHT = 960, 420
_INK, _FAINT, _GRID = (34, 34, 34), (110, 110, 110), (224, 224, 224)
_LOW, _HIGH = (247, 251, 255), (8, 81, 156)
"""Ends of the matrix's color scale, light to dark blue: a single hue reads the same for everybody."""
_PLOT = (56, 68, 420, 272)
_MATRIX = (570, 68, 340, 272)
_MOST_DOTS = 60
"""Tasks up to which a line has a dot at each."""

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Path:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    color: Color
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    color: Color


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    color: Color


@dataclass(frozen=True)
class Label:
    """Text whose middle line is at y; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    size: float = 12
    color: Color = _INK
    anchor: str = "start"
    bold: bool = False


Shape = Path | Box | Dot | Label


def shapes(outcome: Outcome) -> list[Shape]:
    """What the picture of a run consists of, in the order of painting."""
    facts = " · ".join(
        part
        for part in (
            f"{outcome.name_of('method')} on {outcome.name_of('dataset')}",
            outcome.name_of("scenario"),
            outcome.name_of("model"),
            f"memory {outcome.capacity}" if outcome.capacity else "",
            f"seed {outcome.seed}",
        )
        if part
    )
    out: list[Shape] = [Box(0, 0, WIDTH, HEIGHT, (255, 255, 255))]
    out += [Label(20, 22, outcome.name, 16, bold=True), Label(WIDTH - 20, 22, facts, 12, _FAINT, "end")]
    out += _curves(outcome) + _heat_map(outcome)
    told = [
        f"{title} {percent(outcome.metrics[name])} {unit(name)}"
        for name, title in (
            ("last_accuracy", "last accuracy"),
            ("average_accuracy", "average accuracy"),
            ("average_test_accuracy", "average test accuracy"),
            ("forgetting", "forgetting"),
        )
        if name in outcome.metrics
    ]
    out.append(Label(20, HEIGHT - 16, " · ".join(told), 12, _INK))
    return out


def _curves(outcome: Outcome) -> list[Shape]:
    left, top, width, height = _PLOT
    n = len(outcome.matrix)
    out: list[Shape] = [
        Label(left, top - 16, f"accuracy (%) on each {_column(outcome)}, over the tasks learned", 12, _FAINT)
    ]

    def at(i: float, value: float) -> tuple[float, float]:
        return left + (i / max(1, n - 1)) * width, top + (1 - value) * height

    for step in range(5):
        y = at(0, step / 4)[1]
        out.append(Path(((left, y), (left + width, y)), _GRID))
        out.append(Label(left - 8, y, str(25 * step), 11, _FAINT, "end"))
    for i in spread(n, 12):
        out.append(Label(at(i, 0)[0], top + height + 16, str(i + 1), 11, _FAINT, "middle"))
    apart, columns = bool(outcome.tests), outcome.columns
    worst = None if apart else most_forgotten(outcome.matrix)
    shown = [t for t in told_tasks(len(columns), worst) if t < n or apart]
    keys: list[tuple[str, Color]] = []
    for place, task in enumerate(shown):
        points = [at(i, outcome.matrix[i][task] or 0.0) for i in points_of(outcome.matrix, task, apart=apart)]
        if not points:
            continue
        color = COLORS[place % len(COLORS)]
        out.append(Path(tuple(points), color, 2))
        out += [Dot(x, y, 3, color) for x, y in points] if n <= _MOST_DOTS else []
        keys.append((f"{columns[task]}{' (most forgotten)' if task == worst else ''}", color))
    seen = [at(i, v) for i, v in enumerate(outcome.seen) if v is not None]
    if seen:
        out.append(Path(tuple(seen), _INK, 2, dashed=True))
        keys.append(("all seen", _INK))
    x, y = float(left), top + height + 38.0
    for text, color in keys:
        if x + 70 > left + width:
            x, y = float(left), y + 16
        out += [Box(x, y - 4, 10, 8, color), Label(x + 14, y, text, 11)]
        x += 26 + 6.5 * len(text)
    return out


def _column(outcome: Outcome) -> str:
    return "test set" if outcome.tests else "task"


def _heat_map(outcome: Outcome) -> list[Shape]:
    left, top, width, height = _MATRIX
    rows, columns = spread(len(outcome.matrix), 20), spread(len(outcome.columns), 20)
    title = f"accuracy (%) on {_column(outcome)} (across) after task (down)"
    out: list[Shape] = [Label(left, top - 16, title, 12, _FAINT)]
    if not rows or not columns:
        return out
    w, h = width / len(columns), height / len(rows)
    font = max(7.0, min(12.0, w / 3.2, h * 0.7))
    for a, i in enumerate(rows):
        out.append(Label(left - 8, top + (a + 0.5) * h, str(i + 1), 11, _FAINT, "end"))
        for b, j in enumerate(columns):
            value = outcome.matrix[i][j]
            if value is None:
                continue
            share = min(1.0, max(0.0, value))
            red, green, blue = (round(lo + share * (hi - lo)) for lo, hi in zip(_LOW, _HIGH, strict=True))
            out.append(Box(left + b * w, top + a * h, w - 1, h - 1, (red, green, blue)))
            ink = (255, 255, 255) if share > 0.55 else _INK
            out.append(Label(left + (b + 0.5) * w, top + (a + 0.5) * h, percent(value, 0), font, ink, "middle"))
    for b, j in enumerate(columns):
        fits = outcome.tests and 6.5 * max(map(len, outcome.tests)) <= w
        text = outcome.tests[j] if fits else str(j + 1)
        out.append(Label(left + (b + 0.5) * w, top + height + 16, text, 11, _FAINT, "middle"))
    return out


def svg(outcome: Outcome) -> str:
    """The picture as an SVG document."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f"<title>{escape(outcome.name)}</title>",
        *map(_spelled, shapes(outcome)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _spelled(shape: Shape) -> str:
    color = f"rgb({','.join(map(str, shape.color))})"
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
            f'fill="{color}"/>'
        )
    if isinstance(shape, Dot):
        return f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}" fill="{color}"/>'
    if isinstance(shape, Path):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dash = ' stroke-dasharray="6 4"' if shape.dashed else ""
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{shape.width:g}"{dash}/>'
    weight = ' font-weight="bold"' if shape.bold else ""
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y + 0.35 * shape.size:.1f}" font-size="{shape.size:g}" '
        f'text-anchor="{shape.anchor}" fill="{color}"{weight}>{escape(shape.text)}</text>'
    )


def png(outcome: Outcome, *, scale: int = 2) -> bytes:
    """The picture as a PNG file, `scale` pixels a unit."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    anchors = {"start": "lm", "middle": "mm", "end": "rm"}
    fonts: dict[float, Any] = {}
    for shape in shapes(outcome):
        if isinstance(shape, Box):
            x, y = shape.x * scale, shape.y * scale
            draw.rectangle((x, y, x + shape.width * scale - 1, y + shape.height * scale - 1), fill=shape.color)
        elif isinstance(shape, Dot):
            x, y, r = shape.x * scale, shape.y * scale, shape.radius * scale
            draw.ellipse((x - r, y - r, x + r, y + r), fill=shape.color)
        elif isinstance(shape, Path):
            points = [(x * scale, y * scale) for x, y in shape.points]
            width = max(1, round(shape.width * scale))
            for piece in _dashes(points, 6 * scale, 4 * scale) if shape.dashed else [points]:
                draw.line(piece, fill=shape.color, width=width, joint="curve")
        else:
            font = fonts.setdefault(shape.size, ImageFont.load_default(size=shape.size * scale))
            draw.text(
                (shape.x * scale, shape.y * scale),
                shape.text,
                fill=shape.color,
                font=font,
                anchor=anchors[shape.anchor],
                stroke_width=1 if shape.bold else 0,
            )
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _dashes(points: Sequence[tuple[float, float]], on: float, off: float) -> list[list[tuple[float, float]]]:
    """The pieces of a line that are drawn, measured along it."""
    pieces: list[list[tuple[float, float]]] = []
    position = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        done = 0.0
        while done < length:
            within = position % (on + off)
            step = min(length - done, (on if within < on else on + off) - within)
            if step < 1e-6:
                step = min(length - done, 1e-3)
            if within < on:
                a, b = done / length, (done + step) / length
                pieces.append([(x0 + a * (x1 - x0), y0 + a * (y1 - y0)), (x0 + b * (x1 - x0), y0 + b * (y1 - y0))])
            done += step
            position += step
    return pieces
