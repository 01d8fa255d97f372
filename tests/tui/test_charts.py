"""Each chart as text at several sizes, with the awkward inputs: nothing, NaN, one point, 100 classes, 391 tasks."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cllab.metrics import forgetting, forgetting_per_task, matrix
from cllab.record import events as ev
from cllab.record.state import RunState
from cllab.report import plots
from cllab.tui.feed import fold
from cllab.tui.glyphs import ASCII, UNICODE
from cllab.tui.theme import DARK, style
from cllab.tui.view import (
    Curves,
    accuracy_curves,
    clock,
    forgetting_curves,
    matrix_sentence,
    most_forgotten,
    seconds_left,
    short,
    size,
)
from cllab.tui.widgets.bars import Bar, bar_rows
from cllab.tui.widgets.big import large
from cllab.tui.widgets.chart import Chart, center, clip, wrap
from cllab.tui.widgets.composition import Composition, Share, split_bar
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.line_chart import GUTTER, LARGEST, Axis, LineChart, fitted_axis, spread, with_numbers
from cllab.tui.widgets.matrix import AccuracyMatrix
from cllab.tui.widgets.memory_bar import MemoryBar
from cllab.tui.widgets.pictures import half_cells, resize
from cllab.tui.widgets.raster import Pen, draw_lines
from cllab.tui.widgets.rates import Rates, levels
from cllab.tui.widgets.run_header import RunHeader
from cllab.tui.widgets.spread import Spread
from cllab.tui.widgets.thumbs import Item, Section, ThumbGrid
from tests.tui.recorded import picture, records
from tests.tui.stories import golden

STORIES: dict[str, dict[str, object] | None] = {
    "five": {},
    "half": {"until_task": 2, "finished": False},
    "hundred": {"n_tasks": 10, "n_classes": 100, "steps": 10},
    "many": {"n_tasks": 391, "n_classes": 391, "steps": 1, "evaluations": 0},
    "one": {"n_tasks": 1, "n_classes": 2, "steps": 4, "evaluations": 0},
    "empty": None,
}


@functools.cache
def state_of(name: str) -> RunState:
    """The state after a story; told when it is first asked for, for the long ones take seconds."""
    story = STORIES[name]
    return RunState() if story is None else fold(RunState(), records(**story))  # type: ignore[arg-type]


SIZES = ((24, 5), (36, 12), (72, 18))


def text(chart: Chart, width: int, height: int) -> str:
    rows = chart.draw(width, height)
    assert len(rows) <= height
    lines = ["".join(part for part, _ in row) for row in rows]
    assert all(len(line) <= width for line in lines), [len(line) for line in lines]
    return "\n".join(lines)


def gallery(chart: Chart, sizes: tuple[tuple[int, int], ...] = SIZES) -> str:
    return "\n".join(f"== {w}x{h}\n{text(chart, w, h)}" for w, h in sizes)


LONG = pytest.param("many", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [LONG if name == "many" else name for name in STORIES])
def test_accuracy_and_forgetting_lines(name: str) -> None:
    curves = accuracy_curves(state_of(name))
    chart, lost = (
        LineChart(title="accuracy", empty="no point yet"),
        LineChart(title="f", mean="mean", empty="nothing yet"),
    )
    worst = most_forgotten(forgetting_curves(curves))
    chart.show(curves, worst=worst)
    lost.show(forgetting_curves(curves), worst=worst)
    golden(f"accuracy_{name}", gallery(chart))
    golden(f"forgetting_{name}", gallery(lost, SIZES[1:2]))


@pytest.mark.parametrize("name", STORIES)
def test_matrix(name: str) -> None:
    chart = AccuracyMatrix()
    chart.show(state_of(name))
    golden(f"matrix_{name}", gallery(chart))


@pytest.mark.parametrize("name", STORIES)
def test_composition(name: str) -> None:
    by_class, by_task = Composition(), Composition()
    by_class.show(state_of(name))
    by_task.show(state_of(name), by="task")
    golden(f"composition_{name}", gallery(by_class) + "\n" + gallery(by_task, SIZES[1:2]))


@pytest.mark.parametrize("name", STORIES)
def test_rates_and_header(name: str) -> None:
    rates, header = Rates(), RunHeader()
    rates.show(state_of(name))
    header.show(state_of(name), name="er-cifar10")
    golden(f"rates_{name}", gallery(rates) + "\n" + gallery(header, ((60, 2), (78, 2), (118, 2))))


def test_a_loss_term_that_does_not_occur_now_is_no_number() -> None:
    step = ev.StepEnded(
        task=0, phase="stream", step=1, phase_step=1, phase_steps=9, epoch=0, samples=9, losses={"new": 0.5}, lr=0.1
    )
    state = RunState().apply(replace(step, losses={"new": 0.25, "replay": 0.5})).apply(step)
    rates = Rates()
    rates.show(state)
    rows = {
        line.split()[0]: line.split()[1]
        for line in gallery(rates, ((60, 8),)).splitlines()
        if " 0." in line or " -" in line
    }
    assert rows["replay"] == "-"
    assert rows["loss"] == rows["new"] == "0.5", "the sum of what occurs"


def rows_of_cells(chart: Chart, width: int, height: int) -> list[int]:
    return [cell_len("".join(part for part, _ in row)) for row in chart.draw(width, height)]


def test_names_take_the_cells_that_they_have() -> None:
    """A wide character takes two cells: what stands behind a name stays in its column, and nothing runs over."""
    names = ["猫猫猫猫猫猫猫猫猫猫猫猫", "犬", "plain", "e\u0301te\u0301"]
    for name in names:
        for width in range(14):
            assert cell_len(clip(name, width, UNICODE)) == width, (name, width)
    assert clip("猫猫猫", 4, UNICODE) == "猫 …"
    assert [cell_len(line) <= 12 for line in wrap("猫" * 9 + " und noch ein Wort", 12)] == [True] * 4
    assert center("猫", 6) == "  猫  "
    bars = [Bar(name, 4 - i, i) for i, name in enumerate(names)]
    rows = bar_rows(bars, 40, top=4, percent=False, palette=DARK, glyphs=UNICODE)
    starts = {cell_len(row[0][0]) for row in rows}
    assert len(starts) == 1
    assert {cell_len("".join(part for part, _ in row)) for row in rows} == {40}
    bar = split_bar([Share(5, name, DARK.text) for name in names], 40, 20, DARK.background, UNICODE.eighths, cut=True)
    assert sum(cell_len(part) for part, _ in bar) == 40
    started = (
        replace(state_of("five").started, class_names=(*names, *"abcdef"), name="猫" * 30)
        if state_of("five").started
        else None
    )
    state = replace(state_of("five"), started=started)
    header, composition = RunHeader(), Composition()
    header.show(state, name="猫" * 30)
    composition.show(state)
    for chart in (header, composition):
        for width in (60, 78):
            assert all(n <= width for n in rows_of_cells(chart, width, 12)), (chart, width)


def test_no_control_character_reaches_the_terminal() -> None:
    """Whatever a widget is given: names come from files that others wrote."""
    chart = HeatStrip(title="s", empty="")
    chart.show(["a\x1b]0;title\x07b", "c\x00d\x9b31me", "e\nf"], [1.0, 2.0, 3.0], owners=[0, 1, 2])
    strips = chart._build(40, 5)
    said = "".join(segment.text for strip in strips for segment in strip)
    assert all(c.isprintable() for c in said), said
    assert "ab" in said
    assert {strip.cell_length for strip in strips} == {40}


def test_levels_of_a_hundred_classes_show_the_amounts_of_their_moment() -> None:
    """Where ten classes held two hundred samples each, a hundred hold about twenty: not all at the lowest level."""
    chart = HeatStrip(title="per class", empty="")
    amounts = [float(10 + i % 21) for i in range(100)]
    chart.show([f"c{i}" for i in range(100)], amounts, owners=[i // 10 for i in range(100)], top=200.0)
    rows = chart.draw(40, 12)
    cells = [part for row in rows[:-1] for part, _ in row]
    assert len(cells) == 100
    chart.cursor = 99
    drawn = [part[0] for row in chart.draw(40, 12)[:-1] for part, _ in row]
    for i in range(99):
        assert drawn[i] == UNICODE.levels[min(7, int(amounts[i] / 30 * 8))]
    assert len(set(drawn)) >= 6
    # accuracies keep their scale, from 0 to 100 %
    chart.show([f"c{i}" for i in range(100)], [0.1] * 100, top=1.0, percent=True)
    assert {part[0] for row in chart.draw(40, 12)[:-1] for part, _ in row} <= {"▁", UNICODE.knob}
    # bars, where there are few, have one scale for all moments
    chart.show(["a", "b"], [100.0, 50.0], top=200.0)
    assert chart.draw(40, 12)[0][1][0].count("█") == pytest.approx((40 - 1 - 7) / 2, abs=1)


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
    bar.show([m.task for m in state_of("five").memory], 2, state_of("five").memory[2], state_of("five"))
    pictures.append(gallery(bar, ((60, 2), (118, 2))))
    bar.show([m.task for m in state_of("many").memory], 200, state_of("many").memory[200], state_of("many"))
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
        pen=Pen("ascii", "a"),
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
    # a cell holds the dots of one line: none is shown in the color of another
    near = draw_lines([(x, x * 0 + 0.9), (x, x * 0 + 0.6)], 6, 1, x_range=(0, 1), y_range=(0, 1))
    alone = draw_lines([(x, x * 0 + 0.6)], 6, 1, x_range=(0, 1), y_range=(0, 1))
    assert (near.text == alone.text).all()


def test_what_is_outside_can_be_cut() -> None:
    x = np.array([0.0, 0.5, 1.0])
    lines = [(x, np.array([-1.0, 0.5, 0.5])), (x, np.array([3.0, 3.0, 3.0]))]
    clipped = draw_lines(lines, 20, 4, x_range=(0, 1), y_range=(0, 1))
    cut = draw_lines(lines, 20, 4, x_range=(0, 1), y_range=(0, 1), cut=True)
    assert (clipped.owner[3, :5] == 0).all(), "at the edge"
    assert (cut.owner[3, :5] == -1).all()
    assert (cut.owner[:, 12:] == clipped.owner[:, 12:])[1:].all()
    assert (cut.owner != 1).all()
    assert cut.ends.tolist() == [clipped.ends[0], 0]


def test_focus_dims_the_rest_and_keeps_its_own_color() -> None:
    chart = LineChart(title="a", empty="")
    chart.show(accuracy_curves(state_of("five")), focus_task=1)
    colors = {ink.color.triplet for row in chart.draw(72, 18) for part, ink in row if part.strip() and ink.color}
    assert DARK.of(1, 5) in colors
    for other in (0, 2, 3, 4):
        assert DARK.of(other, 5) not in colors
        assert DARK.dim(DARK.of(other, 5)) in colors


def test_the_axis_is_the_planned_length() -> None:
    whole, half = accuracy_curves(state_of("five")), accuracy_curves(state_of("half"))
    assert whole.end == half.end == 5 * 400
    assert half.x.max() < half.end / 2 + 400
    assert whole.bounds.tolist() == [0, 400, 800, 1200, 1600, 2000]


def evaluated(task: int, moment: str, *tasks: float | None) -> ev.Evaluated:
    known = [v for v in tasks if v is not None]
    return ev.Evaluated(task=task, moment=moment, step=0, samples=0, tasks=tasks, seen=float(np.mean(known)))


def test_forgetting_is_that_of_the_metric_whatever_was_seen_within_tasks() -> None:
    """Evaluations within tasks, glances among them, see peaks that are in no row of the matrix; a forward evaluation
    sees tasks before they are learned."""
    inside = [("glance", 0.99), ("epoch", 0.98), ("stream", 0.97)]
    state = RunState(started=state_of("five").started)
    rows = [(0.90, 0.95, 0.1), (0.80, 0.85, 0.2), (0.82, 0.30, 0.9), (0.84, 0.32, 0.5), (0.60, 0.40, 0.55)]
    for task, (first, second, third) in enumerate(rows):
        for moment, peak in inside:
            # the first task seems to have been the best and to have lost the most
            state = state.apply(evaluated(task, moment, peak, second, third, 0.8, 0.8))
        state = state.apply(evaluated(task, "task", first, second, third, 0.8, 0.8))
        lost = forgetting_curves(accuracy_curves(state))
        square = matrix(state.rows, task + 1)
        expected = forgetting_per_task(square)
        np.testing.assert_allclose(lost.y[-1, :task], expected)
        assert lost.y[-1, task] == 0
        assert np.isnan(lost.y[-1, task + 1 :]).all()
        assert lost.mean[-1] == pytest.approx(forgetting(square), nan_ok=True)
        worst = most_forgotten(lost)
        assert (worst[0] if worst else None) == plots.most_forgotten([row[: task + 1] for row in state.rows])
    assert worst is not None
    assert worst == (1, pytest.approx(0.45)), (
        "not the first, which a glance once saw at 99 %, nor the 95 before it came"
    )
    assert "T2: 40.0 % after task 5, learned at 85.0: forgot 45.0 points" in matrix_sentence(state, 4, 1, classes=False)
    # within a task: below the best row so far; glances say nothing of it
    state = state.apply(evaluated(5, "glance", 0.0, 0.0, 0.0, 0.0, 0.0))
    assert len(forgetting_curves(accuracy_curves(state)).x) == len(lost.x)


def test_a_glance_says_that_it_is_one() -> None:
    state = RunState(started=state_of("five").started).apply(evaluated(0, "task", 0.9, None, None, None, None))
    glance = replace(evaluated(1, "glance", 1.0, 0.5, None, None, None), step=500, images=100)
    chart, lost = LineChart(title="accuracy", empty=""), LineChart(title="f", mean="mean", empty="")
    for newest, sign in ((glance, "~"), (replace(glance, moment="task"), "")):
        curves = accuracy_curves(state.apply(newest))
        chart.show(curves, worst=(0, 0.1))
        lost.show(forgetting_curves(curves))
        said = text(chart, 72, 18)
        assert ("~100" if sign else "100.0") in said
        assert f"T2  {sign or ' '}50.0" in said
        assert f"all {sign or ' '}75.0" in said
        assert chart.border_subtitle == "▾ most forgotten: T1, 10.0 points" + (
            " · ~ on 100 test images" if sign else ""
        )
        # no glance is in it
        assert "~" not in text(lost, 72, 18)
        assert "~" not in str(lost.border_subtitle)
    # what it did not look at is as it was measured, on all test images
    part = replace(glance, tasks=(None, 0.5, None, None, None))
    chart.show(accuracy_curves(state.apply(part)))
    said = text(chart, 72, 18)
    assert "T1   90.0" in said
    assert "T2  ~50.0" in said
    assert chart.border_subtitle == "~ on 100 test images"


def test_forgetting_begins_where_a_task_was_learned_and_may_be_a_gain() -> None:
    x, nan = np.arange(4.0), math.nan
    y = np.array([[0.9, nan], [0.95, 0.5], [0.4, 0.8], [0.6, 0.7]])
    curves = Curves(x, y, x * 0, 3.0, np.array([0.0, 1.0, 3.0]), None, np.array([0, -1, 1, 2]))
    got = forgetting_curves(curves)
    np.testing.assert_allclose(got.y, [[0, nan], [-0.05, nan], [0.5, 0], [0.3, 0.1]])
    np.testing.assert_allclose(got.mean, [nan, -0.05, 0.5, 0.2])
    chart = LineChart(title="forgetting", mean="mean", empty="")
    chart.show(got)
    assert chart.border_subtitle == "what is below 0 is drawn at 0"
    chart.show(got, fitted=True)
    assert chart.border_title == "axis -10 to 50: forgetting"
    assert "-10┤" in text(chart, 60, 12)
    chart.show(Curves(x, y * 0 - 1e-5, x * 0 - 1e-5, 3.0, curves.bounds), fitted=True)
    assert "-0.0" not in text(chart, 60, 12)
    assert chart.border_title == "axis 0 to 2: forgetting"


def test_the_sentence_under_the_matrix() -> None:
    state = RunState(rows=((0.931, None), (0.484, 0.9)))
    assert matrix_sentence(state, 1, 0) == "T1: 48.4 % after task 2, learned at 93.1: forgot 44.7 points"
    assert matrix_sentence(state, 0, 0) == "T1: 93.1 % after task 1, when it was just learned"
    assert matrix_sentence(state, 0, 1) == "T2: not measured after task 1"
    assert matrix_sentence(state, 5, 5) == ""
    assert "(airplane, automobile)" in matrix_sentence(state_of("five"), 4, 0)


def test_bars_are_exact_to_an_eighth() -> None:
    row = split_bar([Share(3, "a", (1, 2, 3)), Share(5, "b", (4, 5, 6))], 4, 16, (0, 0, 0), " ▏▎▍▌▋▊▉█")
    # 3/16 of 4 cells is 6 eighths; 8/16 is 2 cells
    assert [part for part, _ in row] == ["▊", "b", "  "]
    assert row[0][1].bgcolor is not None
    assert row[0][1].bgcolor.triplet == (4, 5, 6)
    full = split_bar([Share(100, "x", (1, 1, 1))], 5, 100, (0, 0, 0), " ▏▎▍▌▋▊▉█")
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


def test_labels_that_crowd_move_apart_and_the_important_ones_stay() -> None:
    assert spread({}, 5) == {}
    # three lines end in the first row: in the order of their values, below one another
    assert spread({0: (0, -0.9), 1: (0, -1.0), 2: (0, -0.95)}, 10) == {1: 0, 2: 1, 0: 2}
    # at the bottom they move up, in the middle to both sides
    assert spread({0: (9, -0.1), 1: (9, -0.2)}, 10) == {1: 8, 0: 9}
    assert spread({0: (5, -0.1), 1: (5, -0.2), 2: (5, -0.3)}, 10) == {2: 4, 1: 5, 0: 6}
    # rows are free: nobody goes without a label, and a label far from the crowd stays
    found = spread({**{k: (0, -1 + k / 100) for k in range(8)}, 10: (11, 0.0)}, 12)
    assert found == {**{k: k for k in range(8)}, 10: 11}
    assert set(spread({k: (k % 3, 0.0) for k in range(40)}, 6)) == set(range(6))


@given(st.lists(st.tuples(st.integers(0, 11), st.floats(-1, 0)), max_size=30))
def test_labels_fill_the_rows_in_their_order(wishes: list[tuple[int, float]]) -> None:
    found = spread(dict(enumerate(wishes)), 12)
    assert set(found) == set(range(min(12, len(wishes)))), "no row stays free while somebody waits"
    assert len(set(found.values())) == len(found)
    assert all(0 <= row < 12 for row in found.values())
    shown = sorted(found, key=found.__getitem__)
    assert shown == sorted(found, key=lambda k: (wishes[k], found[k]))
    rows = [row for row, _ in wishes[:12]]
    if len(set(rows)) == len(rows):
        assert all(found[k] == wishes[k][0] for k in found), "who has room is beside its line"


def test_time_left_leaves_pauses_out() -> None:
    start = next(e for e in records(n_tasks=2, steps=10))
    state = RunState().apply(replace(start, t=99.6))

    def step(n: int, t: float) -> ev.StepEnded:
        return ev.StepEnded(
            t=t, task=0, phase="stream", step=n, phase_step=n, phase_steps=100, epoch=0, samples=n, losses={}, lr=0.1
        )

    state = fold(state, [step(1, 100.0), step(51, 120.0)])
    assert seconds_left(state) == pytest.approx(149 * 20.4 / 51)
    # an hour of pause, and then half a minute of a process that died and was resumed
    state = fold(state, [ev.Paused(t=125.0, task=0, step=60), ev.Resumed(t=3725.0, task=0, step=60), step(101, 3745.0)])
    assert seconds_left(state) == pytest.approx(100 * 45.4 / 101)
    state = fold(state, [ev.Resumed(t=3775.0, task=0, step=101, from_checkpoint=True), step(151, 3795.0)])
    assert seconds_left(state) == pytest.approx(100 * 65.4 / 151)
    assert seconds_left(RunState()) is None


@given(st.lists(st.integers(0, 700), min_size=1, max_size=40), st.integers(4, 60), st.integers(1, 30))
def test_a_bar_is_as_long_as_what_it_holds(amounts: list[int], width: int, room: int) -> None:
    """However many parts it has: 256 samples of ten classes were as long as 1,536."""
    whole = sum(amounts) + 100 * room
    empty = (0, 0, 0)
    bar = split_bar(
        [Share(amount, "", (k + 1, 9, 9)) for k, amount in enumerate(amounts)], width, whole, empty, " ▏▎▍▌▋▊▉█"
    )
    assert sum(len(part) for part, _ in bar) == width
    filled = 0.0
    for part, ink in bar:
        if ink.bgcolor is not None and ink.bgcolor.triplet == empty:
            # of a cell on the last edge only the sign is filled
            filled += " ▏▎▍▌▋▊▉█".index(part) / 8 if part.strip() else 0
        else:
            filled += len(part)
    assert abs(filled - sum(amounts) / whole * width) <= 1, (filled, sum(amounts) / whole * width)


def test_bars_of_all_moments_have_one_scale() -> None:
    """Twice the samples, twice the bar, also where a task adds little of each of ten classes."""
    start = next(e for e in records(n_tasks=20, n_classes=10))
    held = [
        ev.MemoryUpdated(task=t, policy="ring", samples=250 * (t + 1), capacity=5000, bytes={}, added=250, evicted=0,
                         per_class=(25 * (t + 1),) * 10, per_task=(250,) * (t + 1))
        for t in range(20)
    ]  # fmt: skip
    for by in ("class", "task"):
        chart = Composition()
        chart.show(fold(RunState(), [start, *held]), by=by)
        background = chart.palette.background
        lengths = []
        for row in chart.draw(64, 30)[:20]:
            bar = row[1:-3]
            lengths.append(sum(len(p) for p, ink in bar if ink.bgcolor and ink.bgcolor.triplet != background))
        room = sum(len(p) for p, _ in bar)
        for t, length in enumerate(lengths):
            assert abs(length - room * (t + 1) / 20) <= 1, (by, t, lengths)


def flat(n: int = 20, points: int = 40) -> Curves:
    """Curves of `n` tasks that all lie between 79 and 91 %, one of which falls to 70 and is the most forgotten."""
    x = np.arange(points, dtype=float)
    y = np.full((points, n), np.nan)
    for task in range(n):
        begin = task * points // n
        y[begin:, task] = 0.85 + 0.05 * np.sin(task + np.arange(points - begin) / 5)
    y[points // 2 :, 3] = 0.70
    after = np.where(np.arange(points) % (points // n) == points // n - 1, np.arange(points) * n // points, -1)
    return Curves(x, y, np.nanmean(y, axis=1), points - 1.0, np.linspace(0, points - 1, n + 1), None, after)


def shown_labels(rows: list[list[tuple[str, object]]]) -> list[str]:
    return [row[-1][0][2:6].strip() for row in rows[:-1] if len(row[-1][0]) == GUTTER and row[-1][0].strip()]


@pytest.mark.parametrize("height", [6, 12, 22, 40])
@pytest.mark.parametrize("fitted", [False, True])
def test_the_most_forgotten_task_is_always_named_and_others_where_rows_are_free(height: int, fitted: bool) -> None:
    accuracy = flat()
    lost = forgetting_curves(accuracy)
    worst = most_forgotten(lost)
    assert worst is not None
    assert worst[0] == 3
    assert worst[1] == pytest.approx(np.nanmax(accuracy.y[7::2, 3]) - 0.7)
    for curves in (accuracy, lost):
        for focus in (None, 7):
            chart = LineChart(title="accuracy", empty="")
            chart.show(curves, worst=worst, focus_task=focus, fitted=fitted)
            rows = chart.draw(90, height)
            named = shown_labels(rows)
            assert "T4" in named
            assert "".join(rows[k][-1][0] for k in range(height - 1)).count("▾") == 1
            assert next(row[-1][0] for row in rows if "▾" in row[-1][0]).split()[0] == "▾"
            assert len(named) == min(21, height - 1), "no row stays free while a line has no label"
            assert str(chart.border_subtitle).startswith(f"▾ most forgotten: T4, {100 * worst[1]:.1f} points")
    # of 391 tasks 24 are drawn, the most forgotten among them
    many = Curves(np.arange(3.0), np.full((3, 391), 0.5), np.full(3, 0.5), 2.0, np.linspace(0, 2, 392))
    chart.show(many, worst=(100, 0.25))
    assert "T101" in text(chart, 90, height)
    assert "25 of 391 tasks drawn" in str(chart.border_subtitle)


def test_nothing_forgotten_names_nobody() -> None:
    x = np.arange(2.0)
    rising = Curves(x, np.array([[0.5, np.nan], [0.6, 0.7]]), x, 1.0, x)
    assert most_forgotten(forgetting_curves(rising)) is None
    assert most_forgotten(Curves(x[:0], np.zeros((0, 2)), x[:0], 1.0, x)) is None
    # a task that was forgotten and came back is not: what counts is now
    back = Curves(np.arange(3.0), np.array([[0.9, 0.3], [0.2, 0.9], [0.9, 0.8]]), np.zeros(3), 2.0, x)
    assert most_forgotten(forgetting_curves(back)) == (1, pytest.approx(0.1))


def test_a_fitted_axis_uses_the_height_and_says_so() -> None:
    curves = flat()
    chart = LineChart(title="accuracy per task %", empty="")
    rows_used = {}
    for fitted in (False, True):
        chart.show(curves, fitted=fitted)
        drawn = chart.draw(90, 22)
        lines = ["".join(part for part, _ in row[1:-1]) for row in drawn[:-1]]
        rows_used[fitted] = sum(any("⠀" < c <= "⣿" or c.isdigit() for c in line) for line in lines)
    assert rows_used[False] <= 8
    assert rows_used[True] >= 19, "the lines have the whole height"
    assert chart.border_title == "axis 70 to 90: accuracy per task %"
    said = text(chart, 90, 22)
    assert " 90┤" in said
    assert " 70┤" in said
    assert "100┤" not in said
    assert "┊" in said.splitlines()[1][:4], "a fitted axis is broken"
    chart.entitle("accuracy % - T3")
    assert chart.border_title == "axis 70 to 90: accuracy % - T3"
    chart.show(curves)
    assert chart.border_title == "accuracy % - T3"
    assert "100┤" in text(chart, 90, 22)
    # nothing to fit to: nothing is claimed
    chart.show(Curves(curves.x[:0], curves.y[:0], curves.mean[:0], 1.0, curves.bounds), fitted=True)
    assert chart.border_title == "accuracy % - T3"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(2, 50))
def test_a_fitted_axis_holds_all_values_and_is_honest_at_its_ticks(values: list[float], h: int) -> None:
    axis = fitted_axis(np.array([*values, math.nan]))
    assert 0 <= axis.low < axis.high <= 100
    assert axis.low - 1e-4 <= 100 * min(values)
    assert 100 * max(values) <= axis.high + 1e-4
    assert axis.high - axis.low >= 2
    ticks = axis.rows(h)
    assert ticks[0] == str(axis.high)
    assert ticks[h - 1] == str(axis.low)
    for row, said in ticks.items():
        # a line at the value of a tick is drawn in the tick's row, or touches it
        raster = draw_lines(
            [(np.array([0.0, 1.0]), np.full(2, int(said) / 100))], 4, h, x_range=(0, 1),
            y_range=(axis.low / 100, axis.high / 100),
        )  # fmt: skip
        assert abs(int(raster.ends[0]) - row) <= 1
    assert fitted_axis(np.array([math.nan])) == Axis(0, 100, 20)
    assert fitted_axis(np.array([0.6, 0.86])) == Axis(60, 90, 5)


def test_a_task_that_begins_near_nothing_does_not_stretch_the_axis() -> None:
    """Evaluated inside its own task, each begins near 0: the axis is fitted to what was learned, and says so."""
    x = np.arange(1.0, 41.0)
    y = np.full((40, 4), np.nan)
    for task in range(4):
        y[10 * task : 10 * task + 9, task] = np.linspace(0.05, 0.88, 9)
        y[10 * task + 9 :, task] = 0.9 - 0.01 * task
    curves = Curves(x, y, np.full(40, 0.88), 40.0, np.arange(0, 41, 10.0))
    chart = LineChart(title="accuracy", empty="")
    chart.show(curves, fitted=True)
    assert chart.border_title == "axis 87 to 90: accuracy"
    assert "what lies outside is cut off" in str(chart.border_subtitle)
    chart.show(curves)
    assert chart.border_subtitle == ""
    # while the first task is learned there is nothing else: it is shown whole
    chart.show(Curves(x[:5], y[:5], y[:5, 0], 40.0, curves.bounds), fitted=True)
    assert chart.border_title == "axis 0 to 50: accuracy"
    assert chart.border_subtitle == ""


def test_tasks_are_drawn_over_the_mean() -> None:
    x = np.linspace(0, 1, 5)
    y = np.full((5, 2), 0.8)
    chart = LineChart(title="a", empty="")
    chart.show(Curves(x, y, np.full(5, 0.8), 1.0, np.array([0.0, 0.5, 1.0])))
    colors = {ink.color.triplet for row in chart.draw(60, 12)[:-1] for part, ink in row[1:-1] if part.strip()}
    assert DARK.of(1, 2) in colors
    assert DARK.text not in colors


def test_every_line_carries_its_number_where_colors_cannot_tell() -> None:
    curves = flat()
    chart = LineChart(title="a", empty="")
    for fitted, width, height in ((False, 110, 30), (True, 80, 20), (True, 140, 40)):
        chart.show(curves, fitted=fitted, worst=(3, 0.1))
        rows = chart.draw(width, height)
        inks = {style(DARK.of(i, 20), bold=i == 3): i for i in range(20)}
        numbers: dict[int, str] = {}
        for row in rows[:-1]:
            for part, ink in row[1:-1]:
                digits = "".join(c for c in part if c.isdigit())
                if digits:
                    assert ink in inks, part
                    numbers[inks[ink]] = numbers.get(inks[ink], "") + digits
        for task, said in numbers.items():
            assert said.replace(str(task + 1), "") == "", (task, said)
        assert len(numbers) >= (12 if not fitted else 17), sorted(numbers)
    # few tasks in full color need none
    five = accuracy_curves(state_of("five"))
    chart.show(five)
    assert not any(c.isdigit() for row in chart.draw(90, 20)[:-1] for part, _ in row[1:-1] for c in part)


def test_numbers_stand_on_their_own_line() -> None:
    x = np.linspace(0, 1, 3)
    raster = draw_lines([(x, x * 0 + 0.2), (x, x * 0 + 0.8)], 60, 6, x_range=(0, 1), y_range=(0, 1))
    out = with_numbers(raster.text, raster.owner, ["12", ""])
    changed = np.argwhere(out != raster.text)
    assert len(changed)
    assert (raster.owner[tuple(changed.T)] == 0).all()
    row = "".join(map(chr, out[int(changed[0][0])].tolist()))
    assert row.count("12") >= 3
    assert (with_numbers(raster.text, raster.owner * 0 - 1, ["12", ""]) == raster.text).all()


def test_large_digits_and_the_labels_around_them() -> None:
    assert large("4.0", 1, UNICODE) == ["█ █   █▀█", "▀▀█   █ █", "  ▀ ▀ ▀▀▀"]
    assert large("1", 2, ASCII) == ["  ##  ", "####  ", "  ##  ", "  ##  ", "######"]
    assert large("1", 1, ASCII) == []
    assert len({tuple(large(c, 2, UNICODE)) for c in "0123456789.-"}) == 12
    chart = LineChart(title="a", empty="")
    for focus in (None, 2, 19):
        for width, height in ((120, 30), (200, 50)):
            chart.show(flat(), focus_task=focus, marker="quadrant", large=True, worst=(3, 0.2))
            said = [line.ljust(width) for line in text(chart, width, height).splitlines()]
            task = "all" if focus is None else f"T{focus + 1}"
            at = next(k for k, line in enumerate(said) if f" {task:<4}" in line[-60:])
            number = said[at].split()[-1]
            digits = large(number, 2 if width == 200 else 1, UNICODE)
            gutter = 2 + LARGEST * (2 if width == 200 else 1)
            assert [line[-gutter + 2 :].rstrip() for line in said[at + 1 : at + 1 + len(digits)]] == [
                d.rstrip() for d in digits
            ]
            labels = [line for line in said[:-1] if line[-gutter:].split()[:1] and "." in line[-gutter:]]
            assert sum(f"T{t + 1} " in line[-gutter:] for t in range(20) for line in labels) >= 15


def test_strong_lines_are_as_strong_at_the_edges() -> None:
    x = np.array([0.0, 1.0])
    for value in (0.0, 0.5, 1.0):
        raster = draw_lines(
            [(x, np.full(2, value))], 6, 5, x_range=(0, 1), y_range=(0, 1), pen=Pen("quadrant", thick=2)
        )
        dots = sum(bin("_▘▝▀▖▌▞▛▗▚▐▜▄▙▟█".index(chr(c))).count("1") for c in raster.text.ravel() if c != 32)
        assert dots == 2 * 12, value


def test_what_comes_before_the_first_task_has_a_bar_of_its_own() -> None:
    """How far the base stage is, and the latents: not a first task of which nothing is done."""
    said = list(records())
    started = next(i for i, event in enumerate(said) if isinstance(event, ev.RunStarted))
    state = fold(RunState(), said[: started + 1])
    t = state.last_t
    for done, seconds in ((0, 0.5), (250, 1.0)):
        told = ev.Working(t=t + seconds, task=-1, phase="base", done=done, total=1000, seconds=seconds)
        state = state.apply(ev.PhaseStarted(t=t, phase="base")).apply(told)
    header = RunHeader()
    header.show(state, name="er-latents")
    text = gallery(header, ((100, 2),)).splitlines()[-2:]
    assert "base stage" in text[-1]
    assert " 25 %  0:03 left of it" in text[-1]
    assert "task 1" not in text[-1]
    taken = ev.LatentsTaken(t=t + 2, cut="stage3", shape=(8,), dtype="float16", samples=10, bytes=160)
    header.show(state.apply(taken), name="er-latents")
    assert "latents of stage3" in gallery(header, ((140, 2),))
    assert "base stage" in gallery(header, ((50, 2),))


def test_an_axis_is_fitted_to_lines_that_are_no_tasks() -> None:
    """Test sets and classes have no task that they were learned in: all of their points count."""
    y = np.array([[0.2, 0.5, np.nan], [0.3, 0.6, 0.55]])
    x, mean = np.array([1.0, 2.0]), np.array([0.35, 0.48])
    curves = replace(
        accuracy_curves(state_of("five")),
        x=x,
        y=y,
        mean=mean,
        names=("a", "b", "c"),
        bounds=np.array([0.0, 1.0]),
        end=2.0,
    )
    chart = LineChart(title="accuracy per test set %", empty="nothing")
    chart.show(curves, fitted=True)
    text(chart, 80, 20)
    axis = chart._axis()
    assert axis.low <= 20
    assert 60 <= axis.high < 100
