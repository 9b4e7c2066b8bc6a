"""Which families of models are tested, and with which media.

The table is data: `recorder/data/families.json`, written by the tests. Loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEMA = "omnitrace.families/1"
PATH = Path(__file__).parents[1] / "data" / "families.json"
MEDIA = ("text", "image", "video", "audio")
BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"


@dataclass(frozen=True)
class Family:
    """What the tests found of a family's toy checkpoint.

    `family`: its name in the tests; `model_type`: transformers' name; `takes`: of text, image,
    video and audio those whose tokens are found; `capture`: rows equal eager attention's, and
    generated tokens plain generation's; `gradients`: they equal those of one re-run a step;
    `note`: what is different about it, in a few words.
    """

    family: str
    model_type: str
    takes: tuple[str, ...]
    capture: bool
    gradients: bool
    note: str = ""


def read_families(path: Path = PATH) -> tuple[Family, ...]:
    """The families of a file that `write_families` wrote, by name."""
    data = json.loads(path.read_text("utf-8"))
    return tuple(Family(**{**row, "takes": tuple(row["takes"])}) for row in data["families"])


def write_families(families: Iterable[Family], path: Path = PATH) -> None:
    """Write a table: JSON, `omnitrace.families/1`, a family a line, sorted by name."""
    rows = sorted(families, key=lambda family: family.family)
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    path.write_text(f'{{"schema": "{SCHEMA}", "families": [\n{lines}\n]}}\n', "utf-8")


def render_table(families: Sequence[Family] | None = None) -> str:
    """The table of the families as Markdown; of those in `PATH` if none are given."""
    rows = read_families() if families is None else families
    lines = [
        "| family | model type | text | image | video | audio | capture | gradients | |",
        "|---|---|:-:|:-:|:-:|:-:|:-:|:-:|---|",
    ]
    for row in rows:
        marks = [kind in row.takes for kind in MEDIA] + [row.capture, row.gradients]
        cells = [
            row.family,
            f"`{row.model_type}`",
            *("✓" if yes else "" for yes in marks),
            row.note,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """A page's text with the table between its two marks; ValueError if it lacks them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"
