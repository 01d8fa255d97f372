"""Numbers for people."""

from __future__ import annotations

import math


def size(n_bytes: float) -> str:
    """Bytes in at most six characters."""
    if not math.isfinite(n_bytes):
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n_bytes) < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
