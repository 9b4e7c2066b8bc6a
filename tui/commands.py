"""The command palette: every active binding with a description."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import SystemCommand
from textual.screen import Screen

from tui.help import active_bindings


def commands_of(screen: Screen[object]) -> Iterator[SystemCommand]:
    """A command for every binding of a screen and of what has its focus."""
    for (namespace, binding), keys in active_bindings(screen):

        async def run(action: str = binding.action, node: object = namespace) -> None:
            await screen.app.run_action(action, node)  # type: ignore[arg-type]

        yield SystemCommand(binding.description, " ".join(keys), run)
