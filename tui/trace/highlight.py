"""The highlighted steps of a response: found by a query, traced to a unit, or different."""

from __future__ import annotations

import numpy as np

from omnitrace.arrays import Bool
from replay import Attribution
from tui.status import StatusLine
from tui.trace.overview import Overview
from tui.trace.search import steps_found
from tui.trace.state import Answer
from tui.trace.tokens import TokenView


class Highlights:
    """Highlights steps in the tokens and the overview, and counts them in the status line.

    `query`: the search whose steps are highlighted, empty for none.
    """

    def __init__(self, tokens: TokenView, overview: Overview, status: StatusLine) -> None:
        self.tokens, self.overview, self.status = tokens, overview, status
        self.query = ""

    def show(self, steps: Bool | None, what: str = "") -> None:
        """Highlight `steps` (T,), which are `what`; None: all alike."""
        self.tokens.highlight(steps)
        self.overview.show_response(self.tokens.response, self.tokens.cursor, steps)
        if steps is not None:
            count = int(np.count_nonzero(steps))
            self.status.show_status(
                f"{what}: {count:,} of {len(steps):,} tokens (n next, Escape for all)"
            )

    def find(self, answer: Answer, query: str) -> None:
        """Highlight the steps that a query selects; CommandError if it is not valid."""
        steps, self.query = steps_found(answer, query), query
        self.show(steps, query)
        if steps is None:
            self.status.show_status("")

    def show_unit(self, attribution: Attribution, unit: int) -> None:
        """Highlight the steps that are traced to a unit."""
        label = attribution.units.label[unit]
        self.show(attribution.unit == unit, f"traced to {label}")

    def restore(self, answer: Answer) -> None:
        """Highlight what the query selects in another answer, or nothing."""
        if self.query:
            self.find(answer, self.query)
        else:
            self.tokens.highlight(None)

    def go_to_first(self, after: bool = False) -> None:
        """Go to a highlighted step, the next one first; `after`: not the one under the cursor."""
        steps, cursor = self.tokens.highlighted, self.tokens.cursor
        if steps is not None and (after or not steps[cursor]):
            self.tokens.action_highlighted(1 if steps[cursor + after :].any() else -1)

    def clear(self) -> bool:
        """Highlight nothing; False if nothing was highlighted."""
        if self.tokens.highlighted is None and not self.query:
            return False
        self.query = ""
        self.show(None)
        self.status.show_status("")
        return True
