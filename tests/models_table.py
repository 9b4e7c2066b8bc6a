"""Check every family's toy and write the table of them: `python -m tests.models_table [FAMILY …]`.

Writes `recorder/data/families.json`, and the table into README.md and docs/models.md. Of families
that are named, only their rows are made anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from recorder.models.families import MEDIA, PATH, SCHEMA, Family, read_families
from tests.recorder.families import checks
from tests.recorder.families.models import FAMILIES, NOTES, OWN_CODE, checkpoint, prompts

PAGES = [Path(__file__).parents[1] / name for name in ("README.md", "docs/models.md")]
BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"

Check = Callable[[str, str], None]


def checked(family: str) -> Family:
    """A family's row, from all checks of its toy."""
    kinds = list(prompts(family))
    # Prompts of models with code of their own are not transformers' to write.
    own = () if family in OWN_CODE else (checks.check_prompt,)
    fine = {kind: _holds(family, kind, *own, checks.check_tokens) for kind in kinds}
    capture = (checks.check_capture, checks.check_given, checks.check_batch, checks.check_pieces)
    config = json.loads((checkpoint(family) / "config.json").read_text("utf-8"))
    return Family(
        family=family,
        model_type=config["model_type"],
        takes=tuple(kind for kind in MEDIA if fine.get(kind)),
        capture=all(fine[kind] and _holds(family, kind, *capture) for kind in kinds),
        gradients=all(_holds(family, kind, checks.check_gradients) for kind in kinds),
        note=NOTES.get(family, ""),
    )


def _holds(family: str, kind: str, *wanted: Check) -> bool:
    for check in wanted:
        try:
            check(family, kind)
        except Exception as error:
            print(f"{family}, {kind}: {check.__name__}: {error!r}"[:400], file=sys.stderr)
            return False
    return True


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


def write_pages() -> None:
    """Put the table of `families.json` into the pages that show it."""
    for page in PAGES:
        page.write_text(with_table(page.read_text("utf-8"), render_table()), "utf-8")


def main(names: list[str]) -> None:
    old = {row.family: row for row in read_families()} if names and PATH.is_file() else {}
    made = {family: checked(family) for family in names or FAMILIES}
    write_families((old | made).values())
    write_pages()


if __name__ == "__main__":
    main(sys.argv[1:])
