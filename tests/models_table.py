"""Check every family's toy and write the table of them: `python -m tests.models_table [FAMILY …]`.

Writes `recorder/data/families.json`, and the table into README.md and docs/models.md. Of families
that are named, only their rows are made anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from recorder.models.families import (
    MEDIA,
    PATH,
    Family,
    read_families,
    render_table,
    with_table,
    write_families,
)
from tests.recorder.families import checks
from tests.recorder.families.models import FAMILIES, NOTES, OWN_CODE, checkpoint, prompts

PAGES = [Path(__file__).parents[1] / name for name in ("README.md", "docs/models.md")]

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
