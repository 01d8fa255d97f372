"""Traced steps: the pane as text, with awkward inputs; and in the Live screen, asked for while paused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from cllab.record import events as ev
from cllab.record.lock import RunLock
from cllab.record.runs import Run
from cllab.record.state import RunState, Series
from cllab.tui.feed import fold
from cllab.tui.glyphs import ASCII
from cllab.tui.screens.live import LiveScreen
from cllab.tui.theme import style
from cllab.tui.widgets.rates import Rates, levels
from cllab.tui.widgets.signed import signed_bars
from cllab.tui.widgets.trace_view import TraceView, as_pictures, numbered
from tests.tui.conftest import live_run
from tests.tui.recorded import make_run, picture, records
from tests.tui.stories import golden, make_app, press, shown, tell, until
from tests.tui.test_charts import gallery, text


def traced(step: int, file: str = "", **more: float | None) -> ev.Traced:
    scalars = {f"inner loss {k}": 2.0 / (k + step % 3) for k in range(1, 5)}
    scalars |= {"cosine": math.sin(step), "displacement": 0.01 * step, **more}
    return ev.Traced(task=1, step=step, method="bcl-dual", scalars=scalars, file=file)


def write_trace(path: Path, arrays: dict[str, np.ndarray], kinds: dict[str, str]) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez(path, kinds=np.array(json.dumps(kinds)), **arrays)


def with_arrays(folder: Path, step: int) -> ev.Traced:
    """A trace with everything that a method may publish."""
    name = f"traces/step_{step:07}.npz"
    arrays = {
        "validation batch": np.stack([picture(c, 3, channels=1, side=28) for c in range(6)]),
        "validation batch labels": np.arange(6, dtype=np.float32),
        "multipliers": np.array([0, 0.5, 2.0, 0], np.float32),
        "gradient": np.outer(np.arange(8), np.arange(12)).astype(np.float32),
        "weights": np.ones((2, 3, 4), np.float32),
    }
    kinds = {"validation batch": "pictures", "validation batch labels": "vector", "multipliers": "vector",
             "gradient": "matrix", "weights": "tensor"}  # fmt: skip
    write_trace(folder / name, arrays, kinds)
    return traced(step, name)


def test_numbered_names_are_one_row() -> None:
    names = ["loss 1", "loss 2", "loss 3", "cosine", "top 5", "replay1", "replay2"]
    assert numbered(names) == [
        ("loss", ["loss 1", "loss 2", "loss 3"]), ("cosine", ["cosine"]), ("top 5", ["top 5"]),
        ("replay1", ["replay1"]), ("replay2", ["replay2"]),
    ]  # fmt: skip


def test_the_pane_as_text(tmp_path: Path) -> None:
    view = TraceView()
    pictures = [gallery(view, ((36, 6),))]
    steps = Series([traced(10), traced(11), with_arrays(tmp_path, 12)])
    view.show(tmp_path, steps, [f"class {i}" for i in range(6)])
    pictures.append(gallery(view, ((24, 5), (36, 12), (66, 30), (72, 18), (100, 40))))
    golden("trace", "\n".join(pictures))
    assert view.border_subtitle == "3 of 3"
    assert view.border_title == "traced step 12"


def test_what_is_looked_at_has_a_sign_and_room_and_the_rest_steps_back(tmp_path: Path) -> None:
    view = TraceView()
    steps = Series([traced(10), with_arrays(tmp_path, 12)])
    names = [f"class {i}" for i in range(6)]
    view.show(tmp_path, steps, names, look=("inner loss", "gradient"))
    said = text(view, 66, 30).splitlines()
    signed = [line for line in said if "▸ " in line]
    assert len(signed) == 2
    assert "inner loss" in signed[0]
    assert "gradient: 8x12" in signed[1]
    colors = view.palette
    rows = {row[1][0].strip(): row for row in view.draw(66, 30) if len(row) > 2}
    looked, other = rows["inner loss 1→4"], rows["cosine"]
    assert looked[1][1] == style(colors.text, bold=True)
    assert other[1][1] == style(colors.dim(colors.muted))
    # where there is no room for all, there is for it; otherwise everything has its usual place
    plain = TraceView()
    plain.show(tmp_path, steps, names)
    with_it = [["gradient: 8x12" in text(v, 66, h) for h in range(6, 30)] for v in (plain, view)]
    assert all(b >= a for a, b in zip(*with_it, strict=True))
    assert sum(with_it[1]) > sum(with_it[0])
    assert "▸" not in text(plain, 66, 30)
    view.show(tmp_path, steps, names)
    assert text(view, 66, 30) == text(plain, 66, 30)
    # a number that would be among "and 3 more"
    many = TraceView()
    many.show(tmp_path, Series([traced(1, **{f"term {c}": 1.0 for c in "abcdefgh"})]), look=("term h",))
    said_small = text(many, 50, 5)
    assert "▸ term h" in said_small
    assert "more" in said_small


def bars_of(rows: list[list[Any]], name: str) -> list[Any]:
    """The parts of the bars in the row of a number, or in the row below the title of a vector."""
    at = next(y for y, row in enumerate(rows) if name in "".join(part for part, _ in row))
    line = [part for part in rows[at] if set(part[0]) & set("▁▂▃▄▅▆▇█")]
    return line or rows[at + 1]


def test_bars_of_neighboring_rows_do_not_fuse() -> None:
    """The highest bar leaves room below the row above, and in every row of loss and speed as well."""
    view = TraceView()
    view.show(Path(), Series([traced(k, flat=3.0) for k in range(1, 6)]))
    said = text(view, 60, 12)
    assert "▆" in said
    assert not set(said) & set("▇█")
    rates = Rates()
    rates.show(fold(RunState(), records(steps=30)))
    assert not set(text(rates, 60, 3)) & set("▇█")


def test_what_is_zero_all_the_time_is_drawn_at_zero() -> None:
    view = TraceView()
    view.show(Path(), Series([traced(k, violated=0.0, other=2.0) for k in range(1, 5)]))
    rows = view.draw(60, 14)
    assert {c for part, _ in bars_of(rows, "violated") for c in part.strip()} == {"▁"}
    assert {c for part, _ in bars_of(rows, "other") for c in part.strip()} == {"▆"}
    # where the lowest is not zero by nature, what does not vary is in the middle
    assert levels([5.0] * 4, 4, "abc") == "bbbb"
    assert levels([0.0] * 4, 4, "abc", low=0.0) == "aaaa"


def test_below_zero_hangs_from_the_line_of_zero() -> None:
    view = TraceView()
    view.show(Path(), Series([traced(k, product=(-1.0) ** k * k) for k in range(1, 5)]))
    colors = view.palette
    signed = [(part, ink) for part, ink in bars_of(view.draw(70, 14), "product") if part.strip()]
    is_below = [ink.bgcolor is not None and ink.bgcolor.triplet == colors.lost for _, ink in signed]
    assert is_below == [True, False, True, False]
    # -1 hangs a little, -3 far; 2 stands lower than 4
    assert [part[0] for part, _ in signed] == ["▆", "▃", "▃", "▆"]
    plain = signed_bars([1.0, -0.1, -1.0, math.nan], [style()] * 4, ASCII, colors)
    assert "".join(part for part, _ in plain[0]) == "#'\" "


def gem(task: int, folder: Path, **arrays: list[float]) -> ev.Traced:
    path = folder / "traces" / "step_1.npz"
    path.parent.mkdir()
    found = {name.replace("_", " "): np.array(v, np.float32) for name, v in arrays.items()}
    np.savez(path, kinds=np.array(json.dumps(dict.fromkeys(found, "vector"))), **found)  # type: ignore[arg-type]
    return ev.Traced(task=task, step=7, method="gem", scalars={"violated constraints": 2.0}, file="traces/step_1.npz")


def test_products_of_gem_stand_over_their_tasks_and_around_zero(tmp_path: Path) -> None:
    view = TraceView()
    products = [1.0, -0.5, 0.25, 0.0, -1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0]
    record = gem(11, tmp_path, inner_products=products, multipliers=[0.0] * 11)
    view.show(tmp_path, Series([record]))
    lines = [line.rstrip() for line in text(view, 60, 16).splitlines()]
    rows = view.draw(60, 16)
    at = next(y for y, line in enumerate(lines) if line.startswith("inner products"))
    assert lines[at] == "inner products, tasks 1→11: -1 to 1"
    up, down, names = rows[at + 1 : at + 4]
    cells = [part for part, _ in up if part.strip()]
    assert len(cells) == 11
    grid = style(view.palette.grid)
    # the line of zero is below what is above it, and above what is below it
    assert [ink == grid for part, ink in up if part.strip()] == [v <= 0 for v in products]
    assert sum(ink.bgcolor is not None for _, ink in down) == 2
    # each task is named under its bar
    numbers = "".join(part for part, _ in names)
    bars = "".join(part for part, _ in up)
    for task in range(1, 12):
        start = 4 * (task - 1)
        assert numbers[start : start + 4].strip() == str(task)
        assert bars[start].strip()
    assert "multipliers, tasks 1→11: 0 to 0" in lines
    assert {c for part, _ in bars_of(rows, "multipliers") for c in part.strip()} == {"▁"}
    # without room the bars stay, in one row
    small = text(view, 60, 8).splitlines()
    assert any(line.startswith("inner products, tasks") for line in small)
    # another length is no number a task
    other = TraceView()
    (tmp_path / "other").mkdir()
    other.show(tmp_path / "other", Series([gem(3, tmp_path / "other", inner_products=[1.0] * 5, steps=[1.0] * 3)]))
    said = text(other, 60, 16)
    assert "inner products: 5 values" in said
    assert "steps: 3 values" in said


def test_left_and_right_go_through_the_steps_and_the_newest_follows(tmp_path: Path) -> None:
    view = TraceView()
    view.post_message = lambda message: True  # type: ignore[method-assign,assignment]
    steps: Series[ev.Traced] = Series([traced(i) for i in range(5)])
    view.show(tmp_path, steps)
    assert view.index == 4
    view.action_step(1)
    assert view.index == 4
    for _ in range(9):
        view.action_step(-1)
    assert view.index == 0
    assert "step 0" in text(view, 60, 12)
    steps = steps.append(traced(5))
    view.show(tmp_path, steps)
    assert view.index == 0
    view.action_step(9)
    view.show(tmp_path, steps.append(traced(6)))
    assert view.index == 6


@pytest.mark.parametrize("file", ["traces/step_0000001.npz", "/etc/passwd", "../elsewhere.npz", "traces/torn.npz"])
def test_a_file_that_cannot_be_read_is_named_and_nothing_else_is_opened(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "run"
    (folder / "traces").mkdir(parents=True)
    (folder / "traces" / "torn.npz").write_bytes(b"PK\x03\x04half")
    write_trace(tmp_path / "elsewhere.npz", {"secret": np.ones(3, np.float32)}, {"secret": "vector"})
    view = TraceView()
    view.show(folder, Series([traced(1, file)]))
    said = text(view, 70, 14)
    assert "cannot be read" in said
    assert "secret" not in said
    assert "inner loss" in said


def test_strange_numbers_are_drawn(tmp_path: Path) -> None:
    view = TraceView()
    many = {f"term {chr(97 + i)}": float(i) for i in range(40)}
    view.show(tmp_path, Series([traced(1, nothing=None, tiny=1e-7, huge=-3.2e12, **many), traced(2, nothing=None)]))
    for size in ((20, 3), (40, 10), (80, 24)):
        text(view, *size)
    view.at = 0
    view._load()
    said = text(view, 80, 14)
    assert "and 2" in said or "more" in said
    assert "1.0e-07" in text(view, 80, 60)
    empty = TraceView()
    empty.show(tmp_path, Series([ev.Traced(task=0, step=0, method="x", scalars={})]))
    assert "x" in text(empty, 40, 12)


def test_pictures_of_any_range() -> None:
    gray = np.arange(2 * 64).reshape(2, 1, 8, 8).astype(np.uint8)
    first, _ = as_pictures(gray)
    assert (first == np.repeat(gray[0, 0][..., None], 3, 2)).all()
    lowest, highest = as_pictures(np.array([[[[-1.0]]], [[[3.0]]]]))
    assert (lowest.ravel().tolist(), highest.ravel().tolist()) == ([0, 0, 0], [255, 255, 255])


def traced_run(folder: Path) -> Run:
    run = make_run(folder, n_tasks=3, n_classes=6, steps=6, evaluations=1, pictures=0)
    *lines, last = run.events_path.read_text().splitlines()
    for step in (10, 20, 30):
        lines.append(ev.to_line(with_arrays(run.folder, step)))
    run.events_path.write_text("\n".join([*lines, last]) + "\n")
    return run


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 45)], ids=str)
def test_a_finished_run_shows_its_traces(tmp_path: Path, size: tuple[int, int]) -> None:
    run = traced_run(tmp_path / "20261120-101112-bcl-s1")
    for mode in ("live", "replay"):
        app = make_app(run, mode=mode)

        async def act(pilot: Pilot[Any], app: Any = app, mode: str = mode) -> None:
            await until(pilot, lambda: app.feed is not None and app.feed.state.n_events)
            if mode == "replay":
                await until(pilot, lambda: app.feed.loaded)
                await press(pilot, "end")
            await until(pilot, lambda: len(app.feed.state.traces) == 3, "the traces")
            screen = app.screen
            assert isinstance(screen, LiveScreen)
            for _ in range(9):
                if screen.current == "trace":
                    break
                await press(pilot, "tab")
            view = screen.query_one(TraceView)
            await until(pilot, lambda: screen.focused is view)
            said = shown(app)
            assert "traced step 30" in said
            assert "inner loss 1→4" in said
            await press(pilot, "left")
            assert "traced step 20" in shown(app)
            # it shares its place with the speed
            assert screen.query_one("#rates").display is False
            if size[0] >= 100:
                await press(pilot, "T")
                assert screen.query_one("#rates").display
                assert not view.display
            # nothing trains: there is nothing to trace
            assert "t Trace" not in shown(app)

        tell(app, act, size)


def test_a_run_without_traces_has_no_such_pane(finished: Run) -> None:
    app = make_app(finished)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed and app.feed.state.is_over)
        assert not app.screen.query_one(TraceView).display
        await press(pilot, "z")
        assert "trace" not in shown(app).splitlines()[2]

    tell(app, act)


def test_t_traces_a_step_while_paused(tmp_path: Path) -> None:
    run = live_run(tmp_path / "20261120-101112-bcl-s1")
    run.events_path.write_text("".join(ev.to_line(e) + "\n" for e in records(until_task=1, finished=False, pictures=0)))
    lock = RunLock(run.lock_path)
    app = make_app(run, rate=50.0)

    async def act(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.feed.state.n_events > 10 and app.feed.is_training)
        # greyed out while it trains, and the key says why
        bindings = {a.binding.action: a.enabled for a in app.screen.active_bindings.values()}
        assert bindings["trace"] is False
        await press(pilot, "t")
        assert not run.control_path.exists()
        await until(pilot, lambda: "pause first" in " ".join(shown(app).split()), "the reason")

        def write(*events: ev.Event) -> None:
            with run.events_path.open("a") as file:
                file.writelines(ev.to_line(e) + "\n" for e in events)

        write(ev.Paused(task=1, step=600))
        await until(pilot, lambda: app.feed.state.status == "paused")
        await press(pilot, "t")
        assert run.control_path.read_text().split()[-2:] == ["trace", "1"]
        assert "tracing" in shown(app)
        write(ev.Resumed(task=1, step=600), with_arrays(run.folder, 601), ev.Paused(task=1, step=601))
        await until(pilot, lambda: app.screen.query_one(TraceView).display, "the pane")
        said = shown(app)
        assert "traced step 601" in said
        assert "‖ paused" in said
        assert "tracing" not in said.splitlines()[0]
        # the next one is shown as it comes
        await press(pilot, "t")
        write(ev.Resumed(task=1, step=601), traced(602), ev.Paused(task=1, step=602))
        await until(pilot, lambda: "traced step 602" in shown(app), "the second trace")

    tell(app, act)
    lock.release()
