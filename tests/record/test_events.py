"""Records: one line of JSON each, read back as they were, whatever a line may hold."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest

from cllab.record import events as ev

SAMPLES: dict[str, Any] = {
    "str": 'a "word" with \u2028, é and \\n',
    "int": 7,
    "float": 2.5,
    "bool": True,
    "Floats": (0.5, None, 1.0),
    "tuple[str, ...]": ("one", "two"),
    "tuple[int, ...]": (1, 2),
    "tuple[tuple[int, ...], ...]": ((1, 2), (3, 4)),
    "tuple[dict[str, Any], ...]": ({"name": "task 1", "classes": (0, 1)},),
    "dict[str, str]": {"torch": "2"},
    "dict[str, int]": {"images": 784},
    "dict[str, float]": {"train": 1.5},
    "dict[str, float | None]": {"loss": 0.25, "other": None},
    "float | None": 0.75,
}


def sample(kind: type[ev.Event]) -> ev.Event:
    return kind(**{f.name: SAMPLES[str(f.type)] for f in dataclasses.fields(kind)})


def lists(value: Any) -> Any:
    """Tuples inside of mappings come back as lists."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("kind", list(ev.KINDS.values()), ids=list(ev.KINDS))
def test_every_kind_survives_its_line(kind: type[ev.Event]) -> None:
    event = sample(kind)
    line = ev.to_line(event)
    assert "\n" not in line
    assert list(json.loads(line))[:2] == ["v", "kind"]
    back = ev.from_line(line)
    assert type(back) is kind
    assert lists(ev.to_dict(back)) == lists(ev.to_dict(event))
    assert ev.from_line(line.encode()) == back


def test_numbers_that_are_not_finite_are_null() -> None:
    event = ev.StepEnded(
        task=0,
        phase="stream",
        step=1,
        phase_step=1,
        phase_steps=2,
        epoch=0,
        samples=3,
        losses={"a": float("nan"), "b": float("inf")},
        lr=0.1,
    )
    line = ev.to_line(event)
    assert "NaN" not in line
    assert "Infinity" not in line
    back = ev.from_line(line)
    assert isinstance(back, ev.StepEnded)
    assert back.losses == {"a": None, "b": None}


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "null", "[]", "3", '"text"', "{}", '{"kind":"Unheard"}', '{"kind":"TaskEnded"}',
        '{"kind":"TaskEnded","task":"one","seconds":{}}', '{"kind":"TaskEnded","task":1,"seconds":[]}',
        '{"kind":"TaskEnded","task":true,"seconds":{}}', '{"kind":"TaskEnded","task":1,"seconds":{"a":"b"}}',
        '{"kind":"Evaluated","task":0,"moment":"task","step":0,"samples":0,"tasks":["x"],"seen":null}',
        '{"kind":"Evaluated","task":0,"moment":"task","step":0,"samples":0,"tasks":[1],"seen":"y"}',
        '{"kind":"TaskEnded","task":1,"seconds":{}', b"\xff\xfe", '{"kind":["TaskEnded"]}',
    ],
)  # fmt: skip
def test_torn_foreign_and_misshapen_lines_are_no_records(line: str | bytes) -> None:
    assert ev.from_line(line) is None


def test_a_newer_writers_extra_fields_are_ignored() -> None:
    event = ev.from_line('{"v":2,"kind":"TaskEnded","t":1.0,"task":1,"seconds":{},"mood":"good"}')
    assert event == ev.TaskEnded(t=1.0, task=1, seconds={})


def test_every_prefix_of_a_line_is_torn() -> None:
    line = ev.to_line(sample(ev.MemoryUpdated))
    assert all(ev.from_line(line[:n]) is None for n in range(len(line)))


def test_without_times_nothing_depends_on_clock_or_machine() -> None:
    a = ev.StepEnded(
        t=1.0, task=0, phase="x", step=1, phase_step=1, phase_steps=2, epoch=0, samples=3, losses={}, lr=0.1,
        images_per_second=5.0, device_bytes=10,
    )  # fmt: skip
    b = dataclasses.replace(a, t=2.0, images_per_second=6.0, device_bytes=0)
    assert ev.without_times(a) == ev.without_times(b)
    assert ev.without_times(dataclasses.replace(a, lr=0.2)) != ev.without_times(a)
    end = ev.RunEnded(status="done", metrics={"last_accuracy": 0.5, "seconds_total": 3.0}, seconds={"total": 3.0})
    assert ev.without_times(end)["metrics"] == {"last_accuracy": 0.5}


def test_every_field_of_every_record_is_checked_when_it_is_read() -> None:
    hints = {str(f.type) for kind in ev.KINDS.values() for f in dataclasses.fields(kind)}
    assert hints <= set(SAMPLES), "a new type of field needs a check in events._well_formed"
    for kind in ev.KINDS.values():
        whole = json.loads(ev.to_line(sample(kind)))
        for name in typing.get_type_hints(kind):
            broken = {**whole, name: {"wrong": ["shape"]}}
            assert ev.from_line(json.dumps(broken)) is None, f"{kind.__name__}.{name}"
