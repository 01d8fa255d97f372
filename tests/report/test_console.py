"""The headless view: one line per task, a picture on a terminal, and records on a pipe that may close."""

from __future__ import annotations

import io
import json
import os

import pytest

from cllab.io.output import Paper
from cllab.record import events as ev
from cllab.report import console
from cllab.report.console import JsonLines, Lines, Nothing, Picture
from tests.recorded import SEEN, TRIANGLE, config, records


def told(view: type[Lines], limit: int | None = None) -> list[str]:
    lines: list[str] = []
    looks = view(lines.append, Paper(80), limit)
    for event in records(config(), "run", TRIANGLE, SEEN, status="done"):
        looks(event)
    return lines


def test_a_pipe_gets_a_line_per_task() -> None:
    lines = told(Lines)
    assert lines[0] == "er-blobs, seed 1 · er on blobs · disjoint, 3 tasks · mlp · memory reservoir 60 · cpu"
    assert lines[1:-1] == [
        "task 1/3  all seen  90.0 %  1.3 s  this task 90.0  memory 30/60",
        "task 2/3  all seen  70.0 %  1.3 s  tasks 60.0 80.0  forgetting 30.0 points  memory 60/60",
        "task 3/3  all seen  65.0 %  1.3 s  tasks 30.0 70.0 95.0  forgetting 35.0 points  memory 60/60",
    ]
    assert lines[-1] == "done in 4.0 s"


def test_on_a_terminal_lines_keep_to_its_width() -> None:
    lines = [part for line in told(Lines, 60) for part in line.splitlines()]
    assert max(map(len, lines)) <= 70
    assert lines[4].endswith("tasks 30.0 70.0 95.0")


TRACED = ev.Traced(
    task=1,
    step=29,
    method="bcl-dual",
    scalars={
        "iteration 1: inner loss 1": 0.87461,
        "iteration 1: displacement": None,
        "iteration 2: inner loss 1": 1e-7,
    },
    file="traces/step_0000029.npz",
)


def test_a_traced_step_is_one_line() -> None:
    lines: list[str] = []
    Lines(lines.append, Paper())(TRACED)
    assert lines == [
        "step 29, task 2  iteration 1: inner loss 1 0.8746  displacement not a number  "
        "iteration 2: inner loss 1 1e-07  traces/step_0000029.npz"
    ]
    Lines(lines.append, Paper(80), 60)(TRACED)
    assert lines[1] == "step 29, task 2  iteration 1: inner loss 1 0.8746 ..."
    Nothing(lines.append, Paper())(TRACED)
    assert len(lines) == 2


def test_quiet_tells_only_what_went_wrong() -> None:
    assert told(Nothing) == []
    lines: list[str] = []
    looks = Nothing(lines.append, Paper())
    looks(ev.Warned(message="odd"))
    looks(ev.RunEnded(status="failed", reason="the loss is not a number"))
    assert lines == ["warning: odd", "failed: the loss is not a number"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_picture_is_repainted_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "REPAINTS", 1e9)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    with Picture(screen, Paper(80)) as looks:
        for event in records(config(), "run", TRIANGLE, SEEN, status="done"):
            looks(event)
            if isinstance(event, ev.StepEnded) and event.step == 50:
                seen = screen.getvalue()
    assert "task 3/3" in seen
    assert "reading the stream" in seen
    assert "1:60  2:80" in seen
    assert "cross-entropy 0.040" in seen
    # the picture is gone, the cursor is back
    end = screen.getvalue().rpartition("done in 4.0 s")[2]
    assert end.rstrip("\r\n").endswith("\x1b[?25h") or "\x1b[?25h" in end
    assert end.count("\x1b[2K") >= 5


def test_repaints_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    painted: list[float] = []
    with Picture(screen, Paper(80)) as looks:
        monkeypatch.setattr(looks, "_draw", lambda elapsed: painted.append(elapsed) or "")
        for event in list(records(config(), "run", TRIANGLE, SEEN, status="done"))[:-1] * 20:
            looks(event)
    # every start of a run, and otherwise at most one every fifth of a second
    assert 20 <= len(painted) <= 21 + 5 * painted[-1]


def test_json_goes_on_when_the_reader_is_gone() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        out = JsonLines(stream)
        out(ev.Warned(message="heard"))
        assert json.loads(os.read(reader, 1000))["message"] == "heard"
        os.close(reader)
        for _ in range(3):
            out(ev.Warned(message="not heard"))
