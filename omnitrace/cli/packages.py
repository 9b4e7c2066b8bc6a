"""Are the four folders ours? Their names are common words, and another distribution may ship one.

Without this check a foreign `replay/` on the path would give a silent wrong answer.
"""

from __future__ import annotations

from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from omnitrace.errors import CommandError

FOLDERS = ("omnitrace", "recorder", "replay", "tui")
OURS = "omnitrace-replay"


def check_packages() -> None:
    """CommandError unless all four folders are in one place and no other package has one."""
    places = {name: _place(name) for name in FOLDERS}
    home = places["omnitrace"]
    strays = [f"{name} ({place})" for name, place in places.items() if place != home]
    if strays:
        raise CommandError(
            f"the packages {', '.join(strays)} do not lie beside omnitrace ({home}): another "
            f"package of that name comes first; install {OURS} in an environment of its own."
        )
    for distribution in distributions():
        taken = _provided(distribution)
        if taken and distribution.name.lower().replace("_", "-") != OURS:
            raise CommandError(
                f"the distribution '{distribution.name}' also installs {', '.join(taken)}: "
                f"uninstall it, or install {OURS} in an environment of its own."
            )


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent.parent if spec and spec.origin else None


def _provided(distribution: Distribution) -> list[str]:
    top_level = (distribution.read_text("top_level.txt") or "").split()
    record = "\n" + (distribution.read_text("RECORD") or "")
    return [name for name in FOLDERS if name in top_level or f"\n{name}/" in record]
