"""Ways to spoil a text, a value, a file and a folder; all drawn from one generator."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cllab.io import files

EVIL = "x\x1b]0;owned\x07y\x1b]52;c;b3duZWQ\x1b\\z\x1b[31m\x9b1m\x00\x7f\u202e"
LITERALS = (
    "0", "-1", "1", "2", "7", "1000000", "99999999999999999999", "9" * 5000, "1e400", "-1e400", "nan", "inf", "0.5",
    "1e-320", "true", "false", '""', '"none"', '"~"', '"~nobody-here/x"', '"/"', '"."', '"' + "x" * 3000 + '"', "[]",
    '["crop"]', '["cutmix", "cutmix"]', "[1, 2]", "{}", "{a = 1}", "[" * 900 + "]" * 900, "1979-05-27", "07:32:00",
    '"\\u001b]0;owned\\u0007\\u0000"', '"\\ud800"', "0x1f", "1_000", "'''a\nb'''", "", "=", '"cuda:99999999999"',
    '"cuda:²"', '"mps"', "²", "-0.0", "2147483648", "9223372036854775808",
)  # fmt: skip
TEXTS = ("", "0", "-1", "nan", "inf", "1e400", "x", "none", "~", "~nobody", "\x00", EVIL, "9" * 5000, "x" * 20_000, "=")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**25, 1e308, float("nan"), float("inf"), "", "x", EVIL, "\ud800", [], {}, [[]],
    [None], {"": None}, [[[[1]]]], "x" * 5000, {EVIL: EVIL}, 0.5, -5.0, [1e400], {"a": {"b": {"c": 1}}},
)  # fmt: skip


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes cut out, doubled, turned over or put in."""
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(data) + 1)
        j = min(len(data), i + rng.choice((1, 1, 2, 8, 60)))
        new = rng.choice(
            (b"", b"", data[i:j] * 2, rng.randbytes(j - i), b"\x00", b"\xff\xfe", b'"', b"[", b"\n", b"\x1b[")
        )
        data = data[: rng.choice((i, i, i, 0))] + new + data[j:] if rng.random() < 0.9 else data[:i]
    return data


def spoil_toml(text: str, keys: Mapping[str, list[str]], rng: random.Random) -> str:
    """A preset with some lines changed, lost, doubled, moved or added.

    Args:
        keys: by table, what it may hold.
    """
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(lines)) if lines else 0
        line = lines[i] if lines else ""
        kind = rng.random()
        if kind < 0.45 and "=" in line:
            lines[i] = line.partition("=")[0] + "= " + rng.choice(LITERALS)
        elif kind < 0.65:
            table = rng.choice(list(keys))
            header = [] if rng.random() < 0.3 else [f"[{table}]"]
            lines[i:i] = [*header, f"{rng.choice(keys[table])} = {rng.choice(LITERALS)}"]
        elif kind < 0.72 and lines:
            del lines[i]
        elif kind < 0.78:
            lines.insert(rng.randint(0, len(lines)), line)
        elif kind < 0.84 and "=" in line:
            lines[i] = rng.choice(("nonsense", "", EVIL, "name ", "train.")) + "= " + line.partition("=")[2]
        elif kind < 0.9:
            rng.shuffle(lines)
        else:
            return spoil_bytes("\n".join(lines).encode(), rng).decode(errors="surrogateescape")
    return "\n".join(lines) + "\n"


def assignment(keys: Mapping[str, list[str]], names: Mapping[str, list[str]], rng: random.Random) -> str:
    """A `--set` string, more or less."""
    table = rng.choice(list(keys))
    kind = rng.random()
    if kind < 0.25 and table in names:
        return f"{table}={rng.choice(names[table])}"
    key = (
        f"{table}.{rng.choice(keys[table])}"
        if rng.random() < 0.9
        else rng.choice(("seed", "device", "name", "fidelity"))
    )
    if kind < 0.75:
        return f"{key}={rng.choice(LITERALS)}"
    if kind < 0.9:
        return f"{key}={rng.choice(TEXTS)}"
    return rng.choice((key, f"={key}", f"{EVIL}=1", f"{key}=1\nseed=2", f".{key}=1", f"{key}.x=1", "expect=1", EVIL))


def spoil_value(value: Any, rng: random.Random) -> Any:
    """JSON with one place in it replaced, lost or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.12:
            return {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.08:
            return {**value, rng.choice((EVIL, "", "x")): value[key]}
        return {**value, key: spoil_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        if rng.random() < 0.15:
            return value[:i]
        if rng.random() < 0.1:
            return [*value, *value]
        return [*value[:i], spoil_value(value[i], rng), *value[i + 1 :]]
    return rng.choice(VALUES)


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def content(path: Path) -> bytes:
    """What is in a file; of what was made a pipe, a device or a hole before, nothing can be spoiled further.

    Raises:
        OSError: of such a one.
    """
    return files.read_bytes(path, 1 << 24)


def spoil_json(path: Path, rng: random.Random) -> str:
    value = json.loads(content(path))
    for _ in range(rng.randint(1, 3)):
        value = spoil_value(value, rng)
    path.write_bytes(dump(value))
    return f"{path.name}: values"


def spoil_log(path: Path, rng: random.Random) -> str:
    lines = content(path).splitlines()
    for _ in range(rng.randint(1, 6)):
        i = rng.randrange(len(lines))
        kind = rng.random()
        if kind < 0.7:
            lines[i] = dump(spoil_value(json.loads(lines[i]) if lines[i][:1] == b"{" else {}, rng))
        elif kind < 0.8:
            lines.insert(rng.randint(0, len(lines)), lines[i])
        elif kind < 0.9:
            lines[i] = rng.choice((b"", b"{", b"nonsense", nested(3000).encode(), b'{"kind": "RunEnded"}'))
        else:
            lines = lines[: max(1, i)]
    path.write_bytes(b"\n".join(lines) + rng.choice((b"\n", b"")))
    return "events.jsonl: records"


def spoil_file(path: Path, rng: random.Random) -> str:
    """A file lost, cut, scrambled, grown, or replaced by something else."""
    kinds: dict[str, Callable[[], object]] = {
        "lost": lambda: None,
        "empty": lambda: path.write_bytes(b""),
        "random": lambda: path.write_bytes(rng.randbytes(rng.randint(1, 3000))),
        "zeros": lambda: path.write_bytes(bytes(2000)),
        "a folder": lambda: path.mkdir(),
        "a pipe": lambda: os.mkfifo(path),
        "a device": lambda: path.symlink_to("/dev/zero"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to nowhere": lambda: path.symlink_to("nowhere"),
        "nested": lambda: path.write_text(nested(100_000)),
        "evil": lambda: path.write_text(EVIL),
        "a huge hole": lambda: _hole(path),
    }
    kind = rng.choice(list(kinds))
    data = content(path)
    _remove(path)
    if rng.random() < 0.35:
        path.write_bytes(spoil_bytes(data, rng) if rng.random() < 0.7 else data[: rng.randint(0, len(data))])
        return f"{path.name}: scrambled"
    kinds[kind]()
    return f"{path.name}: {kind}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def spoil_folder(folder: Path, rng: random.Random) -> list[str]:
    """One to three kinds of damage in a run folder; what was done, in words."""
    done = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        whole = sorted(
            p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_size < 1 << 24
        )
        kind = rng.random()
        try:
            if kind < 0.2:
                done.append(spoil_json(folder / "result.json", rng))
            elif kind < 0.4:
                done.append(spoil_log(folder / "events.jsonl", rng))
            elif kind < 0.5:
                done.append(spoil_json(folder / "described.json", rng))
            elif kind < 0.6:
                path = folder / "config.toml"
                path.write_text(
                    spoil_toml(content(path).decode(), {"train": ["lr"], "memory": ["capacity"]}, rng),
                    "utf-8",
                    "replace",
                )
                done.append("config.toml: lines")
            elif whole:
                done.append(spoil_file(rng.choice(whole), rng))
        except (OSError, ValueError, IndexError, RecursionError):
            continue  # what was to be spoiled is spoiled already
    return done
