"""Tables whose rows point at a part of the answer, so that the tokens can show it."""

from __future__ import annotations

from dataclasses import dataclass

from tui.draw.table import Table


@dataclass(frozen=True)
class Target:
    """A `unit`, whose steps are highlighted, or a `step`, to which the cursor goes; `status`: what
    the status line then says, None to leave it."""

    unit: int | None = None
    step: int | None = None
    status: str | None = None


class TargetTable(Table):
    """A table of the trace view."""

    def target(self, row: int) -> Target | None:
        """What a row points at, if anything."""
        return None
