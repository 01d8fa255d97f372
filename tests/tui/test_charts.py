"""Each chart as text at several sizes, with the awkward inputs: nothing, NaN, one point, 100 classes, 391 tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllab import events as ev
from cllab.state import RunState
from cllab.tui.feed import fold
from cllab.tui.glyphs import ASCII
from cllab.tui.theme import DARK
from cllab.tui.view import Curves, accuracy_curves, clock, forgetting_curves, matrix_sentence, seconds_left, short, size
from cllab.tui.widgets.chart import Chart
from cllab.tui.widgets.composition import Composition, split_bar
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.line_chart import FARTHEST, LineChart, spread
from cllab.tui.widgets.matrix import AccuracyMatrix
from cllab.tui.widgets.memory_bar import MemoryBar
from cllab.tui.widgets.pictures import half_cells, resize
from cllab.tui.widgets.raster import draw_lines
from cllab.tui.widgets.rates import Rates, levels
from cllab.tui.widgets.run_header import RunHeader
from cllab.tui.widgets.spread import Spread
from cllab.tui.widgets.thumbs import Item, Section, ThumbGrid
from tests.tui.recorded import picture, records
from tests.tui.stories import golden


def state_of(**story: object) -> RunState:
    return fold(RunState(), records(**story))  # type: ignore[arg-type]


FIVE = state_of()
HALF = state_of(until_task=2, finished=False)
HUNDRED = state_of(n_tasks=10, n_classes=100, steps=10)
MANY = state_of(n_tasks=391, n_classes=391, steps=1, evaluations=0)
ONE = state_of(n_tasks=1, n_classes=2, steps=4, evaluations=0)
STATES = {"five": FIVE, "half": HALF, "hundred": HUNDRED, "many": MANY, "one": ONE, "empty": RunState()}
SIZES = ((24, 5), (36, 12), (72, 18))


def text(chart: Chart, width: int, height: int) -> str:
    rows = chart.draw(width, height)
    assert len(rows) <= height
    lines = ["".join(part for part, _ in row) for row in rows]
    assert all(len(line) <= width for line in lines), [len(line) for line in lines]
    return "\n".join(lines)


def gallery(chart: Chart, sizes: tuple[tuple[int, int], ...] = SIZES) -> str:
    return "\n".join(f"== {w}x{h}\n{text(chart, w, h)}" for w, h in sizes)


@pytest.mark.parametrize("name", STATES)
def test_accuracy_and_forgetting_lines(name: str) -> None:
    curves = accuracy_curves(STATES[name])
    chart, lost = (
        LineChart(title="accuracy", empty="no point yet"),
        LineChart(title="f", mean="mean", empty="nothing yet"),
    )
    chart.show(curves)
    lost.show(forgetting_curves(curves))
    golden(f"accuracy_{name}", gallery(chart))
    golden(f"forgetting_{name}", gallery(lost, SIZES[1:2]))


@pytest.mark.parametrize("name", STATES)
def test_matrix(name: str) -> None:
    chart = AccuracyMatrix()
    chart.show(STATES[name])
    golden(f"matrix_{name}", gallery(chart))


@pytest.mark.parametrize("name", STATES)
def test_composition(name: str) -> None:
    by_class, by_task = Composition(), Composition()
    by_class.show(STATES[name])
    by_task.show(STATES[name], by="task")
    golden(f"composition_{name}", gallery(by_class) + "\n" + gallery(by_task, SIZES[1:2]))


@pytest.mark.parametrize("name", STATES)
def test_rates_and_header(name: str) -> None:
    rates, header = Rates(), RunHeader()
    rates.show(STATES[name])
    header.show(STATES[name], name="er-cifar10")
    golden(f"rates_{name}", gallery(rates) + "\n" + gallery(header, ((60, 2), (78, 2), (118, 2))))


def test_heat_strip_and_bars() -> None:
    strip = HeatStrip(title="classes", empty="no class yet")
    pictures = [gallery(strip, SIZES[:1])]
    for n, sizes in ((10, SIZES), (100, SIZES), (1000, SIZES)):
        rng = np.random.default_rng(n)
        values = [float("nan") if i % 9 == 4 else 0.0 if i % 7 == 3 else float(rng.random()) for i in range(n)]
        strip.show(
            [f"class {i}" for i in range(n)], values, owners=[i * 5 // n for i in range(n)], top=1.0, percent=True
        )
        strip.cursor = n // 2
        pictures.append(f"-- {n} classes\n" + gallery(strip, sizes))
        assert f"class {n // 2}" in strip.sentence()
        assert "task 3" in strip.sentence()
    golden("heat_strip", "\n".join(pictures))


def test_spread_memory_bar_and_thumbs() -> None:
    spread = Spread(title="ages", empty="nothing stored")
    pictures = [gallery(spread, SIZES[:1])]
    spread.show(
        [("age in steps", [1.0, 5.0, 5.0, 9.0, math.nan]), ("uncertainty", [0.5]), ("none", [math.nan])],
        ["images: 6 kB"],
    )
    pictures.append(gallery(spread, SIZES[:2]))
    bar = MemoryBar()
    bar.show([m.task for m in FIVE.memory], 2, FIVE.memory[2], FIVE)
    pictures.append(gallery(bar, ((60, 2), (118, 2))))
    bar.show([m.task for m in MANY.memory], 200, MANY.memory[200], MANY)
    pictures.append(gallery(bar, ((60, 2),)))
    grid = ThumbGrid(title="samples", empty="no pictures")
    pictures.append(gallery(grid, SIZES[:1]))
    items = [
        Item(i, np.moveaxis(picture(i, 0), 0, 2) if i else None, f"class {i}", ("", "new", "left")[i % 3])
        for i in range(7)
    ]
    grid.show([Section("first", items[:3]), Section("second", items[3:])])
    grid.pixels = 8
    pictures.append(gallery(grid, ((24, 12), (72, 18))))
    golden("memory_widgets", "\n".join(pictures))


def test_lines_pass_through_their_points() -> None:
    # a straight line from corner to corner sets the corner dots and nothing off the diagonal
    raster = draw_lines([(np.array([0.0, 1.0]), np.array([0.0, 1.0]))], 4, 2, x_range=(0, 1), y_range=(0, 1))
    rows = ["".join(map(chr, row)) for row in raster.text.tolist()]
    assert rows == ["  ⡠⠊", "⡠⠊  "], rows
    # a missing value in the middle is bridged, missing values at the ends are not drawn
    x = np.arange(5.0)
    gap = draw_lines(
        [(x, np.array([np.nan, 0.5, np.nan, 0.5, np.nan]))],
        5,
        1,
        x_range=(0, 4),
        y_range=(0, 1),
        marker="ascii",
        signs="a",
    )
    assert "".join(map(chr, gap.text[0].tolist())) == " aaa "
    # nothing at all
    none = draw_lines([(x, np.full(5, np.nan)), (x[:0], x[:0])], 5, 2, x_range=(0, 4), y_range=(0, 1))
    assert (none.owner == -1).all()
    assert (none.ends == -1).all()


def test_later_series_lie_on_top_and_values_outside_stay_inside() -> None:
    x = np.array([0.0, 1.0])
    raster = draw_lines([(x, x * 0 + 0.5), (x, x * 0 + 0.5)], 6, 3, x_range=(0, 1), y_range=(0, 1))
    assert set(raster.owner[raster.owner >= 0].tolist()) == {1}
    outside = draw_lines([(np.array([-5.0, 9.0]), np.array([-3.0, 7.0]))], 6, 3, x_range=(0, 1), y_range=(0, 1))
    assert outside.owner.shape == (3, 6)
    assert (outside.owner >= 0).any()


def test_focus_dims_the_rest_and_keeps_its_own_color() -> None:
    chart = LineChart(title="a", empty="")
    chart.show(accuracy_curves(FIVE), focus_task=1)
    colors = {ink.color.triplet for row in chart.draw(72, 18) for part, ink in row if part.strip() and ink.color}
    assert DARK.of(1, 5) in colors
    for other in (0, 2, 3, 4):
        assert DARK.of(other, 5) not in colors
        assert DARK.dim(DARK.of(other, 5)) in colors


def test_the_axis_is_the_planned_length() -> None:
    whole, half = accuracy_curves(FIVE), accuracy_curves(HALF)
    assert whole.end == half.end == 5 * 400
    assert half.x.max() < half.end / 2 + 400
    assert whole.bounds.tolist() == [0, 400, 800, 1200, 1600, 2000]


def test_forgetting_is_the_best_so_far_minus_now() -> None:
    x, nan = np.arange(4.0), math.nan
    y = np.array([[0.9, nan], [0.95, 0.5], [0.4, 0.8], [0.6, 0.7]])
    got = forgetting_curves(Curves(x, y, x * 0, 3.0, np.array([0.0, 3.0])))
    np.testing.assert_allclose(got.y, [[0, nan], [0, 0], [0.55, 0], [0.35, 0.1]])
    np.testing.assert_allclose(got.mean, [0, 0, 0.275, 0.225])


def test_the_sentence_under_the_matrix() -> None:
    state = RunState(rows=((0.931, None), (0.484, 0.9)))
    assert matrix_sentence(state, 1, 0) == "T1: 48.4 % after task 2, learned at 93.1: forgot 44.7 points"
    assert matrix_sentence(state, 0, 0) == "T1: 93.1 % after task 1, when it was just learned"
    assert matrix_sentence(state, 0, 1) == "T2: not measured after task 1"
    assert matrix_sentence(state, 5, 5) == ""
    assert "(airplane, automobile)" in matrix_sentence(FIVE, 4, 0)


def test_bars_are_exact_to_an_eighth() -> None:
    row = split_bar(np.array([3, 5]), ["a", "b"], [(1, 2, 3), (4, 5, 6)], 4, 16, (0, 0, 0), " ▏▎▍▌▋▊▉█")
    # 3/16 of 4 cells is 6 eighths; 8/16 is 2 cells
    assert [part for part, _ in row] == ["▊", "b", "  "]
    assert row[0][1].bgcolor is not None
    assert row[0][1].bgcolor.triplet == (4, 5, 6)
    full = split_bar(np.array([100]), ["x"], [(1, 1, 1)], 5, 100, (0, 0, 0), " ▏▎▍▌▋▊▉█")
    assert "".join(part for part, _ in full) == "  x  "


def test_small_pictures_keep_their_brightness() -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for side in (16, 8):
        ours = resize(image, side, side).astype(int)
        theirs = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX), int)
        # Pillow rounds after each of its two passes
        assert abs(ours - theirs).max() <= 1, side
    # where sizes do not divide: the mean of each area on a grid that both divide
    fine = image.repeat(12, 0).repeat(12, 1).reshape(12, 32, 12, 32, 3).mean((1, 3))
    assert abs(resize(image, 12, 12) - fine).max() <= 0.51
    assert (resize(image, 64, 64) == image.repeat(2, 0).repeat(2, 1)).all()


def test_half_cells_hold_both_pixels() -> None:
    image = np.array([[[255, 0, 0], [0, 0, 0]], [[0, 0, 255], [0, 0, 0]]], np.uint8)
    from cllab.tui.glyphs import UNICODE

    (row,) = half_cells(image, UNICODE)
    (first, ink), (second, black) = row
    assert first == "▀"
    assert ink.color.triplet == (255, 0, 0)
    assert ink.bgcolor.triplet == (0, 0, 255)
    assert second == " "
    assert black.bgcolor.triplet == (0, 0, 0)
    (plain,) = half_cells(image, ASCII)
    assert all(ord(c) < 128 for part, _ in plain for c in part)


def test_levels() -> None:
    assert levels([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█") == "▁▂▃▄▅▆▇█"
    assert levels([1, math.nan, 2], 5, "ab") == "  a b"
    assert levels([], 3, "ab") == "   "
    assert levels([5.0] * 4, 2, "abc") == "bb"


def test_numbers_for_people() -> None:
    assert [short(v) for v in (0.1234, 9690, 12345, 1.5e6, math.nan, 0)] == [
        "0.123",
        "9690",
        "12.3k",
        "1.5M",
        "nan",
        "0",
    ]
    assert [size(v) for v in (12, 614_000, 1.4e9, math.nan)] == ["12 B", "614 kB", "1.4 GB", "?"]
    assert [clock(v) for v in (7, 754, 3723, None)] == ["0:07", "12:34", "1:02:03", "?"]


def test_labels_that_crowd_move_apart_or_make_way() -> None:
    assert spread({}, 5) == {}
    # three lines end in the first row: in the order of their values, below one another
    assert spread({0: (0, -0.9), 1: (0, -1.0), 2: (0, -0.95)}, 10) == {1: 0, 2: 1, 0: 2}
    # at the bottom they move up
    assert spread({0: (9, -0.1), 1: (9, -0.2)}, 10) == {1: 8, 0: 9}
    # ten in one row: as many as stay near, the important ones; a label far from the crowd stays
    found = spread({**{k: (0, -1 + k / 100) for k in range(10)}, 10: (8, 0.0)}, 10)
    assert found == {0: 0, 1: 1, 2: 2, 3: 3, 10: 8}
    assert len(spread({k: (k % 3, 0.0) for k in range(40)}, 6)) <= 6


@given(st.lists(st.tuples(st.integers(0, 11), st.floats(-1, 0)), max_size=30))
def test_every_label_is_near_its_line_and_alone_in_its_row(wishes: list[tuple[int, float]]) -> None:
    found = spread(dict(enumerate(wishes)), 12)
    assert len(set(found.values())) == len(found)
    assert all(0 <= row < 12 and abs(row - wishes[k][0]) <= FARTHEST for k, row in found.items())
    assert not wishes or 0 in found, "the most important one is always there"
    shown = sorted(found, key=found.__getitem__)
    assert shown == sorted(found, key=lambda k: (wishes[k], found[k]))


def test_time_left_leaves_pauses_out() -> None:
    start = next(e for e in records(n_tasks=2, steps=10))
    state = RunState().apply(start)

    def step(n: int, t: float) -> ev.StepEnded:
        return ev.StepEnded(
            t=t, task=0, phase="stream", step=n, phase_step=n, phase_steps=100, epoch=0, samples=n, losses={}, lr=0.1
        )

    state = fold(state, [step(1, 100.0), step(51, 120.0)])
    assert seconds_left(state) == pytest.approx(149 * 20 / 50)
    # an hour of pause, and then half a minute of a process that died and was resumed
    state = fold(state, [ev.Paused(t=125.0, task=0, step=60), ev.Resumed(t=3725.0, task=0, step=60), step(101, 3745.0)])
    assert seconds_left(state) == pytest.approx(99 * 45 / 100)
    state = fold(state, [ev.Resumed(t=3775.0, task=0, step=101, from_checkpoint=True), step(151, 3795.0)])
    assert seconds_left(state) == pytest.approx(49 * 65 / 150)
    assert seconds_left(RunState()) is None
