"""Result files in the layout of Bilevel Continual Learning's and of GEM's published code, for scripts that read those.

Both: a line of accuracies before learning (in the former's: after the first task), a line `|`, the accuracy matrix a
row a line, an empty line, and metrics by name; all with four decimals. What was not measured stands as `nan`: a full
matrix needs `evaluate.future = true`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cllab import metrics
from cllab.errors import UsageError
from cllab.io.files import write_atomically

Layout = Literal["bcl", "gem"]


def bcl_text(result: Mapping[str, Any], layout: Layout = "bcl") -> str:
    """The file's text, from what `result.json` holds.

    Raises:
        UsageError: when no task was learned, or test sets stand apart from the tasks.
    """
    rows = [row for row in result["accuracy_matrix"] if any(v is not None for v in row)]
    if not rows:
        raise UsageError(f"run '{result.get('name', '')}' has no accuracies to export")
    if result.get("tests"):
        raise UsageError(
            f"run '{result.get('name', '')}' has test sets that stand apart from its tasks: this layout has one a task"
        )
    r = metrics.matrix(rows, len(rows[0]))[: len(rows), : len(rows)]
    known = result.get("baseline")
    untrained = (
        np.array([np.nan if v is None else v for v in known], float)[: len(r)] if known else np.full(len(r), np.nan)
    )
    fin, diagonal = float(np.mean(r[-1])), float(np.mean(np.diag(r)))
    if layout == "gem":
        named = {
            "Final Accuracy": fin,
            "Backward": metrics.backward_transfer_gem(r),
            "Forward": metrics.forward_transfer_gem(r, untrained),
        }
    else:
        named = {
            "Diagonal Accuracy": diagonal,
            "Final Accuracy": fin,
            "Backward": metrics.backward_transfer(r),
            "Forward": metrics.forward_transfer_bcl(r),
            "Forgetting Measure": metrics.forgetting_any_row(r),
            "LCA": 0.0,  # never computed there
        }
    first = untrained if layout == "gem" else r[0]
    lines = [_row(first), "|", *(_row(row) for row in r), "", *(f"{name}: {v:.4f}" for name, v in named.items())]
    return "\n".join(lines) + "\n"


def write_bcl_result(
    result: Mapping[str, Any], path: str | Path, *, layout: Layout = "bcl", when: float | None = None
) -> Path:
    """Write a result file; into a folder under the name that the published code would give it.

    Args:
        result: what `result.json` holds.
        path: a file, or a folder that exists.
        layout: whose.
        when: seconds since the epoch for the name; now by default.

    Returns:
        the file.

    Raises:
        UsageError: when there is nothing to write.
    """
    target = Path(path)
    text = bcl_text(result, layout)
    if target.is_dir():
        target = target / bcl_name(result, layout, when=when)
    write_atomically(target, text)
    return target


def bcl_name(result: Mapping[str, Any], layout: Layout = "bcl", *, when: float | None = None) -> str:
    """The name that the published code would give the file: method, in GEM's also data, time, something random."""
    stamp = time.strftime("%Y_%m_%d_%H_%M_%S", time.localtime(when))
    config = result["config"]
    model = str(config["method"]["name"]).replace("-", "_")
    if layout == "bcl":
        return f"{model}_{stamp}_{secrets.token_hex(4)}.txt"
    data = str(config["dataset"].get("file") or f"{config['dataset']['name']}_{config['scenario']['name']}")
    return f"{model}_{Path(data).name}_{stamp}_{secrets.token_hex(16)}.txt"


def _row(values: Sequence[float] | np.ndarray[Any, Any]) -> str:
    return " ".join(f"{v:.4f}" for v in values)
