"""Runs as files for other programs: one table of formats, for the command line and the app.

CSV, JSON, TensorBoard and Rainbow Memory's NPY are made here; Markdown in `report`, pictures in `drawing`, the layouts
of Bilevel Continual Learning and GEM in `export_bcl`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cllab.errors import UsageError
from cllab.io.files import write_atomically
from cllab.record import events as ev
from cllab.record.outcome import Outcome, read
from cllab.record.runs import Run
from cllab.report.export_bcl import Layout, bcl_name, bcl_text
from cllab.text import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TRANSFORMS = {"autoaugment": "autoaug", "randaugment": "randaug"}
"""Names that Rainbow Memory's file names have for augmentations; the others are the same."""


Contents = dict[str, str | bytes]
"""What is written, by what stands before the suffix in a file's name: "" for the first file."""


@dataclass(frozen=True)
class Format:
    """A way of writing a run.

    Attributes:
        help: what it is, in a few words.
        contents: makes the files' contents; None for a folder that is written as a whole (TensorBoard).
        name: the first file's name where another program has rules for it; None for the run's own with `suffix`.
        partial: whether a run without an evaluated task can be written.
    """

    help: str
    suffix: str
    contents: Callable[[Outcome], Contents] | None
    name: Callable[[Outcome], str] | None = None
    partial: bool = False


def _json(outcome: Outcome) -> Contents:
    return {"": json.dumps(data(outcome), indent=1, ensure_ascii=False) + "\n"}


def _markdown(outcome: Outcome) -> Contents:
    from cllab.report.tables import run_markdown

    return {"": run_markdown(outcome)}


def _svg(outcome: Outcome) -> Contents:
    from cllab.report import drawing

    return {"": drawing.svg(outcome)}


def _png(outcome: Outcome) -> Contents:
    from cllab.report import drawing

    return {"": drawing.png(outcome)}


def _layout(outcome: Outcome, layout: Layout) -> Contents:
    # the accuracies before learning are in the result only
    baseline = (outcome.run.result() or {}).get("baseline")
    return {"": bcl_text({**data(outcome), "baseline": baseline}, layout)}


FORMATS: dict[str, Format] = {
    "csv": Format("accuracy matrix, per-class accuracy, stream curve", ".csv", lambda o: dict(csv_tables(o))),
    "md": Format("a page of Markdown", ".md", _markdown),
    "json": Format("the whole result", ".json", _json, partial=True),
    "svg": Format("a picture that scales", ".svg", _svg),
    "png": Format("a picture in pixels", ".png", _png),
    "tensorboard": Format("a folder of scalars for TensorBoard", "", None, partial=True),
    "npy": Format("as Rainbow Memory writes it", ".npy", lambda o: {"": npy_bytes(o)}, lambda o: npy_name(o)),
    "bcl": Format(
        "as Bilevel Continual Learning writes it", ".txt", lambda o: _layout(o, "bcl"), lambda o: bcl_name(data(o))
    ),
    "gem": Format("as GEM writes it", ".txt", lambda o: _layout(o, "gem"), lambda o: bcl_name(data(o), "gem")),
}


def contents(outcome: Outcome, form: str) -> tuple[str, Contents]:
    """The first file's name, and what is written.

    Raises:
        UsageError: when the run holds nothing to write yet.
    """
    chosen = FORMATS[form]
    assert chosen.contents is not None
    if not outcome.matrix and not chosen.partial:
        raise UsageError(f"{form}: run '{outcome.run.id}' has no evaluated task yet; it is {outcome.status}")
    name = chosen.name(outcome) if chosen.name else f"{outcome.run.id}{chosen.suffix}"
    return name, chosen.contents(outcome)


def write_all(found: Contents, path: Path) -> list[Path]:
    """Write each content, its key put before the suffix of `path`; returns the files.

    Raises:
        OSError: when one cannot be written.
    """
    paths = []
    for part, content in found.items():
        paths.append(path.with_name(f"{path.stem}-{part}{path.suffix}") if part else path)
        write_atomically(paths[-1], content)
    return paths


def write(run: Run, form: str, folder: Path) -> list[Path]:
    """Write `run` into `folder` in a format; returns the files.

    Raises:
        UsageError: when there is nothing to write yet, or an extra is missing.
        OSError: when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if FORMATS[form].contents is None:
        target = folder / f"{run.id}-{form}"
        tensorboard(run, target)
        return [target]
    name, found = contents(read(run), form)
    return write_all(found, folder / name)


def data(outcome: Outcome) -> dict[str, Any]:
    """A run as `result.json` holds it, also one that has none yet."""
    rows = [list(row) for row in outcome.matrix]
    rows += [[None] * len(outcome.columns) for _ in range(outcome.n_tasks - len(rows))]
    plain: dict[str, Any] = ev.plain(
        {
            "name": outcome.name,
            "status": outcome.status,
            "reason": outcome.reason,
            "seed": outcome.seed,
            "signature": outcome.signature,
            "config": outcome.config,
            "accuracy_matrix": rows,
            **({"tests": [{"name": name} for name in outcome.tests]} if outcome.tests else {}),
            "seen_accuracy": outcome.seen,
            "metrics": outcome.metrics,
            "per_class_accuracy": outcome.per_class,
            "class_names": outcome.class_names,
            "stream": outcome.stream,
            "seconds": outcome.seconds,
            "memory": outcome.memory,
            "device": outcome.device,
            "steps": outcome.steps,
            "gradient_steps": outcome.gradient_steps,
            "versions": outcome.versions,
        }
    )
    return plain


def csv_tables(outcome: Outcome) -> dict[str, str]:
    """CSV texts by name: the accuracy matrix (""), "per-class" and, of an online run that was watched, "stream"."""
    head = ["after_task", *(name.replace(" ", "_") for name in outcome.columns), "seen"]
    rows = [[i + 1, *row, outcome.seen[i] if i < len(outcome.seen) else None] for i, row in enumerate(outcome.matrix)]
    tables = {"": _csv(head, rows)}
    if outcome.per_class:
        names = outcome.class_names or tuple(map(str, range(len(outcome.per_class))))
        listed = [[k, name, v] for k, (name, v) in enumerate(zip(names, outcome.per_class, strict=False))]
        tables["per-class"] = _csv(["label", "class", "accuracy"], listed)
    if outcome.stream:
        tables["stream"] = _csv(["samples", "accuracy"], [list(point) for point in outcome.stream])
    return tables


def _csv(head: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if v is None else v for v in row] for row in rows])
    return text.getvalue()


def npy_name(outcome: Outcome) -> str:
    """What Rainbow Memory calls the file: `<mode>_<policy>_<stream>_msz<K>_rnd<seed>[_<transform>...].npy`."""
    stream = outcome.value("scenario.stream") or "offline"
    augment = outcome.value("train.augment") or ()
    parts = [
        outcome.name_of("method"),
        outcome.name_of("memory"),
        str(stream),
        f"msz{outcome.value('memory.capacity') or 0}",
        f"rnd{outcome.seed}",
        *(_TRANSFORMS.get(name, name) for name in augment),
    ]
    return "_".join(parts) + ".npy"


def npy_array(outcome: Outcome) -> NDArray[np.float64]:
    """What Rainbow Memory writes: (E,) accuracies over the classes seen so far, one per task."""
    import numpy as np

    return np.array([math.nan if v is None else v for v in outcome.seen], dtype=np.float64)


def npy_bytes(outcome: Outcome) -> bytes:
    """The array as a .npy file."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, npy_array(outcome))
    return out.getvalue()


def tensorboard(run: Run, folder: Path) -> int:
    """Write the run's records as TensorBoard scalars; returns how many. Needs no torch.

    Raises:
        UsageError: without the extra `tensorboard`.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise UsageError("--tensorboard needs TensorBoard: pip install 'cllab[tensorboard]'") from None
    writer = EventFileWriter(str(folder))
    n = 0
    try:
        for time, step, tag, value in scalars(run):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(wall_time=time, step=step, summary=summary))
            n += 1
    finally:
        writer.close()
    return n


def scalars(run: Run) -> Iterator[tuple[float, int, str, float]]:
    """(time, optimizer step, tag, value) of everything in a run's records that is a curve."""
    tasks: list[str] = []
    step = 0
    for event in run.events():
        found: dict[str, float | None] = {}
        if isinstance(event, ev.RunStarted):
            digits = len(str(len(event.tasks)))
            tasks = [f"task_{j + 1:0{digits}}" for j in range(len(event.tasks))]
            if event.tests:
                tasks = [clean(str(test.get("name", j + 1))) for j, test in enumerate(event.tests)]
        elif isinstance(event, ev.StepEnded):
            step = event.step
            found = {f"loss/{name}": value for name, value in event.losses.items()}
            found["train/lr"] = event.lr
            found["train/images_per_second"] = event.images_per_second or None
            found["train/task"] = event.task + 1
        elif isinstance(event, ev.Evaluated) and event.task >= 0:
            step = max(step, event.step)
            place = "accuracy" if event.moment == "task" else f"accuracy_{event.moment}"
            names = tasks or [f"task_{j + 1:0{len(str(len(event.tasks)))}}" for j in range(len(event.tasks))]
            found = {f"{place}/{name}": value for name, value in zip(names, event.tasks, strict=False)}
            found[f"{place}/seen"] = event.seen
        elif isinstance(event, ev.MemoryUpdated):
            found = {"memory/samples": float(event.samples), "memory/bytes": float(sum(event.bytes.values()))}
        elif isinstance(event, ev.RunEnded):
            found = {f"result/{name}": value for name, value in event.metrics.items()}
        for tag, value in found.items():
            if value is not None:
                yield event.t, step, tag, float(value)
