"""Tables for a paper, as Markdown. Text from strangers cannot break out of its cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from omnitrace.text import one_line
from replay.analyses.result import Table

_MARKS = re.compile(r"([\\`*_\[\]<>#|~&$]|^[-+]|(?<=^\d)[.)](?=\s))")
_WIDEST = 500


def markdown(
    title: str, facts: Sequence[str], tables: Iterable[tuple[str, Table]]
) -> Iterator[str]:
    """A document in pieces: a title, facts, and tables by heading."""
    yield f"# {escaped(title)}\n\n"
    yield "".join(f"- {escaped(fact)}\n" for fact in facts)
    for heading, table in tables:
        yield f"\n## {escaped(heading)}\n\n{rows(table)}"


def rows(table: Table) -> str:
    """The table as pipes and dashes."""
    head = [escaped(name.removesuffix(">")) for name in table.columns]
    rule = ["--:" if name.endswith(">") else "---" for name in table.columns]
    body = [[escaped(cell) for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *body))


def escaped(text: str) -> str:
    """One line that Markdown prints as it is."""
    return _MARKS.sub(r"\\\1", one_line(text, _WIDEST))
