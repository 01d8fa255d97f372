"""What is needed to show a run and is no setting: its components and metrics as data, stored when the run is made.

A run may use a method that only its maker has, in a file or in a package, and that file may hold anything. Reading a
run never imports or runs it: what a reader needs to know of it lies in the folder as `described.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cllab.io import files
from cllab.settings.spec import ComponentSpec
from cllab.text import cleaned

FORMAT = 1
_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class Described:
    """What a run folder says of its components and metrics.

    Attributes:
        components: dataset, scenario, model, memory and method, as the catalogue of that time had them.
        titles: what the metrics of that time are called, by name.
    """

    components: tuple[ComponentSpec, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)


def text(components: tuple[ComponentSpec, ...]) -> str:
    """The content of `described.json`."""
    from cllab.metrics import METRICS  # NumPy, which a reader does not need

    data = {
        "format": FORMAT,
        "components": [component.to_dict() for component in components],
        "metrics": {name: dict(vars(metric)) for name, metric in METRICS.items()},
    }
    return json.dumps(data, ensure_ascii=False) + "\n"


def read(path: Path) -> Described:
    """What `path` describes; nothing where it is missing, as in the folders of older versions, or out of shape."""
    try:
        data = json.loads(files.read_bytes(path, _MOST_BYTES))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return Described()
        components = tuple(ComponentSpec.from_dict(item) for item in data["components"])
        titles = {str(k): str(v["title"]) for k, v in cleaned(data["metrics"]).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Described()
    return Described(components, titles)
