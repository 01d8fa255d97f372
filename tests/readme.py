"""Writes the generated parts of README.md: `python -m tests.readme`. A test says when they are stale."""

from __future__ import annotations

import re
from pathlib import Path

from cllab.io.output import markdown_table
from cllab.settings import catalog

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HEADINGS = {
    "method": "Methods",
    "memory": "Memory policies",
    "scenario": "Scenarios",
    "dataset": "Datasets",
    "model": "Models",
}


def components() -> str:
    """Every component with its idea."""
    known = catalog.load()
    parts = []
    for kind, heading in HEADINGS.items():
        rows = [(f"`{c.name}`", c.title, c.summary, c.paper) for c in known.all(kind) if c.name != "blobs"]
        parts.append(f"**{heading}**\n\n" + markdown_table(("name", "", "idea", "source"), rows))
    return "\n\n".join(part.strip() for part in parts)


def my_method() -> str:
    """The method file that tests/every holds to the general checks."""
    return "```python\n" + (ROOT / "tests" / "my_method.py").read_text(encoding="utf-8").strip() + "\n```"


SECTIONS = {"components": components, "my_method": my_method}


def written(text: str) -> str:
    """`text` with every generated section as it should be."""
    for name, make in SECTIONS.items():
        pattern = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
        section = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        text = pattern.sub(lambda _match, section=section: section, text)
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
