"""Any prefix, any split, any damage of a log gives a state that can be drawn."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cllab.record import events as ev
from cllab.record.log import Tail
from cllab.record.state import RunState
from cllab.tui.feed import fold
from cllab.tui.player import EVERY, Timeline
from cllab.tui.view import accuracy_curves, class_names, forgetting_curves, number, seconds_left, task_of_class
from cllab.tui.widgets.composition import Composition
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.line_chart import LineChart
from cllab.tui.widgets.matrix import AccuracyMatrix
from cllab.tui.widgets.memory_bar import MemoryBar
from cllab.tui.widgets.rates import Rates
from cllab.tui.widgets.run_header import RunHeader
from tests.tui.recorded import records

LOG = [ev.to_line(e) for e in records(n_tasks=4, n_classes=8, steps=8, evaluations=2)]
BYTES = ("\n".join(LOG) + "\n").encode()


def draw_all(state: RunState, sizes: tuple[tuple[int, int], ...] = ((1, 1), (20, 4), (60, 14))) -> None:
    """Every chart of `state`; each row fits its pane."""
    curves = accuracy_curves(state)
    lines, lost = LineChart(title="a", empty="none"), LineChart(title="f", empty="none")
    lines.show(curves, focus_task=1)
    lost.show(forgetting_curves(curves))
    matrix, rates, header, bar = AccuracyMatrix(), Rates(), RunHeader(), MemoryBar()
    matrix.show(state)
    rates.show(state)
    header.show(state)
    by_class, by_task = Composition(), Composition()
    by_class.show(state)
    by_task.show(state, by="task", focus_task=0)
    strip = HeatStrip(title="c", empty="none")
    values = [number(v) for v in state.per_class]
    strip.show(class_names(state)[: len(values)], values, owners=task_of_class(state), top=1.0, percent=True)
    last = state.memory[-1] if len(state.memory) else None
    bar.show([last.task] if last else [], 0, last, state)
    seconds_left(state)
    for chart in (lines, lost, matrix, rates, header, by_class, by_task, strip, bar):
        for width, height in sizes:
            for row in chart.draw(width, height)[:height]:
                text = "".join(part for part, _ in row)
                assert "\n" not in text


def whole() -> RunState:
    return fold(RunState(), filter(None, map(ev.from_line, LOG)))


def test_every_prefix_can_be_drawn() -> None:
    state = RunState()
    draw_all(state)
    for line in LOG:
        event = ev.from_line(line)
        assert event is not None
        state = state.apply(event)
        draw_all(state, ((40, 10),))
    assert state == whole()


@pytest.mark.parametrize("seed", range(20))
def test_any_split_of_the_bytes_gives_the_same_state(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "events.jsonl"
    tail, state, at = Tail(path), RunState(), 0
    while at < len(BYTES):
        size = rng.choice((1, 7, 100, 5000)) + rng.randrange(50)
        with path.open("ab") as file:
            file.write(BYTES[at : at + size])
        at += size
        state = fold(state, tail.read(rng.choice((64, 1 << 18))))
    while events := tail.read():
        state = fold(state, events)
    assert state == whole()


@pytest.mark.parametrize("seed", range(10))
def test_any_prefix_of_the_bytes_is_read_up_to_the_torn_line(tmp_path: Path, seed: int) -> None:
    cut = random.Random(seed).randrange(len(BYTES))
    path = tmp_path / "events.jsonl"
    path.write_bytes(BYTES[:cut])
    state = fold(RunState(), Tail(path).read())
    assert state.n_events == BYTES[:cut].count(b"\n")
    draw_all(state)


def damaged(value: Any, rng: random.Random) -> Any:
    """Another value in the place of `value`, deep inside a record."""
    strange = (
        None,
        -1,
        0,
        10**12,
        1.5,
        -3.5,
        "text",
        "",
        [],
        [None],
        [[1, 2], [3]],
        {},
        {"a": "b"},
        True,
        [10**9],
        ["x"],
    )
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return {**value, key: damaged(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        i = rng.randrange(len(value))
        return [*value[:i], damaged(value[i], rng), *value[i + 1 :]] if rng.random() < 0.6 else value[:i]
    return rng.choice(strange)


@pytest.mark.parametrize("seed", range(60))
def test_a_log_edited_by_hand_never_crashes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines = list(LOG)
    for _ in range(rng.randrange(1, 12)):
        i = rng.choice((0, rng.randrange(len(lines))))
        kind = rng.random()
        if kind < 0.75:
            try:
                record = json.loads(lines[i])
            except ValueError:
                continue
            keys = [k for k in record if k not in ("kind", "v")] if isinstance(record, dict) else []
            if keys:
                key = rng.choice(keys)
                record[key] = damaged(record[key], rng)
                lines[i] = json.dumps(record)
        elif kind < 0.85:
            lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
        elif kind < 0.95:
            lines.insert(i, json.dumps({"v": 99, "kind": "FromTheFuture", "t": 1.0, "what": [1, 2]}))
        else:
            del lines[i]
    path = tmp_path / "events.jsonl"
    path.write_bytes(("\n".join(lines) + "\n").encode() + b'{"kind":"StepEn')
    events = Tail(path).read()
    draw_all(fold(RunState(), events))
    timeline = Timeline()
    timeline.add(events)
    for share in (0.0, 0.3, 1.0):
        draw_all(timeline.at(share * timeline.duration), ((30, 6),))


def test_garbage_is_no_record() -> None:
    for line in (
        b"",
        b"\xff\xfe",
        b"null",
        b"[1]",
        b'{"kind":"StepEnded"}',
        b'{"kind":7}',
        b"{" * 1000,
        b'"' + b"x" * 10**6,
    ):
        assert ev.from_line(line) is None


def test_a_timeline_gives_the_state_of_every_moment() -> None:
    events = [e for e in map(ev.from_line, LOG) if e is not None]
    timeline = Timeline()
    for i in range(0, len(events), 17):
        timeline.add(events[i : i + 17])
    assert len(events) > EVERY + 1
    for n in (0, 1, EVERY - 1, EVERY, EVERY + 1, len(events) - 1, len(events)):
        assert timeline.after(n) == fold(RunState(), events[:n]), n
    # backward after forward: states do not disturb one another
    assert timeline.after(5) == fold(RunState(), events[:5])
    assert timeline.state == whole()
    assert timeline.times == sorted(timeline.times)
    assert len(timeline.tasks) == len(timeline.ends) == 4
    assert timeline.at(timeline.ends[1]).tasks_done >= 2


def test_long_silences_are_played_short() -> None:
    timeline = Timeline()
    first = ev.TaskStarted(task=0, name="task 1", classes=[0], n_train=1, t=1000.0)
    timeline.add([first, ev.Warned(message="b", t=1001.0), ev.Warned(message="c", t=90000.0)])
    assert timeline.times == [0.0, 1.0, 3.0]
