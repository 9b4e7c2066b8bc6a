"""The tables of keys in docs/browse.md, made from the bindings: `python -m tests.tui.keys_table`.

Replaces the part of the page between its two marks; a test compares it.
"""

from __future__ import annotations

from pathlib import Path

from textual.binding import Binding
from textual.keys import format_key

from tui.app import BrowseApp
from tui.draw.table import Table
from tui.options.panel import OptionPanel
from tui.readings import READINGS
from tui.runs.samples import SampleList
from tui.runs.screen import RunScreen
from tui.trace.screen import TraceScreen
from tui.trace.tokens import TokenView

PAGE = Path(__file__).parents[2] / "docs" / "browse.md"
BEGIN, END = "<!-- keys: made by tests/tui/keys_table.py -->\n", "<!-- end of keys -->\n"
VIEWS: dict[str, type] = {
    "Everywhere": BrowseApp,
    "The run": RunScreen,
    "Its list of samples": SampleList,
    "One sample": TraceScreen,
    "Its tokens": TokenView,
    "Lists of sources": Table,
    **{reading.LABEL: reading for reading in READINGS if "BINDINGS" in reading.__dict__},
    "The configuration": OptionPanel,
}


def tables() -> str:
    """A table a view: keys, and what they do in the words of the binding."""
    return "\n".join(_table(title, view) for title, view in VIEWS.items())


def page_with(tables: str, page: str) -> str:
    """The page with these tables in their place."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + tables + END + rest.partition(END)[2]


def _table(title: str, view: type) -> str:
    rows = [f"| {_keys(b)} | {b.description} |" for b in view.__dict__["BINDINGS"] if _described(b)]
    return "\n".join([f"**{title}**", "", "| keys | |", "|---|---|", *rows, ""]) + "\n"


def _described(binding: object) -> bool:
    return isinstance(binding, Binding) and bool(binding.description)


def _keys(binding: Binding) -> str:
    names = (format_key(key.strip()) for key in binding.key.split(","))
    return " ".join(f"`{name if name != '|' else 'bar'}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page_with(tables(), PAGE.read_text("utf-8")), "utf-8")
