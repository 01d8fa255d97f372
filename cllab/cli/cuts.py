"""cllab cuts: where a network can be cut into a front and what learns, and what each cut costs."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from cllab.cli.options import Json, Sets
from cllab.errors import UsageError, nearest

_SHAPE, _CLASSES = (3, 32, 32), 10
"""Of a dataset that decides both itself."""


def cuts(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model, as in: cllab list models.", show_default=False)
    ],
    cut: Annotated[str, typer.Argument(metavar="[CUT]", help="One cut alone.", show_default=False)] = "",
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="Whose images and classes it is built for.")
    ] = "cifar100",
    size: Annotated[
        int, typer.Option("--size", metavar="N", help="Side of the images, as model.size.", min=0, show_default=False)
    ] = 0,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Show where a network can be cut, and what each cut costs."""
    from cllab.settings.catalog import load
    from cllab.settings.config import RunConfig

    catalog = load()
    tables = {"method": {"name": "finetune"}, "dataset": {"name": dataset}, "model": {"name": model, "size": size}}
    catalog.get("model", model)
    facts = catalog.get("dataset", dataset).facts
    config = RunConfig.from_dict(tables, catalog, checked=False).override(sets or (), catalog)
    from cllab.settings.fronts import cuts_of

    names = cuts_of(catalog.get("model", model).facts, config.model.values)
    if cut and cut not in names:
        known = f"it can be cut behind {', '.join(names)}" if names else "it cannot be cut"
        raise UsageError(f"cuts: '{model}' has no part '{cut}'; {known}{nearest(cut, names)}")
    shape, n_classes = tuple(facts.get("shape") or _SHAPE), facts.get("n_classes") or _CLASSES
    from cllab.engine import cuts as heavy

    found = heavy.of_config(config, shape, n_classes)
    rows = [row for row in found if not cut or row.name == cut]
    if as_json:
        print(json.dumps([{**vars(row), "name": row.name or "images"} for row in rows]))
        return
    from cllab.io.output import Paper, table
    from cllab.io.output import size as told

    paper = Paper.of(sys.stdout)
    whole = found[0].above
    cells = [
        [
            row.name or "(images)",
            "x".join(map(str, row.shape)),
            *(told(row.bytes(each)) for each in (4, 2, 1)),
            _millions(row.below),
            _millions(row.above),
            f"{100 * row.below / max(1, whole):.0f} %",
            f"{row.weights:,}",
        ]
        for row in rows
    ]
    heads = [
        "cut behind",
        "shape",
        "float32",
        "float16",
        "uint8",
        "MACs below",
        "above",
        "below",
        "weights above",
    ]
    print(table(heads, cells, right=range(2, 9), width=paper.width if sys.stdout.isatty() else None, paper=paper))
    c, h, w = found[0].shape
    print(
        f"\nOne sample of {c}x{h}x{w}, {n_classes} classes; MACs in millions. The cut is a setting: "
        f"--set model.cut={cut or names[-1] if names else ''} --set model.front=frozen",
        file=sys.stderr,
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f}" if count < 1e8 else f"{count / 1e6:,.1f}"
