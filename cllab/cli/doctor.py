"""cllab doctor: what of this machine cllab will meet, and what to do about what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from cllab.cli.options import Json, Runs
from cllab.errors import EXIT_DONE, EXIT_FAILED

_PROBE = """
import json, sys
out = {}
def attempt(name, look):
    try:
        out[name] = look()
    except BaseException as error:
        out[name] = {"error": f"{type(error).__name__}: {error}"}
def torch():
    import torch
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"version": torch.__version__, "cuda": torch.version.cuda, "devices": devices}
def version(name):
    def look():
        return {"version": getattr(__import__(name), "__version__", "")}
    return look
attempt("torch", torch)
for name in ("torchvision", "faiss", "sklearn"):
    attempt(name, version(name))
print(json.dumps(out))
"""


@dataclass(frozen=True)
class Check:
    """One line: `state` is ok, note or wrong."""

    name: str
    state: str
    text: str


def doctor(as_json: Json = False, runs: Runs = None) -> None:
    """Check torch, the GPU, the terminal and the folders."""
    found = list(checks(runs))
    if as_json:
        print(json.dumps([vars(check) for check in found]))
    else:
        from cllab.io.output import Paper, table

        paper = Paper.of(sys.stdout)
        marks = {"ok": paper.style("ok", "32"), "note": paper.style("note", "33"), "wrong": paper.style("WRONG", "31")}
        print(table((), [[marks[c.state], c.name, c.text] for c in found], width=paper.width))
    raise typer.Exit(EXIT_FAILED if any(c.state == "wrong" for c in found) else EXIT_DONE)


def checks(runs: str | None) -> Iterator[Check]:
    """Every check in turn; the libraries are imported in a process of their own."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", "ok" if sys.version_info >= (3, 11) else "wrong", f"{version}, {sys.executable}")
    yield from libraries(probe())
    yield from _terminal()
    yield from _folders(runs)


def probe() -> dict[str, Any]:
    """What importing the heavy libraries says."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return {"torch": {"error": f"the import ended without a word ({type(error).__name__})"}}
    return found if isinstance(found, dict) else {}


def libraries(found: dict[str, Any]) -> Iterator[Check]:
    """What `probe` found, as checks."""
    torch = found.get("torch", {})
    if "error" in torch:
        yield Check("torch", "wrong", f"{torch['error']}; pip install --force-reinstall torch torchvision")
    else:
        built = f"CUDA {torch['cuda']}" if torch.get("cuda") else "CPU only"
        yield Check("torch", "ok", f"{torch.get('version')} ({built})")
    vision = found.get("torchvision", {})
    if "error" in vision:
        yield Check("torchvision", "wrong", vision_advice(str(vision["error"]), torch))
    elif vision:
        yield Check("torchvision", "ok", str(vision.get("version")))
    if "error" not in torch:
        devices = torch.get("devices") or []
        absent = "none; training runs on the CPU"
        yield Check("GPU", "ok" if devices else "note", ", ".join(devices) or absent)
    for name, package in (("faiss", "faiss-cpu"), ("sklearn", "scikit-learn")):
        about = found.get(name, {})
        if "error" in about:
            yield Check(name, "wrong", f"{about['error']}; pip install {package}")
        elif about:
            yield Check(name, "ok", str(about.get("version")))


def vision_advice(error: str, torch: dict[str, Any]) -> str:
    """What to do about a torchvision that cannot be imported."""
    if "torchvision::nms" in error and "does not exist" in error:
        has = str(torch.get("version", "?"))
        kind = "cpu" if not torch.get("cuda") else f"cu{str(torch['cuda']).replace('.', '')}"
        return (
            f"it was built for another torch than {has}; install both from one place: pip install --force-reinstall "
            f"torch torchvision --index-url https://download.pytorch.org/whl/{kind}"
        )
    return f"{error}; pip install --force-reinstall torchvision"


def _terminal() -> Iterator[Check]:
    columns, lines = shutil.get_terminal_size((0, 0))
    term = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        yield Check("terminal", "note", "none here; cllab run --headless works without one")
    elif term == "dumb":
        yield Check("terminal", "note", "TERM=dumb cannot paint; cllab run --headless works")
    elif columns < 80 or lines < 24:
        yield Check("terminal", "note", f"{columns}x{lines} ({term}); 80x24 shows more")
    else:
        yield Check("terminal", "ok", f"{columns}x{lines} ({term})")
    encoding = (sys.stdout.encoding or "").lower()
    good = encoding.replace("-", "").startswith("utf")
    yield Check("unicode", "ok" if good else "note", encoding if good else f"{encoding}: charts are drawn in ASCII")
    colors = os.environ.get("COLORTERM", "")
    if os.environ.get("NO_COLOR"):
        yield Check("color", "note", "NO_COLOR is set")
    elif colors in ("truecolor", "24bit"):
        yield Check("color", "ok", "16 million colors")
    else:
        yield Check("color", "ok", "256 colors" if "256" in term else f"as {term or 'the terminal'} has them")


def _folders(runs: str | None) -> Iterator[Check]:
    from cllab.data import where
    from cllab.record.runs import runs_folder
    from cllab.settings.catalog import cache_folder

    root = where.data_root()
    here = [n for n in where.names() if where.dataset_status(n, scan=False).found]
    # the built-in data need no folder
    yield Check(
        "data", "ok" if root.is_dir() else "note", f"{root}{'' if root.is_dir() else ' (not there)'}: {', '.join(here)}"
    )
    for name, folder in (("cache", cache_folder()), ("runs", runs_folder(runs))):
        yield _writable(name, folder)


def _writable(name: str, folder: Path, access: Callable[[Path, int], bool] = os.access) -> Check:
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not nearest.is_dir() or not access(nearest, os.W_OK | os.X_OK):
        setting = {"cache": "$CLLAB_CACHE", "runs": "--runs or $CLLAB_RUNS"}[name]
        return Check(name, "wrong", f"{folder} cannot be written; name another with {setting}")
    free = shutil.disk_usage(nearest).free
    from cllab.io.output import size

    told = f"{folder}{'' if folder.is_dir() else ' (made when needed)'}, {size(free)} free"
    return Check(name, "ok" if free > 1e9 else "note", told)
