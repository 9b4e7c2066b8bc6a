"""The table of configuration keys in `docs/replay.md`, made from the configuration itself.

    python -m replay.document docs/replay.md

writes it between the page's two marks.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from omnitrace.atomic import atomic_write
from omnitrace.config import leaves
from replay.config import PRESETS

BEGIN, END = "<!-- keys:begin -->\n", "<!-- keys:end -->\n"


def key_table() -> str:
    """Markdown: each key with its legal values, its value in each preset and its help.

    A preset that has the value of `default` is left blank.
    """
    head = ["key", "legal", *(f"`{name}`" for name in PRESETS), "what it chooses"]
    lines = [_row(head), "|---" * len(head) + "|\n"]
    for leaf, *others in zip(*map(leaves, PRESETS.values()), strict=True):
        shown = ["" if other.value == leaf.value else _value(other.value) for other in others]
        cells = [f"`{leaf.path}`", _legal(leaf.field), _value(leaf.value), *shown]
        lines.append(_row([*cells, leaf.field.metadata["help"]]))
    return "".join(lines)


def with_table(page: str) -> str:
    """The page with the table of now between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + key_table() + END + rest.split(END)[1]


def _legal(field: dataclasses.Field[Any]) -> str:
    bounds, form = field.metadata["bounds"], field.metadata["form"]
    if bounds:
        return f"{bounds[0]:g} to {bounds[1]:g}"
    if form:
        return str(form[1])
    return ", ".join(f"`{choice}`" for choice in field.metadata["choices"]) or "any"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {weight:g}" for key, weight in value.items())
    return f"`{value}`" if value != "" else "*empty*"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main() -> None:
    page = Path(sys.argv[1])
    with atomic_write(page) as temporary:
        temporary.write_text(with_table(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
